//! A fresh network of its own for a test. Only with the feature `testing`.

use std::any::Any;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs `body` on a thread with new network and mount namespaces; links, rules and mounts go with the thread.
/// Says loudly that it did nothing where that is not allowed. A panic of `body` is passed on.
pub fn isolated(body: impl FnOnce() + Send + 'static) {
    let run = move || {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
            eprintln!("SKIPPED: no network and mount namespaces here ({errno}); run as root");
            return;
        }
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("make mounts private");
        let mut links = crate::link::Links::open().expect("open netlink");
        links.up(1).expect("bring lo up");
        body();
    };
    let thread = std::thread::Builder::new().name("isolated".into()).spawn(run).expect("spawn a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic as Box<dyn Any + Send>);
    }
}

/// Runs `body` on a new thread inside the network namespace that `netns` holds.
pub fn inside<T: Send + 'static>(
    netns: &std::path::Path,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let netns = netns.to_owned();
    std::thread::spawn(move || crate::netns::enter(&netns, body).expect("enter the namespace"))
}

/// What `nft list ruleset` prints in this thread's namespace; `None`, said loudly, if there is no such program.
pub fn listed() -> Option<String> {
    match std::process::Command::new("nft").args(["list", "ruleset"]).output() {
        Ok(output) => {
            assert!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).expect("nft prints UTF-8"))
        }
        Err(error) => {
            eprintln!("SKIPPED a look with nft: {error}");
            None
        }
    }
}
