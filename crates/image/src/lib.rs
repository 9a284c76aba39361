//! The images on this node: imported from tars or pulled from registries, verified by digest, unpacked into layers.
//!
//! Invariant: what [`Images::get`] gives is whole. A layer is unpacked beside its place, flushed and renamed, and the index
//! is replaced after all its layers are there, so a power cut leaves either the image or nothing of it that counts.
//! Overlay mounts over the layers are `runtime`'s; which images may go is `kubelet`'s to say.

mod archive;
mod codec;
mod images;
mod inbox;
mod index;
mod layer;
pub mod reference;
pub mod registries;
mod registry;

pub use images::{Config, Images, Limits, Login, Progress};
pub use index::Image;
pub use reference::Reference;
pub use registries::Registries;

use std::path::PathBuf;

/// What went wrong, in words that fit `containerStatuses[].state.waiting.message`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("couldn't parse image name {name:?}: {hint}")]
    InvalidName { name: String, hint: &'static str },
    /// The registry has no such repository, tag or digest.
    #[error("failed to resolve image {image:?}: not found")]
    NotFound { image: String },
    #[error("failed to pull image {image:?}: {registry} refused the credentials ({detail})")]
    Unauthorized { image: String, registry: String, detail: String },
    /// Nobody answers where the registry should be.
    #[error(
        "failed to pull image {image:?}: {detail}; without a way to a registry, put a tar of the image into {}",
        inbox.display()
    )]
    Unreachable { image: String, detail: String, inbox: PathBuf },
    /// The registry answered something else than it should.
    #[error("failed to pull image {image:?}: {detail}")]
    Registry { image: String, detail: String },
    #[error("failed to pull image {image:?}: none of its variants is for linux/{arch}")]
    Platform { image: String, arch: &'static str },
    #[error("{what} has digest {found}, not {wanted}: it was damaged on the way or changed by somebody")]
    Digest { what: String, wanted: String, found: String },
    #[error("{path} is no image archive: {detail}")]
    Archive { path: PathBuf, detail: String },
    #[error("layer {layer} cannot be unpacked: {detail}")]
    Layer { layer: String, detail: String },
    #[error("{what} is larger than {limit} bytes, the limit")]
    TooLarge { what: String, limit: u64 },
    #[error("registries file {path}: {detail}")]
    Registries { path: PathBuf, detail: String },
    #[error("cannot {operation} {path}")]
    Disk { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the image store's worker panicked")]
    Panicked,
}

/// Makes a [`Error::Disk`] of an I/O error.
pub(crate) fn disk(
    operation: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Disk { operation, path, source }
}
