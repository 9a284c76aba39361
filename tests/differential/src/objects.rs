//! What the requests are made of: the house's own valid objects (`objects/*.yaml`), and upstream's fixtures with every field set.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// By `(apiVersion, kind)`.
pub struct Objects {
    bases: HashMap<(String, String), Vec<Value>>,
    full: HashMap<(String, String), Value>,
}

/// Valid objects, several documents a file; those of a kind are made in the order in which they stand.
const BASES: &[&str] = &[
    include_str!("../objects/core.yaml"),
    include_str!("../objects/workloads.yaml"),
    include_str!("../objects/storage.yaml"),
    include_str!("../objects/network.yaml"),
    include_str!("../objects/policy.yaml"),
    include_str!("../objects/extension.yaml"),
    include_str!("../objects/off.yaml"),
];

pub fn read(fixtures: &Path) -> Result<Objects> {
    let mut objects = Objects { bases: HashMap::new(), full: HashMap::new() };
    for text in BASES {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).context("objects/*.yaml do not parse")?;
        for document in documents {
            objects.bases.entry(name(&document)).or_default().push(document);
        }
    }
    let entries =
        std::fs::read_dir(fixtures).with_context(|| format!("cannot read {}", fixtures.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "json")) {
        let value: Value = serde_json::from_slice(&std::fs::read(entry.path())?)?;
        objects.full.insert(name(&value), value);
    }
    if objects.full.is_empty() {
        bail!("{} holds no fixtures", fixtures.display());
    }
    Ok(objects)
}

fn name(value: &Value) -> (String, String) {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_string();
    (text("apiVersion"), text("kind"))
}

impl Objects {
    /// The valid objects of a kind; those of another version are taken where this one has none.
    pub fn bases(&self, api_version: &str, kind: &str) -> Vec<Value> {
        if let Some(own) = self.bases.get(&(api_version.to_string(), kind.to_string())) {
            return own.clone();
        }
        let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_string());
        let other = |(version, of): &&(String, String)| of == kind && group(version) == group(api_version);
        let found = self.bases.keys().filter(other).min().and_then(|key| self.bases.get(key));
        let mut bases = found.cloned().unwrap_or_default();
        bases.iter_mut().for_each(|base| base["apiVersion"] = api_version.into());
        bases
    }
    /// Upstream's object with every field set, mostly with nonsense.
    pub fn full(&self, api_version: &str, kind: &str) -> Option<&Value> {
        self.full.get(&(api_version.to_string(), kind.to_string()))
    }
}
