//! The verbs of [`Runtime`] that make, start, stop and remove.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use shim::protocol::{Answer, Kind, Phase, Status, Verb};
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use super::client::{CallError, Client};
use super::pods::{Container, Pod};
use super::state::{self, ContainerFile, Folder, SandboxFile};
use super::{Linux, blocking, plan, stats, system};
use crate::{
    ContainerSpec, ContainerStatus, Error, Event, ExecSpec, Resources, Runtime, SandboxSpec, SandboxStatus,
    Stats, Streams,
};

/// How long SIGKILL may take: a process can hang in the kernel on a dead file system.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Upstream's name of what went wrong with a container's start.
const RUN_ERROR: &str = "RunContainerError";

/// `TERM`, `SIGTERM`, `15`, `SIGRTMIN+3`.
fn signal_number(name: &str) -> Option<i32> {
    let upper = name.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = short.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse::<i32>().ok()? };
        return Some(34 + offset).filter(|number| *number <= 64);
    }
    format!("SIG{short}").parse::<Signal>().ok().map(|signal| signal as i32)
}

impl Linux {
    fn folder(&self, uid: &str) -> Folder {
        Folder(self.config.root.join(uid))
    }

    /// The shim of a pod that runs.
    pub(super) fn client(&self, uid: &str) -> Result<Arc<Client>, Error> {
        let gone =
            || Error::Container { reason: RUN_ERROR, message: format!("the sandbox {uid} is not running") };
        self.with_pod(uid, |pod| pod.client.clone())?.ok_or_else(gone)
    }

    /// What a call's failure means for the verb that made it.
    pub(super) fn call_error(
        operation: &'static str,
        reason: &'static str,
        id: &str,
    ) -> impl FnOnce(CallError) -> Error {
        let id = id.to_owned();
        move |error| match error {
            CallError::Refused(failure) if failure.kind == Kind::Container => {
                Error::Container { reason, message: failure.message }
            }
            CallError::Refused(failure) if failure.kind == Kind::NotFound => {
                Error::NotFound { what: "container", id }
            }
            error => system(operation, &id)(error),
        }
    }

    async fn start_shim(&self, spec: &SandboxSpec) -> Result<SandboxStatus, Error> {
        let (uid, folder) = (spec.uid.clone(), self.folder(&spec.uid));
        let file = SandboxFile {
            spec: spec.clone(),
            created: Timestamp::now(),
            boot: state::boot(),
            stopped: false,
        };
        let linux = self.me.upgrade().expect("because a caller holds it");
        let (made, stream) = {
            let (file, folder, uid) = (file.clone(), folder.clone(), uid.clone());
            blocking("make", move || {
                state::make_private_folder(&folder.containers())?;
                state::write(&folder.sandbox(), &file)?;
                let cgroup = plan::pod_cgroup(&file.spec);
                linux.cgroups.make(plan::SHIMS)?;
                linux.cgroups.make(&cgroup)?;
                linux.cgroups.limit(&cgroup, &file.spec.resources)?;
                let made = plan::sandbox(&file.spec, &folder, &linux.config.run.join("shims"));
                let cgroups = linux.cgroups.folders(plan::SHIMS);
                Ok((made, linux.shim.start(&uid, &cgroups, &folder.shim_log())?))
            })
            .await?
        };
        let stream = tokio::net::UnixStream::from_std(stream).map_err(system("talk to the shim of", &uid))?;
        let (client, events) = Client::new(stream);
        let failed = || Self::call_error("make the sandbox", "CreatePodSandboxError", &uid);
        let pid = match client.call(Verb::Sandbox(Box::new(made)), Vec::new()).await.map_err(failed())?.0 {
            Answer::Started { pid } => pid,
            _ => return Err(system("make the sandbox", &uid)("the shim answered something else")),
        };
        client.hello().await.map_err(failed())?;
        let status = {
            let mut pods = self.pods.lock();
            let pod = pods.entry(uid.clone()).or_insert_with(|| Pod::new(folder, file.clone()));
            pod.file = file;
            pod.shim_pid = Some(pid);
            pod.client = Some(Arc::new(client));
            pod.status()
        };
        self.follow(uid.clone(), events);
        self.tell(&uid, None);
        Ok(status)
    }

