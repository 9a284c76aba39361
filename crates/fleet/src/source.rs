//! What to fetch and how to render it: the request that goes to the child process.
//!
//! A request holds only the secrets of its own repository (D14), and travels over a pipe, never on a command line.

use std::path::PathBuf;

use render::{directory, kustomize};
use serde::{Deserialize, Serialize};

/// One repository at one revision, and a path in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// `https://…`, `ssh://…`, `git@host:path`, `file:///…` or a path of the host.
    pub url: String,
    /// Branch, tag, commit, full ref name, or `HEAD`.
    pub revision: String,
    /// Of a file or directory in the tree; `.` is the root.
    pub path: String,
    pub render: Render,
}

/// How a path of the tree becomes documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Render {
    /// Kustomize if a kustomization is there, else plain files.
    #[default]
    Detect,
    Directory(directory::Options),
    Kustomize(Box<kustomize::Edits>),
}

impl Source {
    /// Tells sources apart that need different clones.
    pub fn repository_key(&self) -> String {
        crate::hash::short(self.url.trim_end_matches('/').as_bytes())
    }
    /// Tells artifacts apart: everything but the secrets.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("because a source is plain data");
        crate::hash::short(&text)
    }
    pub fn shown_revision(&self) -> &str {
        if self.revision.is_empty() { "HEAD" } else { &self.revision }
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
    /// Lines of a known_hosts file.
    pub known_hosts: String,
    /// Certificates in PEM that this server's chain may end in, besides the public ones.
    pub ca: String,
    pub client_certificate: String,
    pub client_key: String,
    /// Accept any certificate or host key; only where the owner said so.
    pub insecure: bool,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Credentials(…)")
    }
}

/// What the child is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub source: Source,
    pub credentials: Credentials,
    /// Where the clone is kept; made if missing.
    pub repository: PathBuf,
    /// Where the manifests are written, one JSON document a line.
    pub manifests: PathBuf,
    /// The commit that the caller already has an artifact of, made from the same source.
    pub known: Option<String>,
    pub limits: Limits,
}

/// Bounds of one fetch and render.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of address space of the child.
    pub memory: u64,
    /// Seconds of processor time of the child.
    pub processor: u64,
    /// Seconds until the child is killed.
    pub wall: u64,
    pub file: u64,
    pub files: u64,
    pub objects: usize,
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 1 << 30,
            processor: 300,
            wall: 600,
            file: 16 << 20,
            files: 128 << 20,
            objects: 20_000,
            output: 64 << 20,
        }
    }
}
