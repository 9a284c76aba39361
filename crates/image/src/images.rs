//! The handle: what is here, import, pull, removal.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;

use crate::archive::Archive;
use crate::index::{Entry, Index};
use crate::layer::{self, Unpacked};
use crate::registry::Client;
use crate::{Error, Image, Reference, Registries, disk};

/// Where images are kept and come from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Index, layers, downloads.
    pub store: PathBuf,
    /// Tars that appear here are imported.
    pub inbox: PathBuf,
    pub registries: Registries,
    pub limits: Limits,
}

/// Bounds on what an image may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that one layer unpacks to.
    pub layer: u64,
    /// Entries of one layer.
    pub entries: u64,
    /// Bytes of one compressed archive when it is plain.
    pub archive: u64,
    /// Layers of one image (overlayfs takes 500).
    pub layers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { layer: 16 << 30, entries: 2_000_000, archive: 32 << 30, layers: 127 }
    }
}

/// A login for a registry, from a pull secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub registry: String,
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Login({} at {})", self.username, self.registry)
    }
}

/// How far a pull is, told while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that came, and that will come in all.
    pub done: u64,
    pub total: u64,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

pub(crate) struct Inner {
    pub config: Config,
    index: Mutex<Index>,
    /// One import or unpacking at a time: a board has one SD card.
    busy: Mutex<()>,
    client: Client,
    /// The archives that lay in the inbox at the start are imported.
    pub settled: tokio::sync::watch::Sender<bool>,
    /// Layers that a pull works on, by diff id: pods of one Deployment pull the same image at the same time.
    pulling: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Images {
    /// Opens the store and removes what an interrupted import or pull left. Blocks for a moment.
    pub fn open(config: Config) -> Result<Images, Error> {
        for folder in
            [&config.store, &config.inbox, &config.store.join("layers"), &config.store.join("downloads")]
        {
            fs::create_dir_all(folder).map_err(disk("make", folder))?;
        }
        let mut index = Index::read(&config.store.join("index.json"))?;
        let layers = config.store.join("layers");
        let there = fs::read_dir(&layers).map_err(disk("list", &layers))?;
        let mut names = Vec::new();
        for entry in there.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = index.layers.contains_key(&format!("sha256:{name}"));
            if known {
                names.push(format!("sha256:{name}"));
            } else {
                let _next_time = fs::remove_dir_all(entry.path());
            }
        }
        // Somebody may have emptied the folder: an image without its layers is none.
        index.layers.retain(|layer, _| names.contains(layer));
        let layers = &index.layers;
        index.images.retain(|image| image.layers.iter().all(|layer| layers.contains_key(layer)));
        if index.images.is_empty() {
            index.imported.clear();
        }
        let client = Client::new(config.registries.clone(), config.inbox.clone())?;
        let empty = fs::read_dir(&config.inbox).map_err(disk("list", &config.inbox))?.next().is_none();
        Ok(Images(Arc::new(Inner {
            config,
            index: Mutex::new(index),
            busy: Mutex::new(()),
            client,
            settled: tokio::sync::watch::Sender::new(empty),
            pulling: Mutex::default(),
        })))
    }

    /// The image under a name, a digest reference or an id.
    pub fn get(&self, reference: &str) -> Result<Option<Image>, Error> {
        let index = self.0.index.lock();
        let whole = match reference.strip_prefix("sha256:") {
            Some(_) => reference.to_owned(),
            None => reference.parse::<Reference>()?.to_string(),
        };
        let found = index.images.iter().find(|image| {
            image.id == whole || image.names.iter().any(|name| *name == whole || digest_of(&whole, name))
        });
        Ok(found.map(|entry| index.image(entry, |layer| self.0.layer(layer))))
    }

    pub fn list(&self) -> Vec<Image> {
        let index = self.0.index.lock();
        let there = |archive: &String| self.0.config.inbox.join(archive).exists();
        let pinned: BTreeSet<&String> =
            index.brought.iter().filter(|(archive, _)| there(archive)).flat_map(|(_, ids)| ids).collect();
        let image = |entry: &Entry| {
            let pinned = pinned.contains(&entry.id);
            Image { pinned, ..index.image(entry, |layer| self.0.layer(layer)) }
        };
        index.images.iter().map(image).collect()
    }

