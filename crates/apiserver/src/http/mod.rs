//! HTTP on both ends: bodies, the service that answers a request, and the connections it is served on.

pub mod body;
pub mod listen;
pub mod service;

pub use body::{Aborted, Body};
pub use service::Service;
