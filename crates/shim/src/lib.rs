//! The process that stays with a pod (D7): it keeps stdio, logs, exit codes and exec alive while the daemon is killed,
//! upgraded or crashes.
//!
//! The library half is what the daemon shares with it: [`plan`] says what to make, [`protocol`] and [`frame`] how to
//! ask for it. Everything that can be decided in the daemon is decided there (limits, capabilities, seccomp programs),
//! so that the shim stays small; it makes namespaces, mounts and processes, and it never parses anything of a
//! container but `/etc/passwd` and `/etc/group`.

pub mod frame;
pub mod plan;
pub mod protocol;
