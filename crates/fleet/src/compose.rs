//! A source's tree out of several: submodules and included sources at their places, and only the folders that were asked
//! for. Nothing is copied: each part is read where it is.

use std::collections::BTreeSet;
use std::io::Result;

use render::tree::{Entry, Reader, join};

/// Any reader.
pub type Part = Box<dyn Reader>;

/// One tree at a place in another; what was there before is not seen.
struct Graft {
    at: String,
    /// The folder of the grafted tree that is seen.
    from: String,
    tree: Part,
}

/// A tree with others grafted on; a later one wins.
pub struct Grafted {
    base: Part,
    grafts: Vec<Graft>,
}

impl Grafted {
    pub fn new(base: Part) -> Grafted {
        Grafted { base, grafts: Vec::new() }
    }

    /// Puts the folder `from` of a tree at `at`; both are clean paths, `""` the root.
    #[must_use]
    pub fn with(mut self, at: &str, from: &str, tree: Part) -> Grafted {
        self.grafts.push(Graft { at: at.into(), from: from.into(), tree });
        self
    }

    /// The tree that has a path, and the path in it.
    fn find(&self, path: &str) -> (&Part, String) {
        for graft in self.grafts.iter().rev() {
            if let Some(rest) = below(path, &graft.at) {
                let inside = match (graft.from.as_str(), rest) {
                    (from, "") => from.to_string(),
                    ("", rest) => rest.to_string(),
                    (from, rest) => join(from, rest),
                };
                return (&graft.tree, inside);
            }
        }
        (&self.base, path.to_string())
    }

    /// The names in a folder that lead to places where something is grafted on.
    fn leading(&self, path: &str) -> impl Iterator<Item = &str> {
        let deeper = self.grafts.iter().filter_map(move |graft| below(&graft.at, path));
        deeper.filter(|rest| !rest.is_empty()).map(|rest| rest.split('/').next().unwrap_or(rest))
    }
}

/// What of `path` is below `at`; empty: it is `at` itself.
fn below<'p>(path: &'p str, at: &str) -> Option<&'p str> {
    if at.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(at)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

impl Reader for Grafted {
    fn entry(&self, path: &str) -> Result<Option<Entry>> {
        let (tree, inside) = self.find(path);
        let found = if inside.is_empty() { Some(Entry::Directory) } else { tree.entry(&inside)? };
        match found {
            None | Some(Entry::File { .. } | Entry::Link(_)) if self.leading(path).next().is_some() => {
                Ok(Some(Entry::Directory))
            }
            found => Ok(found),
        }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let (tree, inside) = self.find(path);
        tree.read(&inside)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let (tree, inside) = self.find(path);
        let mut names: BTreeSet<String> = self.leading(path).map(Into::into).collect();
        if inside.is_empty() || tree.entry(&inside)? == Some(Entry::Directory) {
            names.extend(tree.list(&inside)?);
        }
        Ok(names.into_iter().collect())
    }
}

/// An empty tree.
pub struct Nothing;

impl Reader for Nothing {
    fn entry(&self, _: &str) -> Result<Option<Entry>> {
        Ok(None)
    }
    fn read(&self, _: &str) -> Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
    fn list(&self, _: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Just some folders of a tree.
pub struct Sparse {
    base: Part,
    folders: Vec<String>,
}

impl Sparse {
    pub fn new(base: Part, folders: &[String]) -> Sparse {
        let clean = |folder: &String| folder.trim_start_matches("./").trim_matches('/').to_string();
        Sparse { base, folders: folders.iter().map(clean).collect() }
    }

    /// A folder that was asked for and is not there.
    pub fn missing(&self) -> Result<Option<&str>> {
        for folder in self.folders.iter().filter(|folder| !folder.is_empty() && *folder != ".") {
            if self.base.entry(folder)? != Some(Entry::Directory) {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }
}

impl Reader for Sparse {
    fn entry(&self, path: &str) -> Result<Option<Entry>> {
        let inside = |folder: &String| folder == "." || below(path, folder).is_some();
        let above = |folder: &String| below(folder, path).is_some();
        if self.folders.iter().any(|folder| inside(folder) || above(folder)) {
            return self.base.entry(path);
        }
        Ok(None)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.base.read(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for name in self.base.list(path)? {
            let full = if path.is_empty() { name.clone() } else { join(path, &name) };
            if self.entry(&full)?.is_some() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ignore::memory;

    #[test]
    fn trees_are_grafted() {
        let base = memory(&[("apps/a", "a"), ("apps/sub/old", "x"), ("file", "f")]);
        let sub = memory(&[("b", "b"), ("deep/c", "c")]);
        let include = memory(&[("apps/d", "d"), ("other", "o")]);
        let tree = Grafted::new(Box::new(base)).with("apps/sub", "", Box::new(sub)).with(
            "new/place",
            "apps",
            Box::new(include),
        );
        let tree = render::Tree::new(tree);
        for (path, text) in [
            ("apps/a", "a"),
            ("apps/sub/b", "b"),
            ("apps/sub/deep/c", "c"),
            ("new/place/d", "d"),
            ("file", "f"),
        ] {
            assert_eq!(tree.text("", path).unwrap(), text, "{path}");
        }
        for gone in ["apps/sub/old", "new/other", "new/place/other"] {
            assert!(tree.entry("", gone).unwrap().is_none(), "{gone}");
        }
        assert_eq!(tree.list("", "").unwrap(), ["apps", "file", "new"]);
        assert_eq!(tree.list("", "apps").unwrap(), ["a", "sub"]);
        assert_eq!(tree.list("", "new").unwrap(), ["place"]);
        assert_eq!(tree.list("", "new/place").unwrap(), ["d"]);
    }

    #[test]
    fn only_the_folders_that_are_asked_for() {
        let files = [("apps/one/a", "a"), ("apps/two/b", "b"), ("apps2/c", "c"), ("root", "r")];
        let sparse = |folders: &[&str]| {
            let folders: Vec<String> = folders.iter().map(ToString::to_string).collect();
            Sparse::new(Box::new(memory(&files)), &folders)
        };
        let tree = render::Tree::new(sparse(&["./apps/one/"]));
        assert_eq!(tree.list("", "").unwrap(), ["apps"]);
        assert_eq!(tree.list("", "apps").unwrap(), ["one"]);
        assert!(tree.entry("", "apps2/c").unwrap().is_none() && tree.entry("", "root").unwrap().is_none());
        assert_eq!(sparse(&["apps", "none"]).missing().unwrap(), Some("none"));
        assert_eq!(sparse(&["apps"]).missing().unwrap(), None);
    }
}
