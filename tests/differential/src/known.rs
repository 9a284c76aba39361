//! `known.tsv`: the differences that have a reason. A line: kind (or `*`), a text that the difference's line holds, the reason.

use anyhow::{Context, Result};

pub struct Known {
    kind: &'static str,
    text: &'static str,
    pub reason: &'static str,
}

pub fn read() -> Result<Vec<Known>> {
    let lines = include_str!("../known.tsv").lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.split('\t');
            let mut next =
                || fields.next().with_context(|| format!("known.tsv: {line:?} has not three fields"));
            Ok(Known { kind: next()?, text: next()?, reason: next()? })
        })
        .collect()
}

impl Known {
    pub fn explains(&self, kind: &str, line: &str) -> bool {
        (self.kind == "*" || self.kind == kind) && line.contains(self.text)
    }
}
