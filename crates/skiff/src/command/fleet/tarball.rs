//! An image of one program as a tar that `docker load`, `podman load`, `ctr images import` and skiff's own folder of
//! images take: an OCI layout with Docker's manifest beside it. The same program gives the same bytes.

use std::io::{Error, Result, Write};

use serde_json::json;
use sha2::{Digest, Sha256};

/// The image's usual name.
pub const NAME: &str = concat!("skiff:", env!("CARGO_PKG_VERSION"));
const PROGRAM: &str = "skiff";

/// Whether an ELF program asks for an interpreter: it then is not static.
pub fn needs_libraries(program: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let word =
        |at: usize| program.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let half =
        |at: usize| program.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
    let kind =
        |at: usize| program.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    // elf(5), 64 bit: e_phoff, e_phentsize, e_phnum.
    let (Some(start), Some(size), Some(count)) = (word(32), half(54), half(56)) else { return false };
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    (0..usize::from(count)).any(|index| {
        let at = start.saturating_add(index * usize::from(size));
        kind(at) == Some(INTERPRETER)
    })
}

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Blob {
        Blob { digest: hex::encode(Sha256::digest(&bytes)), bytes }
    }
    fn json(value: &serde_json::Value) -> Blob {
        Blob::new(serde_json::to_vec(value).expect("because it is plain data"))
    }
    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
    fn descriptor(&self, media: &str) -> serde_json::Value {
        json!({"mediaType": media, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

fn add(tar: &mut tar::Builder<impl Write>, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    // Fields that are left out are no numbers, and skiff's own importer refuses them.
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, path, bytes)
}

/// Writes the image `name` whose entry point is `program`.
pub fn write(name: &str, program: &[u8], out: impl Write) -> Result<()> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => return Err(Error::other(format!("no image is known for the architecture {other}"))),
    };
    let mut layer = tar::Builder::new(Vec::new());
    add(&mut layer, PROGRAM, 0o755, program)?;
    let layer = Blob::new(layer.into_inner()?);
    let config = Blob::json(&json!({
        "architecture": architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": [format!("/{PROGRAM}")], "WorkingDir": "/", "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "skiff fleet agent image"}],
    }));
    let manifest = Blob::json(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
    }));
    // A name without a host is Docker's, as everywhere.
    let first = name.split('/').next().unwrap_or_default();
    let has_host = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let whole = match name {
        name if has_host => name.to_string(),
        name if name.contains('/') => format!("docker.io/{name}"),
        name => format!("docker.io/library/{name}"),
    };
    let tag = whole.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_string();
    let mut described = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
    described["annotations"] =
        json!({"io.containerd.image.name": whole, "org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [described]});
    let docker = json!([{"Config": config.path(), "RepoTags": [name], "Layers": [layer.path()]}]);
    let mut tar = tar::Builder::new(out);
    add(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
    add(&mut tar, "manifest.json", 0o644, docker.to_string().as_bytes())?;
    for blob in [&manifest, &config, &layer] {
        add(&mut tar, &blob.path(), 0o644, &blob.bytes)?;
    }
    tar.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    #[test]
    fn every_blob_is_named_for_what_it_holds_and_found_by_both_manifests() {
        let mut out = Vec::new();
        write("skiff:1", b"program", &mut out).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(out.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(path, bytes);
        }
        for (path, bytes) in &files {
            if let Some(digest) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest, hex::encode(Sha256::digest(bytes)));
            }
        }
        let read = |path: &str| -> serde_json::Value { serde_json::from_slice(&files[path]).unwrap() };
        let blob = |digest: &serde_json::Value| digest.as_str().unwrap().replace(':', "/");
        let index = read("index.json");
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "docker.io/library/skiff:1"
        );
        let manifest = read(&format!("blobs/{}", blob(&index["manifests"][0]["digest"])));
        let docker = read("manifest.json");
        assert_eq!(docker[0]["Config"], format!("blobs/{}", blob(&manifest["config"]["digest"])));
        let config = read(docker[0]["Config"].as_str().unwrap());
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(docker[0]["Layers"][0], format!("blobs/{}", blob(&manifest["layers"][0]["digest"])));
    }

    #[test]
    fn this_test_itself_tells_whether_it_is_static() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(needs_libraries(&own), !cfg!(target_feature = "crt-static"));
        assert!(!needs_libraries(b"#!/bin/sh"));
    }
}
