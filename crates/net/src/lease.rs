//! What is known of each pod's link, one file a pod: `<uid>.json`, written to the side and renamed.
//!
//! Invariant: a lease is on disk before its address is used. Nothing here need survive a reboot, as namespaces do not,
//! so files are not synced: one that a power cut tore belongs to a pod that is gone, and is dropped.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "SCTP")]
    Sctp,
}

/// A protocol name that is none of Kubernetes'.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no protocol: TCP, UDP and SCTP are")]
pub struct UnknownProtocol(String);

impl Protocol {
    /// IANA's number.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// As rule and chain names have it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;
    fn from_str(text: &str) -> Result<Protocol, UnknownProtocol> {
        match text {
            "TCP" | "" => Ok(Protocol::Tcp),
            "UDP" => Ok(Protocol::Udp),
            "SCTP" => Ok(Protocol::Sctp),
            _ => Err(UnknownProtocol(text.to_owned())),
        }
    }
}

/// A port of the node that leads to a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// `None`, or an unspecified address, listens on every address of the node.
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) host_ports: Vec<HostPort>,
}

#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub struct Error {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The folder of leases.
#[derive(Clone, Debug)]
pub(crate) struct Leases(PathBuf);

impl Leases {
    pub(crate) fn open(folder: &Path) -> Result<Leases, Error> {
        match fs::create_dir_all(folder) {
            Ok(()) => Ok(Leases(folder.to_owned())),
            Err(source) => Err(Error { operation: "create", path: folder.to_owned(), source }),
        }
    }

    /// All leases that can be read. A file that cannot be is removed: its pod gets a new link.
    pub(crate) fn read(&self) -> Result<Vec<Lease>, Error> {
        let fail = |source| Error { operation: "read", path: self.0.clone(), source };
        let mut leases = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let lease = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Lease>(&bytes).ok());
            match lease.filter(|lease| self.path(&lease.uid) == path) {
                Some(lease) => leases.push(lease),
                None => {
                    tracing::warn!(path = %path.display(), "a torn lease is dropped");
                    let _gone_already = fs::remove_file(&path);
                }
            }
        }
        leases.sort_by(|a, b| a.uid.cmp(&b.uid));
        Ok(leases)
    }

    pub(crate) fn write(&self, lease: &Lease) -> Result<(), Error> {
        let path = self.path(&lease.uid);
        let bytes = serde_json::to_vec(lease).expect("because a lease holds nothing that JSON cannot");
        let aside = path.with_extension("new");
        fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, &path)).map_err(|source| Error {
            operation: "write",
            path,
            source,
        })
    }

    pub(crate) fn remove(&self, uid: &str) -> Result<(), Error> {
        let path = self.path(uid);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error { operation: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    fn path(&self, uid: &str) -> PathBuf {
        self.0.join(format!("{uid}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_lease_is_dropped_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::open(folder.path()).unwrap();
        let lease = Lease {
            uid: "a".into(),
            namespace: "default".into(),
            name: "web".into(),
            address: [10, 42, 0, 2].into(),
            host_ports: vec![HostPort {
                host_ip: None,
                host_port: 80,
                container_port: 8080,
                protocol: Protocol::Tcp,
            }],
        };
        leases.write(&lease).unwrap();
        fs::write(folder.path().join("b.json"), "{\"uid\":\"b\"").unwrap();
        fs::write(folder.path().join("c.new"), "").unwrap();
        assert_eq!(leases.read().unwrap(), std::slice::from_ref(&lease));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        leases.remove("a").unwrap();
        leases.remove("a").unwrap();
        assert_eq!(leases.read().unwrap(), []);
    }
}
