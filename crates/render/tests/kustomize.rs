//! Every tree under `tests/trees` is built from its folder `top` and compared with what `kustomize build` printed.
//!
//! To regenerate: `SKIFF_KUSTOMIZE=/path/to/kustomize cargo test -p render --test kustomize` (v5.8) rewrites each
//! `expected.yaml`; the test then compares with the new files.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

use std::path::Path;
use std::process::Command;

use render::{Tree, kustomize};

#[test]
fn prints_what_kustomize_prints() {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    let mut names: Vec<_> = std::fs::read_dir(&trees).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(!names.is_empty());
    let mut wrong = Vec::new();
    for tree in names {
        let name = tree.file_name().unwrap().to_string_lossy().into_owned();
        let golden = tree.join("expected.yaml");
        if let Ok(program) = std::env::var("SKIFF_KUSTOMIZE") {
            let output = Command::new(program).arg("build").arg(tree.join("top")).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            std::fs::write(&golden, output.stdout).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap();
        let printed = match kustomize::build(&Tree::directory(&tree), "top") {
            Ok(documents) => render::print(&documents),
            Err(error) => format!("error: {error}"),
        };
        if printed != expected {
            let first = printed.lines().zip(expected.lines()).position(|(ours, theirs)| ours != theirs);
            let at = first.unwrap_or_else(|| printed.lines().count().min(expected.lines().count()));
            let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").to_string();
            wrong.push(format!(
                "{name}: line {}:\n  ours   {}\n  theirs {}",
                at + 1,
                line(&printed),
                line(&expected)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
