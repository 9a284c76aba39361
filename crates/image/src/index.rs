//! The index: which images are here, under which names, made of which layers. One JSON file, replaced whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, disk};

/// An unpacked image. What its config says is in OCI's words (OCI Image Specification, "Image Configuration").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…` of the config.
    pub id: String,
    /// `docker.io/library/busybox:1.36` and `docker.io/library/busybox@sha256:…`.
    pub names: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// Folders, lowest first.
    pub layers: Vec<PathBuf>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    /// `USER` as written: a name or a number, with `:group` perhaps.
    pub user: String,
    pub stop_signal: Option<String>,
    /// Paths of `VOLUME`: each gets a folder of the container's own.
    pub volumes: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The archive that brought it lies in the inbox: whoever put it there wants it here, and may have no registry. Told by
    /// [`crate::Images::list`].
    pub pinned: bool,
}

impl Image {
    /// For `containerStatuses[].imageID`: the digest under which a registry knows it, else the id.
    pub fn reference(&self) -> String {
        self.names.iter().find(|name| name.contains('@')).unwrap_or(&self.id).clone()
    }
}

/// What the file holds of one image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub id: String,
    pub names: Vec<String>,
    /// Diff ids, lowest first.
    pub layers: Vec<String>,
    pub config: Settings,
}

/// The `config` of an image's configuration, as both OCI and Docker write it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Settings {
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    pub working_dir: Option<String>,
    pub user: Option<String>,
    pub stop_signal: Option<String>,
    pub volumes: Option<BTreeMap<String, serde_json::Value>>,
    pub labels: Option<BTreeMap<String, String>>,
}

/// An image's configuration: what a digest is made of.
#[derive(Debug, Deserialize)]
pub(crate) struct Configuration {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub config: Option<Settings>,
    pub rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default)]
    pub diff_ids: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Index {
    pub images: Vec<Entry>,
    /// Bytes of each unpacked layer.
    pub layers: BTreeMap<String, u64>,
    /// Archives that were imported: name, to size and time of change in nanoseconds.
    pub imported: BTreeMap<String, (u64, i128)>,
    /// The ids of the images that each brought.
    #[serde(default)]
    pub brought: BTreeMap<String, Vec<String>>,
}

impl Index {
    /// Reads the index; without a file, or with one that a cut of power emptied, it is empty and images come again.
    pub fn read(path: &Path) -> Result<Index, Error> {
        match fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the image index is damaged; images are imported and pulled again");
                Index::default()
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(disk("read", path)(error)),
        }
    }

    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec(self).expect("because an index has only text keys");
        let replace = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        replace().map_err(disk("write", path))
    }

    /// Puts an image in, with its names taken from whoever had them.
    pub fn put(&mut self, entry: Entry) {
        let mut names = entry.names.clone();
        for other in &mut self.images {
            if other.id == entry.id {
                names.append(&mut other.names);
            } else {
                other.names.retain(|name| !entry.names.contains(name));
            }
        }
        names.sort();
        names.dedup();
        self.images.retain(|other| other.id != entry.id);
        self.images.push(Entry { names, ..entry });
    }

    /// Layers that no image has.
    pub fn unused(&self) -> Vec<String> {
        let used = |layer: &String| self.images.iter().any(|image| image.layers.contains(layer));
        self.layers.keys().filter(|layer| !used(layer)).cloned().collect()
    }

    /// An entry as others see it.
    pub fn image(&self, entry: &Entry, folder: impl Fn(&str) -> PathBuf) -> Image {
        let config = entry.config.clone();
        Image {
            id: entry.id.clone(),
            names: entry.names.clone(),
            size: entry.layers.iter().filter_map(|layer| self.layers.get(layer)).sum(),
            layers: entry.layers.iter().map(|layer| folder(layer)).collect(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
            volumes: config.volumes.unwrap_or_default().into_keys().collect(),
            labels: config.labels.unwrap_or_default(),
            pinned: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_the_newest_image() {
        let entry = |id: &str, name: &str| Entry {
            id: id.into(),
            names: vec![name.into()],
            layers: vec![id.into()],
            ..Entry::default()
        };
        let mut index = Index::default();
        index.put(entry("a", "web:1"));
        index.put(entry("a", "web:2"));
        assert_eq!(index.images[0].names, ["web:1", "web:2"]);
        index.put(entry("b", "web:2"));
        assert_eq!(index.images[0].names, ["web:1"]);
        index.layers.extend([("a".into(), 1), ("c".into(), 1)]);
        assert_eq!(index.unused(), ["c"]);
    }

    #[test]
    fn a_damaged_index_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.json");
        assert!(Index::read(&path).unwrap().images.is_empty());
        let mut index = Index::default();
        index.put(Entry { id: "a".into(), ..Entry::default() });
        index.write(&path).unwrap();
        assert_eq!(Index::read(&path).unwrap().images.len(), 1);
        fs::write(&path, "{\"images\":[{").unwrap();
        assert!(Index::read(&path).unwrap().images.is_empty());
    }
}
