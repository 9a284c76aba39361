//! networking.k8s.io IPAddress: named by the address itself; no other rules of its own yet.

use std::net::IpAddr;

use crate::kind::Rules;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "ipaddresses",
    storage: "v1",
    rules: || Box::new(IpAddress),
};

struct IpAddress;

impl Rules for IpAddress {
    /// The canonical form only: two names never mean one address.
    fn bad_name(&self, name: &str, _: bool) -> Option<String> {
        match name.parse::<IpAddr>() {
            Ok(address) if address.to_string() == name => None,
            Ok(address) => Some(format!("must be in canonical form ({:?})", address.to_string())),
            Err(_) => Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()),
        }
    }
    fn complete(&self) -> bool {
        false
    }
}
