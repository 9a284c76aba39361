//! Several servers on one etcd: the keys of the cluster (its CAs, the ServiceAccounts' key, what seals Secrets) are made by the first
//! server and kept beside the objects, sealed by the token, as k3s keeps its bootstrap data. Every further server takes them from
//! there before it serves.
//!
//! Invariant: a server never serves with keys of its own beside a store that has others: it refuses to start. Whoever has the etcd
//! without the token has no key; whoever has both has the cluster.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use serde_json::Value;
use store::{Etcd, Expect, Store};

use super::{Host, encryption, token};

/// Where the sealed keys are in etcd.
const KEY: &str = "/skiff/bootstrap";
/// What a sealed text begins with: what it is and how it is sealed.
const MAGIC: &[u8] = b"skiff-bootstrap-v1\n";
const SALT: usize = 16;
const NONCE: usize = 12;
/// Tokens may be chosen by people: as slow to guess as OWASP asks for (2023), a third of a second once a start.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("because it is not zero");

/// The files of a data directory's `server` folder that all servers have alike.
const FILES: &[&str] = &[
    "tls/server-ca.crt",
    "tls/server-ca.key",
    "tls/client-ca.crt",
    "tls/client-ca.key",
    "tls/request-header-ca.crt",
    "tls/request-header-ca.key",
    "tls/service.key",
    "cred/encryption-config.json",
];

/// Names the datastore in the data directory of a server that has none of its own.
pub fn mark(data: &Path) -> PathBuf {
    data.join("server/datastore")
}

/// The store of a server that was told a datastore.
pub(super) async fn open(host: &Host, options: store::etcd::Options) -> Result<Arc<dyn Store>> {
    let database = host.paths.database();
    if database.exists() {
        bail!(
            "{} holds objects of a server without a datastore, which etcd does not have: move that data directory away, or leave \
             --datastore-endpoint out",
            database.display()
        );
    }
    let endpoints = options.endpoints.join(",");
    let etcd = Etcd::open(options).await.with_context(|| format!("cannot use the datastore {endpoints}"))?;
    let version = etcd.version().await.context("cannot ask the datastore for its version")?;
    tracing::info!(endpoints, version, "the datastore is an etcd");
    join(host, &etcd).await?;
    let marked = mark(host.paths.data());
    fs::write(&marked, format!("{endpoints}\n"))
        .with_context(|| format!("cannot write {}", marked.display()))?;
    Ok(Arc::new(etcd))
}

/// Makes this data directory hold the keys that the etcd has; makes them first if it has none.
async fn join(host: &Host, etcd: &Etcd) -> Result<()> {
    let folder = host.paths.data().join("server");
    // Two servers may both find nothing; the second to write reads again.
    for _ in 0..2 {
        if let Some((sealed, _)) =
            etcd.aside(KEY).await.context("cannot read the cluster's keys from the datastore")?
        {
            return take(host, &folder, &sealed);
        }
        token::keep(&host.config, &host.paths)?;
        let before = read(&folder)?;
        drop(pki::Pki::open(&host.paths.tls(), &host.clock)?);
        encryption::keep(host.paths.data(), host.config.secrets_encryption)?;
        let sealed = seal(&token::read(&host.paths)?, &read(&folder)?)?;
        if etcd
            .put_aside(KEY, Expect::Absent, &sealed)
            .await
            .context("cannot keep the cluster's keys in the datastore")?
        {
            tracing::info!(
                "the cluster's keys are in the datastore, sealed by the token: further servers need the same --token"
            );
            return Ok(());
        }
        // Another server was first: what was made here has never been shown to anybody.
        for name in FILES.iter().filter(|name| !before.contains_key(**name)) {
            let _not_made = fs::remove_file(folder.join(name));
        }
    }
    bail!("the cluster's keys in the datastore come and go; is somebody else removing {KEY}?")
}

fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in FILES {
        let path = folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => drop(found.insert((*name).to_string(), text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(found)
}

fn take(host: &Host, folder: &Path, sealed: &[u8]) -> Result<()> {
    if host.config.token.is_none() && !host.paths.data().join("server/token").exists() {
        bail!(
            "the datastore holds a cluster already: give this server the --token of its first one (there in \
             <data-dir>/server/token)"
        );
    }
    token::keep(&host.config, &host.paths)?;
    let shared = open_sealed(&token::read(&host.paths)?, sealed)?;
    let own = read(folder)?;
    if let Some(name) = own.iter().find(|(name, text)| shared.get(*name) != Some(*text)).map(|(name, _)| name)
    {
        // The key file of Secrets may be changed by hand, on each server; the identity of the cluster may not.
        if name.starts_with("tls/") {
            bail!(
                "{} is not the cluster's that the datastore holds: this data directory belongs to another cluster; give the \
                 server another one, or another datastore",
                folder.join(name).display()
            );
        }
        tracing::warn!(
            file = name,
            "this server's file is not the one that the cluster began with; it is used as it is"
        );
    }
    let sealing = "cred/encryption-config.json";
    if host.config.secrets_encryption.is_some() && !shared.contains_key(sealing) && !own.contains_key(sealing)
    {
        bail!(
            "the cluster began without --secrets-encryption, and each server would now make a key of its own: write one \
             EncryptionConfiguration to {} on every server, or leave the flag out",
            folder.join(sealing).display()
        );
    }
    for (name, text) in shared.iter().filter(|(name, _)| !own.contains_key(*name)) {
        if !FILES.contains(&name.as_str()) {
            continue;
        }
        let path = folder.join(name);
        pki::files::make_dir(path.parent().context("the file is in no folder")?)?;
        pki::files::write(&path, text)?;
    }
    Ok(())
}

fn cipher(token: &str, salt: &[u8]) -> LessSafeKey {
    let mut key = [0u8; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, token.as_bytes(), &mut key);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("because the key has 32 bytes"))
}

fn seal(token: &str, files: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let chance = pki::random::<{ SALT + NONCE }>()?;
    let (salt, nonce) = chance.split_at(SALT);
    let mut text = serde_json::to_vec(files)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("because it has twelve bytes");
    let done = cipher(token, salt).seal_in_place_append_tag(nonce, Aad::from(MAGIC), &mut text);
    done.map_err(|_| anyhow!("cannot seal the cluster's keys"))?;
    Ok([MAGIC, &chance[..], &text[..]].concat())
}

fn open_sealed(token: &str, sealed: &[u8]) -> Result<BTreeMap<String, String>> {
    let strange = || anyhow!("{KEY} in the datastore was not written by this version of skiff");
    let rest = sealed.strip_prefix(MAGIC).ok_or_else(strange)?;
    let (chance, text) = rest.split_at_checked(SALT + NONCE).ok_or_else(strange)?;
    let (salt, nonce) = chance.split_at(SALT);
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("because it has twelve bytes");
    let mut text = text.to_vec();
    let opened = cipher(token, salt).open_in_place(nonce, Aad::from(MAGIC), &mut text);
    let opened = opened.map_err(|_| {
        anyhow!(
            "the --token of this server is not the one that the cluster's keys in the datastore are sealed by"
        )
    })?;
    let files: BTreeMap<String, Value> = serde_json::from_slice(opened).map_err(|_| strange())?;
    files.into_iter().map(|(name, text)| Ok((name, text.as_str().ok_or_else(strange)?.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens_what_it_sealed() {
        let files = BTreeMap::from([("tls/service.key".to_string(), "secret".to_string())]);
        let sealed = seal("token", &files).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(open_sealed("token", &sealed).unwrap(), files);
        let check = |token: &str, sealed: &[u8], why: &str| {
            let error = open_sealed(token, sealed).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        check("other", &sealed, "is not the one");
        let mut bent = sealed.clone();
        *bent.last_mut().unwrap() ^= 1;
        check("token", &bent, "is not the one");
        check("token", b"what k3s wrote", "was not written by");
    }
}
