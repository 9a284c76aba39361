//! What every crate stands on: named tasks with a cancel path, an injectable clock, error chains, paths, whom outgoing TLS believes.
//!
//! Nothing here knows Kubernetes. Tasks are spawned only through [`spawn`] (STYLE, "Async"), so that each has a
//! name, an owner and a way to stop, and a panic is caught and told (D16).

pub mod clock;
pub mod error;
pub mod metrics;
pub mod paths;
pub mod task;
pub mod tls;

pub use clock::Clock;
pub use error::chain;
pub use task::{Tasks, Token, spawn};
