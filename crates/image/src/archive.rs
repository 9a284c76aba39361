//! Image archives: what `docker save` writes and OCI layouts in a tar, plain or compressed, one image or many.
//! OCI Image Specification, "Image Layout"; Docker Image Specification v1.2.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::codec;
use crate::index::{Configuration, Entry};
use crate::layer::Part;
use crate::reference::Reference;
use crate::{Error, disk};

/// JSON documents in an archive are read whole, up to this many bytes.
const DOCUMENT: u64 = 4 << 20;

/// An opened archive: where in the file each of its members lies.
pub(crate) struct Archive {
    path: PathBuf,
    file: File,
    /// Name to (offset, length).
    members: HashMap<String, (u64, u64)>,
    /// Links among members, as some writers make for shared layers.
    links: HashMap<String, String>,
}

/// An image of an archive: what becomes its entry, and the members that its layers are.
pub(crate) struct Found {
    pub entry: Entry,
    pub layers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An index or a manifest: the media type tells, or else what is in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    #[serde(default)]
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: HashMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Platform {
    pub architecture: String,
    pub os: String,
}

/// This machine's architecture in OCI's words.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Descriptor {
    /// Fit for this machine; a descriptor that does not say is.
    pub fn fits(&self) -> bool {
        self.platform
            .as_ref()
            .is_none_or(|platform| platform.os == "linux" && platform.architecture == architecture())
    }
}

impl Archive {
    /// Finds the members. A compressed archive is unpacked into `scratch` first. Blocks.
    pub fn open(path: &Path, scratch: &Path, limit: u64) -> Result<Archive, Error> {
        let bad = |error: std::io::Error| Error::Archive { path: path.into(), detail: error.to_string() };
        let mut file = File::open(path).map_err(disk("read", path))?;
        let mut head = [0u8; 4];
        let length = file.read(&mut head).map_err(disk("read", path))?;
        let compressed = codec::is_compressed(&head[..length]);
        let whole = Part { end: file.metadata().map_err(disk("read", path))?.len(), file: &file, at: 0 };
        if compressed {
            let mut plain = tempfile(scratch)?;
            let copied =
                std::io::copy(&mut codec::open(whole).map_err(bad)?.take(limit), &mut plain).map_err(bad)?;
            if copied == limit {
                return Err(Error::TooLarge { what: path.display().to_string(), limit });
            }
            file = plain;
        }
        let mut archive = Archive { path: path.into(), file, members: HashMap::new(), links: HashMap::new() };
        archive.scan().map_err(bad)?;
        Ok(archive)
    }