    /// Removes the image with this id and the layers that no other image has. Containers that run keep what they mounted
    /// only if the caller kept the image: ask before.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let (inner, id) = (self.0.clone(), id.to_owned());
        blocking(move || {
            let _busy = inner.busy.lock();
            let unused = inner.change(|index| {
                index.images.retain(|image| image.id != id);
                let unused = index.unused();
                index.layers.retain(|layer, _| !unused.contains(layer));
                unused
            })?;
            for layer in unused {
                let path = inner.layer(&layer);
                fs::remove_dir_all(&path).map_err(disk("remove", &path))?;
            }
            Ok(())
        })
        .await
    }

    /// Imports an archive; gives the names of the images in it.
    pub async fn import(&self, path: &Path) -> Result<Vec<String>, Error> {
        let (inner, path) = (self.0.clone(), path.to_owned());
        blocking(move || inner.import(&path)).await
    }

    /// Imports what is in the inbox, then what appears there, for as long as it is polled.
    pub async fn watch(self) -> Result<(), Error> {
        crate::inbox::watch(self.0).await
    }

    /// Gets an image from its registry or a mirror. Dropping the future stops the download; what came is kept for the next
    /// try.
    pub async fn pull(
        &self,
        reference: &str,
        logins: &[Login],
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<Image, Error> {
        let reference: Reference = reference.parse()?;
        if !*self.0.settled.borrow() {
            // What is asked for may be among the archives of the inbox: no registry is asked before they were looked at.
            let mut settled = self.0.settled.subscribe();
            // The sender lives as long as this handle: the wait cannot fail.
            let _sure = settled.wait_for(|settled| *settled).await;
            if let Some(image) = self.get(&reference.to_string())? {
                return Ok(image);
            }
        }
        let resolved = self.0.client.resolve(&reference, logins).await?;
        if resolved.layers.len() > self.0.config.limits.layers {
            return Err(Error::Registry {
                image: reference.to_string(),
                detail: format!("it has {} layers", resolved.layers.len()),
            });
        }
        let total = resolved.layers.iter().map(|layer| layer.size).sum();
        let mut done = 0;
        for (layer, diff_id) in resolved.layers.iter().zip(&resolved.entry.layers) {
            let lock = self.0.pulling(diff_id);
            let _held = lock.lock().await;
            let known = self.0.index.lock().layers.contains_key(diff_id);
            if !known {
                let file = self.0.config.store.join("downloads").join(layer.digest.replacen(':', "-", 1));
                let before = done;
                self.0
                    .client
                    .blob(&resolved, layer, &file, logins, &|came| {
                        progress(Progress { done: before + came, total })
                    })
                    .await?;
                let (inner, diff_id) = (self.0.clone(), diff_id.clone());
                blocking(move || {
                    let _busy = inner.busy.lock();
                    let from = fs::File::open(&file).map_err(disk("read", &file))?;
                    inner.unpack(&diff_id, from)?;
                    fs::remove_file(&file).map_err(disk("remove", &file))
                })
                .await?;
            }
            done += layer.size;
            progress(Progress { done, total });
        }
        let (inner, entry) = (self.0.clone(), resolved.entry);
        let id = entry.id.clone();
        blocking(move || inner.change(|index| index.put(entry))).await?;
        self.get(&id)?.ok_or(Error::NotFound { image: reference.to_string() })
    }
}

/// `repo@digest` asked for, `repo@digest` known with a tag beside it.
fn digest_of(asked: &str, name: &str) -> bool {
    match (asked.parse::<Reference>(), name.parse::<Reference>()) {
        (Ok(asked), Ok(name)) => {
            asked.digest.is_some() && asked.digest == name.digest && asked.name() == name.name()
        }
        _ => false,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Panicked)?
}

impl Inner {
    fn layer(&self, diff_id: &str) -> PathBuf {
        self.config.store.join("layers").join(diff_id.trim_start_matches("sha256:"))
    }

    /// The lock of a layer; those that nobody holds are dropped.
    fn pulling(&self, diff_id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulling = self.pulling.lock();
        pulling.retain(|_, lock| Arc::strong_count(lock) > 1);
        pulling.entry(diff_id.to_owned()).or_default().clone()
    }

    /// Changes the index and writes it; a change that cannot be written is taken back.
    fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, Error> {
        let mut index = self.index.lock();
        let result = change(&mut index);
        let path = self.config.store.join("index.json");
        if let Err(error) = index.write(&path) {
            *index = Index::read(&path)?;
            return Err(error);
        }
        Ok(result)
    }

    /// Unpacks a layer unless it is here. The caller holds `busy`.
    fn unpack(&self, diff_id: &str, from: impl std::io::Read) -> Result<(), Error> {
        if self.index.lock().layers.contains_key(diff_id) {
            return Ok(());
        }
        let place = self.layer(diff_id);
        let mut name = place.clone().into_os_string();
        name.push(".new");
        let temporary = PathBuf::from(name);
        let _left_over = fs::remove_dir_all(&temporary);
        let unpacked = layer::unpack(from, &temporary, &self.config.limits);
        let Unpacked { diff_id: found, size } = match unpacked {
            Ok(unpacked) => unpacked,
            Err(error) => {
                let _next_start = fs::remove_dir_all(&temporary);
                return Err(error);
            }
        };
        if found != diff_id {
            let _next_start = fs::remove_dir_all(&temporary);
            return Err(Error::Digest { what: "an unpacked layer".into(), wanted: diff_id.into(), found });
        }
        let _left_over = fs::remove_dir_all(&place);
        fs::rename(&temporary, &place).map_err(disk("name", &place))?;
        self.change(|index| index.layers.insert(diff_id.into(), size)).map(|_| ())
    }

    pub fn import(&self, path: &Path) -> Result<Vec<String>, Error> {
        Ok(names(&self.take(path)?))
    }

    fn take(&self, path: &Path) -> Result<Vec<Entry>, Error> {
        let _busy = self.busy.lock();
        let archive = Archive::open(path, &self.config.store, self.config.limits.archive)?;
        let mut taken = Vec::new();
        for image in archive.images()? {
            for (layer, diff_id) in image.layers.iter().zip(&image.entry.layers) {
                self.unpack(diff_id, archive.member(layer)?)?;
            }
            taken.push(image.entry.clone());
            self.change(|index| index.put(image.entry))?;
        }
        Ok(taken)
    }

    /// Imports an archive of the inbox unless this very file was imported before.
    pub fn import_once(&self, path: &Path) -> Result<Option<Vec<String>>, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = fs::metadata(path).map_err(disk("read", path))?;
        let changed = file
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_nanos() as i128);
        let mark = (file.len(), changed);
        if self.index.lock().imported.get(&name) == Some(&mark) {
            return Ok(None);
        }
        let taken = self.take(path)?;
        self.change(|index| {
            index.brought.insert(name.clone(), taken.iter().map(|entry| entry.id.clone()).collect());
            index.imported.insert(name, mark)
        })?;
        Ok(Some(names(&taken)))
    }
}

fn names(taken: &[Entry]) -> Vec<String> {
    taken.iter().flat_map(|entry| &entry.names).filter(|name| !name.contains('@')).cloned().collect()
}
