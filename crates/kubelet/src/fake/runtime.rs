//! A runtime that runs nothing: containers are rows that a test ends by hand.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Clock;
use parking_lot::Mutex;
use runtime::{
    ContainerSpec, ContainerStatus, Error, Event, ExecSpec, Resources, SandboxSpec, SandboxStatus, State,
    Stats, Streams,
};
use tokio::sync::broadcast;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    pub sandboxes: Arc<Mutex<Vec<SandboxStatus>>>,
    pub specs: Arc<Mutex<Vec<ContainerSpec>>>,
    /// What was called, in order.
    pub calls: Arc<Mutex<Vec<String>>>,
    /// Answers of the next commands; after them every command succeeds.
    pub commands: Arc<Mutex<VecDeque<(i32, String)>>>,
    clock: Clock,
    events: broadcast::Sender<Event>,
}

impl Runtime {
    pub fn new(clock: Clock) -> Runtime {
        Runtime {
            sandboxes: Arc::default(),
            specs: Arc::default(),
            calls: Arc::default(),
            commands: Arc::default(),
            clock,
            events: broadcast::channel(64).0,
        }
    }

    fn call(&self, text: String) {
        self.calls.lock().push(text);
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut ContainerStatus)) -> Option<()> {
        let mut event = None;
        for sandbox in self.sandboxes.lock().iter_mut() {
            if let Some(container) = sandbox.containers.iter_mut().find(|container| container.id == id) {
                change(container);
                event = Some(Event { sandbox: sandbox.spec.uid.clone(), container: Some(id.to_owned()) });
                break;
            }
        }
        let _nobody = self.events.send(event?);
        Some(())
    }

    /// A container ends by itself.
    pub fn exit(&self, name: &str, code: i32) {
        let id = self.running(name).expect("because the test started it");
        let now = self.clock.now();
        self.change(&id, |container| {
            container.state = State::Exited;
            container.exit_code = Some(code);
            container.finished = Some(now);
            container.reason = if code == 0 { "Completed".into() } else { "Error".into() };
        });
    }

    /// The id of the running container of that name.
    pub fn running(&self, name: &str) -> Option<String> {
        let sandboxes = self.sandboxes.lock();
        let mut all = sandboxes.iter().flat_map(|sandbox| &sandbox.containers);
        all.find(|one| one.name == name && one.state == State::Running).map(|one| one.id.clone())
    }
}

fn missing(what: &'static str, id: &str) -> Error {
    Error::NotFound { what, id: id.to_owned() }
}

