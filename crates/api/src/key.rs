//! The names of things: which resource, which object of it, and which revision of that.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use smol_str::SmolStr;

/// A resource across its versions: API group (`""` is core) and plural, as in `deployments.apps`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    pub group: SmolStr,
    pub plural: SmolStr,
}

impl Resource {
    pub fn new(group: impl Into<SmolStr>, plural: impl Into<SmolStr>) -> Resource {
        Resource { group: group.into(), plural: plural.into() }
    }

    /// The store's prefix of all objects of this resource: `core/pods/`, `apps/deployments/`.
    pub fn prefix(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        format!("{group}/{}/", self.plural)
    }
}

impl fmt::Display for Resource {
    /// `pods`, `deployments.apps`: the form of upstream's messages.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.plural)?;
        if !self.group.is_empty() {
            write!(out, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// Where an object is stored: `<group or core>/<plural>/[<namespace>/]<name>`. Keys order as etcd orders upstream's,
/// by bytes, so lists come out in the same order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

/// A text that is no [`Key`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a key: <group>/<plural>/[<namespace>/]<name> is")]
pub struct BadKey(String);

impl Key {
    /// `namespace` is empty for cluster-scoped objects. The parts hold no slash: names were validated before.
    pub fn new(resource: &Resource, namespace: &str, name: &str) -> Key {
        let mut text = resource.prefix();
        if !namespace.is_empty() {
            text.push_str(namespace);
            text.push('/');
        }
        text.push_str(name);
        Key(text.into())
    }

    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str, &str, &str) {
        let mut parts = self.0.splitn(3, '/');
        let (group, plural) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let rest = parts.next().unwrap_or_default();
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        (group, plural, namespace, name)
    }

    pub fn resource(&self) -> Resource {
        let (group, plural, ..) = self.parts();
        Resource::new(if group == "core" { "" } else { group }, plural)
    }

    /// Empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.parts().2
    }

    pub fn name(&self) -> &str {
        self.parts().3
    }
}

/// Keys equal, order and hash as their texts do: maps of them are searched by text.
impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Key, BadKey> {
        let parts: Vec<&str> = text.split('/').collect();
        if !(3..=4).contains(&parts.len()) || parts.iter().any(|part| part.is_empty()) {
            return Err(BadKey(text.into()));
        }
        Ok(Key(text.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The store's clock: each write has its own, and it only grows. 0 is before every write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// `metadata.uid`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub SmolStr);

impl fmt::Display for Uid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_their_parts() {
        let key = Key::new(&Resource::new("apps", "deployments"), "default", "web");
        assert_eq!(key.as_str(), "apps/deployments/default/web");
        assert_eq!((key.namespace(), key.name()), ("default", "web"));
        let key: Key = "core/nodes/n1".parse().unwrap();
        assert_eq!(key.resource(), Resource::new("", "nodes"));
        assert_eq!((key.namespace(), key.name()), ("", "n1"));
        assert!("core/nodes/".parse::<Key>().is_err());
    }
}
