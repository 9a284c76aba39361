//! One recorded run of a kustomization in upstream's own tests, and whether this comes to the same.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeMap;

use base64::Engine;
use render::Tree;
use render::go::world::Fixed;
use render::kustomize::{Options, Order, build_options};
use serde::Deserialize;

#[derive(Clone, Deserialize)]
pub struct Case {
    pub file: String,
    pub test: String,
    path: String,
    #[serde(default)]
    root: String,
    pub files: BTreeMap<String, String>,
    #[serde(default)]
    binary: BTreeMap<String, String>,
    #[serde(default)]
    reorder: String,
    #[serde(default)]
    managed: bool,
    #[serde(default)]
    free: bool,
    pub output: Option<String>,
    #[serde(default)]
    pub error: String,
}

pub fn build(case: &Case) -> Result<String, render::Error> {
    let inside = |path: &str| {
        let path = path.strip_prefix(&case.root).unwrap_or(path);
        path.trim_matches('/').to_string()
    };
    let texts = case.files.iter().map(|(path, text)| (inside(path), text.clone().into_bytes()));
    let decode = |text: &String| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let binary = case.binary.iter().map(|(path, text)| (inside(path), decode(text)));
    let tree = Tree::memory(texts.chain(binary));
    let world = Fixed::at(0);
    let options = Options {
        world: Some(&world),
        order: if case.reorder == "none" { Order::Fifo } else { Order::Legacy },
        unrestricted: case.free,
        managed_by: case.managed.then(|| "kustomize-(devel)".into()),
        ..Options::default()
    };
    let path = match inside(&case.path).as_str() {
        "" => ".".to_string(),
        path => path.to_string(),
    };
    build_options(&tree, &path, &options).map(|documents| render::print(&documents))
}

pub fn check(case: &Case) -> Result<(), String> {
    match (build(case), &case.output) {
        (Ok(printed), Some(expected)) if printed == *expected => Ok(()),
        (Ok(printed), Some(expected)) => {
            let at = printed.lines().zip(expected.lines()).position(|(ours, theirs)| ours != theirs);
            let at = at.unwrap_or_else(|| printed.lines().count().min(expected.lines().count()));
            let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").to_string();
            Err(format!("line {}:\n    ours   {}\n    theirs {}", at + 1, line(&printed), line(expected)))
        }
        (Err(_), None) => Ok(()),
        (Err(error), Some(_)) => Err(format!("we fail: {error}")),
        (Ok(_), None) => Err(format!("they fail: {}", case.error)),
    }
}
