//! The key file of `--secrets-encryption`: an EncryptionConfiguration in `<data-dir>/server/cred`, where k3s has it, for root alone.
//!
//! Invariant: once the file is there it is used, whatever the flags say, and no key leaves it that a stored object needs
//! (the server refuses to read such a file while it runs, and to start with it). It is in every `skiff backup`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The role of `skiff status` that tells by which key Secrets are sealed.
pub const ROLE: &str = "encryption";

/// Where the file is under a data directory.
pub fn path(data: &Path) -> PathBuf {
    data.join("server/cred/encryption-config.json")
}

/// The providers that `--secrets-encryption-provider` takes.
pub const PROVIDERS: [&str; 2] = ["secretbox", "aescbc"];

/// A key of 32 random bytes, named by when it was made.
pub fn key() -> Result<Value> {
    let bytes = pki::random::<32>()?;
    let name = format!("key-{}", jiff::Timestamp::now().as_millisecond());
    Ok(json!({"name": name, "secret": STANDARD.encode(bytes)}))
}

/// The document that seals Secrets by `providers`, each an object as EncryptionConfiguration has it.
pub fn document(providers: Vec<Value>) -> Value {
    json!({
        "kind": "EncryptionConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": [{"resources": ["secrets"], "providers": providers}],
    })
}

/// Makes the file if it is not there and `--secrets-encryption` is given; gives its path if it is there in the end.
pub fn keep(data: &Path, provider: Option<&str>) -> Result<Option<PathBuf>> {
    let path = path(data);
    if path.exists() {
        return Ok(Some(path));
    }
    let Some(provider) = provider else { return Ok(None) };
    // What was stored before the flag was given is plain, and stays readable.
    write(&path, &document(vec![json!({provider: {"keys": [key()?]}}), json!({"identity": {}})]))?;
    Ok(Some(path))
}

/// Replaces the file in one step, and returns when it is on the disk: a key that is lost takes every Secret with it.
pub fn write(path: &Path, document: &Value) -> Result<()> {
    pki::files::make_dir(path.parent().context("the file is in no folder")?)?;
    Ok(pki::files::write(path, &format!("{document:#}\n"))?)
}

/// By what a document seals, for a person: `secretbox key-1`, or that it does not.
pub fn summary(document: &api::Value) -> String {
    let first = document.get("resources").and_then(api::Value::as_array).and_then(<[_]>::first);
    let providers =
        first.and_then(|rule| rule.get("providers")).and_then(api::Value::as_array).unwrap_or_default();
    let Some((kind, settings)) = providers.first().and_then(|own| own.as_map()?.iter().next()) else {
        return "nothing is sealed".into();
    };
    let key = settings.get("keys").and_then(api::Value::as_array).and_then(<[_]>::first);
    match key {
        Some(key) => format!("{kind} {}", key.str_at(&["name"])),
        None => format!("{kind}: new objects are stored as they are"),
    }
}

/// Checks `--secrets-encryption-provider`.
pub fn provider(name: &str) -> Result<&'static str> {
    match PROVIDERS.into_iter().find(|own| *own == name) {
        Some(known) => Ok(known),
        None => bail!("--secrets-encryption-provider={name}: {} are known", PROVIDERS.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_made_once_and_outlives_the_flag() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(keep(data.path(), None).unwrap(), None);
        let made = keep(data.path(), Some("secretbox")).unwrap().unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&made).unwrap();
        assert_eq!(keep(data.path(), None).unwrap(), Some(made.clone()));
        keep(data.path(), Some("aescbc")).unwrap();
        assert_eq!(fs::read_to_string(&made).unwrap(), text);
        let read = crate::server::document(&made).unwrap();
        assert!(summary(&read).starts_with("secretbox key-"), "{}", summary(&read));
        assert!(provider("kms").is_err());
    }
}
