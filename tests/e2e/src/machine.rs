//! One skiff server in directories of its own, and a client to it. Killing, starting again and reading what it says.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use kube::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything that a test waits for may take before the test says what did not happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Machine {
    binary: PathBuf,
    folder: PathBuf,
    arguments: Vec<String>,
    server: Option<Child>,
    port: u16,
}

impl Machine {
    /// A machine whose directories are below `folder`; nothing runs yet.
    pub fn new(binary: &Path, folder: &Path, port: u16) -> Machine {
        Machine { binary: binary.into(), folder: folder.into(), arguments: Vec::new(), server: None, port }
    }

    /// Adds flags for every start.
    pub fn flags(mut self, flags: &[&str]) -> Machine {
        self.add_flags(flags);
        self
    }

    /// Adds flags for the next starts.
    pub fn add_flags(&mut self, flags: &[&str]) {
        self.arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
    pub fn run(&self) -> PathBuf {
        self.folder.join("run")
    }
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("skiff.yaml")
    }
    pub fn log(&self) -> PathBuf {
        self.folder.join("skiff.log")
    }
    pub fn images(&self) -> PathBuf {
        self.data().join("images")
    }
    pub fn pid(&self) -> Option<Pid> {
        Some(Pid::from_raw(self.server.as_ref()?.id() as i32))
    }

    /// A `skiff` command line with this machine's directories.
    pub fn skiff(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words);
        command.env("SKIFF_DATA_DIR", self.data()).env("SKIFF_RUN_DIR", self.run());
        command
    }

    /// Starts the server and does not wait for it.
    pub fn launch(&mut self) -> Result<()> {
        std::fs::create_dir_all(self.images())?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.binary)
            .arg("server")
            .arg("--data-dir")
            .arg(self.data())
            .arg("--run-dir")
            .arg(self.run())
            .arg("--write-kubeconfig")
            .arg(self.kubeconfig())
            .args(["--https-listen-port", &self.port.to_string()])
            // A cgroup of its own: another skiff may run on this machine.
            .args(["--kubelet-arg", &format!("cgroup-root={}", cgroup())])
            .args(["--kubelet-arg", &format!("pod-logs-dir={}", self.run().join("logs").display())])
            // A disk that others fill must not make the node remove images, or turn pods away.
            .args(["--kubelet-arg", "image-gc-high-threshold=100"])
            .args(["--kubelet-arg", "eviction-hard=nodefs.available<1%"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.server = Some(child);
        Ok(())
    }

    /// Starts the server; gives the time until the API answered that it is ready.
    pub async fn start(&mut self) -> Result<Duration> {
        let since = Instant::now();
        self.launch()?;
        let Some(mut child) = self.server.take() else { bail!("the server was started and is not there") };
        let ready = async || {
            if !self.kubeconfig().exists() {
                return Ok(None);
            }
            let client = self.client().await?;
            let request = http::Request::get("/readyz").body(Vec::new())?;
            Ok(client.request_text(request).await.ok())
        };
        let ended = async {
            loop {
                match child.try_wait() {
                    Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                    ended => return ended,
                }
            }
        };
        let failed = tokio::select! {
            ready = until("the API to be ready", PATIENCE, ready) => ready.err(),
            ended = ended => Some(match ended {
                Ok(status) => anyhow!("the server did not start ({})", status.map_or_else(String::new, |one| one.to_string())),
                Err(error) => error.into(),
            }),
        };
        self.server = Some(child);
        if let Some(error) = failed {
            bail!("{error:#}; its log ends:\n{}", self.log_tail(25));
        }
        Ok(since.elapsed())
    }

    /// A client with the administrator's kubeconfig.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// [`Machine::client`], which asks nothing twice by itself.
    pub async fn client_that_asks_once(&self) -> Result<Client> {
        let mut config = self.config().await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    async fn config(&self) -> Result<kube::Config> {
        let kubeconfig = kube::config::Kubeconfig::read_from(self.kubeconfig())?;
        Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?)
    }

    /// `kill -9`, and the wait for its end.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.server.take() else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and the wait for its end; gives the time it took.
    pub fn stop(&mut self) -> Result<Duration> {
        let since = Instant::now();
        let Some(mut child) = self.server.take() else { return Ok(since.elapsed()) };
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM)?;
        let status = child.wait()?;
        if !status.success() {
            bail!("the server ended with {status} on SIGTERM; its log ends:\n{}", self.log_tail(25));
        }
        Ok(since.elapsed())
    }

    /// Kills the server if it runs and takes away all that it made.
    pub fn uninstall(&mut self) -> Result<()> {
        self.kill()?;
        let mut command = self.skiff(&["uninstall", "--yes", "--cgroup-root", &cgroup(), "--kubeconfig"]);
        let output = command.arg(self.kubeconfig()).output().context("cannot start skiff uninstall")?;
        if !output.status.success() {
            bail!("skiff uninstall failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.server {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

/// The cgroup of this process' machines.
fn cgroup() -> String {
    format!("skiff-e2e-{}", std::process::id())
}

/// Asks again and again until there is an answer, and says what did not come when patience ends. An error ends the wait
/// only at the end: what is being waited for often fails at first.
pub async fn until<T, F>(what: &str, patience: Duration, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let since = Instant::now();
    loop {
        let answer = ask().await;
        match answer {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if since.elapsed() < patience => {}
            Err(_) if since.elapsed() < patience => {}
            Ok(None) => bail!("waited {}s for {what}", patience.as_secs()),
            Err(error) => return Err(error.context(format!("waited {}s for {what}", patience.as_secs()))),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
