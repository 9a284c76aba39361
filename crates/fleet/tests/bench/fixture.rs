//! A repository in a temporary folder, and a place for its clone.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests; each suite uses some

use std::path::PathBuf;

use fleet::source::Fetch;

use super::program::git;

/// See the file.
pub struct Fixture {
    pub directory: tempfile::TempDir,
}

impl Fixture {
    /// A repository without a commit.
    pub fn new() -> Fixture {
        let fixture = Fixture { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(fixture.work()).unwrap();
        git(&fixture.work(), &["init", "-q"]);
        fixture
    }
    /// What servers serve.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("srv")
    }
    pub fn work(&self) -> PathBuf {
        self.root().join("repo")
    }
    pub fn clone(&self) -> PathBuf {
        self.directory.path().join("clone")
    }
    pub fn head(&self) -> String {
        git(&self.work(), &["rev-parse", "HEAD"])
    }
    /// A commit of a text in `a.yaml`.
    pub fn commit(&self, text: &str) -> String {
        std::fs::write(self.work().join("a.yaml"), text).unwrap();
        git(&self.work(), &["add", "-A"]);
        git(&self.work(), &["commit", "-q", "-m", text]);
        self.head()
    }
    /// A look at an address, without credentials.
    pub fn request(&self, url: &str, revision: &str) -> Fetch {
        Fetch { url: url.into(), revision: revision.into(), repository: self.clone(), ..Fetch::default() }
    }
}
