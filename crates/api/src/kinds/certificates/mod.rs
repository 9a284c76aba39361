//! The kinds of certificates.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod certificate_signing_request;
mod cluster_trust_bundle;
pub mod pod_certificate_request;

pub const ALL: &[Builtin] =
    &[certificate_signing_request::KIND, cluster_trust_bundle::KIND, pod_certificate_request::KIND];
