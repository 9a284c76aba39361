//! Some of Kustomize's own tests; see `krusty/README.md`.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "krusty/case.rs"]
mod case;

#[test]
fn upstreams_own_tests_come_out_the_same() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("krusty/cases.jsonl").lines() {
        let case: case::Case = serde_json::from_str(line).unwrap();
        count += 1;
        if let Err(reason) = case::check(&case) {
            wrong.push(format!("{} {}: {reason}", case.file, case.test));
        }
    }
    assert!(count > 80, "only {count} cases were read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
