//! A pod's volumes: one file a kind, one line each in [`ALL`].
//!
//! Setting up is idempotent and also the update: what changed in the API is written again, atomically. Tearing down
//! needs no spec: it unmounts everything below the pod's folder and deletes it.

mod atomic;
mod config_map;
mod downward_api;
mod empty_dir;
mod host_path;
mod image;
mod ownership;
mod projected;
mod secret;
mod teardown;
pub mod token;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{KeyToPath, Pod, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

pub use teardown::{mounts_below, remove, tear_down};

use crate::images::Images;
use crate::pod::spec;
use crate::sources::Sources;

/// One kind of volume.
pub struct Plugin {
    /// Folder name under `volumes/`, as upstream's.
    pub folder: &'static str,
    pub is: fn(&Volume) -> bool,
    pub set_up: for<'a> fn(Context<'a>) -> BoxFuture<'a, Result<SetUp, Error>>,
}

/// Every kind that there is.
pub static ALL: [&Plugin; 7] = [
    &config_map::PLUGIN,
    &secret::PLUGIN,
    &projected::PLUGIN,
    &downward_api::PLUGIN,
    &empty_dir::PLUGIN,
    &host_path::PLUGIN,
    &image::PLUGIN,
];

/// What a plugin works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub pod: &'a Pod,
    pub volume: &'a Volume,
    pub sources: &'a dyn Sources,
    pub tokens: &'a token::Tokens,
    pub images: &'a dyn Images,
    pub path: &'a Path,
    pub host_ips: &'a [IpAddr],
    pub pod_ips: &'a [IpAddr],
    pub allocatable: &'a BTreeMap<String, Quantity>,
    pub now: Timestamp,
}

/// How a set-up went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetUp {
    /// When it wants to be done again: a token grows old.
    pub again: Option<Timestamp>,
}

/// The texts follow upstream's; they end up in FailedMount events.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{kind} {name:?} not found")]
    NotFound { kind: &'static str, name: String },
    #[error("references non-existent {what} key: {key}")]
    NoKey { what: &'static str, key: String },
    #[error("invalid path {0:?}: it may not be absolute, nor hold '..'")]
    BadPath(String),
    #[error("hostPath type check failed: {path} {problem}")]
    HostPath { path: PathBuf, problem: &'static str },
    #[error(transparent)]
    Field(#[from] crate::container::field::Error),
    #[error("{reason}: {message}")]
    Image { reason: &'static str, message: String },
    #[error("failed to fetch token: {0}")]
    Token(String),
    #[error("cannot {operation} {path}")]
    Io { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "no plugin of this kubelet can provide the volume; it knows configMap, secret, projected, downwardAPI, emptyDir, hostPath and image"
    )]
    Unsupported,
}

/// Where things of one pod are on disk.
#[derive(Clone, Debug)]
pub struct Places(PathBuf);

impl Places {
    pub fn new(paths: &base::paths::Paths, uid: &str) -> Places {
        Places(paths.pods().join(uid))
    }
    pub fn pod(&self) -> &Path {
        &self.0
    }
    pub fn volumes(&self) -> PathBuf {
        self.0.join("volumes")
    }
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }
    pub fn container(&self, name: &str) -> PathBuf {
        self.0.join("containers").join(name)
    }
    pub fn termination_log(&self, name: &str, attempt: u32) -> PathBuf {
        self.container(name).join(format!("termination-{attempt}"))
    }
}

fn plugin(volume: &Volume) -> Option<&'static Plugin> {
    ALL.into_iter().find(|plugin| (plugin.is)(volume))
}

/// Where a volume is on this node; `None` for a kind that nobody provides.
pub fn path(places: &Places, volume: &Volume) -> Option<PathBuf> {
    if let Some(host) = &volume.host_path {
        return Some(PathBuf::from(&host.path));
    }
    let plugin = plugin(volume)?;
    Some(places.volumes().join(plugin.folder).join(&volume.name))
}

/// Kinds that hold what the API says are read-only for containers.
pub fn is_read_only(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.image.is_some()
}

/// What all volumes of a pod are set up with.
pub struct Site<'a> {
    pub sources: &'a dyn Sources,
    pub tokens: &'a token::Tokens,
    pub images: &'a dyn Images,
    pub places: &'a Places,
    pub host_ips: &'a [IpAddr],
    pub pod_ips: &'a [IpAddr],
    pub allocatable: &'a BTreeMap<String, Quantity>,
    pub now: Timestamp,
}

