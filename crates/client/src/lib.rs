//! How every role reads and writes the cluster: [`Cache`] is the one copy in memory, [`Informer`] a typed view of it,
//! `kube::Client` makes the requests (D4).
//!
//! In the server's process `apiserver` fills the caches from the store and roles share them; elsewhere a reflector
//! fills the same type over HTTPS. A reader cannot tell.

pub mod cache;

pub use cache::{Cache, Caches, Event, Gone, Snapshot, Subscription};
