//! A read-only tree of files that a rendering cannot leave.
//!
//! Paths are relative to the tree's root with `/` between names; the root is `""`. [`Tree`] resolves `.`, `..` and
//! symbolic links itself, so a [`Reader`] only ever sees a clean path of real entries. Bytes read are counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a name in a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    File {
        size: u64,
    },
    Directory,
    /// The link's text.
    Link(String),
}

/// Where the files are: memory, a directory, a commit. Every path is clean and none is below a link.
pub trait Reader {
    /// `None`: nothing is there.
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>>;
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>>;
    /// The names in a directory, sorted by bytes.
    fn list(&self, path: &str) -> std::io::Result<Vec<String>>;
}

/// Why a path of a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: no such file or directory in the source")]
    Missing { path: String },
    #[error("{path}: leads out of the source; only files inside it can be used")]
    Outside { path: String },
    #[error("{path}: more than {LINKS} symbolic links follow one another")]
    Links { path: String },
    #[error("{path}: {size} bytes; a file may have at most {limit}")]
    TooLarge { path: String, size: u64, limit: u64 },
    #[error("{path}: more than {limit} bytes were read for one rendering; make the source smaller")]
    TooMuch { path: String, limit: u64 },
    #[error("{path}: is not a directory")]
    NotDirectory { path: String },
    #[error("{path}: is not a file")]
    NotFile { path: String },
    #[error("{path}: is not UTF-8 text")]
    NotText { path: String },
    #[error("cannot read {path}")]
    Read { path: String, source: std::io::Error },
}

impl Error {
    /// The path that it is about.
    pub fn path_mut(&mut self) -> &mut String {
        match self {
            Error::Missing { path }
            | Error::Outside { path }
            | Error::Links { path }
            | Error::TooLarge { path, .. }
            | Error::TooMuch { path, .. }
            | Error::NotDirectory { path }
            | Error::NotFile { path }
            | Error::NotText { path }
            | Error::Read { path, .. } => path,
        }
    }
}

const LINKS: usize = 16;

/// See the module.
pub struct Tree {
    reader: Box<dyn Reader>,
    file: u64,
    total: u64,
    read: Cell<u64>,
}

impl Tree {
    /// Limits: 16 MiB a file, 128 MiB in all.
    pub fn new(reader: impl Reader + 'static) -> Tree {
        Tree::with_limits(reader, 16 << 20, 128 << 20)
    }

    pub fn with_limits(reader: impl Reader + 'static, file: u64, total: u64) -> Tree {
        Tree { reader: Box::new(reader), file, total, read: Cell::new(0) }
    }

    /// A tree in memory, of path and content.
    pub fn memory<P: Into<String>, C: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, C)>) -> Tree {
        let files = files.into_iter().map(|(path, content)| (path.into(), content.into())).collect();
        Tree::new(Memory(files))
    }

    /// The directory at `root`; nothing outside it is ever opened.
    pub fn directory(root: impl Into<PathBuf>) -> Tree {
        Tree::new(Disk(root.into()))
    }

    /// The same tree with one file more, or with another content in its place.
    pub fn with_file(self, path: impl Into<String>, content: Vec<u8>) -> Tree {
        Tree { reader: Box::new(Over { below: self.reader, path: path.into(), content }), ..self }
    }

    /// The clean path of what `path` names, seen from the directory `base`; links are followed.
    pub fn resolve(&self, base: &str, path: &str) -> Result<String, Error> {
        self.follow(base, path, 0)
    }

    fn follow(&self, base: &str, path: &str, links: usize) -> Result<String, Error> {
        if links > LINKS {
            return Err(Error::Links { path: join(base, path) });
        }
        if path.starts_with('/') {
            return Err(Error::Outside { path: path.into() });
        }
        let mut here: Vec<String> = base.split('/').filter(|name| !name.is_empty()).map(Into::into).collect();
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => {
                    here.pop().ok_or_else(|| Error::Outside { path: join(base, path) })?;
                }
                name => {
                    let parent = here.join("/");
                    here.push(name.into());
                    let full = here.join("/");
                    if let Some(Entry::Link(target)) = self.raw(&full)? {
                        let real = self.follow(&parent, &target, links + 1)?;
                        here = real.split('/').filter(|name| !name.is_empty()).map(Into::into).collect();
                    }
                }
            }
        }
        Ok(here.join("/"))
    }

    fn raw(&self, path: &str) -> Result<Option<Entry>, Error> {
        if path.is_empty() {
            return Ok(Some(Entry::Directory));
        }
        self.reader.entry(path).map_err(|source| Error::Read { path: path.into(), source })
    }

    /// What is at a path, links followed.
    pub fn entry(&self, base: &str, path: &str) -> Result<Option<Entry>, Error> {
        let clean = self.resolve(base, path)?;
        self.raw(&clean)
    }

    /// Whether a clean path is itself a symbolic link.
    pub fn is_link(&self, path: &str) -> bool {
        matches!(self.raw(path), Ok(Some(Entry::Link(_))))
    }

    pub fn is_file(&self, base: &str, path: &str) -> bool {
        matches!(self.entry(base, path), Ok(Some(Entry::File { .. })))
    }

    pub fn is_directory(&self, base: &str, path: &str) -> bool {
        matches!(self.entry(base, path), Ok(Some(Entry::Directory)))
    }

    pub fn read(&self, base: &str, path: &str) -> Result<Vec<u8>, Error> {
        let clean = self.resolve(base, path)?;
        match self.raw(&clean)? {
            None => return Err(Error::Missing { path: clean }),
            Some(Entry::File { size }) if size > self.file => {
                return Err(Error::TooLarge { path: clean, size, limit: self.file });
            }
            Some(Entry::File { size }) => {
                self.read.set(self.read.get() + size);
                if self.read.get() > self.total {
                    return Err(Error::TooMuch { path: clean, limit: self.total });
                }
            }
            Some(_) => return Err(Error::NotFile { path: clean }),
        }
        self.reader.read(&clean).map_err(|source| Error::Read { path: clean, source })
    }

    pub fn text(&self, base: &str, path: &str) -> Result<String, Error> {
        String::from_utf8(self.read(base, path)?).map_err(|_| Error::NotText { path: join(base, path) })
    }

    /// The names in a directory, sorted by bytes.
    pub fn list(&self, base: &str, path: &str) -> Result<Vec<String>, Error> {
        let clean = self.resolve(base, path)?;
        match self.raw(&clean)? {
            None => Err(Error::Missing { path: clean }),
            Some(Entry::Directory) => {
                self.reader.list(&clean).map_err(|source| Error::Read { path: clean, source })
            }
            Some(_) => Err(Error::NotDirectory { path: clean }),
        }
    }
}

