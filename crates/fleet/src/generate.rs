//! A kustomization where none is: all manifests at and below a path, as Flux makes it. A folder below with a kustomization
//! of its own is taken as a base and not looked into.

use std::cell::RefCell;
use std::rc::Rc;

use api::Value;
use render::tree::{Entry, Reader, Tree, join};
use render::{Error, Limits, kustomize, yaml};

/// A reader with one file more than what it wraps.
pub struct WithFile<R> {
    inner: R,
    extra: Extra,
}

/// The file: its path and content.
pub type Extra = Rc<RefCell<Option<(String, Vec<u8>)>>>;

impl<R: Reader> WithFile<R> {
    pub fn new(inner: R) -> (WithFile<R>, Extra) {
        let extra = Extra::default();
        (WithFile { inner, extra: extra.clone() }, extra)
    }
}

impl<R: Reader> Reader for WithFile<R> {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        match &*self.extra.borrow() {
            Some((at, content)) if at == path => Ok(Some(Entry::File { size: content.len() as u64 })),
            _ => self.inner.entry(path),
        }
    }
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        match &*self.extra.borrow() {
            Some((at, content)) if at == path => Ok(content.clone()),
            _ => self.inner.read(path),
        }
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        self.inner.list(path)
    }
}

/// Folders in folders, at the most.
const DEPTH: usize = 64;

/// Builds the kustomization at `at`, making it first if none is there.
pub fn build(
    tree: &Tree,
    extra: &Extra,
    at: &str,
    edits: &kustomize::Edits,
    limits: Limits,
) -> Result<Vec<Value>, Error> {
    if !kustomize::is_kustomization(tree, at) {
        let mut found = Vec::new();
        scan(tree, at, "", 0, &mut found)?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut text =
            String::from("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n");
        for path in found {
            // JSON's strings are YAML's.
            text.push_str(&format!("- {}\n", serde_json::Value::from(path)));
        }
        *extra.borrow_mut() = Some((join(at, "kustomization.yaml"), text.into_bytes()));
    }
    kustomize::build_options(tree, at, &crate::world::kustomize(edits.clone(), limits))
}

fn scan(tree: &Tree, root: &str, below: &str, depth: usize, found: &mut Vec<String>) -> Result<(), Error> {
    let here = join_both(root, below);
    for name in tree.list("", &here)? {
        let inside = join(below, &name);
        let path = join_both(root, &inside);
        match tree.entry("", &path)? {
            Some(Entry::Directory) if kustomize::is_kustomization(tree, &path) => found.push(inside),
            Some(Entry::Directory) if depth < DEPTH => scan(tree, root, &inside, depth + 1, found)?,
            Some(Entry::File { .. }) if name.ends_with(".yaml") || name.ends_with(".yml") => {
                let text = tree.text("", &path)?;
                let documents = yaml::parse(&text, yaml::Dialect::V2)
                    .map_err(|error| Error::Text { file: path.clone(), text: error.to_string() })?;
                // An empty file is no manifest, and no fault.
                if documents.iter().any(|document| !document.is_null()) {
                    found.push(inside);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn join_both(root: &str, below: &str) -> String {
    if below.is_empty() { root.into() } else { join(root, below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_below_a_path_are_found() {
        let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let tree = Tree::memory([
            ("app/a.yaml", map("a")),
            ("app/deep/b.yml", map("b")),
            ("app/README.md", "x".into()),
            ("app/base/kustomization.yaml", "resources: [c.yaml]\nnamePrefix: p-\n".into()),
            ("app/base/c.yaml", map("c")),
            ("app/base/unused.yaml", map("unused")),
            ("app/empty.yaml", "# nothing\n".into()),
        ]);
        let mut found = Vec::new();
        scan(&tree, "app", "", 0, &mut found).unwrap();
        assert_eq!(found, ["a.yaml", "base", "deep/b.yml"]);
    }

    #[test]
    fn a_file_is_there_beside_the_others() {
        let (with, extra) = WithFile::new(crate::ignore::memory(&[]));
        *extra.borrow_mut() = Some(("k".into(), b"text".to_vec()));
        let tree = Tree::new(with);
        assert_eq!(tree.text("", "k").unwrap(), "text");
        assert!(tree.entry("", "other").unwrap().is_none());
    }
}
