//! Git repositories made without a `git` program: a bare repository whose branch moves with each commit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gix::objs::tree::EntryKind;

pub struct Repository {
    path: PathBuf,
    repository: gix::Repository,
}

impl Repository {
    /// Makes an empty bare repository.
    pub fn init(path: &Path) -> Result<Repository> {
        let repository = gix::init_bare(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Repository { path: path.into(), repository })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits files (path, content; no content deletes) on top of `main`; gives the commit's id in hex.
    pub fn commit(&self, message: &str, files: &[(&str, Option<&str>)]) -> Result<String> {
        let head = self.repository.try_find_reference("refs/heads/main")?;
        let parent = match head {
            Some(mut reference) => Some(reference.peel_to_id()?.detach()),
            None => None,
        };
        let base = match parent {
            Some(parent) => self.repository.find_commit(parent)?.tree()?,
            None => self.repository.empty_tree(),
        };
        let mut editor = self.repository.edit_tree(base.id)?;
        for (path, content) in files {
            match content {
                Some(content) => {
                    let blob = self.repository.write_blob(content.as_bytes())?;
                    editor.upsert(*path, EntryKind::Blob, blob)?;
                }
                None => drop(editor.remove(*path)?),
            }
        }
        let tree = editor.write()?;
        let who = gix::actor::SignatureRef {
            name: "Site owner".into(),
            email: "owner@example.com".into(),
            time: "1790000000 +0000",
        };
        let id = self.repository.commit_as(who, who, "refs/heads/main", message, tree, parent)?;
        Ok(id.to_hex().to_string())
    }
}
