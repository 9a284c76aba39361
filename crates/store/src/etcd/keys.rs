//! Where objects lie in etcd: as upstream's API server lays them (`/registry/<resource>/[<namespace>/]<name>`), so that it, its
//! tools and its backups find them. Upstream's names leave the group of its own kinds out and have a few old ones
//! (k8s.io/kubernetes/pkg/kubeapiserver/default_storage_factory_builder.go, `SpecialDefaultResourcePrefixes`); custom resources,
//! CustomResourceDefinitions and APIServices have their group before the plural.

use std::collections::HashMap;
use std::sync::LazyLock;

use api::Key;

/// Old names, and what they stand for.
const SPECIAL: &[(&str, &str)] = &[
    ("core/replicationcontrollers", "controllers"),
    ("core/endpoints", "services/endpoints"),
    ("core/nodes", "minions"),
    ("core/services", "services/specs"),
    ("networking.k8s.io/ingresses", "ingress"),
];

/// Groups of upstream that are served by extension servers in its process, and lie like custom resources.
const GROUPED: &[&str] = &["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// What upstream keeps below `/registry` that is no object of the API.
const STRANGERS: &[&str] = &["ranges/", "masterleases/", "peerserverleases/", "health"];

struct Names {
    /// `apps/deployments` → `deployments`.
    to: HashMap<String, String>,
    from: HashMap<String, String>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut names = Names { to: HashMap::new(), from: HashMap::new() };
    for kind in api::kinds::builtin_serving(|_, _, _| true).iter().filter(|kind| kind.stored_as.is_none()) {
        let mut row = kind.resource.prefix();
        row.pop();
        if GROUPED.contains(&kind.resource.group.as_str()) {
            continue;
        }
        let special = SPECIAL.iter().find(|(own, _)| *own == row).map(|(_, name)| *name);
        let name = special.unwrap_or(&kind.resource.plural).to_string();
        names.from.insert(name.clone(), row.clone());
        names.to.insert(row, name);
    }
    names
});

/// The layout below one root.
pub(crate) struct Layout {
    /// Ends with a slash.
    root: String,
}

/// The first two parts of a key or prefix, and what follows their slash.
fn split(text: &str) -> Option<(&str, &str)> {
    let group = text.find('/')?;
    let plural = group + 1 + text[group + 1..].find('/')?;
    Some((&text[..plural], &text[plural + 1..]))
}

impl Layout {
    pub(crate) fn new(root: &str) -> Layout {
        Layout { root: format!("{}/", root.trim_end_matches('/')) }
    }

    /// What every key begins with.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Below which upstream's servers say that they are there.
    pub(super) fn servers(&self) -> String {
        format!("{}masterleases/", self.root)
    }

    /// etcd's text of a key, or of a prefix that ends with a slash after a resource or a namespace; empty: the root.
    pub(super) fn of(&self, text: &str) -> String {
        let Some((row, rest)) = split(text) else { return self.root.clone() };
        match NAMES.to.get(row) {
            Some(name) => format!("{}{name}/{rest}", self.root),
            // A kind that upstream does not have, of no group: under its plural alone, where it cannot be taken for a group.
            None => match row.strip_prefix("core/") {
                Some(plural) => format!("{}{plural}/{rest}", self.root),
                None => format!("{}{row}/{rest}", self.root),
            },
        }
    }

    /// The key of etcd's text; `None` for what is no object.
    pub(crate) fn key(&self, text: &[u8]) -> Option<Key> {
        let text = std::str::from_utf8(text).ok()?.strip_prefix(&self.root)?;
        if STRANGERS.iter().any(|name| text.starts_with(name)) {
            return None;
        }
        let (first, rest) = text.split_once('/')?;
        if let Some(row) = NAMES.from.get(first) {
            return format!("{row}/{rest}").parse().ok();
        }
        if let Some((two, rest)) = split(text) {
            if let Some(row) = NAMES.from.get(two) {
                return format!("{row}/{rest}").parse().ok();
            }
            // Groups of custom resources hold a dot, names of resources do not.
            if first.contains('.') {
                return text.parse().ok();
            }
        }
        format!("core/{text}").parse().ok()
    }
}

/// What a server of this address says of itself: an Endpoints, as upstream's.
pub(super) fn server(ip: &str) -> String {
    let subset = format!(r#"{{"addresses":[{{"ip":"{ip}"}}]}}"#);
    format!(r#"{{"kind":"Endpoints","apiVersion":"v1","metadata":{{}},"subsets":[{subset}]}}"#)
}

/// What follows everything that begins with `prefix`; `prefix` ends with a slash.
pub(super) fn end(prefix: &str) -> String {
    let mut end = prefix.to_string();
    end.pop();
    end.push('0');
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_where_upstream_has_them() {
        let layout = Layout::new("/registry");
        for (own, there) in [
            ("core/pods/a/x", "/registry/pods/a/x"),
            ("core/nodes/n1", "/registry/minions/n1"),
            ("core/services/a/s", "/registry/services/specs/a/s"),
            ("core/endpoints/a/s", "/registry/services/endpoints/a/s"),
            ("core/replicationcontrollers/a/r", "/registry/controllers/a/r"),
            ("networking.k8s.io/ingresses/a/i", "/registry/ingress/a/i"),
            ("apps/deployments/a/d", "/registry/deployments/a/d"),
            ("rbac.authorization.k8s.io/clusterroles/system:node", "/registry/clusterroles/system:node"),
            ("coordination.k8s.io/leases/a/l", "/registry/leases/a/l"),
            (
                "apiextensions.k8s.io/customresourcedefinitions/x.y.io",
                "/registry/apiextensions.k8s.io/customresourcedefinitions/x.y.io",
            ),
            ("apiregistration.k8s.io/apiservices/v1.", "/registry/apiregistration.k8s.io/apiservices/v1."),
            ("example.com/widgets/a/w", "/registry/example.com/widgets/a/w"),
            ("core/podsx/a/x", "/registry/podsx/a/x"),
        ] {
            assert_eq!(layout.of(own), there);
            assert_eq!(
                layout.key(there.as_bytes()).map(|key| key.as_str().to_string()).as_deref(),
                Some(own)
            );
        }
        assert_eq!(layout.of(""), "/registry/");
        assert_eq!(layout.of("core/services/a/"), "/registry/services/specs/a/");
        assert_eq!(end("/registry/pods/"), "/registry/pods0");
        for stranger in [
            "/registry/ranges/serviceips",
            "/registry/masterleases/10.0.0.1",
            "/other/pods/a/b",
            "/registry/health",
        ] {
            assert_eq!(layout.key(stranger.as_bytes()), None, "{stranger}");
        }
    }

    #[test]
    fn no_two_kinds_share_a_name() {
        assert_eq!(NAMES.to.len(), NAMES.from.len());
    }
}