    fn scan(&mut self) -> std::io::Result<()> {
        let end = self.file.metadata()?.len();
        let mut reader = tar::Archive::new(Part { file: &self.file, at: 0, end });
        let mut count = 0;
        for entry in reader.entries()? {
            let entry = entry?;
            count += 1;
            if count > 100_000 {
                return Err(std::io::Error::other("it has more than 100000 members"));
            }
            let name = clean(&entry.path()?.to_string_lossy());
            if let Some(target) = entry.link_name()? {
                let target = target.to_string_lossy();
                // Symbolic links are relative to their folder, hard links to the archive.
                let symbolic = entry.header().entry_type().is_symlink();
                let from = name.rsplit_once('/').filter(|_| symbolic).map_or("", |(folder, _)| folder);
                let target = resolve(from, &target);
                self.links.insert(name, target);
            } else {
                self.members.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
        Ok(())
    }

    /// A member as a stream.
    pub fn member(&self, name: &str) -> Result<Part<'_>, Error> {
        let mut name = clean(name);
        for _ in 0..8 {
            if let Some((at, length)) = self.members.get(&name) {
                return Ok(Part { file: &self.file, at: *at, end: at + length });
            }
            match self.links.get(&name) {
                Some(target) => name = target.clone(),
                None => break,
            }
        }
        Err(self.bad(format!("{name} is missing in it")))
    }

    fn bad(&self, detail: impl Into<String>) -> Error {
        Error::Archive { path: self.path.clone(), detail: detail.into() }
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let part = self.member(name)?;
        if part.end - part.at > DOCUMENT {
            return Err(Error::TooLarge { what: name.into(), limit: DOCUMENT });
        }
        let mut text = Vec::new();
        std::io::copy(&mut { part }, &mut text).map_err(disk("read", &self.path))?;
        Ok(text)
    }

    /// A document named by its digest, checked against it.
    fn blob(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let text = self.document(&format!("blobs/{}", digest.replacen(':', "/", 1)))?;
        check(&format!("{digest} in {}", self.path.display()), digest, &text)?;
        Ok(text)
    }

    /// The images in it that this machine can run.
    pub fn images(&self) -> Result<Vec<Found>, Error> {
        if self.members.contains_key("manifest.json") {
            return self.docker();
        }
        if self.members.contains_key("index.json") {
            return self.layout();
        }
        Err(self.bad("it has neither a manifest.json (docker save) nor an index.json (OCI layout)"))
    }

    fn docker(&self) -> Result<Vec<Found>, Error> {
        let list: Vec<Docker> = serde_json::from_slice(&self.document("manifest.json")?)
            .map_err(|error| self.bad(format!("its manifest.json is wrong: {error}")))?;
        let mut found = Vec::new();
        for image in list {
            let config = self.document(&image.config)?;
            let id = format!("sha256:{}", hex::encode(Sha256::digest(&config)));
            let names = self.names(image.repo_tags.unwrap_or_default().iter().map(String::as_str))?;
            found.extend(self.found(id, &config, names, image.layers)?);
        }
        Ok(found)
    }

    fn layout(&self) -> Result<Vec<Found>, Error> {
        let index: Manifest = serde_json::from_slice(&self.document("index.json")?)
            .map_err(|error| self.bad(format!("its index.json is wrong: {error}")))?;
        let mut found = Vec::new();
        for descriptor in &index.manifests {
            self.descriptor(descriptor, &[], 0, &mut found)?;
        }
        Ok(found)
    }

    fn descriptor(
        &self,
        descriptor: &Descriptor,
        above: &[String],
        depth: u8,
        found: &mut Vec<Found>,
    ) -> Result<(), Error> {
        if !descriptor.fits() || depth > 3 {
            return Ok(());
        }
        let name = descriptor
            .annotations
            .get("io.containerd.image.name")
            .or_else(|| descriptor.annotations.get("org.opencontainers.image.ref.name"));
        // A bare tag, as some tools write into ref.name, names no image.
        let full = name.filter(|name| name.contains('/') || name.contains(':'));
        let mut names = self.names(full.map(String::as_str))?;
        names.extend_from_slice(above);
        let text = self.blob(&descriptor.digest)?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| self.bad(format!("{} is no manifest: {error}", descriptor.digest)))?;
        for inner in &manifest.manifests {
            self.descriptor(inner, &names, depth + 1, found)?;
        }
        let Some(config) = manifest.config.filter(|_| manifest.manifests.is_empty()) else { return Ok(()) };
        let known: Vec<String> = names
            .iter()
            .filter_map(|name| {
                Some(name.parse::<Reference>().ok()?.with_digest(&descriptor.digest).to_string())
            })
            .collect();
        names.extend(known);
        let layers = manifest
            .layers
            .iter()
            .map(|layer| format!("blobs/{}", layer.digest.replacen(':', "/", 1)))
            .collect();
        found.extend(self.found(config.digest.clone(), &self.blob(&config.digest)?, names, layers)?);
        Ok(())
    }

    fn names<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, Error> {
        tags.into_iter().map(|tag| Ok(tag.parse::<Reference>()?.to_string())).collect()
    }

    /// `None` for another architecture's image.
    fn found(
        &self,
        id: String,
        config: &[u8],
        names: Vec<String>,
        layers: Vec<String>,
    ) -> Result<Option<Found>, Error> {
        let config: Configuration = serde_json::from_slice(config)
            .map_err(|error| self.bad(format!("the config of {id} is wrong: {error}")))?;
        if (!config.os.is_empty() && config.os != "linux")
            || (!config.architecture.is_empty() && config.architecture != architecture())
        {
            tracing::info!(archive = %self.path.display(), image = ?names, config.os, config.architecture, "skipped an image of another platform");
            return Ok(None);
        }
        if config.rootfs.diff_ids.len() != layers.len() {
            return Err(self.bad(format!(
                "{id} has {} layers and {} diff ids",
                layers.len(),
                config.rootfs.diff_ids.len()
            )));
        }
        let entry =
            Entry { id, names, layers: config.rootfs.diff_ids, config: config.config.unwrap_or_default() };
        Ok(Some(Found { entry, layers }))
    }
}

/// Compares a document with the digest that names it.
pub(crate) fn check(what: &str, wanted: &str, bytes: &[u8]) -> Result<(), Error> {
    let found = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
    if found == wanted {
        return Ok(());
    }
    Err(Error::Digest { what: what.into(), wanted: wanted.into(), found })
}

fn clean(name: &str) -> String {
    name.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/').to_owned()
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A file without a name in a folder: gone with its last handle.
fn tempfile(folder: &Path) -> Result<File, Error> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(folder)
        .map_err(disk("make a file in", folder))
}
