//! Upstream's own tests, as recorded: which come out the same, by file; the rest with the first line that differs.

use std::collections::BTreeMap;

#[path = "../../tests/krusty/case.rs"]
mod case;

use case::{Case, build, check};

/// What upstream does and this does not, by a part of the error or of the name of the test, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("remoteloader_test.go", "fetches from a network"),
    ("Remote", "fetches from a network"),
    ("TestNameReferenceDeploymentIssue3489", "`..` at the root of the file system is the root itself"),
    ("Exec", "runs programs"),
    ("TestAnnoOriginGeneratorInTransformersField", "runs programs"),
    ("TestAnnoOriginCustomInlineTransformer", "runs programs"),
    ("fnplugin_test.go", "runs containers or programs"),
];

pub fn run(file: &str, rest: &[&str]) -> bool {
    let verbose = rest.contains(&"-v");
    let only = rest.iter().find(|word| !word.starts_with('-'));
    let text = std::fs::read_to_string(file).unwrap();
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let (mut wrong, mut elsewhere) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let case: Case = serde_json::from_str(line).unwrap();
        let name = format!("#{number} {} {}", case.file, case.test);
        if only.is_some_and(|only| !name.contains(*only)) {
            continue;
        }
        let count = counts.entry(case.file.clone()).or_default();
        let foreign = ELSEWHERE.iter().find(|(mark, _)| name.contains(mark) || case.error.contains(mark));
        match (check(&case), foreign) {
            (Ok(()), _) => count[0] += 1,
            (Err(_), Some((_, why))) => {
                count[2] += 1;
                elsewhere.push(format!("{name}: {why}"));
            }
            (Err(reason), None) => {
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
    for reason in &elsewhere {
        println!("LEFT OUT {reason}");
    }
    for reason in &wrong {
        println!("OTHER {reason}");
    }
    println!("krusty: {} same, {} other, {} not done here", total[0], total[1], total[2]);
    wrong.is_empty()
}
