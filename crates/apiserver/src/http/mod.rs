//! HTTP on both ends: connections, what a request asks, the form of its answer, bodies.

pub mod accept;
pub mod answer;
pub mod body;
pub mod info;
pub mod listen;
mod patient;
pub mod query;
pub mod respond;
pub mod service;

pub use accept::Accept;
pub(crate) use answer::Upgrade;
pub use body::{Aborted, Body, Chunks};
pub use info::Info;
pub use query::Query;
pub use service::Service;
