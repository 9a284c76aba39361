//! What a source gave at one revision: the rendered manifests on disk and a header that says what they are (D15).
//!
//! The last good artifact is kept until a newer one is complete: [`Store::accept`] renames, and a broken fetch never
//! gets that far. Git makes artifacts without a signature or counter; one verifier stands before the plan.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use api::Value;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The header of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// [`crate::source::Recipe::digest`] of what it was made from.
    pub source: String,
    /// [`crate::source::Inputs::digest`] of the variables in it.
    #[serde(default)]
    pub inputs: String,
    /// The commit; of several sources, the first one's that gave manifests.
    pub revision: String,
    /// The commit of each source.
    #[serde(default)]
    pub revisions: Vec<String>,
    /// The branch, tag or other name by which each commit was found.
    #[serde(default)]
    pub names: Vec<String>,
    /// Of the manifests' bytes.
    pub digest: String,
    /// Signed artifacts count upward; 0 for git.
    pub counter: u64,
    pub expiry: Option<Timestamp>,
    /// Those that were verified: `commit 'ID' with key 'KEY'`.
    pub signatures: Vec<String>,
    /// [`crate::signature::Keys::fingerprint`] of the keys that were trusted; empty: nothing was verified.
    #[serde(default)]
    pub trusted: String,
    /// `Kustomize` or `Directory`, of the first source that gave manifests.
    pub kind: String,
    #[serde(default)]
    pub kinds: Vec<String>,
    pub objects: usize,
    /// An existing kustomization, or the like, rendered to nothing: its owner means it.
    pub deliberate_empty: bool,
    pub author: String,
    pub date: String,
    pub message: String,
}

/// What must be true of an artifact before it may be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The transport and the repository are trusted.
    Unsigned,
}

/// Why an artifact may not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the artifact of {revision} expired at {expiry}")]
    Expired { revision: String, expiry: Timestamp },
    #[error("the manifests of {revision} on disk are damaged; they are fetched again")]
    Damaged { revision: String },
    #[error("cannot read or write {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} holds a line that is no document")]
    Line { path: PathBuf, source: serde_json::Error },
}

/// The one verifier. Signatures and counters come with bundles.
pub fn verify(artifact: &Artifact, trust: Trust, now: Timestamp) -> Result<(), Error> {
    let Trust::Unsigned = trust;
    match artifact.expiry {
        Some(expiry) if expiry <= now => Err(Error::Expired { revision: artifact.revision.clone(), expiry }),
        _ => Ok(()),
    }
}

/// The artifact of one application on disk.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    pub fn new(directory: impl Into<PathBuf>) -> Store {
        Store { directory: directory.into() }
    }
    fn header(&self) -> PathBuf {
        self.directory.join("artifact.json")
    }
    fn previous_header(&self) -> PathBuf {
        self.directory.join("previous.json")
    }
    fn manifests(&self, digest: &str) -> PathBuf {
        let name = digest.rsplit(':').next().unwrap_or_default();
        self.directory.join(format!("manifests-{}.jsonl", &name[..name.len().min(16)]))
    }
    /// Where the child writes what is not accepted yet.
    pub fn incoming(&self) -> PathBuf {
        self.directory.join("incoming.jsonl")
    }

    /// The last good artifact, if its manifests are whole.
    pub fn load(&self) -> Result<Option<Artifact>, Error> {
        let path = self.header();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { path, source }),
        };
        let Ok(artifact) = serde_json::from_slice::<Artifact>(&bytes) else { return Ok(None) };
        if digest(&self.manifests(&artifact.digest))? != artifact.digest {
            return Err(Error::Damaged { revision: artifact.revision });
        }
        Ok(Some(artifact))
    }

    /// The artifact before the last good one, while its manifests are there.
    pub fn previous(&self) -> Option<Artifact> {
        let artifact: Artifact = serde_json::from_slice(&std::fs::read(self.previous_header()).ok()?).ok()?;
        (digest(&self.manifests(&artifact.digest)).ok()? == artifact.digest).then_some(artifact)
    }

    /// Makes what lies in [`Store::incoming`] the artifact. Manifests first, header last, each complete or not there. The
    /// one that it replaces is kept as the previous one.
    pub fn accept(&self, artifact: &Artifact) -> Result<(), Error> {
        let manifests = self.manifests(&artifact.digest);
        let incoming = self.incoming();
        if digest(&incoming)? != artifact.digest {
            return Err(Error::Damaged { revision: artifact.revision.clone() });
        }
        std::fs::rename(&incoming, &manifests)
            .map_err(|source| Error::File { path: manifests.clone(), source })?;
        crate::cut::agent_now("agent.manifests-renamed");
        let old = std::fs::read(self.header()).ok().and_then(|bytes| {
            let old: Artifact = serde_json::from_slice(&bytes).ok()?;
            (old.digest != artifact.digest).then_some((old, bytes))
        });
        let mut kept = vec![manifests];
        if let Some((old, bytes)) = old {
            kept.push(self.manifests(&old.digest));
            crate::files::replace(&self.previous_header(), &bytes)
                .map_err(|source| Error::File { path: self.previous_header(), source })?;
        } else if let Some(previous) = self.previous() {
            kept.push(self.manifests(&previous.digest));
        }
        let header = serde_json::to_vec_pretty(artifact).expect("because an artifact is plain data");
        crate::files::replace(&self.header(), &header)
            .map_err(|source| Error::File { path: self.header(), source })?;
        crate::cut::agent_now("agent.header-replaced");
        // Older manifests have served.
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("manifests-") && !kept.contains(&entry.path()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Makes an artifact of this store that of another one, too.
    pub fn copy_to(&self, artifact: &Artifact, other: &Store) -> Result<(), Error> {
        let to = other.incoming();
        let fault = |source| Error::File { path: to.clone(), source };
        std::fs::create_dir_all(&other.directory).map_err(fault)?;
        std::fs::copy(self.manifests(&artifact.digest), &to).map_err(fault)?;
        crate::files::sync(&File::open(&to).map_err(fault)?).map_err(fault)?;
        other.accept(artifact)
    }

    /// Reads the manifests one by one; `each` gets the offset by which [`Store::read`] finds one again.
    pub fn scan(&self, artifact: &Artifact, mut each: impl FnMut(u64, Value)) -> Result<(), Error> {
        let path = self.manifests(&artifact.digest);
        let file = File::open(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        let mut reader = BufReader::new(file);
        let mut offset = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader
                .read_until(b'\n', &mut line)
                .map_err(|source| Error::File { path: path.clone(), source })?;
            if length == 0 {
                return Ok(());
            }
            let value =
                serde_json::from_slice(&line).map_err(|source| Error::Line { path: path.clone(), source })?;
            each(offset, value);
            offset += length as u64;
        }
    }

    /// The manifest at an offset.
    pub fn read(&self, artifact: &Artifact, offset: u64) -> Result<Value, Error> {
        let path = self.manifests(&artifact.digest);
        let fault = |source| Error::File { path: path.clone(), source };
        let mut file = File::open(&path).map_err(fault)?;
        file.seek(SeekFrom::Start(offset)).map_err(fault)?;
        let mut line = Vec::new();
        BufReader::new(file).read_until(b'\n', &mut line).map_err(fault)?;
        serde_json::from_slice(&line).map_err(|source| Error::Line { path, source })
    }
}

fn digest(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(|source| Error::File { path: path.into(), source })?;
    let mut digest = Sha256::new();
    std::io::copy(&mut file, &mut digest).map_err(|source| Error::File { path: path.into(), source })?;
    Ok(crate::hash::full(digest))
}
