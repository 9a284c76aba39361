//! The configuration file: the flags' names as keys, lists for what may be given again, as k3s reads its own.
//!
//! `<file>.d/*.yaml` is read after it in the order of names; a later value replaces an earlier one, and a key with `+` at
//! its end adds to a list instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::flags::{self, Fate, Takes};

/// Values by flag name, from all files.
pub type Settings = BTreeMap<String, Vec<String>>;

/// Reads a file and its `.d` folder. A missing file is an error only if it was asked for by name.
pub fn read(path: &Path, asked: bool) -> Result<Settings> {
    let mut settings = Settings::new();
    match std::fs::read_to_string(path) {
        Ok(text) => merge(&mut settings, &text, path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    let mut parts: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    parts.retain(|part| part.extension().is_some_and(|end| end == "yaml" || end == "yml"));
    parts.sort();
    for part in parts {
        let text =
            std::fs::read_to_string(&part).with_context(|| format!("cannot read {}", part.display()))?;
        merge(&mut settings, &text, &part)?;
    }
    Ok(settings)
}

fn merge(settings: &mut Settings, text: &str, path: &Path) -> Result<()> {
    let here = || path.display();
    let document: Value = api::yaml::read(text).with_context(|| format!("{} is no good YAML", here()))?;
    let map = match document {
        Value::Null => return Ok(()),
        Value::Object(map) => map,
        _ => bail!("{} must be a map of flag names to values, such as `node-name: site-7`", here()),
    };
    for (key, value) in map {
        let (name, add) = match key.strip_suffix('+') {
            Some(name) => (name, true),
            None => (key.as_str(), false),
        };
        let Some(flag) = flags::find(name) else {
            bail!("{}: there is no setting {name:?}; `skiff server --help` lists them", here());
        };
        if let Fate::Refused(why) = flag.fate {
            bail!("{}: {name} is not served: {why}", here());
        }
        let values = match (flag.takes, value) {
            (_, Value::Null) => continue,
            (Takes::Many(_), Value::Array(items)) => {
                items.iter().map(|item| scalar(item, name, path)).collect::<Result<Vec<_>>>()?
            }
            (Takes::One(_) | Takes::Switch, Value::Array(_)) => {
                bail!("{}: {name} takes one value, not a list", here())
            }
            (_, value) => vec![scalar(&value, name, path)?],
        };
        let slot = settings.entry(name.to_owned()).or_default();
        if !add {
            slot.clear();
        }
        slot.extend(values);
    }
    Ok(())
}

fn scalar(value: &Value, name: &str, path: &Path) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => bail!("{}: {name} takes a text, a number or a list of them", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Settings> {
        let mut settings = Settings::new();
        merge(&mut settings, text, Path::new("config.yaml"))?;
        Ok(settings)
    }

    #[test]
    fn keys_are_flags_and_lists_add() {
        let settings =
            check("node-name: site-7\nhttps-listen-port: 7443\nnode-label: [a=b]\nnode-label+: [c=d]\n")
                .unwrap();
        assert_eq!(settings["node-name"], ["site-7"]);
        assert_eq!(settings["https-listen-port"], ["7443"]);
        assert_eq!(settings["node-label"], ["a=b", "c=d"]);
        assert!(check("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text| format!("{:#}", check(text).unwrap_err());
        assert!(error("nodename: x").contains("no setting \"nodename\""));
        assert!(error("cluster-init: true").contains("SQLite"));
        assert!(error("- a").contains("must be a map"));
        assert!(error("node-name: [a]").contains("takes one value"));
        assert!(error("a: [").contains("no good YAML"));
    }
}
