//! What the suite's JUnit reports say, counted: on the terminal for people, in `summary.json` for programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::select::Test;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// The first line of why.
    Failed(String),
    /// The suite passed it over, or never came to it.
    Skipped(String),
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Reads every JUnit report of the folder, prints failures and counts, and writes `summary.json`; whether all passed.
pub fn report(folder: &Path, tests: &[Test]) -> Result<bool> {
    let mut outcomes = BTreeMap::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains("junit") && name.ends_with(".xml") {
            read(&std::fs::read_to_string(entry.path())?, tests, &mut outcomes);
        }
    }
    let never = Outcome::Skipped("the suite did not come to it".into());
    let outcome = |test: &Test| outcomes.get(test.name).unwrap_or(&never);
    let mut groups: BTreeMap<&str, Counts> = BTreeMap::new();
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for test in tests {
        let counts = groups.entry(test.sig()).or_default();
        match outcome(test) {
            Outcome::Passed => counts.passed += 1,
            Outcome::Failed(why) => {
                counts.failed += 1;
                println!("FAIL {}\n     {why}", test.name);
                failed.push(json!({"stage": test.stage, "test": test.name, "why": why}));
            }
            Outcome::Skipped(why) => {
                counts.skipped += 1;
                println!("SKIP {}\n     {why}", test.name);
                skipped.push(json!({"stage": test.stage, "test": test.name, "why": why}));
            }
        }
    }
    println!("{:<24}{:>8}{:>8}{:>8}", "group", "passed", "failed", "skipped");
    let mut total = Counts::default();
    for (group, counts) in &groups {
        println!("{group:<24}{:>8}{:>8}{:>8}", counts.passed, counts.failed, counts.skipped);
        total.passed += counts.passed;
        total.failed += counts.failed;
        total.skipped += counts.skipped;
    }
    println!("{:<24}{:>8}{:>8}{:>8}", "all", total.passed, total.failed, total.skipped);
    let count = |counts: &Counts| json!({"passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped});
    let by_group: BTreeMap<_, _> = groups.iter().map(|(group, counts)| (*group, count(counts))).collect();
    let summary = json!({
        "suite": "v1.36.3", "tests": tests.len(), "all": count(&total), "groups": by_group, "failed": failed, "skipped": skipped,
    });
    let file = folder.join("summary.json");
    std::fs::write(&file, serde_json::to_string_pretty(&summary)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("conformance: passed {} of {}; {}", total.passed, tests.len(), file.display());
    Ok(total.passed == tests.len())
}

/// Adds what one report tells of the tests that were asked for.
fn read(text: &str, tests: &[Test], outcomes: &mut BTreeMap<&'static str, Outcome>) {
    for case in text.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or_default();
        let name = attribute(case, "name").unwrap_or_default();
        let name = name.trim_start_matches("[It] ");
        let Some(test) = tests.iter().find(|test| name.starts_with(test.name)) else { continue };
        // Each process reports the tests of the others as skipped.
        match attribute(case, "status").as_deref() {
            Some("passed") => drop(outcomes.insert(test.name, Outcome::Passed)),
            Some("skipped") | Some("pending") => {
                let why = reason(case, "skipped").filter(|why| why != "skipped");
                if let Some(why) = why {
                    outcomes.entry(test.name).or_insert_with(|| Outcome::Skipped(first_line(&why)));
                }
            }
            _ => {
                let why = reason(case, "failure").or_else(|| reason(case, "error")).unwrap_or_default();
                outcomes.insert(test.name, Outcome::Failed(first_line(&why)));
            }
        }
    }
}

/// What a case's element says: in its message, or between its tags.
fn reason(case: &str, element: &str) -> Option<String> {
    let (_, tag) = case.split_once(&format!("<{element} "))?;
    let text = |tag: &str| {
        let (_, rest) = tag.split_once('>')?;
        Some(unescape(rest.split("</").next()?))
    };
    attribute(tag, "message").filter(|message| !message.is_empty()).or_else(|| text(tag))
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    line.trim_start_matches("[FAILED] ").to_owned()
}

/// An attribute of an XML tag, with its entities read.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(unescape(value))
}

fn unescape(text: &str) -> String {
    let mut parts = text.split('&');
    let mut read = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';').unwrap_or(("amp", part));
        let letter = match entity {
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "amp" => '&',
            _ => {
                let number = entity.trim_start_matches('#');
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                code.ok().and_then(char::from_u32).unwrap_or('?')
            }
        };
        read.push(letter);
        read.push_str(rest);
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_with_their_entities() {
        let tag = r#"name="a &lt;b&gt; &#34;c&#34;&#xA;d" status="passed">"#;
        assert_eq!(attribute(tag, "name").as_deref(), Some("a <b> \"c\"\nd"));
        assert_eq!(attribute(tag, "status").as_deref(), Some("passed"));
        assert_eq!(attribute(tag, "time"), None);
    }

    #[test]
    fn a_result_outweighs_the_skips_of_other_processes() {
        let args =
            <crate::Args as clap::Parser>::try_parse_from(["c", "--suite", "x", "--focus", "RuntimeClass"])
                .unwrap();
        let tests = crate::select::select(&args).unwrap();
        let case = |name: &str, rest: &str| format!(r#"<testcase name="[It] {name}" {rest}</testcase>"#);
        let skip = r#"status="skipped"><skipped message="skipped - no need"></skipped>"#;
        let text = [
            case(tests[0].name, skip),
            case(tests[0].name, r#"status="passed">"#),
            case(tests[0].name, skip),
            case(
                tests[1].name,
                r#"status="failed"><failure message="" type="failed">[FAILED] timed out&#xA;more</failure>"#,
            ),
            case(tests[2].name, skip),
        ]
        .concat();
        let mut outcomes = BTreeMap::new();
        read(&text, &tests, &mut outcomes);
        assert_eq!(outcomes.get(tests[0].name), Some(&Outcome::Passed));
        assert_eq!(outcomes.get(tests[1].name), Some(&Outcome::Failed("timed out".into())));
        assert_eq!(outcomes.get(tests[2].name), Some(&Outcome::Skipped("skipped - no need".into())));
    }
}
