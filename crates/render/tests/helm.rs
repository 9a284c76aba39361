//! What upstream's own code answered to a sample of questions, kept so that the answers are checked where no Go is.
//!
//! `tests/helm/*.jsonl` are answers of the program in `oracle/`: a call of a function and what it gave, a YAML document and how it was
//! read and printed. `cargo xtask render functions` and `charts` ask many more.

#[path = "../examples/differential/answer.rs"]
mod answer;

use serde_json::{Value, json};

fn lines(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"))
}

#[test]
fn functions_give_what_upstreams_give() {
    let data: Value = serde_json::from_str(include_str!("helm/data.json")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in lines(include_str!("helm/functions.jsonl")) {
        let question = json!({"kind": "template", "name": "t", "text": case["text"], "data": data});
        let same = match answer::answer(&question) {
            Ok(out) => out == case["out"],
            Err(error) => case["error"] == error,
        };
        count += 1;
        if !same {
            wrong.push(case["text"].to_string());
        }
    }
    assert!(count > 500, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count} differ: {wrong:#?}", wrong.len());
}

#[test]
fn yaml_is_read_and_printed_as_upstream_does() {
    let mut wrong = Vec::new();
    for case in lines(include_str!("helm/yaml.jsonl")) {
        let same = match answer::answer(&json!({"kind": "yaml", "text": case["text"]})) {
            Ok(out) => out["json"] == case["json"] && out["yaml"] == case["yaml"],
            Err(error) => case["error"] == error,
        };
        if !same {
            wrong.push(case["text"].to_string());
        }
    }
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
}
