//! A tree of files as one text (`=== path` before each), built: never a panic, never without end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use render::{Limits, Tree, kustomize};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut files: Vec<(String, String)> = vec![("kustomization.yaml".into(), String::new())];
    for line in text.lines() {
        match line.strip_prefix("=== ") {
            Some(path) => files.push((path.trim().to_string(), String::new())),
            None => {
                let last = files.last_mut().expect("because it starts with one");
                last.1.push_str(line);
                last.1.push('\n');
            }
        }
    }
    let tree = Tree::memory(files);
    let limits = Limits { objects: 1_000, output: 1 << 20 };
    if let Ok(documents) = kustomize::build_with(&tree, "", &kustomize::Edits::default(), limits) {
        let _ = render::print(&documents);
    }
});
