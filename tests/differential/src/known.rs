//! `known.tsv`: the differences that have a reason. A line: kind (or `*`), a text that the difference's line holds,
//! a text that the request's name holds (or nothing), the reason.

use anyhow::{Context, Result};

pub struct Known {
    kind: &'static str,
    text: &'static str,
    request: &'static str,
    pub reason: &'static str,
}

pub fn read() -> Result<Vec<Known>> {
    let lines = include_str!("../known.tsv").lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.split('\t');
            let mut next =
                || fields.next().with_context(|| format!("known.tsv: {line:?} has not four fields"));
            Ok(Known { kind: next()?, text: next()?, request: next()?, reason: next()? })
        })
        .collect()
}

impl Known {
    /// `what`: the request's name.
    pub fn explains(&self, kind: &str, what: &str, line: &str) -> bool {
        let kinds = self.kind == "*" || self.kind == kind;
        kinds && line.contains(self.text) && what.contains(self.request)
    }
}
