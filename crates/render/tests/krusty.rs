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

/// Files with a few bytes changed: whatever comes out, it is a text or an error, and soon. The seed is in the message.
#[test]
fn broken_files_are_errors_and_not_panics() {
    let mut state = 0x5eed_u64;
    let mut chance = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit.max(1)
    };
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "\n",
        "  ",
        "'",
        "\"",
        "&a ",
        "*a",
        "<<: ",
        "$patch: delete",
        "null",
        "!!int ",
        "../",
        "|",
        "~",
    ];
    for line in include_str!("krusty/cases.jsonl").lines() {
        let case: case::Case = serde_json::from_str(line).unwrap();
        for _ in 0..12 {
            let mut broken = case.clone();
            let at = chance(broken.files.len());
            let Some(text) = broken.files.values_mut().nth(at) else { continue };
            for _ in 0..1 + chance(3) {
                let mut chars: Vec<char> = text.chars().collect();
                let from = chance(chars.len() + 1);
                let to = (from + chance(6)).min(chars.len());
                let piece = if chance(3) == 0 { "" } else { pieces[chance(pieces.len())] };
                chars.splice(from..to, piece.chars());
                *text = chars.into_iter().collect();
            }
            let _ = case::build(&broken);
        }
    }
}
