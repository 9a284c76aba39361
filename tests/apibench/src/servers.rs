//! The servers that are compared: skiff's API server, and kube-apiserver on kine with SQLite or on etcd. Each in fresh
//! directories below one folder, on ports of its own on loopback; ended and removed when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::usage::Usage;
use crate::wire::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    Skiff,
    Kine,
    Etcd,
}

impl Which {
    pub fn name(self) -> &'static str {
        match self {
            Which::Skiff => "skiff",
            Which::Kine => "kine",
            Which::Etcd => "etcd",
        }
    }
}

const PORT: u16 = 17443;
const STORE: &str = "127.0.0.1:17379";
const TOKEN: &str = "apibench-admin";

/// A running server: one process, or upstream's two.
pub struct Server {
    which: Which,
    folder: PathBuf,
    /// Upstream's programs.
    programs: PathBuf,
    /// A library that every process of it loads before the C library.
    library: Option<PathBuf>,
    processes: Vec<Child>,
}

impl Server {
    /// Starts in an empty folder and waits until it is ready; gives the time that took.
    pub fn start(which: Which, folder: &Path, programs: &Path) -> Result<(Server, Duration)> {
        Server::begin(which, folder, programs, None)
    }

    /// The same, with a library loaded before the C library.
    pub fn slowed(which: Which, folder: &Path, programs: &Path, by: &Path) -> Result<(Server, Duration)> {
        Server::begin(which, folder, programs, Some(by))
    }

    fn begin(
        which: Which,
        folder: &Path,
        programs: &Path,
        library: Option<&Path>,
    ) -> Result<(Server, Duration)> {
        let folder = folder.join(which.name());
        fs::create_dir_all(&folder)?;
        let library = library.map(Path::to_path_buf);
        let mut server = Server { which, folder, programs: programs.into(), library, processes: Vec::new() };
        let took = server.again()?;
        Ok((server, took))
    }

    /// Starts, with what an earlier start left on disk.
    pub fn again(&mut self) -> Result<Duration> {
        let since = Instant::now();
        let _none_yet = fs::remove_file(self.target());
        match self.which {
            Which::Skiff => self.skiff()?,
            Which::Kine | Which::Etcd => self.upstream()?,
        }
        self.wait_ready()?;
        Ok(since.elapsed())
    }

    /// Where loads read how to reach it.
    pub fn target(&self) -> PathBuf {
        self.folder.join("target.json")
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.processes.iter().map(Child::id))
    }

    /// Bytes of the files of its folder.
    pub fn disk(&self) -> Result<f64> {
        fn sum(folder: &Path) -> std::io::Result<u64> {
            let mut all = 0;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                // A file may go meanwhile.
                let size = entry.metadata().map_or(0, |file| file.len());
                all += if kind.is_dir() { sum(&entry.path())? } else { size };
            }
            Ok(all)
        }
        Ok(sum(&self.folder)? as f64)
    }

    fn spawn(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log =
            fs::File::options().create(true).append(true).open(self.folder.join(format!("{name}.log")))?;
        if let Some(library) = &self.library {
            command.env("LD_PRELOAD", library);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.processes.push(child);
        Ok(())
    }

    fn skiff(&mut self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(self.folder.join("data")).arg(format!("127.0.0.1:{PORT}"));
        command.arg("--tell").arg(self.target());
        self.spawn("skiff", &mut command)
    }

    /// The flags of k3s where it has them; no authorization webhook, no audit: as bare as skiff.
    fn upstream(&mut self) -> Result<()> {
        let (folder, programs) = (self.folder.clone(), self.programs.clone());
        if self.which == Which::Kine {
            let mut kine = Command::new(programs.join("kine"));
            let database = folder.join("state.db");
            kine.args(["--listen-address", &format!("tcp://{STORE}"), "--metrics-bind-address", "0"])
                .arg("--endpoint")
                .arg(format!(
                    "sqlite://{}?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate",
                    database.display()
                ));
            self.spawn("kine", &mut kine)?;
        } else {
            let mut etcd = Command::new(programs.join("etcd"));
            let (peer, client) = ("http://127.0.0.1:17380", format!("http://{STORE}"));
            etcd.arg("--data-dir").arg(folder.join("etcd"));
            etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            etcd.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
            etcd.args(["--initial-cluster", &format!("default={peer}")]);
            self.spawn("etcd", &mut etcd)?;
        }
        let key = folder.join("sa.key");
        if !key.exists() {
            let made =
                Command::new("openssl").args(["genrsa", "-out"]).arg(&key).stderr(Stdio::null()).status();
            if !made.context("cannot start openssl")?.success() {
                bail!("openssl made no key");
            }
        }
        let tokens = folder.join("tokens.csv");
        fs::write(&tokens, format!("{TOKEN},admin,admin,system:masters\n"))?;
        let mut api = Command::new(programs.join("kube-apiserver"));
        api.args(["--etcd-servers", &format!("http://{STORE}"), "--bind-address", "127.0.0.1"]);
        api.args(["--advertise-address", "127.0.0.1", "--secure-port", &PORT.to_string()]);
        api.arg("--cert-dir").arg(folder.join("certificates"));
        api.args(["--service-cluster-ip-range", "10.43.0.0/16", "--authorization-mode", "Node,RBAC"]);
        api.args(["--service-account-issuer", "https://kubernetes.default.svc.cluster.local"]);
        api.arg("--service-account-key-file").arg(&key).arg("--service-account-signing-key-file").arg(&key);
        api.arg("--token-auth-file").arg(&tokens);
        api.args(["--endpoint-reconciler-type", "none", "--allow-privileged"]);
        self.spawn("kube-apiserver", &mut api)?;
        let target = json!({"address": format!("127.0.0.1:{PORT}"), "token": TOKEN});
        fs::write(self.target(), target.to_string())?;
        Ok(())
    }

    fn wait_ready(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for _ in 0..6000 {
            if let Some(status) = self.processes.iter_mut().find_map(|child| child.try_wait().ok().flatten())
            {
                bail!("{} ended at its start ({status}): see {}", self.which.name(), self.folder.display());
            }
            if self.target().exists() {
                let ready = runtime.block_on(async {
                    let target = Target::read(&self.target())?;
                    let mut connection = target.connect().await?;
                    // Upstream is ready before the namespace is there.
                    connection.ask(&target.get("/readyz"), 200).await?;
                    connection.ask(&target.get("/api/v1/namespaces/default"), 200).await?;
                    anyhow::Ok(())
                });
                if ready.is_ok() {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{} did not become ready in 30 s: see {}", self.which.name(), self.folder.display())
    }

    /// SIGTERM to the API server, then to the store.
    pub fn stop(&mut self) {
        for mut child in std::mem::take(&mut self.processes).into_iter().rev() {
            // SAFETY: kill(2) takes plain numbers; the child was not waited for, so that its id is still its own.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(10) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _left_to_the_folder = fs::remove_dir_all(&self.folder);
    }
}
