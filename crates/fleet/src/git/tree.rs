//! A commit's tree as a [`render::tree::Reader`]: blobs are read when they are asked for, nothing is checked out.

use std::collections::HashMap;

use gix::ObjectId;
use gix::objs::tree::EntryKind;
use parking_lot::Mutex;
use render::tree::{Entry, Reader};

/// See the module.
pub struct CommitTree {
    repo: gix::Repository,
    root: ObjectId,
    /// Folders that were asked for, the last one last: files are asked for one after the other, each with its parents, and
    /// a folder may hold ten thousand.
    folders: Mutex<Vec<Folder>>,
}

/// Folders that are kept: as many as a path has, mostly.
const FOLDERS: usize = 8;

struct Folder {
    path: String,
    entries: HashMap<String, (EntryKind, ObjectId)>,
}

impl CommitTree {
    pub(super) fn new(mut repo: gix::Repository, root: ObjectId) -> CommitTree {
        repo.object_cache_size_if_unset(2 << 20);
        CommitTree { repo, root, folders: Mutex::default() }
    }

    fn find(&self, path: &str) -> std::io::Result<Option<(EntryKind, ObjectId)>> {
        if path.is_empty() {
            return Ok(Some((EntryKind::Tree, self.root)));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folders = self.folders.lock();
        if let Some(at) = folders.iter().position(|known| known.path == folder) {
            folders[at..].rotate_left(1);
            return Ok(folders.last().and_then(|known| known.entries.get(name).copied()));
        }
        let root = self.repo.find_tree(self.root).map_err(fault)?;
        let tree = if folder.is_empty() {
            root
        } else {
            let entry = root.lookup_entry_by_path(folder).map_err(fault)?;
            let Some(entry) = entry.filter(|entry| entry.mode().is_tree()) else { return Ok(None) };
            self.repo.find_tree(entry.object_id()).map_err(fault)?
        };
        let mut entries = HashMap::new();
        for entry in tree.iter() {
            let entry = entry.map_err(fault)?;
            entries.insert(entry.filename().to_string(), (entry.mode().kind(), entry.object_id()));
        }
        let found = entries.get(name).copied();
        if folders.len() == FOLDERS {
            folders.remove(0);
        }
        folders.push(Folder { path: folder.into(), entries });
        Ok(found)
    }

    /// The content of a file; `None`: none is there.
    pub(super) fn file(&self, path: &str) -> std::io::Result<Option<Vec<u8>>> {
        match self.find(path)? {
            Some((EntryKind::Blob | EntryKind::BlobExecutable, _)) => self.read(path).map(Some),
            _ => Ok(None),
        }
    }

    /// The commit that a submodule at a path is pinned to.
    pub(super) fn link(&self, path: &str) -> std::io::Result<Option<ObjectId>> {
        Ok(self.find(path)?.filter(|(kind, _)| *kind == EntryKind::Commit).map(|(_, id)| id))
    }
}

fn fault(error: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

impl Reader for CommitTree {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        let Some((kind, id)) = self.find(path)? else { return Ok(None) };
        Ok(match kind {
            EntryKind::Tree => Some(Entry::Directory),
            EntryKind::Blob | EntryKind::BlobExecutable => {
                Some(Entry::File { size: self.repo.find_header(id).map_err(fault)?.size() })
            }
            EntryKind::Link => Some(Entry::Link(String::from_utf8_lossy(&self.read(path)?).into_owned())),
            // A submodule is a directory whose files are elsewhere.
            EntryKind::Commit => None,
        })
    }

    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let (_, id) = self.find(path)?.ok_or(std::io::ErrorKind::NotFound)?;
        Ok(self.repo.find_blob(id).map_err(fault)?.take_data())
    }

    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        let (_, id) = self.find(path)?.ok_or(std::io::ErrorKind::NotFound)?;
        let tree = self.repo.find_tree(id).map_err(fault)?;
        let mut names = Vec::new();
        for entry in tree.iter() {
            names.push(entry.map_err(fault)?.filename().to_string());
        }
        names.sort();
        Ok(names)
    }
}
