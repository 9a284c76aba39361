//! Where skiff keeps things. Every path that skiff makes is named here or carries the name `skiff`, so that
//! `skiff uninstall` can find it.

use std::path::{Path, PathBuf};

/// The places under one data directory (default `/var/lib/skiff`).
#[derive(Clone, Debug)]
pub struct Paths {
    data: PathBuf,
    run: PathBuf,
}

impl Paths {
    /// `data` outlives a reboot (state, images, pods); `run` does not need to (sockets, network namespaces).
    pub fn new(data: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Paths {
        Paths { data: data.into(), run: run.into() }
    }

    pub fn data(&self) -> &Path {
        &self.data
    }
    pub fn run(&self) -> &Path {
        &self.run
    }
    /// The server's database.
    pub fn database(&self) -> PathBuf {
        self.data.join("server/state.db")
    }
    /// CA, certificates and keys; mode 0700.
    pub fn tls(&self) -> PathBuf {
        self.data.join("server/tls")
    }
    /// Image tars that a person or a package drops here are imported when they appear.
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }
    /// Unpacked layers and the image index.
    pub fn image_store(&self) -> PathBuf {
        self.data.join("node/images")
    }
    /// One folder a pod uid: volumes, containers, shim state.
    pub fn pods(&self) -> PathBuf {
        self.data.join("node/pods")
    }
    /// Sources and last good artifacts of the fleet engine.
    pub fn fleet(&self) -> PathBuf {
        self.data.join("fleet")
    }
}
