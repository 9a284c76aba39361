//! Links to the logs of pods where log collectors look: `/var/log/pods/<namespace>_<name>_<uid>`, as upstream names folders.
//!
//! They are a courtesy: one that cannot be made is told in the log and holds no pod back. Only links into the folder of
//! this kubelet's pods are ever removed.

use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::pod::spec;

/// Makes the link of a pod unless it is there.
pub fn make(folder: &Path, pod: &Pod, logs: &Path) {
    let name = format!("{}_{}_{}", spec::namespace(pod), spec::name(pod), spec::uid(pod));
    let made =
        std::fs::create_dir_all(folder).and_then(|()| std::os::unix::fs::symlink(logs, folder.join(name)));
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            tracing::warn!(folder = %folder.display(), %error, "cannot link the logs of a pod for collectors");
        }
        _ => {}
    }
}

/// Removes links into `pods` for which `gone` says so of the pod's uid.
pub fn remove(folder: &Path, pods: &Path, gone: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if uid(&target, pods).is_some_and(|uid| gone(&uid)) {
            let _gone_meanwhile = std::fs::remove_file(entry.path());
        }
    }
}

/// The pod that a link of ours is of: its target is `<pods>/<uid>/logs`.
fn uid(target: &Path, pods: &Path) -> Option<String> {
    let below: PathBuf = target.strip_prefix(pods).ok()?.into();
    Some(below.components().next()?.as_os_str().to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_come_and_go_with_their_pods() {
        let folder = tempfile::tempdir().unwrap();
        let (links, pods) = (folder.path().join("log/pods"), folder.path().join("pods"));
        let pod: Pod = serde_json::from_value(serde_json::json!(
            {"metadata": {"namespace": "shop", "name": "web", "uid": "u1"}}
        ))
        .unwrap();
        let logs = pods.join("u1/logs");
        make(&links, &pod, &logs);
        make(&links, &pod, &logs);
        assert_eq!(std::fs::read_link(links.join("shop_web_u1")).unwrap(), logs);
        std::os::unix::fs::symlink("/elsewhere/u1/logs", links.join("other")).unwrap();
        remove(&links, &pods, |uid| uid != "u1");
        assert!(links.join("shop_web_u1").is_symlink());
        remove(&links, &pods, |uid| uid == "u1");
        assert!(!links.join("shop_web_u1").is_symlink());
        assert!(links.join("other").is_symlink(), "not ours");
    }
}
