//! The files of a chart, from a directory or an archive, as upstream's loader takes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Error, archive, ignore::Rules};
use crate::tree::{Entry, Tree, join};

/// One file; its name is relative to the chart.
#[derive(Clone, Debug)]
pub struct File {
    pub name: String,
    /// Shared with the chart that is loaded of it.
    pub data: Arc<[u8]>,
}

/// A chart's files, not looked into yet. Plain data: it may be sent to another thread, and kept.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    pub files: Vec<File>,
}

/// Bytes of one file, which upstream allows.
pub(super) const FILE_LIMIT: u64 = 5 << 20;
const DEPTH: usize = 64;

impl Chart {
    /// The chart at a path: a directory with a Chart.yaml, or an archive.
    pub fn load(tree: &Tree, path: &str) -> Result<Chart, Error> {
        let root = tree.resolve("", path)?;
        match tree.entry("", &root)? {
            None => Err(Error::Helm(format!("path {} not found", crate::go::quote::quote(path.as_bytes())))),
            Some(Entry::File { .. }) => {
                let bytes = tree.read("", &root)?;
                if !bytes.starts_with(b"\x1f\x8b\x08") {
                    return Err(Error::Helm(not_an_archive(path, &bytes)));
                }
                Chart::from_archive(&bytes)
            }
            Some(_) => Chart::from_directory(tree, &root),
        }
    }

    /// A `.tgz` as `helm package` makes it.
    pub fn from_archive(bytes: &[u8]) -> Result<Chart, Error> {
        Ok(Chart { files: archive::files(bytes)? })
    }

    /// Files by their names inside the chart. `.helmignore` is not heeded, as in an archive.
    pub fn from_files<N: Into<String>, D: Into<Vec<u8>>>(files: impl IntoIterator<Item = (N, D)>) -> Chart {
        let files =
            files.into_iter().map(|(name, data)| File { name: name.into(), data: without_bom(data.into()) });
        Chart { files: files.collect() }
    }

    fn from_directory(tree: &Tree, root: &str) -> Result<Chart, Error> {
        let mut rules = match tree.is_file(root, ".helmignore") {
            true => Rules::parse(&tree.text(root, ".helmignore")?)?,
            false => Rules::default(),
        };
        rules.add_defaults();
        let mut chart = Chart::default();
        let mut above = BTreeSet::from([root.to_string()]);
        walk(tree, root, "", &rules, 0, &mut above, &mut chart.files)?;
        Ok(chart)
    }
}

pub(super) fn without_bom(data: Vec<u8>) -> Arc<[u8]> {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&data).into()
}

fn not_an_archive(path: &str, bytes: &[u8]) -> String {
    if path.ends_with(".yaml") || path.ends_with(".yml") {
        return format!("file '{path}' seems to be a YAML file, but expected a gzipped archive");
    }
    // Upstream looks at 512 bytes, zeros where the file is shorter, and at those as a browser does.
    let text = bytes.get(..512).is_some_and(|head| {
        !head.iter().any(|byte| matches!(*byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f))
    });
    let kind = if text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    format!("file '{path}' does not appear to be a gzipped archive; got '{kind}'")
}

/// Links are followed inside the tree; one to a directory above itself is a cycle.
fn walk(
    tree: &Tree,
    root: &str,
    inside: &str,
    rules: &Rules,
    depth: usize,
    above: &mut BTreeSet<String>,
    files: &mut Vec<File>,
) -> Result<(), Error> {
    let directory = if inside.is_empty() { root.to_string() } else { join(root, inside) };
    for name in tree.list("", &directory)? {
        let inside = join(inside, &name);
        let path = join(root, &inside);
        match tree.entry("", &path)? {
            Some(Entry::Directory) => {
                if rules.ignores(&inside, true) {
                    continue;
                }
                let real = tree.resolve("", &path)?;
                if depth >= DEPTH || !above.insert(real.clone()) {
                    return Err(Error::Helm(format!("{inside}: a directory inside itself")));
                }
                walk(tree, root, &inside, rules, depth + 1, above, files)?;
                above.remove(&real);
            }
            Some(Entry::File { size }) => {
                if rules.ignores(&inside, false) {
                    continue;
                }
                if size > FILE_LIMIT {
                    return Err(Error::Helm(format!(
                        "chart file {} is larger than the maximum file size {FILE_LIMIT}",
                        crate::go::quote::quote(name.as_bytes())
                    )));
                }
                files.push(File { name: inside, data: without_bom(tree.read("", &path)?) });
            }
            _ if rules.ignores(&inside, false) => {}
            _ => {
                return Err(Error::Helm(format!(
                    "cannot load irregular file {path} as it has file mode type bits set"
                )));
            }
        }
    }
    Ok(())
}
