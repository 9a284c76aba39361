//! `skiff import k3s`: what a k3s server of one node kept, as the state of a skiff server that has none yet.
//!
//! k3s' files are read and never written; without `--write` nothing is. Objects keep everything but their resourceVersion, which goes
//! on above k3s' own, so that no client sees time go back. What is not taken is listed with its reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use api::Key;
use apiserver::import::Importer;
use bytes::Bytes;
use pki::takeover::{Taken, take};
use store::{Durability, Expect, Revision, Sqlite, Store, Write};

use super::table;
use crate::config;

/// Take over the state of another distribution
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Tell what would be taken from a k3s server that is stopped; take it with --write
    K3s(K3s),
}

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  skiff import k3s\n  systemctl stop k3s && skiff import k3s --write && skiff server --node-name NAME-OF-THE-K3S-NODE"
)]
pub struct K3s {
    /// k3s' data directory
    #[arg(long, default_value = "/var/lib/rancher/k3s", value_name = "DIR")]
    from: PathBuf,
    /// The server's data directory [default: the configuration file's, else /var/lib/skiff]
    #[arg(short, long, env = "SKIFF_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Write it to the data directory, which must hold no server's state
    #[arg(long)]
    write: bool,
}

/// What was found, as it will be written.
#[derive(Default)]
struct State {
    objects: Vec<(Key, Bytes)>,
    newest: Revision,
    /// Below `server/`: name and text.
    files: BTreeMap<String, String>,
    /// What, and why not.
    left: Vec<(String, String)>,
}

/// k3s' CAs have the names that ours have.
const AUTHORITIES: &[&str] = &["server-ca", "client-ca", "request-header-ca"];
/// Who made an object of k3s' packaged components.
const ADDON: &str = "objectset.rio.cattle.io/owner-gvk";

pub fn run(command: &Command) -> Result<ExitCode> {
    let Command::K3s(args) = command;
    let data = config::told("data-dir", args.data_dir.as_ref(), config::DATA_DIR)?;
    let state = read(&args.from)?;
    print(&state);
    if !args.write {
        println!("\nNothing was written: add --write to take it to {}.", data.display());
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(write(&state, &data))?;
    println!(
        "\n{} holds it; start the server, with the node's name that k3s had.",
        data.join("server").display()
    );
    Ok(ExitCode::SUCCESS)
}

fn read(from: &Path) -> Result<State> {
    let server = from.join("server");
    let database = server.join("db/state.db");
    if !database.exists() {
        let why = match server.join("db/etcd").exists() {
            true => {
                "it keeps its objects in an embedded etcd, which is not read; `k3s etcd-snapshot` and a k3s with SQLite come first"
            }
            false => "there is none; k3s' data directory is told with --from",
        };
        bail!("{} is k3s' database in SQLite: {why}", database.display());
    }
    let mut state = State::default();
    let sealing = server.join("cred/encryption-config.json");
    let document = match sealing.exists() {
        true => Some(crate::server::document(&sealing)?),
        false => None,
    };
    let mut importer = Importer::new(document.as_ref())?;
    if document.is_some() {
        let text =
            fs::read_to_string(&sealing).with_context(|| format!("cannot read {}", sealing.display()))?;
        state.files.insert("cred/encryption-config.json".into(), text);
    }
    keys(&server.join("tls"), &mut state)?;
    match fs::read_to_string(server.join("token")) {
        Ok(token) => drop(state.files.insert("token".into(), token)),
        Err(_) => state.left.push(("token".into(), "there is none; a new one is made".into())),
    }
    let (mut entries, newest) = store::kine::read(&database)?;
    state.newest = newest;
    // Definitions first: their objects are known by them.
    entries.sort_by_key(|entry| !entry.name.contains("/customresourcedefinitions/"));
    for entry in entries {
        let Some(key) = entry.key else {
            if entry.name.starts_with("/registry/ranges/") {
                let why = "addresses and ports are counted from the Services";
                state.left.push((entry.name, why.into()));
            } else if entry.name.starts_with("/bootstrap/") {
                state
                    .left
                    .push((entry.name, "k3s' own copy of its keys, which are taken from its files".into()));
            }
            // Marks of upstream's servers about themselves: nothing that anybody made.
            continue;
        };
        if let Some(why) = passing(&key) {
            state.left.push((entry.name, why.into()));
            continue;
        }
        match importer.take(&key, &entry.name, entry.value) {
            Ok(taken)
                if taken.open.windows(ADDON.len()).any(|part| part == ADDON.as_bytes())
                    && is_addon(&taken.open) =>
            {
                let why = "of a packaged component of k3s, which skiff has in itself or does without";
                state.left.push((entry.name, why.into()));
            }
            Ok(taken) => state.objects.push((key, taken.stored)),
            Err(error) => state.left.push((entry.name, error.to_string())),
        }
    }
    Ok(state)
}

/// What ends by itself and is made anew by who needs it.
fn passing(key: &Key) -> Option<&'static str> {
    let resource = key.resource();
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "events") => Some("events end by themselves"),
        ("coordination.k8s.io", "leases") => Some("whoever holds it takes it anew"),
        _ => None,
    }
}