    /// Waits until `done` says so of the pod; false at `deadline`.
    async fn wait_until(&self, uid: &str, deadline: Instant, done: impl Fn(&Pod) -> bool) -> bool {
        let Ok(mut changed) = self.with_pod(uid, |pod| pod.changed.subscribe()) else { return true };
        loop {
            if self.with_pod(uid, |pod| done(pod)).unwrap_or(true) {
                return true;
            }
            match timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return true, // the pod was removed
                Err(_) => return false,
            }
        }
    }

    pub(super) async fn wait_exited(&self, uid: &str, id: &str, deadline: Instant) -> bool {
        let over = |pod: &Pod| {
            pod.containers.get(id).is_none_or(|container| container.status.phase == Phase::Exited)
        };
        self.wait_until(uid, deadline, over).await
    }

    async fn kill(&self, uid: &str, id: &str) -> Result<(), Error> {
        let verb = Verb::Kill { container: id.to_owned() };
        match self.client(uid)?.call(verb, Vec::new()).await {
            Ok(_) | Err(CallError::Gone) => {}
            Err(CallError::Refused(failure)) if failure.kind == Kind::NotFound => return Ok(()),
            Err(error) => return Err(system("kill", id)(error)),
        }
        if self.wait_exited(uid, id, Instant::now() + KILL_PATIENCE).await {
            return Ok(());
        }
        Err(Error::Timeout { operation: "killing", id: id.to_owned(), after: KILL_PATIENCE })
    }

    async fn stop_pod(&self, uid: &str) -> Result<(), Error> {
        let Ok((client, file, folder)) = self.with_pod(uid, |pod| {
            pod.file.stopped = true;
            (pod.client.clone(), pod.file.clone(), pod.folder.clone())
        }) else {
            return Ok(());
        };
        let (linux, id) = (self.me.upgrade().expect("because a caller holds it"), uid.to_owned());
        blocking("stop", move || state::write(&folder.sandbox(), &file)).await?;
        if let Some(client) = client {
            // A shim that has gone in this moment has stopped as well.
            let _ = client.call(Verb::Stop, Vec::new()).await;
            drop(client);
            let gone = |pod: &Pod| pod.client.is_none();
            if !self.wait_until(uid, Instant::now() + KILL_PATIENCE, gone).await {
                return Err(Error::Timeout { operation: "stopping", id, after: KILL_PATIENCE });
            }
        }
        let socket = linux.config.run.join("shims").join(&id);
        let _ = std::fs::remove_file(socket);
        Ok(())
    }

    async fn make_container(&self, spec: ContainerSpec) -> Result<(), Error> {
        let sandbox = self.with_pod(&spec.sandbox, |pod| pod.file.spec.clone())?;
        self.client(&spec.sandbox)?;
        let (folder, created) = (self.folder(&spec.sandbox), Timestamp::now());
        let linux = self.me.upgrade().expect("because a caller holds it");
        let spec = Arc::new(spec);
        let made = spec.clone();
        blocking("make container", move || {
            let own = folder.container(&made.id);
            for name in ["upper", "work", "root"] {
                state::make_folder(&own.join(name))?;
            }
            let cgroup = plan::container_cgroup(&sandbox, &made.id);
            linux.cgroups.make(&cgroup)?;
            linux.cgroups.limit(&cgroup, &made.resources)?;
            linux.cgroups.allow(&cgroup, &plan::devices(&made.security, &made.devices))?;
            state::write(&own.join("spec.json"), &ContainerFile { spec: (*made).clone(), created })
        })
        .await?;
        let (uid, id) = (spec.sandbox.clone(), spec.id.clone());
        let status = Status { id: id.clone(), ..Status::default() };
        self.with_pod(&uid, |pod| pod.containers.insert(id.clone(), Container { spec, created, status }))?;
        self.tell(&uid, Some(&id));
        Ok(())
    }

    async fn start(&self, uid: &str, id: &str, spec: &ContainerSpec) -> Result<(), Error> {
        let sandbox = self.with_pod(uid, |pod| pod.file.spec.clone())?;
        let folder = self.folder(uid);
        let made = plan::container(spec, &sandbox, &folder, &self.config.run, &self.cgroups)?;
        let client = self.client(uid)?;
        match client.call(Verb::Start(Box::new(made)), Vec::new()).await {
            Ok(_) => {
                // The event says the same; whoever lists after this call must see it.
                let running =
                    |pod: &Pod| pod.containers.get(id).is_none_or(|it| it.status.phase != Phase::Created);
                self.wait_until(uid, Instant::now() + KILL_PATIENCE, running).await;
                Ok(())
            }
            Err(CallError::Refused(failure)) => {
                let ended =
                    |pod: &Pod| pod.containers.get(id).is_none_or(|it| it.status.phase == Phase::Exited);
                let status = Status {
                    id: id.to_owned(),
                    phase: Phase::Exited,
                    exit_code: Some(128),
                    finished: Some(Timestamp::now().as_nanosecond() as i64),
                    start_error: Some(failure.message.clone()),
                    ..Status::default()
                };
                if !self.with_pod(uid, |pod| ended(pod)).unwrap_or(true) {
                    // The shim may have refused before it made anything to tell of.
                    let _ = state::write(&folder.container(id).join("status.json"), &status);
                    self.apply(uid, status);
                }
                let message = format!("unable to start container process: {}", failure.message);
                Err(Error::Container { reason: RUN_ERROR, message })
            }
            Err(error) => Err(system("start", id)(error)),
        }
    }
}

