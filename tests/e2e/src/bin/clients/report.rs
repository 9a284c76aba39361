//! Counts by client, and what is known not to pass.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::lines::{End, Outcome};

/// A line of `known.tsv`: client, test, why it does not pass.
pub struct Known {
    client: String,
    test: String,
    reason: String,
}

pub fn known(file: &Path) -> Result<Vec<Known>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let row = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().with_context(|| format!("known.tsv: {line:?} has not three fields"));
        Ok(Known { client: next()?, test: next()?, reason: next()? })
    };
    text.lines().skip(1).filter(|line| !line.is_empty()).map(row).collect()
}

#[derive(Default)]
struct Counts {
    passed: usize,
    known: usize,
    failed: usize,
    skipped: usize,
}

pub struct Report {
    known: Vec<Known>,
    counts: BTreeMap<String, Counts>,
    lines: Vec<String>,
    tests: Vec<Value>,
}

impl Report {
    pub fn new(known: Vec<Known>) -> Report {
        Report { known, counts: BTreeMap::new(), lines: Vec::new(), tests: Vec::new() }
    }

    /// What one client's tests came to. What is known and was not run is told only where all were to run.
    pub fn add(&mut self, client: &str, outcomes: Vec<Outcome>, focus: Option<&str>) {
        let counts = self.counts.entry(client.into()).or_default();
        let known: Vec<&Known> = self.known.iter().filter(|known| known.client == client).collect();
        for outcome in &outcomes {
            let reason = known.iter().find(|known| known.test == outcome.name).map(|known| &known.reason);
            let (end, why) = match (&outcome.end, reason) {
                (End::Passed, None) => (&mut counts.passed, String::new()),
                (End::Failed(_), Some(reason)) => (&mut counts.known, reason.clone()),
                (End::Skipped(why), _) => (&mut counts.skipped, why.clone()),
                (End::Failed(why), None) => {
                    self.lines.push(format!("FAIL {client}: {}\n     {why}", outcome.name));
                    (&mut counts.failed, why.clone())
                }
                (End::Passed, Some(_)) => {
                    let line = "passes: take it off tests/clients/known.tsv";
                    self.lines.push(format!("FAIL {client}: {}\n     {line}", outcome.name));
                    (&mut counts.failed, line.into())
                }
            };
            *end += 1;
            let word = match outcome.end {
                End::Passed => "passed",
                End::Failed(_) => "failed",
                End::Skipped(_) => "skipped",
            };
            self.tests.push(json!({"client": client, "test": outcome.name, "end": word, "why": why}));
        }
        let absent = known.iter().filter(|known| outcomes.iter().all(|one| one.name != known.test));
        for known in absent.filter(|_| focus.is_none()) {
            self.lines
                .push(format!("FAIL {client}: {}\n     stands in known.tsv and was not run", known.test));
            counts.failed += 1;
        }
    }

    /// Prints all, writes the tests to `file`, and tells whether nothing failed that is not known.
    pub fn print(&self, file: &Path) -> Result<bool> {
        for line in &self.lines {
            println!("{line}");
        }
        println!("{:<24}{:>8}{:>8}{:>8}{:>8}", "client", "passed", "known", "failed", "skipped");
        for (client, counts) in &self.counts {
            let Counts { passed, known, failed, skipped } = counts;
            println!("{client:<24}{passed:>8}{known:>8}{failed:>8}{skipped:>8}");
        }
        std::fs::write(file, serde_json::to_string_pretty(&self.tests)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(self.counts.values().all(|counts| counts.failed == 0))
    }
}
