//! What the daemon knows of its pods, and how it learns it: from disk when it starts, from shims while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use shim::protocol::{Phase, Status};
use tokio::sync::watch;

use super::client::{Client, Events};
use super::state::{self, ContainerFile, Folder, SandboxFile};
use super::{Linux, blocking, plan};
use crate::{ContainerSpec, ContainerStatus, Error, SandboxStatus, State};

pub(super) struct Pod {
    pub(super) folder: Folder,
    pub(super) file: SandboxFile,
    /// `None` when the shim has ended.
    pub(super) client: Option<Arc<Client>>,
    pub(super) shim_pid: Option<i32>,
    pub(super) containers: BTreeMap<String, Container>,
    /// Counts changes, for those who wait for one.
    pub(super) changed: watch::Sender<u64>,
}

pub(super) struct Container {
    pub(super) spec: Arc<ContainerSpec>,
    pub(super) created: Timestamp,
    pub(super) status: Status,
}

/// What the exit code of a container is called whose end nobody saw, as in containerd.
const UNKNOWN_EXIT: i32 = 255;

fn timestamp(nanoseconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_nanosecond(i128::from(nanoseconds?)).ok()
}

impl Pod {
    pub(super) fn new(folder: Folder, file: SandboxFile) -> Pod {
        let (changed, _) = watch::channel(0);
        Pod { folder, file, client: None, shim_pid: None, containers: BTreeMap::new(), changed }
    }

    pub(super) fn status(&self) -> SandboxStatus {
        SandboxStatus {
            spec: self.file.spec.clone(),
            ready: self.client.is_some() && !self.file.stopped,
            created: self.file.created,
            shim_pid: self.shim_pid,
            containers: self
                .containers
                .values()
                .map(|container| container.status(&self.file.spec.uid))
                .collect(),
        }
    }
}

impl Container {
    pub(super) fn status(&self, sandbox: &str) -> ContainerStatus {
        let (spec, status) = (&self.spec, &self.status);
        let (state, reason, message) = match (status.phase, &status.start_error, status.exit_code) {
            (Phase::Created, ..) => (State::Created, "", String::new()),
            (Phase::Running, ..) => (State::Running, "", status.warnings.join("; ")),
            (_, Some(text), _) => {
                (State::Exited, "StartError", format!("unable to start container process: {text}"))
            }
            _ if status.oom => (State::Exited, "OOMKilled", String::new()),
            (_, _, Some(0)) => (State::Exited, "Completed", String::new()),
            (_, _, Some(_)) => (State::Exited, "Error", String::new()),
            (_, _, None) => (
                State::Exited,
                "Unknown",
                "its end was not seen: the node or its shim ended before it".into(),
            ),
        };
        let exit_code = if status.start_error.is_some() { Some(128) } else { status.exit_code };
        let ended = state == State::Exited;
        ContainerStatus {
            id: spec.id.clone(),
            sandbox: sandbox.to_owned(),
            name: spec.name.clone(),
            attempt: spec.attempt,
            image: spec.image.clone(),
            image_id: spec.image_id.clone(),
            state,
            pid: status.pid,
            created: self.created,
            started: timestamp(status.started),
            finished: timestamp(status.finished),
            exit_code: if ended { exit_code.or(Some(UNKNOWN_EXIT)) } else { None },
            reason: reason.to_owned(),
            message,
            resources: Some(spec.resources.clone()),
            log_path: spec.log_path.clone(),
            labels: spec.labels.clone(),
            annotations: spec.annotations.clone(),
        }
    }
}

impl Linux {
    /// Runs `work` on a pod that is known.
    pub(super) fn with_pod<T>(&self, uid: &str, work: impl FnOnce(&mut Pod) -> T) -> Result<T, Error> {
        let mut pods = self.pods.lock();
        pods.get_mut(uid).map(work).ok_or_else(|| Error::NotFound { what: "sandbox", id: uid.to_owned() })
    }

    /// Runs `work` on a container that is known, and its pod's uid.
    pub(super) fn with_container<T>(
        &self,
        id: &str,
        work: impl FnOnce(&str, &mut Container) -> T,
    ) -> Result<T, Error> {
        let mut pods = self.pods.lock();
        let found = pods
            .iter_mut()
            .find_map(|(uid, pod)| pod.containers.get_mut(id).map(|container| (uid, container)));
        let (uid, container) =
            found.ok_or_else(|| Error::NotFound { what: "container", id: id.to_owned() })?;
        Ok(work(uid, container))
    }

