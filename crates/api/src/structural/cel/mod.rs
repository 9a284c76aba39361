//! `x-kubernetes-validations`: CEL rules of a schema, compiled once in the schema's shape, judged before a CRD is taken and
//! run over every object (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel).
//!
//! A rule that names `oldSelf` is a transition rule: it runs only where there is an old value that this one came from. What
//! did not change is not judged again (KEP-4008). All rules of one object share a budget.

mod check;
mod compile;
mod judge;
mod size;

pub(super) use check::check;
pub use compile::Compiled;

/// Bytes of the largest request.
const REQUEST: u64 = 3 * 1024 * 1024;
