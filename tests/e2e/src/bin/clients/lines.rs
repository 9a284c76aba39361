//! What a client's tests print, as outcomes: `ok NAME`, `not ok NAME: why`, `skip NAME: why`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How one test of a client ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub name: String,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Passed,
    /// The first line of why.
    Failed(String),
    Skipped(String),
}

/// Runs a program and takes its lines as they come; others are passed over.
pub fn run(command: &mut Command, what: &str) -> Result<Vec<Outcome>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {what}"))?;
    let output = child.stdout.take().with_context(|| format!("{what} has no output"))?;
    let mut found = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(outcome) = parse(&line) {
            println!("    {line}");
            found.push(outcome);
        }
    }
    let status = child.wait()?;
    if found.is_empty() {
        anyhow::bail!("{what} told of no test ({status})");
    }
    Ok(found)
}

pub fn parse(line: &str) -> Option<Outcome> {
    let named = |rest: &str, end: fn(String) -> End| {
        let (name, why) = rest.split_once(": ").unwrap_or((rest, ""));
        Outcome { name: name.trim().into(), end: end(why.trim().into()) }
    };
    if let Some(rest) = line.strip_prefix("not ok ") {
        return Some(named(rest, End::Failed));
    }
    if let Some(rest) = line.strip_prefix("skip ") {
        return Some(named(rest, End::Skipped));
    }
    let name = line.strip_prefix("ok ")?.split(" (").next().unwrap_or_default();
    Some(Outcome { name: name.trim().into(), end: End::Passed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_outcome() {
        let check = |line: &str, expected: Option<(&str, End)>| {
            let expected = expected.map(|(name, end)| Outcome { name: name.into(), end });
            assert_eq!(parse(line), expected, "{line}");
        };
        check("ok run_pod_tests (12s)", Some(("run_pod_tests", End::Passed)));
        check("not ok a b: why: so", Some(("a b", End::Failed("why: so".into()))));
        check("skip a: no", Some(("a", End::Skipped("no".into()))));
        check("okay", None);
    }
}