    /// Takes over what a daemon before this one has left.
    pub(super) async fn adopt(&self) -> Result<(), Error> {
        let root = self.config.root.clone();
        let found = blocking("read the state of", move || Ok(read_all(&root))).await?;
        let boot = state::boot();
        let mut lost = Vec::new();
        for mut pod in found {
            let uid = pod.file.spec.uid.clone();
            let mut events = None;
            if pod.file.boot == boot
                && !pod.file.stopped
                && let Ok((client, receiver)) = Client::connect(&self.config.run.join("shims"), &uid).await
                && let Ok((pid, statuses)) = client.hello().await
            {
                for status in statuses {
                    if let Some(container) = pod.containers.get_mut(&status.id) {
                        container.status = status;
                    }
                }
                pod.shim_pid = Some(pid);
                pod.client = Some(Arc::new(client));
                events = Some(receiver);
            }
            tracing::info!(pod = %uid, name = %pod.file.spec.name, taken_over = events.is_some(), "found a pod");
            self.pods.lock().insert(uid.clone(), pod);
            match events {
                Some(events) => self.follow(uid, events),
                None => lost.push(uid),
            }
        }
        for uid in lost {
            self.settle(&uid).await;
        }
        Ok(())
    }

    /// Applies what the shim of `uid` says until it ends, then settles what is left.
    pub(super) fn follow(&self, uid: String, mut events: Events) {
        let me = self.me.clone();
        let _detached = base::spawn("shim events", async move {
            while let Some(status) = events.recv().await {
                let Some(linux) = me.upgrade() else { return };
                linux.apply(&uid, status);
            }
            if let Some(linux) = me.upgrade() {
                linux.settle(&uid).await;
            }
        });
    }

    pub(super) fn apply(&self, uid: &str, status: Status) {
        let id = status.id.clone();
        let known = self.with_pod(uid, |pod| {
            let container = pod.containers.get_mut(&id)?;
            container.status = status;
            pod.changed.send_modify(|count| *count += 1);
            Some(())
        });
        if let Ok(Some(())) = known {
            self.tell(uid, Some(&id));
        }
    }

    /// The shim is gone: nothing of the pod runs on, and what it wrote before tells how its containers ended.
    async fn settle(&self, uid: &str) {
        let Ok((folder, cgroup, ids)) = self.with_pod(uid, |pod| {
            let ids: Vec<_> = pod.containers.keys().cloned().collect();
            (pod.folder.clone(), plan::pod_cgroup(&pod.file.spec), ids)
        }) else {
            return; // removed meanwhile
        };
        let Some(linux) = self.me.upgrade() else { return };
        let settled = blocking("settle", move || {
            if !linux.cgroups.kill(&cgroup) {
                tracing::error!(cgroup, "processes of a pod whose shim is gone do not die");
            }
            Ok(ids.into_iter().map(|id| read_status(&folder, &id)).collect::<Vec<_>>())
        })
        .await;
        let _ = self.with_pod(uid, |pod| {
            pod.client = None;
            pod.shim_pid = None;
            for status in settled.into_iter().flatten() {
                if let Some(container) = pod.containers.get_mut(&status.id) {
                    container.status = status;
                }
            }
            pod.changed.send_modify(|count| *count += 1);
        });
        self.tell(uid, None);
    }
}

/// What the shim wrote last; a container that it left running ended unseen, now.
fn read_status(folder: &Folder, id: &str) -> Status {
    let path = folder.container(id).join("status.json");
    let mut status: Status = state::read(&path).unwrap_or_default();
    status.id = id.to_owned();
    if status.phase == Phase::Running {
        status.phase = Phase::Exited;
        status.pid = None;
        status.finished = Some(Timestamp::now().as_nanosecond() as i64);
        if let Err(error) = state::write(&path, &status) {
            tracing::warn!(container = id, error = %base::chain(&error), "cannot save the end of a container");
        }
    }
    status
}

/// All pods on disk. One that cannot be read was made in the moment of a power cut, and is removed.
fn read_all(root: &std::path::Path) -> Vec<Pod> {
    let mut pods = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let folder = Folder(entry.path());
        let file: SandboxFile = match state::read(&folder.sandbox()) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(folder = %folder.0.display(), error = %base::chain(&error), "a pod's state is removed");
                let _ = state::remove_folder(&folder.0);
                continue;
            }
        };
        let mut pod = Pod::new(folder.clone(), file);
        for entry in std::fs::read_dir(folder.containers()).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            match state::read::<ContainerFile>(&entry.path().join("spec.json")) {
                Ok(file) => {
                    let status = state::read(&entry.path().join("status.json")).unwrap_or_default();
                    let status = Status { id: id.clone(), ..status };
                    let container = Container { spec: Arc::new(file.spec), created: file.created, status };
                    pod.containers.insert(id, container);
                }
                Err(_) => drop(state::remove_folder(&entry.path())),
            }
        }
        pods.push(pod);
    }
    pods
}
