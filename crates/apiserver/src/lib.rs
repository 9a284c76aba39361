//! The API server: HTTP, authentication, authorization, admission, CRDs, discovery. The only user of `store`.

pub mod node;

pub use node::NodeDialer;
