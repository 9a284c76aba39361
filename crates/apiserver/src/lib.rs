//! The API server: HTTP, authentication, authorization, admission, CRDs, discovery. The only user of `store`.
//!
//! One engine serves every kind (D1). A request (`http::answer`) is told apart (`http::info`), its user found (`authn`) and
//! judged (`authz`); then its verb (`engine`) runs over the kind's row in `api`'s table. Reads come from the watch caches as
//! bytes (D3, D4), which `fill` keeps; writes pass `admit`, go to `store`, and are answered once the server's own cache holds them.

mod admit;
mod aggregate;
pub mod audit;
mod authn;
mod authz;
mod bootstrap;
mod codec;
pub mod config;
mod conversion;
mod custom;
mod encryption;
mod engine;
mod fill;
mod flow;
mod health;
pub mod http;
pub mod identity;
pub mod import;
mod internal;
mod manage;
mod memo;
mod metrics;
pub mod node;
mod nonresource;
mod openapi;
mod remote;
mod review;
pub mod server;
mod status;
mod subresource;
mod tls;

pub use admit::node_restriction::restricted as restricted_node_label;
pub use admit::pod_security::{Policy as PodSecurityPolicy, Settings as PodSecurity};
pub use authn::TokenWebhook;
pub use authz::Authorization;
pub use config::Config;
pub use identity::Identity;
pub use node::NodeDialer;
pub use remote::Peer;
pub use server::{Error, Server};
