//! The other side: a program that answers questions, one JSON line each (`oracle/`).

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What one side made of a question, or its error.
pub type Answer = Result<Value, String>;

/// Asks every question, in order, and gives each answer to `each`. Questions are written while answers are read.
pub fn ask(questions: impl Iterator<Item = Value> + Send + 'static, mut each: impl FnMut(usize, Answer)) {
    let program = std::env::var("ORACLE").expect("ORACLE names the built oracle program");
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let mut to = BufWriter::new(child.stdin.take().unwrap());
    let writer = std::thread::spawn(move || {
        for question in questions {
            if writeln!(to, "{question}").is_err() {
                return;
            }
        }
    });
    let from = BufReader::new(child.stdout.take().unwrap());
    for (number, line) in from.lines().enumerate() {
        let mut answer: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |field: &str| answer[field].as_str().map(ToString::to_string);
        each(
            number,
            match text("error").or_else(|| text("panic")) {
                Some(error) => Err(error),
                None => Ok(answer["out"].take()),
            },
        );
    }
    writer.join().unwrap();
    child.wait().unwrap();
}
