//! The kinds of networking.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod service_cidr;

pub const ALL: &[Builtin] =
    &[ingress_class::KIND, ingress::KIND, ip_address::KIND, network_policy::KIND, service_cidr::KIND];