/// Sets up every volume of a pod. The error names the volume: `MountVolume.SetUp failed for volume "x" : …`.
pub async fn set_up(pod: &Pod, site: &Site<'_>) -> Result<SetUp, String> {
    let pod_spec = spec::spec(pod);
    let mut all = SetUp::default();
    for volume in pod_spec.volumes.iter().flatten() {
        let fail = |error: Error| {
            format!("MountVolume.SetUp failed for volume {:?} : {}", volume.name, base::chain(&error))
        };
        let plugin = plugin(volume).ok_or_else(|| fail(Error::Unsupported))?;
        let path = path(site.places, volume).ok_or_else(|| fail(Error::Unsupported))?;
        let context = Context {
            pod,
            volume,
            sources: site.sources,
            tokens: site.tokens,
            images: site.images,
            path: &path,
            host_ips: site.host_ips,
            pod_ips: site.pod_ips,
            allocatable: site.allocatable,
            now: site.now,
        };
        let done = (plugin.set_up)(context).await.map_err(fail)?;
        all.again = match (all.again, done.again) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    Ok(all)
}

/// Objects that a pod's volumes and variables name: (kind, name).
pub fn references(pod: &Pod) -> Vec<(&'static str, String)> {
    let pod_spec = spec::spec(pod);
    let mut found = Vec::new();
    for volume in pod_spec.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map {
            found.push(("ConfigMap", source.name.clone()));
        }
        if let Some(name) = volume.secret.as_ref().and_then(|source| source.secret_name.clone()) {
            found.push(("Secret", name));
        }
        for part in volume.projected.iter().flat_map(|source| source.sources.iter().flatten()) {
            found.extend(part.config_map.iter().map(|source| ("ConfigMap", source.name.clone())));
            found.extend(part.secret.iter().map(|source| ("Secret", source.name.clone())));
        }
    }
    for entry in spec::containers(pod) {
        for from in entry.container.env_from.iter().flatten() {
            found.extend(from.config_map_ref.iter().map(|source| ("ConfigMap", source.name.clone())));
            found.extend(from.secret_ref.iter().map(|source| ("Secret", source.name.clone())));
        }
        for from in entry.container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            found.extend(from.config_map_key_ref.iter().map(|source| ("ConfigMap", source.name.clone())));
            found.extend(from.secret_key_ref.iter().map(|source| ("Secret", source.name.clone())));
        }
    }
    found.extend(pod_spec.image_pull_secrets.iter().flatten().map(|source| ("Secret", source.name.clone())));
    found.sort();
    found.dedup();
    found
}

/// The files of a volume that is written from the API.
pub(crate) type Payload = BTreeMap<String, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub bytes: Vec<u8>,
    pub mode: u32,
}

/// Chooses and renames keys by `items`, with their modes. Without items all keys are files.
pub(crate) fn project<'a>(
    what: &'static str,
    data: &BTreeMap<&'a str, &'a [u8]>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<Payload, Error> {
    let bits = |mode: i32| u32::try_from(mode).unwrap_or(0o644) & 0o7777;
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let all = data
            .iter()
            .map(|(key, bytes)| (key.to_string(), File { bytes: bytes.to_vec(), mode: bits(mode) }));
        return Ok(all.collect());
    };
    let mut payload = Payload::new();
    for item in items {
        let Some(bytes) = data.get(item.key.as_str()) else {
            if optional {
                continue;
            }
            return Err(Error::NoKey { what, key: item.key.clone() });
        };
        let path = checked(&item.path)?;
        payload.insert(path, File { bytes: bytes.to_vec(), mode: bits(item.mode.unwrap_or(mode)) });
    }
    Ok(payload)
}

/// A relative path without steps back.
pub(crate) fn checked(path: &str) -> Result<String, Error> {
    let bad = path.is_empty()
        || path.starts_with('/')
        || path.starts_with("..")
        || Path::new(path).components().any(|part| !matches!(part, std::path::Component::Normal(_)));
    if bad { Err(Error::BadPath(path.to_owned())) } else { Ok(path.to_owned()) }
}

/// Writes a payload and gives it to the pod's fsGroup.
pub(crate) fn write(context: &Context, payload: &Payload) -> Result<(), Error> {
    atomic::write(context.path, payload, context.now)?;
    ownership::apply(context.pod, context.path, ownership::Access::ReadOnly)
}

#[cfg(test)]
mod tests;
