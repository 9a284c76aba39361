//! Upstream's own tests, as recorded: which come out the same, by file; the rest with the first line that differs.

use std::collections::BTreeMap;

use render::Tree;
use render::kustomize::{Options, Order, build_options};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    file: String,
    test: String,
    path: String,
    #[serde(default)]
    root: String,
    files: BTreeMap<String, String>,
    #[serde(default)]
    binary: BTreeMap<String, String>,
    #[serde(default)]
    reorder: String,
    #[serde(default)]
    managed: bool,
    #[serde(default)]
    free: bool,
    output: Option<String>,
    #[serde(default)]
    error: String,
}

/// What upstream does and this does not, by a part of the error or of the name of the test, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("remoteloader_test.go", "fetches from a network"),
    ("Remote", "fetches from a network"),
    ("TestNameReferenceDeploymentIssue3489", "`..` at the root of the file system is the root itself"),
    ("Exec", "runs programs"),
    ("TestAnnoOriginGeneratorInTransformersField", "runs programs"),
    ("TestAnnoOriginCustomInlineTransformer", "runs programs"),
    ("fnplugin_test.go", "runs containers or programs"),
    ("helmchart", "runs the helm program"),
];

pub fn run(file: &str, rest: &[&str]) -> bool {
    let verbose = rest.contains(&"-v");
    let only = rest.iter().find(|word| !word.starts_with('-'));
    let text = std::fs::read_to_string(file).unwrap();
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let case: Case = serde_json::from_str(line).unwrap();
        let name = format!("#{number} {} {}", case.file, case.test);
        if only.is_some_and(|only| !name.contains(*only)) {
            continue;
        }
        let count = counts.entry(case.file.clone()).or_default();
        let foreign = ELSEWHERE.iter().find(|(mark, _)| name.contains(mark) || case.error.contains(mark));
        match check(&case) {
            Ok(()) => count[0] += 1,
            Err(_) if foreign.is_some() => count[2] += 1,
            Err(reason) => {
                count[1] += 1;
                wrong.push(format!("{name}: {reason}"));
                if verbose {
                    for (path, text) in &case.files {
                        println!("--- {path}\n{text}");
                    }
                    println!("=== expected\n{}", case.output.as_deref().unwrap_or(&case.error));
                    println!("=== ours\n{}", build(&case).unwrap_or_else(|error| format!("error: {error}")));
                }
            }
        }
    }
    for (file, [same, other, elsewhere]) in &counts {
        println!("{file}: {same} same, {other} other, {elsewhere} not done here");
    }
    let total = counts.values().fold([0; 3], |sum, one| [sum[0] + one[0], sum[1] + one[1], sum[2] + one[2]]);
    for reason in &wrong {
        println!("OTHER {reason}");
    }
    println!("krusty: {} same, {} other, {} not done here", total[0], total[1], total[2]);
    wrong.is_empty()
}

fn build(case: &Case) -> Result<String, render::Error> {
    use base64::Engine;
    let inside = |path: &str| {
        let path = path.strip_prefix(&case.root).unwrap_or(path);
        path.trim_matches('/').to_string()
    };
    let texts = case.files.iter().map(|(path, text)| (inside(path), text.clone().into_bytes()));
    let decode = |text: &String| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let binary = case.binary.iter().map(|(path, text)| (inside(path), decode(text)));
    let tree = Tree::memory(texts.chain(binary));
    let options = Options {
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

fn check(case: &Case) -> Result<(), String> {
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
