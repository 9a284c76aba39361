//! The API server: HTTP, authentication, authorization, admission, CRDs, discovery. The only user of `store`.
//!
//! One engine serves every kind (D1): a request is told apart, its user found and judged,
//! and its verb runs over the kind's row in `api`'s table. Reads come from the watch caches as bytes (D3, D4),
//! writes go through `store` and are answered once the server's own cache holds them.

pub mod config;
pub mod http;
pub mod identity;
pub mod node;
pub mod server;

pub use config::Config;
pub use identity::Identity;
pub use node::NodeDialer;
pub use server::{Error, Server};