fn is_addon(object: &[u8]) -> bool {
    let Ok(value) = api::json::parse(object) else { return false };
    let annotations = value.at(&["metadata", "annotations"]);
    let owner = annotations.and_then(|all| all.get(ADDON)).and_then(api::Value::as_str).unwrap_or_default();
    owner.starts_with("k3s.cattle.io/") && owner.ends_with("Kind=Addon")
}

/// The CAs and the key of ServiceAccounts, in the forms that are kept here.
fn keys(folder: &Path, state: &mut State) -> Result<()> {
    let read = |name: &str| match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", folder.join(name).display())),
    };
    for name in AUTHORITIES {
        let (certificate, key) = (read(&format!("{name}.crt"))?, read(&format!("{name}.key"))?);
        let why = match (certificate, key.as_deref().map(take)) {
            (Some(certificate), Some(Ok(Taken::Key(key)))) => {
                state.files.insert(format!("tls/{name}.crt"), certificate);
                state.files.insert(format!("tls/{name}.key"), key);
                continue;
            }
            (Some(_), Some(Ok(Taken::Rsa(_)))) => {
                "an RSA key; CAs here are P-256: a new one is made, and kubeconfigs and nodes need it".into()
            }
            (Some(_), Some(Err(why))) => {
                format!("{why}: a new one is made, and kubeconfigs and nodes need it")
            }
            _ => "there is none: a new one is made".into(),
        };
        state.left.push((format!("tls/{name}"), why));
    }
    match read("service.key")?.as_deref().map(take) {
        Some(Ok(Taken::Key(key))) => drop(state.files.insert("tls/service.key".into(), key)),
        Some(Ok(Taken::Rsa(former))) => {
            state.files.insert(format!("tls/{}", pki::FORMER), serde_json::to_string(&former)?);
            let why = "RSA: tokens that it signed stay good, new ones are signed by a new P-256 key";
            state.left.push(("tls/service.key".into(), why.into()));
        }
        Some(Err(why)) => state
            .left
            .push(("tls/service.key".into(), format!("{why}: tokens that are out are no good any more"))),
        None => state.left.push(("tls/service.key".into(), "there is none: a new one is made".into())),
    }
    Ok(())
}

fn print(state: &State) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (key, _) in &state.objects {
        *counts.entry(key.resource().to_string()).or_default() += 1;
    }
    let rows = counts.iter().map(|(resource, count)| vec![resource.clone(), count.to_string()]);
    println!("{}", table(&["Taken", "Objects"], rows));
    println!("\n{} objects, newest resourceVersion {}", state.objects.len(), state.newest);
    for name in state.files.keys() {
        println!("server/{name}");
    }
    if !state.left.is_empty() {
        let rows = state.left.iter().map(|(what, why)| vec![what.clone(), why.clone()]);
        println!("\n{}", table(&["Not taken", "Why"], rows));
    }
}

async fn write(state: &State, data: &Path) -> Result<()> {
    let server = data.join("server");
    let _lock = crate::server::lock(data)?;
    if fs::read_dir(&server).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "{} holds a server's state already; what is imported takes its place nowhere: name another --data-dir, or move that \
             folder away",
            server.display()
        );
    }
    let scratch = tempfile::Builder::new().prefix("import-").tempdir_in(data);
    let scratch = scratch.with_context(|| format!("cannot make a folder in {}", data.display()))?;
    let new = scratch.path().join("server");
    pki::files::make_dir(&new)?;
    for (name, text) in &state.files {
        let path = new.join(name);
        pki::files::make_dir(path.parent().context("the file is in no folder")?)?;
        pki::files::write(&path, text)?;
    }
    let database = new.join("state.db");
    store::sqlite::begin_after(&database, state.newest)?;
    let store = Sqlite::open(&database, Default::default())?;
    let writes = state.objects.iter().map(|(key, value)| {
        store.write(Write {
            key: key.clone(),
            expect: Expect::Absent,
            value: Some(value.clone()),
            durability: Durability::Durable,
            ttl: None,
        })
    });
    for written in futures(writes.collect()).await {
        written.context("cannot write an object")?;
    }
    store.close().await;
    let _empty = fs::remove_dir(&server);
    fs::rename(&new, &server).with_context(|| format!("cannot put {} in its place", server.display()))?;
    fs::File::open(data)?.sync_all()?;
    Ok(())
}

