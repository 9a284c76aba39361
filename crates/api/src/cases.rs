//! Cases for tests whose outcome upstream's own code wrote down, one JSON object a line: a sample that lies beside the test, or a
//! longer file that an environment variable names.

use crate::{Value, json};

/// Panics on a file that cannot be read or a line that is no JSON: tests have nothing to go on with.
pub(crate) fn read(variable: &str, sample: &str) -> Vec<Value> {
    let text = match std::env::var(variable) {
        Ok(path) => std::fs::read_to_string(path).expect("the variable names a file"),
        Err(_) => sample.into(),
    };
    text.lines().map(|line| json::parse(line.as_bytes()).expect("a line is one JSON object")).collect()
}
