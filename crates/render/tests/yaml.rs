//! Documents that upstream's two decoders answered, kept: what Helm reads with the words of its errors, what Kustomize reads as resources.
//!
//! `yaml.jsonl` is what `differential keep-documents` printed: every class that once came out otherwise, and short ones by chance.

#[path = "../examples/differential/decoders.rs"]
mod decoders;

use serde_json::Value;

#[test]
fn documents_are_read_as_both_decoders_do() {
    let (mut count, mut wrong) = (0, Vec::new());
    for line in include_str!("yaml.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (theirs, ours) = (Ok(case["upstream"].clone()), decoders::ours(&case));
        if !decoders::same(&theirs, &ours) {
            wrong.push(format!("{}\n{:?}", case["text"], decoders::pairs(&theirs, &ours)));
        }
        count += 1;
    }
    assert!(count > 300, "only {count} documents");
    assert!(wrong.is_empty(), "{} of {count} differ: {wrong:#?}", wrong.len());
}
