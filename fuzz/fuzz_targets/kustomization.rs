//! A tree of files as one text (`=== path` before each), built: never a panic, never without end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use render::{Limits, Tree, kustomize};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let tree = Tree::memory(skiff_fuzz::files(text, "kustomization.yaml"));
    let limits = Limits { objects: 1_000, output: 1 << 20 };
    if let Ok(documents) = kustomize::build_with(&tree, "", &kustomize::Edits::default(), limits) {
        let _ = render::print(&documents);
    }
});
