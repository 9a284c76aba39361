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
    /// By kind and place in `known`.
    used: BTreeMap<(String, usize), usize>,
    kinds: BTreeMap<String, Count>,
    lines: HashMap<(String, String), (usize, String)>,
    json: Option<Out>,
    record: Option<Out>,
    /// Lines of `json` and of `record` of the kind at hand.
    pending: (Vec<Value>, Vec<Value>),
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
        let (json, record) = (open(json)?, open(record)?);
        let (used, kinds, lines) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        Ok(Report { known, used, kinds, lines, json, record, pending: Default::default() })
    }

    /// A kind is compared anew.
    pub fn forget(&mut self, kind: &str) {
        self.kinds.remove(kind);
        self.lines.retain(|(of, _), _| of != kind);
        self.used.retain(|(of, _), _| of != kind);
        self.pending = Default::default();
    }

    /// A kind is done.
    pub fn keep(&mut self) {
        let (json, record) = std::mem::take(&mut self.pending);
        for (out, lines) in [(&mut self.json, json), (&mut self.record, record)] {
            let Some(out) = out else { continue };
            for line in lines {
                let _full = writeln!(out, "{line}");
            }
        }
    }

    /// A create that both answered alike, as a line of the api crate's fixtures.
    pub fn record(&mut self, asked: &Ask, theirs: &Answer) {
        if self.record.is_none() {
            return;
        }
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
        self.pending.1.push(line);
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
        let explanation =
            |line: &String| self.known.iter().position(|known| known.explains(kind, what, line));
        let reasons: Vec<Option<usize>> = lines.iter().map(explanation).collect();
        if reasons.iter().all(Option::is_some) {
            count.explained += 1;
        } else {
            count.unexplained += 1;
        }
        let mut open = Vec::new();
        for (line, reason) in lines.iter().zip(reasons) {
            match reason {
                Some(at) => *self.used.entry((kind.to_string(), at)).or_default() += 1,
                None => {
                    open.push(line);
                    let first = || (0, format!("{} {what}", asked.method));
                    let entry = self.lines.entry((kind.to_string(), line.clone())).or_insert_with(first);
                    entry.0 += 1;
                }
            }
        }
        if self.json.is_some() && !open.is_empty() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let line = json!({
                "kind": kind, "what": what, "lines": open,
                "request": { "method": asked.method.as_str(), "path": asked.path, "content": asked.content, "body": text(&asked.body) },
                "upstream": { "code": answers.0.code, "body": text(&answers.0.body), "warnings": answers.0.warnings },
                "skiff": { "code": answers.1.code, "body": text(&answers.1.body), "warnings": answers.1.warnings },
            });
            self.pending.0.push(line);
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
        for (at, known) in self.known.iter().enumerate() {
            let used: usize = self.used.iter().filter(|((_, of), _)| *of == at).map(|(_, count)| count).sum();
            if used > 0 {
                println!("explained {used}: {}", known.reason);
            }
        }
    }

    pub fn clean(&self) -> bool {
        self.kinds.values().all(|count| count.unexplained == 0)
    }
}