/// All writes at once: they share their flushes to the disk.
async fn futures<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    futures_util::future::join_all(all).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::encryption;

    /// What upstream's API server v1.36.3 on kine wrote, with Secrets sealed by aescbc, ConfigMaps by aesgcm and ServiceAccounts by
    /// secretbox; and what it answered for each object.
    fn sample() -> (tempfile::TempDir, Vec<serde_json::Value>) {
        let folder = tempfile::tempdir().unwrap();
        let server = folder.path().join("server");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/k3s");
        for (from, to) in [
            ("state.db", "db/state.db"),
            ("encryption-config.json", "cred/encryption-config.json"),
            ("service.key", "tls/service.key"),
            ("ca.crt", "tls/server-ca.crt"),
            ("ca.key", "tls/server-ca.key"),
        ] {
            let to = server.join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(own.join(from), to).unwrap();
        }
        let text = fs::read_to_string(own.join("answers.jsonl")).unwrap();
        (folder, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// A token as k3s signs it.
    fn k3s_token(k3s: &Path, former: &str) -> String {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
        let former: serde_json::Value = serde_json::from_str(former).unwrap();
        let header = serde_json::json!({"alg": "RS256", "kid": former["kid"]});
        let claims = serde_json::json!({
            "iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:shop:till",
            "aud": ["k3s"], "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_900_000_000,
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "till", "uid": "u"}},
        });
        let mut token =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let text = fs::read_to_string(k3s.join("server/tls/service.key")).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with("---")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        let pair = ring::signature::RsaKeyPair::from_pkcs8(&der).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        pair.sign(&ring::signature::RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature).unwrap();
        token.push('.');
        token.push_str(&BASE64.encode(signature));
        token
    }

    #[tokio::test]
    async fn every_object_is_what_upstream_answered() {
        let (folder, answers) = sample();
        let state = read(folder.path()).unwrap();
        let data = folder.path().join("skiff");
        write(&state, &data).await.unwrap();
        let again = write(&state, &data).await.unwrap_err().to_string();
        assert!(again.contains("holds a server's state already"), "{again}");
        let store = Sqlite::open(&data.join("server/state.db"), Default::default()).unwrap();
        let page = store.range("", None, 0, None).await.unwrap();
        let document = crate::server::document(&encryption::path(&data)).unwrap();
        let opener = Importer::new(Some(&document)).unwrap();
        let mut found = BTreeMap::new();
        for record in page.records {
            assert!(record.revision > state.newest, "{} goes back in time", record.key);
            let opened = opener.open(&record.key, record.value).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&opened).unwrap();
            found.insert(store::etcd::upstream_name(&record.key), value);
        }
        let mut compared = 0;
        for answer in &answers {
            let name = answer["name"].as_str().unwrap().trim_start_matches("/registry");
            if name.starts_with("/events/") || name.starts_with("/leases/") {
                assert!(!found.contains_key(name));
                continue;
            }
            let mut expected = answer["object"].clone();
            expected["metadata"].as_object_mut().unwrap().remove("resourceVersion");
            let there = found.remove(name);
            assert_eq!(there.as_ref(), Some(&expected), "{name}");
            compared += 1;
        }
        assert!(compared > 40, "{compared}");
        assert!(found.is_empty(), "{:?}", found.keys());
        // Tokens that k3s signed stay good, and its CA is ours.
        let pki = pki::Pki::open(&data.join("server/tls"), &base::Clock::system(jiff::Timestamp::UNIX_EPOCH))
            .unwrap();
        assert_eq!(
            pki.server.pem(),
            fs::read_to_string(folder.path().join("server/tls/server-ca.crt")).unwrap()
        );
        let former = fs::read_to_string(data.join("server/tls").join(pki::FORMER)).unwrap();
        let token = k3s_token(folder.path(), &former);
        let claims = pki.service_account.verifier().verify(&token, 1_800_000_000).unwrap();
        assert_eq!(claims.sub, "system:serviceaccount:shop:till");
    }

    #[test]
    fn what_is_no_k3s_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let why = read(folder.path()).err().unwrap().to_string();
        assert!(why.contains("there is none"), "{why}");
        fs::create_dir_all(folder.path().join("server/db/etcd")).unwrap();
        let why = read(folder.path()).err().unwrap().to_string();
        assert!(why.contains("embedded etcd"), "{why}");
    }
}
