#![no_main]
//! Rules of what is no part of a source: whatever they say, a path is there or not, and what is below one that is left out
//! is left out too.

#[path = "../../crates/fleet/src/ignore.rs"]
mod ignore;

use libfuzzer_sys::fuzz_target;
use render::tree::{Entry, Reader};

/// A tree of three files, one of them with rules.
struct Three(String);

impl Reader for Three {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        Ok(match path {
            "a" | "a/b" => Some(Entry::Directory),
            "a/b/c.yaml" | "a/.sourceignore" | "d.yaml" => Some(Entry::File { size: 1 }),
            _ => None,
        })
    }
    fn read(&self, _: &str) -> std::io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        let names: &[&str] = match path {
            "" => &["a", "d.yaml"],
            "a" => &[".sourceignore", "b"],
            _ => &["c.yaml"],
        };
        Ok(names.iter().map(|name| (*name).into()).collect())
    }
}

fuzz_target!(|rules: (&str, &str)| {
    let tree = ignore::Filtered::new(Three(rules.0.into()), rules.1);
    let there = |path: &str| tree.entry(path).expect("a tree in memory").is_some();
    assert!(!there("a/b/c.yaml") || (there("a/b") && there("a")));
    let listed = tree.list("").expect("a tree in memory");
    assert_eq!(listed.iter().any(|name| name == "d.yaml"), there("d.yaml"));
});
