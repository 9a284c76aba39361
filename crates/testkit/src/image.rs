//! Images from a set of files: an OCI layout or a docker-archive in one tar, or a folder with the layers unpacked.
//!
//! The bytes depend on the content only: files have no time and belong to root, so that a digest can be expected.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What a layer holds at a path without its leading slash.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Content and mode.
    File(Vec<u8>, u32),
    Folder(u32),
    Link(String),
    /// Another name of a file in the same layer.
    HardLink(String),
    /// The path of the layers below is gone (`.wh.<name>`).
    Gone,
    /// The folder hides what the layers below have in it.
    Opaque,
}

/// An image to build.
#[derive(Clone, Debug)]
pub struct Image {
    /// `name:tag` that it is imported as.
    pub reference: String,
    /// Lowest first.
    pub layers: Vec<Vec<(String, Entry)>>,
    /// The `config` member: `Entrypoint`, `Cmd`, `Env`, `User`, `WorkingDir`, …
    pub config: Value,
    /// Layers are compressed with gzip.
    pub compressed: bool,
}

/// A blob with its digest.
#[derive(Clone, Debug)]
pub struct Blob {
    pub media_type: &'static str,
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// What a registry serves for an image.
#[derive(Clone, Debug)]
pub struct Built {
    pub manifest: Blob,
    pub config: Blob,
    pub layers: Vec<Blob>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn blob(media_type: &'static str, bytes: Vec<u8>) -> Blob {
    Blob { media_type, digest: digest(&bytes), bytes }
}

impl Image {
    /// One layer with `files` (path, content, mode).
    pub fn new(reference: &str, files: &[(&str, &[u8], u32)]) -> Image {
        let entry = |(path, bytes, mode): &(&str, &[u8], u32)| {
            ((*path).to_owned(), Entry::File(bytes.to_vec(), *mode))
        };
        Image {
            reference: reference.to_owned(),
            layers: vec![files.iter().map(entry).collect()],
            config: json!({}),
            compressed: true,
        }
    }

    /// The toolbox under its commands' names in `/bin`, `/etc/passwd` with root and `app` (1000), and `/tmp`.
    pub fn toolbox(reference: &str) -> Image {
        let mut layer = vec![
            ("bin".to_owned(), Entry::Folder(0o755)),
            ("bin/toolbox".to_owned(), Entry::File(crate::TOOLBOX.to_vec(), 0o755)),
            ("etc".to_owned(), Entry::Folder(0o755)),
            ("etc/passwd".to_owned(), Entry::File(PASSWD.into(), 0o644)),
            ("etc/group".to_owned(), Entry::File(GROUP.into(), 0o644)),
            ("tmp".to_owned(), Entry::Folder(0o1777)),
        ];
        for name in [
            "true", "false", "echo", "sleep", "pause", "cat", "ls", "env", "hostname", "id", "run", "serve",
            "tar", "test",
        ] {
            layer.push((format!("bin/{name}"), Entry::Link("toolbox".into())));
        }
        Image {
            reference: reference.to_owned(),
            layers: vec![layer],
            config: json!({"Entrypoint": ["/bin/toolbox"], "Cmd": ["pause"], "Env": ["PATH=/bin"]}),
            compressed: true,
        }
    }

    /// The blobs, as a registry has them.
    pub fn build(&self) -> io::Result<Built> {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in &self.layers {
            let bytes = tar_of(layer)?;
            diff_ids.push(digest(&bytes));
            layers.push(if self.compressed {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&bytes)?;
                blob("application/vnd.oci.image.layer.v1.tar+gzip", encoder.finish()?)
            } else {
                blob("application/vnd.oci.image.layer.v1.tar", bytes)
            });
        }
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = blob("application/vnd.oci.image.config.v1+json", serde_json::to_vec(&config)?);
        let describe = |blob: &Blob| json!({"mediaType": blob.media_type, "digest": blob.digest, "size": blob.bytes.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe(&config), "layers": layers.iter().map(describe).collect::<Vec<_>>(),
        });
        let manifest = blob("application/vnd.oci.image.manifest.v1+json", serde_json::to_vec(&manifest)?);
        Ok(Built { manifest, config, layers })
    }

    /// An OCI layout in a tar.
    pub fn oci_archive(&self) -> io::Result<Vec<u8>> {
        let built = self.build()?;
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": built.manifest.media_type, "digest": built.manifest.digest, "size": built.manifest.bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": self.reference, "io.containerd.image.name": self.reference},
        }]});
        let mut files = vec![
            ("oci-layout".to_owned(), Entry::File(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(), 0o644)),
            ("index.json".to_owned(), Entry::File(serde_json::to_vec(&index)?, 0o644)),
        ];
        for blob in [&built.manifest, &built.config].into_iter().chain(&built.layers) {
            let name = format!("blobs/{}", blob.digest.replace(':', "/"));
            files.push((name, Entry::File(blob.bytes.clone(), 0o644)));
        }
        tar_of(&files)
    }

    /// What `docker save` writes.
    pub fn docker_archive(&self) -> io::Result<Vec<u8>> {
        let built = Image { compressed: false, ..self.clone() }.build()?;
        let name = |blob: &Blob| blob.digest.trim_start_matches("sha256:").to_owned();
        let config = format!("{}.json", name(&built.config));
        let layers: Vec<_> = built.layers.iter().map(|layer| format!("{}/layer.tar", name(layer))).collect();
        let manifest = json!([{"Config": config, "RepoTags": [self.reference], "Layers": layers}]);
        let mut files = vec![(config, Entry::File(built.config.bytes.clone(), 0o644))];
        for (path, layer) in layers.into_iter().zip(&built.layers) {
            files.push((path, Entry::File(layer.bytes.clone(), 0o644)));
        }
        files.push(("manifest.json".into(), Entry::File(serde_json::to_vec(&manifest)?, 0o644)));
        tar_of(&files)
    }

    /// Writes the OCI archive to a file whose name appears only when it is whole.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("part");
        std::fs::write(&temporary, self.oci_archive()?)?;
        std::fs::rename(temporary, path)
    }
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/toolbox\napp:x:1000:1000:app:/home/app:/bin/toolbox\n";
const GROUP: &str = "root:x:0:\napp:x:1000:\nextra:x:2000:app\n";

/// A tar of `entries`; names that say nothing of their parents get them made by whoever unpacks.
pub fn tar_of(entries: &[(String, Entry)]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, entry) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mode(0o644);
        match entry {
            Entry::File(bytes, mode) => {
                header.set_mode(*mode);
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, path, &bytes[..])?;
            }
            Entry::Folder(mode) => {
                header.set_mode(*mode);
                header.set_entry_type(tar::EntryType::Directory);
                tar.append_data(&mut header, path, io::empty())?;
            }
            Entry::Link(target) => {
                header.set_mode(0o777);
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, path, target)?;
            }
            Entry::HardLink(target) => {
                header.set_entry_type(tar::EntryType::Link);
                tar.append_link(&mut header, path, target)?;
            }
            Entry::Gone => {
                let (folder, name) =
                    path.rsplit_once('/').map_or(("", path.as_str()), |(folder, name)| (folder, name));
                let marker = format!("{folder}/.wh.{name}");
                tar.append_data(&mut header, marker.trim_start_matches('/'), io::empty())?;
            }
            Entry::Opaque => tar.append_data(&mut header, format!("{path}/.wh..wh..opq"), io::empty())?,
        }
    }
    tar.into_inner()
}
