//! What to fetch and how to render it: the request that goes to the child process.
//!
//! A request holds only the secrets of its own repositories (D14), and travels over a pipe, never on a command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use render::{directory, kustomize};
use serde::{Deserialize, Serialize};

use crate::git::verify::Verify;
use crate::helm::Helm;
use crate::jq::Expressions;
use crate::signature::Keys;

/// One repository at one revision, and a path in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// `https://…`, `ssh://…`, `git@host:path`, `file:///…` or a path of the host.
    pub url: String,
    /// Branch, tag, commit, full ref name, `HEAD`, or `semver:RANGE`: the highest tag within it.
    pub revision: String,
    /// Of a file or directory in the tree; `.` is the root.
    pub path: String,
    pub render: Render,
    /// How other sources' values files name it (`$name/…`); empty: they do not.
    pub name: String,
    /// Tells clones of one address apart; empty: one clone an address.
    pub clone: String,
    /// Rules in `.gitignore`'s form of what is not part of the source; `None`: all is.
    pub ignore: Option<String>,
    /// Submodules are fetched, and are part of the tree.
    #[serde(skip_serializing_if = "is_default")]
    pub submodules: bool,
    /// Just these folders of the tree; empty: all of it.
    #[serde(skip_serializing_if = "is_default")]
    pub sparse: Vec<String>,
    /// What must be signed.
    #[serde(skip_serializing_if = "is_default")]
    pub verify: Verify,
    /// Where in the first source's tree it is put; `None`: it stands for itself.
    #[serde(skip_serializing_if = "is_default")]
    pub mount: Option<Mount>,
}

/// A field that says nothing is not written: digests of recipes stay what they were before there was such a field.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A folder of one source at a place in another; paths are clean, empty is the root.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    pub from: String,
    pub to: String,
}

/// How a path of the tree becomes documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Render {
    /// Helm if a chart is there, Kustomize if a kustomization is, else plain files.
    #[default]
    Detect,
    Directory(directory::Options),
    Kustomize(Box<kustomize::Edits>),
    Helm(Box<Helm>),
    /// A kustomization of all manifests below the path is made if none is there, as Flux does it.
    KustomizeAny(Box<kustomize::Edits>),
    /// Nothing: the commit is what matters.
    Nothing,
}

/// What is done with documents after they are rendered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finish {
    /// Variables by name; `None`: texts stay as they are.
    pub substitute: Option<BTreeMap<String, String>>,
    /// Variables are put in also if there are none, so that defaults take effect.
    pub always: bool,
    /// Of all objects.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// All that decides which documents come out, but for commits and secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    pub sources: Vec<Source>,
    pub finish: Finish,
    /// Fields of the documents that are left to others.
    pub masks: Vec<Expressions>,
    /// Where objects without a namespace go, and the application's name: charts see both.
    pub namespace: String,
    pub name: String,
}

impl Recipe {
    /// Tells artifacts apart.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("because a recipe is plain data");
        crate::hash::short(&text)
    }
    /// The addresses, for people.
    pub fn shown(&self) -> String {
        let mut all: Vec<&str> = self.sources.iter().map(|source| source.url.as_str()).collect();
        all.dedup();
        all.join(", ")
    }
}

impl Source {
    /// Tells sources apart that need different clones.
    pub fn repository_key(&self) -> String {
        crate::hash::short(format!("{}\n{}", self.url.trim_end_matches('/'), self.clone).as_bytes())
    }
}

/// What a repository asks for before it gives anything.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credentials {
    pub username: String,
    /// Password or token.
    pub password: String,
    /// A bearer token, sent instead of a user and password.
    pub bearer: String,
    /// Private key in OpenSSH or PEM form.
    pub ssh_key: String,
    /// Of the private key.
    pub ssh_passphrase: String,
    /// Lines of a known_hosts file.
    pub known_hosts: String,
    /// Certificates in PEM that this server's chain may end in, besides the public ones.
    pub ca: String,
    pub client_certificate: String,
    pub client_key: String,
    /// Accept any certificate or host key; only where the owner said so.
    pub insecure: bool,
    /// `http://[user:password@]host:port` of a proxy that https goes through; empty: none.
    pub proxy: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Credentials(…)")
    }
}