#[async_trait]
impl Runtime for Linux {
    fn version(&self) -> String {
        concat!("skiff://", env!("CARGO_PKG_VERSION")).into()
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>, Error> {
        Ok(self.pods.lock().values().map(Pod::status).collect())
    }

    async fn sandbox(&self, id: &str) -> Result<SandboxStatus, Error> {
        self.with_pod(id, |pod| pod.status())
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus, Error> {
        self.with_container(id, |uid, container| container.status(uid))
    }

    async fn run_sandbox(&self, spec: SandboxSpec) -> Result<SandboxStatus, Error> {
        state::check_id(&spec.uid)?;
        let lock = self.lock_of(&spec.uid);
        let _held = lock.lock().await;
        if let Ok(status) = self.with_pod(&spec.uid, |pod| pod.status())
            && status.ready
        {
            return Ok(status);
        }
        let made = self.start_shim(&spec).await;
        if made.is_err() && self.with_pod(&spec.uid, |_| ()).is_err() {
            let (linux, folder) =
                (self.me.upgrade().expect("because a caller holds it"), self.folder(&spec.uid));
            let cleaned = blocking("clean up", move || {
                linux.cgroups.remove(&plan::pod_cgroup(&spec))?;
                state::remove_folder(&folder.0)
            });
            if let Err(error) = cleaned.await {
                tracing::warn!(error = %base::chain(&error), "a sandbox that could not be made left something behind");
            }
        }
        made
    }

    async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        let lock = self.lock_of(id);
        let _held = lock.lock().await;
        self.stop_pod(id).await
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        let lock = self.lock_of(id);
        let held = lock.lock().await;
        let Ok((spec, folder)) = self.with_pod(id, |pod| (pod.file.spec.clone(), pod.folder.clone())) else {
            return Ok(());
        };
        self.stop_pod(id).await?;
        let linux = self.me.upgrade().expect("because a caller holds it");
        blocking("remove", move || {
            linux.cgroups.remove(&plan::pod_cgroup(&spec))?;
            state::remove_folder(&folder.0)
        })
        .await?;
        self.pods.lock().remove(id);
        drop(held);
        self.locks.lock().remove(id);
        self.tell(id, None);
        Ok(())
    }

    async fn create_container(&self, spec: ContainerSpec) -> Result<(), Error> {
        state::check_id(&spec.id)?;
        let lock = self.lock_of(&spec.sandbox);
        let _held = lock.lock().await;
        if self.with_container(&spec.id, |_, _| ()).is_ok() {
            return Ok(());
        }
        self.make_container(spec).await
    }

    async fn start_container(&self, id: &str) -> Result<(), Error> {
        let (uid, spec, phase) = self.with_container(id, |uid, container| {
            (uid.to_owned(), container.spec.clone(), container.status.phase)
        })?;
        match phase {
            Phase::Created => self.start(&uid, id, &spec).await,
            Phase::Running => Ok(()),
            Phase::Exited => {
                let message = format!("container {id} has ended and cannot be started again");
                Err(Error::Container { reason: RUN_ERROR, message })
            }
        }
    }

    async fn stop_container(&self, id: &str, signal: Option<&str>, grace: Duration) -> Result<(), Error> {
        let Ok((uid, phase)) =
            self.with_container(id, |uid, container| (uid.to_owned(), container.status.phase))
        else {
            return Ok(());
        };
        if phase != Phase::Running {
            return Ok(());
        }
        let name = signal.unwrap_or("SIGTERM");
        let number = signal_number(name).ok_or_else(|| Error::Container {
            reason: "KillContainerError",
            message: format!("{name:?} is no signal"),
        })?;
        if !grace.is_zero() {
            let verb = Verb::Signal { container: id.to_owned(), signal: number };
            match self.client(&uid)?.call(verb, Vec::new()).await {
                Ok(_) | Err(CallError::Gone) => {}
                Err(error) => tracing::warn!(container = id, error = %base::chain(&error), "cannot signal"),
            }
            if self.wait_exited(&uid, id, Instant::now() + grace).await {
                return Ok(());
            }
        }
        self.kill(&uid, id).await
    }

    async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let Ok((uid, phase)) =
            self.with_container(id, |uid, container| (uid.to_owned(), container.status.phase))
        else {
            return Ok(());
        };
        let lock = self.lock_of(&uid);
        let _held = lock.lock().await;
        if phase == Phase::Running {
            self.kill(&uid, id).await?;
        }
        if let Ok(client) = self.client(&uid) {
            let removed = client.call(Verb::Remove { container: id.to_owned() }, Vec::new()).await;
            if let Err(error @ CallError::Refused(_)) = removed {
                return Err(system("remove", id)(error));
            }
        }
        let (spec, folder) = self.with_pod(&uid, |pod| (pod.file.spec.clone(), pod.folder.clone()))?;
        let (linux, name) = (self.me.upgrade().expect("because a caller holds it"), id.to_owned());
        blocking("remove container", move || {
            linux.cgroups.remove(&plan::container_cgroup(&spec, &name))?;
            state::remove_folder(&folder.container(&name))
        })
        .await?;
        self.with_pod(&uid, |pod| pod.containers.remove(id))?;
        self.tell(&uid, Some(id));
        Ok(())
    }

