//! The shim's program. Descriptor 0 is the connection that it was born with; everything else comes over it.
//!
//! It is one thread for ever: that is what makes it small, and what makes `fork` safe.

mod child;
mod container;
mod credentials;
mod error;
mod log;
mod process;
mod rootfs;
mod sandbox;
mod server;
mod sys;
mod user;
mod verbs;

fn main() {
    // The daemon waits for this first process only; its child lives on as nobody's, in a session of its own.
    // Arguments: the pod, for people who read `ps`; the cgroups to be in.
    let cgroups: Vec<std::path::PathBuf> = std::env::args_os().skip(2).map(Into::into).collect();
    // SAFETY: one thread, see the head of this file.
    match unsafe { sys::fork_into(&cgroups) } {
        Ok(sys::Forked::Parent(_)) => std::process::exit(0),
        Err(errno) => {
            eprintln!("skiff-shim: cannot fork: {errno}");
            std::process::exit(1);
        }
        Ok(sys::Forked::Child { joined: true }) => {}
        Ok(sys::Forked::Child { joined: false }) => {
            for cgroup in &cgroups {
                if let Err(error) = sys::join_cgroup(cgroup) {
                    eprintln!("skiff-shim: cannot join {}: {error}", cgroup.display());
                    std::process::exit(1);
                }
            }
        }
    }
    if let Err(error) = server::Server::run() {
        eprintln!("skiff-shim: {error}");
        std::process::exit(1);
    }
}
