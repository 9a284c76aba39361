//! Generated trees of overlays, built here and by upstream, compared byte for byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use render::{Tree, kustomize};
use serde_json::json;

use crate::chance::Chance;
use crate::layers::kustomization;
use crate::objects::objects;
use crate::oracle::{self, Answer};

/// Paths and texts.
pub type Files = BTreeMap<String, String>;

pub const NAMES: &[&str] = &["web", "db", "cache", "api"];

pub fn run(count: usize, seed: u64, verbose: bool) -> bool {
    compare(&format!("trees: {count} from seed {seed}"), count, move |number| tree(seed, number), verbose)
}

/// Trees of a file: a JSON object with `test` and `files` a line, whose kustomization is in `top`.
pub fn given(file: &str, verbose: bool) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let all: Vec<Files> = text
        .lines()
        .map(|line| {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            serde_json::from_value(case["files"].clone()).unwrap()
        })
        .collect();
    compare(&format!("trees of {file}"), all.len(), move |number| all[number].clone(), verbose)
}

/// Builds trees here and by upstream.
fn compare(
    title: &str,
    count: usize,
    tree: impl Fn(usize) -> Files + Clone + Send + 'static,
    verbose: bool,
) -> bool {
    println!("{title}");
    let asked = tree.clone();
    let questions = (0..count).map(move |number| {
        json!({"id": number, "kind": "build", "path": "top", "order": "legacy", "files": asked(number)})
    });
    let (mut same, mut failed, mut wrong) = (0, 0, Vec::new());
    let mut ours_took = Duration::ZERO;
    oracle::ask(questions, |number, answer| {
        let files = tree(number);
        let since = Instant::now();
        let ours = kustomize::build(&Tree::memory(files.clone()), "top").map(|all| render::print(&all));
        ours_took += since.elapsed();
        // The oracle does not know its own version.
        let answer = match answer {
            Answer::Out(text) => Answer::Out(
                text.as_str().unwrap_or_default().replace("kustomize-(devel)", "kustomize-v5.8.1").into(),
            ),
            error => error,
        };
        let reason = match (&ours, &answer) {
            (Ok(ours), Answer::Out(theirs)) if Some(ours.as_str()) == theirs.as_str() => {
                same += 1;
                return;
            }
            (Err(_), Answer::Error(_)) => {
                failed += 1;
                return;
            }
            (Ok(ours), Answer::Out(theirs)) => first_difference(ours, theirs.as_str().unwrap_or_default()),
            (Err(error), Answer::Out(_)) => format!("we fail: {error}"),
            (Ok(_), Answer::Error(error)) => format!("they fail: {error}"),
        };
        if verbose {
            for (path, text) in &files {
                println!("--- {path}\n{text}");
            }
            println!("=== ours\n{}", ours.unwrap_or_else(|error| error.to_string()));
            if let Answer::Out(theirs) = answer {
                println!("=== theirs\n{}", theirs.as_str().unwrap_or_default());
            }
        }
        wrong.push(format!("#{number}: {reason}"));
    });
    for reason in wrong.iter().take(25) {
        println!("OTHER {reason}");
    }
    println!(
        "trees: {same} same, {failed} refused by both, {} other; ours took {:.1} s",
        wrong.len(),
        ours_took.as_secs_f64()
    );
    wrong.is_empty()
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