    async fn update_container(&self, id: &str, resources: Resources) -> Result<(), Error> {
        let (uid, spec) =
            self.with_container(id, |uid, container| (uid.to_owned(), container.spec.clone()))?;
        let (sandbox, folder, created) = self.with_pod(&uid, |pod| {
            let created = pod.containers.get(id).map_or(pod.file.created, |container| container.created);
            (pod.file.spec.clone(), pod.folder.clone(), created)
        })?;
        let updated = Arc::new(ContainerSpec { resources, ..(*spec).clone() });
        let (linux, kept) = (self.me.upgrade().expect("because a caller holds it"), updated.clone());
        blocking("update", move || {
            let limits = kept.resources.clone().explicit();
            linux.cgroups.limit(&plan::container_cgroup(&sandbox, &kept.id), &limits)?;
            let file = ContainerFile { spec: (*kept).clone(), created };
            state::write(&folder.container(&kept.id).join("spec.json"), &file)
        })
        .await?;
        self.with_container(id, |_, container| container.spec = updated)?;
        self.tell(&uid, Some(id));
        Ok(())
    }

    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<(), Error> {
        let lock = self.lock_of(id);
        let _held = lock.lock().await;
        let (mut file, folder) = self.with_pod(id, |pod| (pod.file.clone(), pod.folder.clone()))?;
        file.spec.resources = resources.clone();
        let linux = self.me.upgrade().expect("because a caller holds it");
        blocking("update", move || {
            linux.cgroups.limit(&plan::pod_cgroup(&file.spec), &file.spec.resources.clone().explicit())?;
            state::write(&folder.sandbox(), &file)
        })
        .await?;
        self.with_pod(id, |pod| pod.file.spec.resources = resources)?;
        self.tell(id, None);
        Ok(())
    }

    async fn reopen_log(&self, id: &str) -> Result<(), Error> {
        let uid = self.with_container(id, |uid, _| uid.to_owned())?;
        let verb = Verb::ReopenLog { container: id.to_owned() };
        self.client(&uid)?.call(verb, Vec::new()).await.map_err(Self::call_error(
            "reopen the log of",
            RUN_ERROR,
            id,
        ))?;
        Ok(())
    }

    async fn exec(&self, id: &str, spec: ExecSpec) -> Result<Streams, Error> {
        self.open_exec(id, spec).await.map(|opened| opened.streams)
    }

    async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<(i32, Vec<u8>), Error> {
        self.run_exec(id, command, timeout).await
    }

    async fn attach(&self, id: &str, spec: ExecSpec) -> Result<Streams, Error> {
        self.open_attach(id, spec).await
    }

    async fn port_forward(&self, sandbox: &str, port: u16) -> Result<tokio::net::TcpStream, Error> {
        self.connect_port(sandbox, port).await
    }

    async fn stats(&self, id: &str) -> Result<Stats, Error> {
        let (uid, spec) =
            self.with_container(id, |uid, container| (uid.to_owned(), container.spec.clone()))?;
        let (sandbox, folder) = self.with_pod(&uid, |pod| (pod.file.spec.clone(), pod.folder.clone()))?;
        let linux = self.me.upgrade().expect("because a caller holds it");
        blocking("measure", move || {
            let mut stats = linux.cgroups.stats(&plan::container_cgroup(&sandbox, &spec.id));
            (stats.rootfs_used, stats.rootfs_inodes) = stats::used(&folder.container(&spec.id).join("upper"));
            stats.log_used = stats::log_used(&sandbox.log_dir.join(&spec.log_path));
            Ok(stats)
        })
        .await
    }

    async fn sandbox_stats(&self, id: &str) -> Result<Stats, Error> {
        let sandbox = self.with_pod(id, |pod| pod.file.spec.clone())?;
        let linux = self.me.upgrade().expect("because a caller holds it");
        blocking("measure", move || Ok(linux.cgroups.stats(&plan::pod_cgroup(&sandbox)))).await
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_all_their_names() {
        for (name, expected) in [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("SIGNO", None),
            ("0", None),
            ("65", None),
        ] {
            assert_eq!(signal_number(name), expected, "{name}");
        }
    }
}
