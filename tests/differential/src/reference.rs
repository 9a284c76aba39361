//! Upstream's kube-apiserver on etcd, on the loopback of a network namespace that nobody else has. Both end with this process.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};

pub const TOKEN: &str = "differential-admin";
pub const URL: &str = "https://127.0.0.1:26443";
const ETCD: &str = "http://127.0.0.1:2379";

/// Without them upstream does not serve kinds that its `--runtime-config` names; skiff has no gates.
const GATES: &str =
    "ClusterTrustBundle=true,StorageVersionMigrator=true,PodCertificateRequest=true,GenericWorkload=true";

pub struct Reference {
    children: Vec<(&'static str, Child)>,
    folder: PathBuf,
}

/// Moves this process to a network namespace of its own with `lo` up; before any thread starts.
pub fn own_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)
        .context("cannot make a network namespace: run this as root, or in unshare -rn")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("cannot start ip")?;
    if !up.success() {
        bail!("cannot bring lo up");
    }
    Ok(())
}

impl Reference {
    /// `all`: with every group and version.
    pub fn start(programs: &Path, folder: &Path, all: bool) -> Result<Reference> {
        let mut reference = Reference { children: Vec::new(), folder: folder.into() };
        let at = |name: &str| folder.join(name).display().to_string();
        let tokens = at("tokens.csv");
        std::fs::write(&tokens, format!("{TOKEN},admin,admin,system:masters\n"))?;
        let key = at("sa.key");
        let made = Command::new("openssl")
            .args(["genrsa", "-out", &key, "2048"])
            .stderr(Stdio::null())
            .status()
            .context("cannot start openssl")?;
        if !made.success() {
            bail!("openssl made no key");
        }
        let (data, certificates) = (at("etcd"), at("certs"));
        let peer = "http://127.0.0.1:2380";
        let cluster = format!("default={peer}");
        reference.spawn(
            "etcd",
            programs,
            &[
                ("--data-dir", data.as_str()),
                ("--listen-client-urls", ETCD),
                ("--advertise-client-urls", ETCD),
                ("--listen-peer-urls", peer),
                ("--initial-advertise-peer-urls", peer),
                ("--initial-cluster", &cluster),
                ("--unsafe-no-fsync", "true"),
            ],
        )?;
        reference.spawn(
            "kube-apiserver",
            programs,
            &[
                ("--etcd-servers", ETCD),
                ("--bind-address", "127.0.0.1"),
                ("--advertise-address", "127.0.0.1"),
                ("--secure-port", "26443"),
                ("--cert-dir", &certificates),
                ("--service-cluster-ip-range", "10.43.0.0/16"),
                ("--service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
                ("--service-account-key-file", &key),
                ("--service-account-signing-key-file", &key),
                ("--token-auth-file", &tokens),
                ("--authorization-mode", "Node,RBAC"),
                ("--allow-privileged", "true"),
                ("--runtime-config", if all { "api/all=true" } else { "" }),
                ("--feature-gates", if all { GATES } else { "" }),
                ("--endpoint-reconciler-type", "none"),
                ("--max-requests-inflight", "4000"),
                ("--max-mutating-requests-inflight", "4000"),
            ],
        )?;
        Ok(reference)
    }

    fn spawn(&mut self, name: &'static str, programs: &Path, flags: &[(&str, &str)]) -> Result<()> {
        let program = programs.join(name);
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        let mut command = Command::new(&program);
        command
            .args(flags.iter().map(|(flag, value)| format!("{flag}={value}")))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // SAFETY: prctl(2) is async-signal-safe, and asks only that the child end with this thread's process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        self.children.push((name, child));
        Ok(())
    }

    /// Fails with the end of its log if a program has ended.
    pub fn alive(&mut self) -> Result<()> {
        for (name, child) in &mut self.children {
            if let Some(status) = child.try_wait()? {
                let log =
                    std::fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
                let end: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("{name} ended with {status}: {}", end.join("\n"));
            }
        }
        Ok(())
    }

    pub fn stop(&mut self) {
        for (_, child) in self.children.iter_mut().rev() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        self.stop();
    }
}
