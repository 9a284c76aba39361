//! The same binary on another kernel: a virtual machine with cgroups v2 alone, a distribution's kernel and no disk, in which
//! this program is the init process. [`run`] builds the root file system and starts the machine, [`inside`] is what
//! happens in it.
//!
//! The processor is emulated unless KVM is asked for: no figure of it means anything, and it works inside another machine too.

mod initramfs;
pub mod inside;
mod modules;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use initramfs::Initramfs;

/// How the machine's last word begins; what follows is the error, if there was one.
const VERDICT: &str = "VM RESULT:";
/// After this long the machine is taken for dead.
const PATIENCE: Duration = Duration::from_secs(600);

/// Boots `kernel` with `modules` (a folder `lib/modules/<release>`) and this program with skiff in it; what it says is
/// printed, and its verdict given.
pub fn run(kernel: &Path, modules: &Path, skiff: &Path, accelerator: &str, scratch: &Path) -> Result<()> {
    let image = scratch.join("initramfs.cpio");
    let mut root = Initramfs::new();
    root.program("init", &std::env::current_exe()?)?;
    root.program("bin/skiff", skiff)?;
    for (at, path) in modules::in_order(modules)?.iter().enumerate() {
        // The number keeps the order in which they are loaded.
        let name = path.file_name().context("a module without a name")?.to_string_lossy();
        root.file(&format!("modules/{at:03}-{name}"), 0o644, std::fs::read(path)?);
    }
    for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "var"] {
        root.folder(folder);
    }
    root.write(&image)?;
    let mut qemu = Command::new("qemu-system-x86_64")
        .args(["-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
        .args(["-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(&image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64 (Debian: apt-get install qemu-system-x86)")?;
    let output = qemu.stdout.take().context("because it is piped")?;
    let pid = nix::unistd::Pid::from_raw(qemu.id() as i32);
    let (over, watch) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if watch.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("the machine says nothing more after {}s: it is switched off", PATIENCE.as_secs());
            let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    });
    let mut verdict = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        match line.trim_end().split_once(VERDICT) {
            Some((_, rest)) => verdict = Some(rest.trim().to_owned()),
            None => println!("  vm | {}", line.trim_end()),
        }
    }
    drop(over);
    let status = qemu.wait()?;
    let _done = guard.join();
    ensure!(status.success(), "qemu ended with {status}");
    match verdict.as_deref() {
        Some("ok") => Ok(()),
        Some(error) => bail!("in the machine: {error}"),
        None => bail!("the machine ended without a verdict"),
    }
}
