//! Upstream's answers on disk, a file a kind: a run that asks what an earlier one asked needs no reference.
//!
//! Invariant: the answers of a kind come from one run of the reference. What was not asked in that run is [`Missing`], and
//! the kind is asked anew as a whole, because later requests carry uids and revisions of earlier answers. Not here: which
//! version the answers are of; the caller gives a folder for each.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::side::{Answer, Ask};

/// The recording does not hold the answer to a request.
#[derive(Debug, thiserror::Error)]
#[error("upstream's answer to {0} is not recorded")]
pub struct Missing(String);

/// The recording of the kind at hand.
pub struct Recorded {
    folder: PathBuf,
    kind: Mutex<Tape>,
}

#[derive(Default)]
struct Tape {
    file: PathBuf,
    /// Answers to the same request stand in the order in which they were given.
    answers: HashMap<u64, VecDeque<Answer>>,
    new: Vec<(u64, Answer)>,
}

impl Recorded {
    pub fn at(folder: PathBuf) -> Recorded {
        Recorded { folder, kind: Mutex::default() }
    }

    /// Turns to a kind; false: nothing of it is recorded.
    pub fn open(&self, kind: &str) -> bool {
        let file = self.folder.join(format!("{}.jsonl", kind.replace('/', "_")));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut tape = self.tape();
        *tape = Tape { file, ..Tape::default() };
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let texts = line["warnings"].as_array().into_iter().flatten();
            let answer = Answer {
                code: line["code"].as_u64().unwrap_or_default() as u16,
                content: line["content"].as_str().unwrap_or_default().into(),
                warnings: texts.filter_map(|text| text.as_str().map(String::from)).collect(),
                body: line["body"].as_str().unwrap_or_default().into(),
            };
            let Some(key) = line["key"].as_u64() else { continue };
            tape.answers.entry(key).or_default().push_back(answer);
        }
        !tape.answers.is_empty()
    }

    pub fn answer(&self, ask: &Ask) -> Result<Answer, Missing> {
        let missing = || Missing(format!("{} {}", ask.method, ask.path));
        self.tape().answers.get_mut(&key(ask)).and_then(VecDeque::pop_front).ok_or_else(missing)
    }

    pub fn add(&self, ask: &Ask, answer: &Answer) {
        self.tape().new.push((key(ask), answer.clone()));
    }

    /// Writes the kind's new answers in place of its old ones.
    pub fn keep(&self) -> Result<()> {
        let tape = std::mem::take(&mut *self.tape());
        let line = |(key, answer): &(u64, Answer)| {
            let body = String::from_utf8_lossy(&answer.body);
            let (code, content, warnings) = (answer.code, &answer.content, &answer.warnings);
            let line =
                json!({"key": key, "code": code, "content": content, "warnings": warnings, "body": body});
            format!("{line}\n")
        };
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(&tape.file, tape.new.iter().map(line).collect::<String>()))
            .with_context(|| format!("cannot write {}", tape.file.display()))
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.kind.lock().expect("because nobody panics with the recording in hand")
    }
}

fn key(ask: &Ask) -> u64 {
    let mut hasher = DefaultHasher::new();
    (ask.method.as_str(), &ask.path, ask.content, ask.accept, &ask.body).hash(&mut hasher);
    hasher.finish()
}
