//! Counts by kind, the most frequent lines, and every difference as JSON.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::known::Known;
use crate::side::{Answer, Ask};

#[derive(Default)]
struct Count {
    requests: usize,
    explained: usize,
    unexplained: usize,
}

pub struct Report {
    known: Vec<Known>,
    used: Vec<usize>,
    kinds: BTreeMap<String, Count>,
    lines: HashMap<(String, String), (usize, String)>,
    json: Option<Out>,
    record: Option<Out>,
}

type Out = BufWriter<std::fs::File>;

fn open(path: Option<&Path>) -> Result<Option<Out>> {
    let open = |path: &Path| {
        let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()));
        file.map(BufWriter::new)
    };
    path.map(open).transpose()
}

impl Report {
    pub fn new(known: Vec<Known>, json: Option<&Path>, record: Option<&Path>) -> Result<Report> {
        let used = vec![0; known.len()];
        let (json, record) = (open(json)?, open(record)?);
        Ok(Report { known, used, kinds: BTreeMap::new(), lines: HashMap::new(), json, record })
    }

    /// A create that both answered alike, as a line of the api crate's fixtures.
    pub fn record(&mut self, asked: &Ask, theirs: &Answer) {
        let Some(out) = &mut self.record else { return };
        let (input, mut answer): (Value, Value) =
            (serde_json::from_slice(&asked.body).unwrap_or_default(), theirs.json());
        let line = match theirs.code {
            201 => {
                if let Some(metadata) = answer["metadata"].as_object_mut() {
                    metadata.shift_remove("managedFields");
                }
                json!({ "input": input, "output": answer })
            }
            422 => json!({ "input": input, "causes": answer["details"]["causes"] }),
            _ => return,
        };
        let _full = writeln!(out, "{line}");
    }

    /// One request's outcome; no lines: the answers are the same.
    pub fn add(
        &mut self,
        kind: &str,
        what: &str,
        asked: &Ask,
        answers: (&Answer, &Answer),
        lines: &[String],
    ) {
        let count = self.kinds.entry(kind.to_string()).or_default();
        count.requests += 1;
        if lines.is_empty() {
            return;
        }
        let explanation = |line: &String| self.known.iter().position(|known| known.explains(kind, line));
        let reasons: Vec<Option<usize>> = lines.iter().map(explanation).collect();
        if reasons.iter().all(Option::is_some) {
            count.explained += 1;
        } else {
            count.unexplained += 1;
        }
        let mut open = Vec::new();
        for (line, reason) in lines.iter().zip(reasons) {
            match reason {
                Some(at) => self.used[at] += 1,
                None => {
                    open.push(line);
                    let first = || (0, format!("{} {what}", asked.method));
                    let entry = self.lines.entry((kind.to_string(), line.clone())).or_insert_with(first);
                    entry.0 += 1;
                }
            }
        }
        if let Some(out) = self.json.as_mut().filter(|_| !open.is_empty()) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let line = json!({
                "kind": kind, "what": what, "lines": open,
                "request": { "method": asked.method.as_str(), "path": asked.path, "content": asked.content, "body": text(&asked.body) },
                "upstream": { "code": answers.0.code, "body": text(&answers.0.body), "warnings": answers.0.warnings },
                "skiff": { "code": answers.1.code, "body": text(&answers.1.body), "warnings": answers.1.warnings },
            });
            let _full = writeln!(out, "{line}");
        }
    }

    pub fn print(&mut self, top: usize) {
        for out in self.json.iter_mut().chain(&mut self.record) {
            let _full = out.flush();
        }
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(b.0)));
        for ((kind, line), (count, first)) in lines.iter().take(top) {
            println!("{count:6} {kind}: {line}\n         first: {first}");
        }
        if lines.len() > top {
            println!("       and {} other lines", lines.len() - top);
        }
        println!("{:<44} {:>9} {:>9} {:>9} {:>11}", "kind", "requests", "same", "explained", "unexplained");
        let mut sum = Count::default();
        for (kind, count) in &self.kinds {
            let same = count.requests - count.explained - count.unexplained;
            println!(
                "{kind:<44} {:>9} {same:>9} {:>9} {:>11}",
                count.requests, count.explained, count.unexplained
            );
            sum.requests += count.requests;
            sum.explained += count.explained;
            sum.unexplained += count.unexplained;
        }
        let same = sum.requests - sum.explained - sum.unexplained;
        println!("{:<44} {:>9} {same:>9} {:>9} {:>11}", "all", sum.requests, sum.explained, sum.unexplained);
        for (known, used) in self.known.iter().zip(&self.used).filter(|(_, used)| **used > 0) {
            println!("explained {used}: {}", known.reason);
        }
    }

    pub fn clean(&self) -> bool {
        self.kinds.values().all(|count| count.unexplained == 0)
    }
}