impl Reader for Box<dyn Reader> {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        (**self).entry(path)
    }
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        (**self).read(path)
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        (**self).list(path)
    }
}

/// `base/path`, for messages and for paths that are resolved later.
pub fn join(base: &str, path: &str) -> String {
    if base.is_empty() { path.into() } else { format!("{base}/{path}") }
}

struct Memory(BTreeMap<String, Vec<u8>>);

impl Reader for Memory {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        if let Some(content) = self.0.get(path) {
            return Ok(Some(Entry::File { size: content.len() as u64 }));
        }
        let inside = format!("{path}/");
        let first = self.0.range(inside.clone()..).next();
        Ok(first.filter(|(name, _)| name.starts_with(&inside)).map(|_| Entry::Directory))
    }
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut names: Vec<String> = Vec::new();
        for name in self.0.keys().filter_map(|name| name.strip_prefix(&inside)) {
            let first = name.split('/').next().unwrap_or_default().to_string();
            if !names.contains(&first) {
                names.push(first);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// One file over a reader.
struct Over {
    below: Box<dyn Reader>,
    path: String,
    content: Vec<u8>,
}

impl Reader for Over {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        if path == self.path {
            return Ok(Some(Entry::File { size: self.content.len() as u64 }));
        }
        self.below.entry(path)
    }
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        if path == self.path { Ok(self.content.clone()) } else { self.below.read(path) }
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        let mut names = self.below.list(path)?;
        let (directory, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        if directory == path && !names.iter().any(|own| own == name) {
            names.push(name.into());
            names.sort();
        }
        Ok(names)
    }
}

struct Disk(PathBuf);

impl Reader for Disk {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        let path = self.0.join(path);
        let meta = match std::fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let kind = meta.file_type();
        Ok(if kind.is_symlink() {
            Some(Entry::Link(std::fs::read_link(&path)?.to_string_lossy().into_owned()))
        } else if kind.is_dir() {
            Some(Entry::Directory)
        } else if kind.is_file() {
            Some(Entry::File { size: meta.len() })
        } else {
            None
        })
    }
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(self.0.join(path))
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.0.join(path))? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("in/deep")).unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::fs::write(dir.path().join("in/a"), "a").unwrap();
        std::os::unix::fs::symlink("../../secret", dir.path().join("in/deep/out")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("in/absolute")).unwrap();
        std::os::unix::fs::symlink("../a", dir.path().join("in/deep/fine")).unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("in/loop")).unwrap();
        let tree = Tree::directory(dir.path().join("in"));
        assert_eq!(tree.text("deep", "../a").unwrap(), "a");
        assert_eq!(tree.text("deep", "fine").unwrap(), "a");
        assert!(matches!(tree.read("deep", "../../secret"), Err(Error::Outside { .. })));
        assert!(matches!(tree.read("", "deep/out"), Err(Error::Outside { .. })));
        assert!(matches!(tree.read("", "absolute"), Err(Error::Outside { .. })));
        assert!(matches!(tree.read("", "loop"), Err(Error::Links { .. })));
    }
}