/// What is read of the cluster just before a look: secrets of the sources, in their order, and texts for variables.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub credentials: Vec<Credentials>,
    pub variables: BTreeMap<String, String>,
    /// Whose signatures count, of the sources in their order; sources without such rules may be missing.
    pub keys: Vec<Keys>,
}

impl Inputs {
    /// Tells variables and trusted keys apart; credentials do not change what comes out.
    pub fn digest(&self) -> String {
        let keyed = self.keys.iter().any(|keys| !keys.is_empty());
        let text = match (self.variables.is_empty(), keyed) {
            (true, false) => return String::new(),
            (_, false) => serde_json::to_vec(&self.variables),
            (_, true) => serde_json::to_vec(&(&self.variables, &self.keys)),
        };
        crate::hash::short(&text.expect("because it is plain data"))
    }
}

/// One repository to look at.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Fetch {
    pub url: String,
    /// As [`Source::revision`].
    pub revision: String,
    pub credentials: Credentials,
    /// Where the clone is kept; made if missing.
    pub repository: PathBuf,
    /// The commit that the caller already has what it needs of.
    pub known: Option<String>,
    pub submodules: bool,
    pub verify: Verify,
    pub keys: Keys,
    /// Of submodules: how deep it is.
    pub depth: u32,
    /// The commit that a new one must come after; `None`: it may be any.
    pub after: Option<String>,
    /// Bytes of packs that may come; 0: any number.
    pub most: u64,
}

impl Recipe {
    /// What to look at: each source with its secrets, its clone in `clones`, and the commit that is known of it.
    pub fn fetches(&self, inputs: &Inputs, clones: &Path, known: Option<&[String]>) -> Vec<Fetch> {
        let fetch = |(at, source): (usize, &Source)| Fetch {
            url: source.url.clone(),
            revision: source.revision.clone(),
            credentials: inputs.credentials.get(at).cloned().unwrap_or_default(),
            repository: clones.join(source.repository_key()),
            known: known.and_then(|known| known.get(at).cloned()),
            submodules: source.submodules,
            verify: source.verify.clone(),
            keys: inputs.keys.get(at).cloned().unwrap_or_default(),
            depth: 0,
            after: None,
            most: 0,
        };
        self.sources.iter().enumerate().map(fetch).collect()
    }
}

/// What the child is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub recipe: Recipe,
    /// In the order of the recipe's sources.
    pub fetches: Vec<Fetch>,
    /// Where the manifests are written, one JSON document a line.
    pub manifests: PathBuf,
    pub limits: Limits,
    /// The trusted time (D12), in seconds since the epoch: certificates are judged by it. 0: the system's.
    #[serde(default)]
    pub now: u64,
}

/// Bounds of one fetch and render.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the child that no file backs.
    pub memory: u64,
    /// Seconds of processor time of the child.
    pub processor: u64,
    /// Seconds without progress of the transfer until the child is killed: a slow link may take long.
    pub wall: u64,
    /// Seconds until it is killed in any case.
    pub whole: u64,
    pub file: u64,
    pub files: u64,
    pub objects: usize,
    pub output: usize,
    /// Bytes of a source's packs, all that is fetched for one commit; 0: any number.
    pub source: u64,
}

impl Limits {
    /// The usual ones, with another bound of a source's packs.
    pub fn with_source(bytes: Option<u64>) -> Limits {
        let usual = Limits::default();
        Limits { source: bytes.unwrap_or(usual.source), ..usual }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 1 << 30,
            processor: 300,
            wall: 600,
            whole: 24 * 3600,
            file: 16 << 20,
            files: 128 << 20,
            objects: 20_000,
            output: 64 << 20,
            source: 8_000_000_000,
        }
    }
}