#[async_trait]
impl runtime::Runtime for Runtime {
    fn version(&self) -> String {
        "fake://1".into()
    }
    async fn list(&self) -> Result<Vec<SandboxStatus>, Error> {
        Ok(self.sandboxes.lock().clone())
    }
    async fn sandbox(&self, id: &str) -> Result<SandboxStatus, Error> {
        self.sandboxes
            .lock()
            .iter()
            .find(|one| one.spec.uid == id)
            .cloned()
            .ok_or_else(|| missing("sandbox", id))
    }
    async fn container(&self, id: &str) -> Result<ContainerStatus, Error> {
        let sandboxes = self.sandboxes.lock();
        let mut all = sandboxes.iter().flat_map(|sandbox| &sandbox.containers);
        all.find(|one| one.id == id).cloned().ok_or_else(|| missing("container", id))
    }
    async fn run_sandbox(&self, spec: SandboxSpec) -> Result<SandboxStatus, Error> {
        self.call(format!("run {}", spec.name));
        let status = SandboxStatus {
            spec,
            ready: true,
            created: self.clock.now(),
            shim_pid: Some(1),
            containers: Vec::new(),
        };
        self.sandboxes.lock().push(status.clone());
        Ok(status)
    }
    async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        for sandbox in self.sandboxes.lock().iter_mut().filter(|one| one.spec.uid == id) {
            self.calls.lock().push(format!("close {}", sandbox.spec.name));
            sandbox.ready = false;
        }
        Ok(())
    }
    async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        self.sandboxes.lock().retain(|one| one.spec.uid != id);
        Ok(())
    }
    async fn create_container(&self, spec: ContainerSpec) -> Result<(), Error> {
        self.call(format!("create {}/{}", spec.name, spec.attempt));
        let status = ContainerStatus {
            id: spec.id.clone(),
            sandbox: spec.sandbox.clone(),
            name: spec.name.clone(),
            attempt: spec.attempt,
            image: spec.image.clone(),
            image_id: spec.image_id.clone(),
            state: State::Created,
            pid: None,
            created: self.clock.now(),
            started: None,
            finished: None,
            exit_code: None,
            reason: String::new(),
            message: String::new(),
            resources: Some(spec.resources.clone()),
            log_path: spec.log_path.clone(),
            labels: spec.labels.clone(),
            annotations: spec.annotations.clone(),
        };
        let mut sandboxes = self.sandboxes.lock();
        let sandbox = sandboxes.iter_mut().find(|one| one.spec.uid == spec.sandbox);
        sandbox.ok_or_else(|| missing("sandbox", &spec.sandbox))?.containers.push(status);
        self.specs.lock().push(spec);
        Ok(())
    }
    async fn start_container(&self, id: &str) -> Result<(), Error> {
        let now = self.clock.now();
        self.change(id, |container| {
            container.state = State::Running;
            container.started = Some(now);
        })
        .ok_or_else(|| missing("container", id))
    }
    async fn stop_container(&self, id: &str, signal: Option<&str>, grace: Duration) -> Result<(), Error> {
        let now = self.clock.now();
        let mut name = String::new();
        self.change(id, |container| {
            name = container.name.clone();
            if container.state == State::Running {
                container.state = State::Exited;
                container.exit_code = Some(143);
                container.finished = Some(now);
                container.reason = "Error".into();
            }
        });
        self.call(format!("stop {name} {} {}s", signal.unwrap_or("SIGTERM"), grace.as_secs()));
        Ok(())
    }
    async fn remove_container(&self, id: &str) -> Result<(), Error> {
        for sandbox in self.sandboxes.lock().iter_mut() {
            sandbox.containers.retain(|one| one.id != id);
        }
        Ok(())
    }
    async fn update_container(&self, id: &str, resources: Resources) -> Result<(), Error> {
        let mut name = String::new();
        self.change(id, |container| {
            name = container.name.clone();
            container.resources = Some(resources.clone());
        });
        self.call(format!("update {name} {:?}", resources.memory_limit));
        Ok(())
    }
    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<(), Error> {
        self.call(format!("update pod {:?}", resources.memory_limit));
        for sandbox in self.sandboxes.lock().iter_mut().filter(|one| one.spec.uid == id) {
            sandbox.spec.resources = resources.clone();
        }
        Ok(())
    }
    async fn reopen_log(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }
    async fn exec(&self, id: &str, spec: ExecSpec) -> Result<Streams, Error> {
        self.container(id).await?;
        Ok(echo(spec.stdin))
    }
    async fn exec_sync(&self, _: &str, command: Vec<String>, _: Duration) -> Result<(i32, Vec<u8>), Error> {
        self.call(format!("exec {}", command.join(" ")));
        let (code, output) = self.commands.lock().pop_front().unwrap_or_default();
        Ok((code, output.into_bytes()))
    }
    async fn attach(&self, id: &str, spec: ExecSpec) -> Result<Streams, Error> {
        self.exec(id, spec).await
    }
    async fn port_forward(&self, _: &str, port: u16) -> Result<tokio::net::TcpStream, Error> {
        let system = |source: std::io::Error| Error::System {
            operation: "forward",
            id: port.to_string(),
            source: source.into(),
        };
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map_err(system)
    }
    async fn stats(&self, _: &str) -> Result<Stats, Error> {
        Ok(Stats { memory_usage: 1, ..Stats::default() })
    }
    async fn sandbox_stats(&self, _: &str) -> Result<Stats, Error> {
        Ok(Stats { memory_usage: 2, ..Stats::default() })
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// A process that writes what it reads, and `bye` on its standard error; it ends with 7 when its input does.
fn echo(stdin: bool) -> Streams {
    let (input, mut read) = tokio::io::duplex(1024);
    let (mut write, output) = tokio::io::duplex(1024);
    let (mut fail, errors) = tokio::io::duplex(1024);
    let (exit, exited) = tokio::sync::oneshot::channel();
    let (resize, _) = tokio::sync::mpsc::channel(4);
    base::spawn("echo", async move {
        use tokio::io::AsyncWriteExt;
        if stdin {
            tokio::io::copy(&mut read, &mut write).await.expect("pipes in memory");
        } else {
            write.write_all(b"hello\n").await.expect("pipes in memory");
        }
        fail.write_all(b"bye").await.expect("pipes in memory");
        drop((write, fail));
        let _gone = exit.send(Ok(7));
    });
    Streams {
        stdin: stdin.then(|| Box::new(input) as runtime::Writer),
        stdout: Some(Box::new(output)),
        stderr: Some(Box::new(errors)),
        resize,
        exit: exited,
    }
}
