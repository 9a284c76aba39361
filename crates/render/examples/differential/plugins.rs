//! Tests of Kustomize's built-in plugins, as recorded: each configuration with its input becomes a kustomization, which both sides
//! build.
//!
//! The recorded tests call a plugin alone; a build also fixes references and hashes, on both sides.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::compare::Layer;
use crate::oracle::Answer;
use crate::trees::{self, Files};

/// One call of a plugin in a test.
#[derive(Clone, Deserialize)]
struct Call {
    file: String,
    test: String,
    config: String,
    /// What a transformer is given; none for a generator.
    input: Option<String>,
    /// What lies around, by paths below the root.
    files: Files,
}

impl Call {
    fn tree(&self) -> Files {
        let mut files: Files =
            self.files.iter().map(|(path, text)| (format!("top/{path}"), text.clone())).collect();
        files.insert("top/the-config.yaml".into(), self.config.clone());
        let text = match &self.input {
            Some(input) => {
                files.insert("top/the-input.yaml".into(), input.clone());
                "resources: [the-input.yaml]\ntransformers: [the-config.yaml]\n"
            }
            None => "generators: [the-config.yaml]\n",
        };
        files.insert("top/kustomization.yaml".into(), text.into());
        files
    }
}

pub fn run(file: &str, verbose: bool) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let all: Vec<Call> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let number = |asked: &Value| asked["id"].as_u64().unwrap_or_default() as usize;
    let counts: RefCell<BTreeMap<String, [usize; 2]>> = RefCell::default();
    let ours = |asked: &Value| {
        counts.borrow_mut().entry(all[number(asked)].file.clone()).or_default()[0] += 1;
        trees::build(asked)
    };
    let tell = |asked: &Value, theirs: &Answer, ours: &Answer| {
        let call = &all[number(asked)];
        counts.borrow_mut().entry(call.file.clone()).or_default()[1] += 1;
        let mut out = format!("{} {}: {}", call.file, call.test, trees::reason(theirs, ours));
        if verbose {
            out.push_str(&format!("\n--- config\n{}\n--- input\n{:?}", call.config, call.input));
        }
        out
    };
    let layer = Layer {
        name: "plugins",
        ours: &ours,
        same: &trees::same,
        tell: &tell,
        shown: usize::MAX,
        known: &[],
    };
    let asked = all.clone();
    let fine = layer.run(all.len(), 0, move |at, _| trees::question(at, asked[at].tree()));
    for (file, [asked, other]) in counts.into_inner() {
        println!("{file}: {} same, {other} other", asked - other);
    }
    fine
}
