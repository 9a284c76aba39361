//! What upstream's own code answered to a sample of questions, kept so that the answers are checked where no Go is.
//!
//! `tests/helm/*.jsonl` are answers of the program in `oracle/`: a call of a function and what it gave, a YAML document and how it was
//! read and printed, the number of a generated chart and a hash of what it gave; `options.jsonl` is a chart and what `helm template`
//! printed of it under each flag. `cargo xtask render functions` and `charts` ask many more.

#[path = "../examples/differential/answer.rs"]
mod answer;
#[path = "../examples/differential/chance.rs"]
mod chance;
#[allow(dead_code)] // what asks upstream
#[path = "../examples/differential/charts.rs"]
mod charts;
#[allow(dead_code)]
#[path = "../examples/differential/compare.rs"]
mod compare;
#[allow(dead_code)]
#[path = "../examples/differential/oracle.rs"]
mod oracle;

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

#[test]
fn options_do_what_the_programs_flags_do() {
    let mut cases = lines(include_str!("helm/options.jsonl"));
    let chart = cases.next().unwrap()["chart"].take();
    let mut count = 0;
    for mut case in cases {
        case["asked"]["files"] = chart.clone();
        let asked = &case["asked"];
        match answer::answer(asked) {
            Ok(out) => assert_eq!(out["manifest"], case["out"], "{asked}"),
            // The program's own last line break is not part of what it says.
            Err(error) => assert_eq!(case["error"], error.trim_end(), "{asked}"),
        }
        count += 1;
    }
    assert_eq!(count, 64);
}

/// The seed of `tests/helm/charts.jsonl`: `differential keep-charts 2026 FILE` writes it anew.
const CHARTS: u64 = 2026;

#[test]
fn charts_give_what_upstreams_give() {
    let mut wrong = Vec::new();
    let mut count = 0;
    // Read when it runs, so that it can be written anew by what is built with it.
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/helm/charts.jsonl");
    for case in lines(&std::fs::read_to_string(kept).unwrap()) {
        let number = case["chart"].as_u64().unwrap() as usize;
        count += 1;
        if charts::digest(&answer::answer(&charts::question(number, CHARTS))) != case["gave"] {
            wrong.push(number);
        }
    }
    assert_eq!(count, 200);
    assert!(wrong.is_empty(), "charts {wrong:?} differ: `differential charts` shows how");
}
