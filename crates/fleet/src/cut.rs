//! Named places at which tests cut the power. In a build without `debug_assertions` they are nothing at all.
//!
//! A child that is cut dies as by `kill -9`: nothing is closed, flushed or renamed any more. The agent, which shares its
//! process with the test, stops for good where it is; the test then drops it whole, and starts another one on what is on disk.

/// In the child, in this order: while bytes come (the number counts kilobytes), after a fetch, while packs are
/// merged, around rendering, while manifests are written (the number counts them), before the answer.
pub const CHILD: &[&str] = &[
    "child.begin",
    "child.received",
    "child.fetched",
    "child.merge",
    "child.merged",
    "child.render",
    "child.write",
    "child.synced",
    "child.answer",
];

/// In the agent: around taking in an artifact, each replacing of a file (which has three steps), planning, around each applied
/// object, each hook, each deletion, the inventory and the status.
pub const AGENT: &[&str] = &[
    "agent.fetched",
    "agent.manifests-renamed",
    "agent.header-replaced",
    "agent.file-made",
    "agent.file-synced",
    "agent.file-renamed",
    "agent.planned",
    "agent.apply",
    "agent.applied",
    "agent.step",
    "agent.prune",
    "agent.pruned",
    "agent.synced",
    "agent.status",
    "agent.shown",
];

#[cfg(debug_assertions)]
pub use on::*;

#[cfg(debug_assertions)]
mod on {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use parking_lot::Mutex;

    static ARMED: Mutex<Option<(String, u64)>> = Mutex::new(None);
    static CUT: AtomicBool = AtomicBool::new(false);
    static RECEIVED: AtomicU64 = AtomicU64::new(0);
    /// Files that this process waited for.
    static SYNCED: AtomicU64 = AtomicU64::new(0);
    /// Where the child tells the same, a line each.
    static SYNCS: Mutex<String> = Mutex::new(String::new());
    /// What the child takes away when it dies, so that the next one lives.
    static NOTE: Mutex<String> = Mutex::new(String::new());

    /// Cuts at the `count`th coming to a place, from 1.
    pub fn arm(name: &str, count: u64) {
        CUT.store(false, Ordering::SeqCst);
        *ARMED.lock() = Some((name.into(), count.max(1)));
    }

    /// Nothing is cut any more; gives whether something was.
    pub fn disarm() -> bool {
        *ARMED.lock() = None;
        CUT.swap(false, Ordering::SeqCst)
    }

    /// The agent was cut, and does nothing any more.
    pub fn is_cut() -> bool {
        CUT.load(Ordering::SeqCst)
    }

    fn reached(name: &str, by: u64) -> bool {
        let mut armed = ARMED.lock();
        let Some((_, left)) = armed.as_mut().filter(|(wanted, _)| wanted == name) else { return false };
        *left = left.saturating_sub(by);
        let now = *left == 0;
        if now {
            *armed = None;
        }
        now
    }

    /// Takes `cut=NAME:COUNT:FILE` off the child's command line; the file is removed when it is cut. `syncs=FILE` gets a line for
    /// each file that the child waits for.
    pub(crate) fn arm_child() {
        for argument in std::env::args() {
            if let Some(file) = argument.strip_prefix("syncs=") {
                *SYNCS.lock() = file.into();
            }
            let mut parts = argument.strip_prefix("cut=").unwrap_or_default().splitn(3, ':');
            if let (Some(name), Some(count), Some(file)) = (parts.next(), parts.next(), parts.next()) {
                *NOTE.lock() = file.into();
                arm(name, count.parse().unwrap_or(1));
            }
        }
    }

    /// How often this process waited for the disk.
    pub fn syncs() -> u64 {
        SYNCED.load(Ordering::SeqCst)
    }

    pub(crate) fn synced() {
        SYNCED.fetch_add(1, Ordering::SeqCst);
        let file = SYNCS.lock().clone();
        if !file.is_empty()
            && let Ok(mut file) = std::fs::File::options().create(true).append(true).open(file)
        {
            let _ = std::io::Write::write_all(&mut file, b"fsync\n");
        }
    }

    /// A place in the child.
    pub(crate) fn child(name: &'static str) {
        if reached(name, 1) {
            die();
        }
    }

    /// Bytes came to the child.
    pub(crate) fn received(bytes: usize) {
        let bytes = bytes as u64;
        let before = RECEIVED.fetch_add(bytes, Ordering::Relaxed);
        let whole = (before + bytes) / 1024 - before / 1024;
        if whole > 0 && reached("child.received", whole) {
            die();
        }
    }

    fn die() -> ! {
        let _ = std::fs::remove_file(&*NOTE.lock());
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        std::process::abort()
    }

    /// A place in the agent, between two awaits.
    pub(crate) async fn agent(name: &'static str) {
        if reached(name, 1) {
            CUT.store(true, Ordering::SeqCst);
        }
        if is_cut() {
            std::future::pending::<()>().await;
        }
    }

    /// A place in the agent's code that does not wait: the task ends there, with no panic told.
    pub(crate) fn agent_now(name: &'static str) {
        if reached(name, 1) {
            CUT.store(true, Ordering::SeqCst);
        }
        if is_cut() {
            std::panic::resume_unwind(Box::new("the power was cut"));
        }
    }
}

#[cfg(not(debug_assertions))]
mod off {
    pub(crate) fn arm_child() {}
    pub(crate) fn synced() {}
    pub(crate) fn child(_: &'static str) {}
    pub(crate) fn received(_: usize) {}
    pub(crate) async fn agent(_: &'static str) {}
    pub(crate) fn agent_now(_: &'static str) {}
}
#[cfg(not(debug_assertions))]
pub(crate) use off::*;
