//! Generated trees of overlays, built here and by upstream, compared byte for byte.

use std::collections::BTreeMap;
use std::fmt::Write;

use render::{Tree, kustomize};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::compare::{Layer, both};
use crate::layers::kustomization;
use crate::objects::objects;
use crate::oracle::Answer;

/// Paths and texts.
pub type Files = BTreeMap<String, String>;

pub const NAMES: &[&str] = &["web", "db", "cache", "api"];

pub fn run(count: usize, seed: u64, verbose: bool) -> bool {
    compare("trees", count, seed, verbose, |number, seed| question(number, tree(seed, number)))
}

/// Trees of a file: a JSON object with `files` a line, whose kustomization is in `top`.
pub fn given(file: &str, verbose: bool) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let all: Vec<Files> = text
        .lines()
        .map(|line| {
            let case: Value = serde_json::from_str(line).unwrap();
            serde_json::from_value(case["files"].clone()).unwrap()
        })
        .collect();
    compare("given trees", all.len(), 0, verbose, move |number, _| question(number, all[number].clone()))
}

/// What asks upstream to build a tree.
pub fn question(number: usize, files: Files) -> Value {
    json!({"id": number, "kind": "build", "path": "top", "order": "legacy", "files": files})
}

/// What this makes of such a question.
pub fn build(asked: &Value) -> Answer {
    let files: Files = serde_json::from_value(asked["files"].clone()).unwrap();
    let built = kustomize::build(&Tree::memory(files), "top");
    built.map(|all| render::print(&all).into()).map_err(|error| error.to_string())
}

/// Whether two builds came to the same; the words of errors are not compared.
pub fn same(theirs: &Answer, ours: &Answer) -> bool {
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => versioned(theirs) == ours.as_str().unwrap_or_default(),
        (theirs, ours) => theirs.is_err() && ours.is_err(),
    }
}

/// The oracle does not know its own version.
fn versioned(theirs: &Value) -> String {
    theirs.as_str().unwrap_or_default().replace("kustomize-(devel)", "kustomize-v5.8.1")
}

/// In what two builds differ.
pub fn reason(theirs: &Answer, ours: &Answer) -> String {
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => first_difference(ours.as_str().unwrap_or_default(), &versioned(theirs)),
        (Err(error), _) => format!("they fail: {error}"),
        (_, Err(error)) => format!("we fail: {error}"),
    }
}

fn compare(
    name: &str,
    count: usize,
    seed: u64,
    verbose: bool,
    question: impl Fn(usize, u64) -> Value + Clone + Send + 'static,
) -> bool {
    let tell = |asked: &Value, theirs: &Answer, ours: &Answer| {
        let mut out = reason(theirs, ours);
        if verbose {
            for (path, text) in asked["files"].as_object().into_iter().flatten() {
                let _ = write!(out, "\n--- {path}\n{}", text.as_str().unwrap_or_default());
            }
            let _ = write!(out, "\n{}", both(theirs, ours).replace("\\n", "\n"));
        }
        out
    };
    Layer { name, ours: &build, same: &same, tell: &tell, shown: 25, known: &[] }.run(count, seed, question)
}

/// One tree, printed, to look at.
pub fn show(seed: u64, number: usize) {
    for (path, text) in tree(seed, number) {
        println!("--- {path}\n{text}");
    }
}

pub fn first_difference(ours: &str, theirs: &str) -> String {
    let at = ours.lines().zip(theirs.lines()).position(|(ours, theirs)| ours != theirs);
    let at = at.unwrap_or_else(|| ours.lines().count().min(theirs.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").to_string();
    format!("line {}:\n    ours   {}\n    theirs {}", at + 1, line(ours), line(theirs))
}

/// The files of one case: bases, perhaps a component, layers of overlays, the last of them `top`.
fn tree(seed: u64, number: usize) -> Files {
    let mut chance = Chance::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let mut files = Files::new();
    let bases = 1 + chance.below(2);
    let mut all = Vec::new();
    for base in 0..bases {
        let at = format!("base{base}");
        let objects = objects(&mut chance, &at, base, &mut files);
        kustomization(&mut chance, &at, &mut files, &objects, "", "");
        all.extend(objects);
    }
    let components = chance.below(2);
    for at in 0..components {
        let at = format!("component{at}");
        let kind = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
        kustomization(&mut chance, &at, &mut files, &all, kind, "");
    }
    let layers = 1 + chance.below(3);
    let mut below: Vec<String> = (0..bases).map(|base| format!("../base{base}")).collect();
    for layer in 0..layers {
        let at = if layer + 1 == layers { "top".to_string() } else { format!("layer{layer}") };
        let mut head = format!("resources: [{}]\n", below.join(", "));
        if components > 0 && chance.one_in(2) {
            head.push_str("components: [../component0]\n");
        }
        kustomization(&mut chance, &at, &mut files, &all, &head, "more");
        below = vec![format!("../{at}")];
    }
    files
}
