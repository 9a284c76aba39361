//! The mounts of a container: its volumes with sub-paths, the files of [`super::files`], the termination log.
//!
//! Invariant: a sub-path never leaves its volume, whatever symbolic links lie in it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use runtime::{Mount, Propagation};

use super::env::Env;
use super::expand::expand;
use crate::pod::spec;
use crate::volumes::{self, Places};

/// Shown with `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    NoVolume { volume: String, container: String },
    #[error("error SubPath `{0}` must not be an absolute path")]
    Absolute(String),
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    Backsteps(String),
    #[error("failed to create subPath directory for volumeMount {mount:?} of container {container:?}")]
    Create { mount: String, container: String, source: std::io::Error },
    #[error("failed to prepare subPath for volumeMount {mount:?} of container {container:?}")]
    Prepare { mount: String, container: String },
    #[error("missing value for environment variables in subPathExpr {0:?}")]
    Expression(String),
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: std::io::Error },
}

/// Mounts of `volumeMounts`, in their order.
pub fn volumes(pod: &Pod, container: &Container, env: &Env, places: &Places) -> Result<Vec<Mount>, Error> {
    let pod_spec = spec::spec(pod);
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let missing = || Error::NoVolume { volume: mount.name.clone(), container: container.name.clone() };
        let volume =
            pod_spec.volumes.iter().flatten().find(|volume| volume.name == mount.name).ok_or_else(missing)?;
        let root = volumes::path(places, volume).ok_or_else(missing)?;
        let sub = sub_path(mount, env)?;
        let source = match sub.as_str() {
            "" => root,
            sub => inside(&root, sub, mount, container)?,
        };
        let target = match mount.mount_path.starts_with('/') {
            true => PathBuf::from(&mount.mount_path),
            false => Path::new("/").join(&mount.mount_path),
        };
        mounts.push(Mount {
            source,
            target,
            read_only: mount.read_only == Some(true) || volumes::is_read_only(volume),
            propagation: match mount.mount_propagation.as_deref() {
                Some("HostToContainer") => Propagation::HostToContainer,
                Some("Bidirectional") => Propagation::Bidirectional,
                _ => Propagation::None,
            },
        });
    }
    Ok(mounts)
}

fn sub_path(mount: &VolumeMount, env: &Env) -> Result<String, Error> {
    let sub = match mount.sub_path_expr.as_deref().filter(|expression| !expression.is_empty()) {
        Some(expression) => {
            let missing = std::cell::Cell::new(false);
            let sub = expand(expression, |name| {
                let value = env.get(name);
                missing.set(missing.get() || value.is_none());
                value
            });
            if missing.get() {
                return Err(Error::Expression(expression.to_owned()));
            }
            sub
        }
        None => mount.sub_path.clone().unwrap_or_default(),
    };
    if sub.starts_with('/') {
        return Err(Error::Absolute(sub));
    }
    if Path::new(&sub).components().any(|part| part == Component::ParentDir) {
        return Err(Error::Backsteps(sub));
    }
    Ok(sub)
}

/// The real path of `sub` in `root`, made as a folder if it is not there.
fn inside(root: &Path, sub: &str, mount: &VolumeMount, container: &Container) -> Result<PathBuf, Error> {
    let refused = || Error::Prepare { mount: mount.name.clone(), container: container.name.clone() };
    let root = root.canonicalize().map_err(|_| refused())?;
    let wanted = root.join(sub);
    if !wanted.exists() {
        make(&root, sub).map_err(|source| Error::Create {
            mount: mount.name.clone(),
            container: container.name.clone(),
            source,
        })?;
    }
    let real = wanted.canonicalize().map_err(|_| refused())?;
    if real.starts_with(&root) { Ok(real) } else { Err(refused()) }
}

/// Makes the missing folders one by one, with the volume's own mode and owner, refusing links that lead out.
fn make(root: &Path, sub: &str) -> std::io::Result<()> {
    let like = root.metadata()?;
    let mut at = root.to_path_buf();
    for part in Path::new(sub).components() {
        at.push(part);
        match at.canonicalize() {
            Ok(real) if real.starts_with(root) => at = real,
            Ok(_) => return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)),
            Err(_) => {
                std::fs::create_dir(&at)?;
                std::fs::set_permissions(&at, std::fs::Permissions::from_mode(like.mode() & 0o7777))?;
                // Owner and group follow the volume, so that fsGroup reaches what is made here; without privilege they are ours.
                let _unprivileged = std::os::unix::fs::chown(&at, Some(like.uid()), Some(like.gid()));
            }
        }
    }
    Ok(())
}

/// What every container of a pod gets besides its volumes.
pub struct Files<'a> {
    pub hosts: &'a str,
    pub resolver: &'a str,
    pub hostname: &'a str,
}

/// Writes the files into the pod's folder and adds their mounts, but for those whose place a volume takes.
pub fn files(
    places: &Places,
    container: &Container,
    attempt: u32,
    files: &Files,
    mounts: &mut Vec<Mount>,
) -> Result<(), Error> {
    let folder = places.pod();
    for (name, target, text) in [
        ("etc-hosts", "/etc/hosts", files.hosts),
        ("resolv.conf", "/etc/resolv.conf", files.resolver),
        ("hostname", "/etc/hostname", files.hostname),
    ] {
        if mounts.iter().any(|mount| mount.target == Path::new(target)) {
            continue;
        }
        let path = folder.join(name);
        // Written in place: containers that run already have this very file mounted.
        if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
            write(&path, text.as_bytes(), 0o644)?;
        }
        mounts.push(Mount {
            source: path,
            target: target.into(),
            read_only: false,
            propagation: Propagation::None,
        });
    }
    let target = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    let log = places.termination_log(&container.name, attempt);
    // Anyone in the container may write its last words.
    write(&log, b"", 0o666)?;
    mounts.push(Mount {
        source: log,
        target: target.unwrap_or("/dev/termination-log").into(),
        read_only: false,
        propagation: Propagation::None,
    });
    Ok(())
}

/// Writes a file whole, its folders too.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let run = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, bytes)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    run().map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_paths_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("volume");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.join("in")).unwrap();
        let (mount, container) = (VolumeMount::default(), Container::default());
        let real = root.canonicalize().unwrap();
        for (sub, expected) in [
            ("new/deep", Some("new/deep")),
            ("in/x", Some("real/x")),
            ("out", None),
            ("out/new-folder-of-a-test", None),
        ] {
            let found = inside(&root, sub, &mount, &container).ok();
            assert_eq!(found, expected.map(|path| real.join(path)), "{sub}");
        }
        assert!(!Path::new("/etc/new-folder-of-a-test").exists());
        let mut env = Env::default();
        env.set("POD", "web-0");
        let with = |expression: &str| VolumeMount {
            sub_path_expr: Some(expression.into()),
            ..VolumeMount::default()
        };
        assert_eq!(sub_path(&with("logs/$(POD)"), &env).unwrap(), "logs/web-0");
        assert!(sub_path(&with("$(NO)"), &env).is_err());
        assert!(sub_path(&with("../x"), &env).is_err());
    }
}
