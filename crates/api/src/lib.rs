//! The Kubernetes API as data: kinds, schema facts, the dynamic tree, and every pure rule on them. No I/O here.
//!
//! Between decode and store an object is one [`Value`] (D3); at rest and on the wire to watchers it is one
//! [`Object`]. What a kind is, is told by one [`Kind`] in one table (D1), for built-in kinds and CRDs alike.

pub mod allocator;
pub mod apply;
#[cfg(test)]
mod cases;
pub mod cel;
pub mod cron;
pub mod decode;
pub mod discovery;
pub mod field;
pub mod json;
pub mod key;
pub mod kind;
pub mod kinds;
pub mod object;
pub mod openapi;
pub mod patch;
pub mod pod;
pub mod pod_security;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod schema;
pub mod selector;
pub mod service;
pub mod structural;
pub mod table;
pub mod text;
pub mod time;
pub mod validation;
pub mod value;
pub mod yaml;

pub use key::{Key, Resource, Revision, Uid};
pub use kind::{Kind, Kinds, Rules};
pub use object::Object;
pub use value::{Map, Value};
