//! What an application may make: kinds allowed and denied, and namespaces. Pure data that a front end fills in.

use crate::glob::{fits, fits_or_denies};
use crate::inventory::Id;

/// A group, a kind, and for some lists a name; each a glob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    pub group: String,
    pub kind: String,
    /// Empty: any.
    pub name: String,
}

impl Pattern {
    fn fits(&self, id: &Id) -> bool {
        fits(&self.group, &id.group, None)
            && fits(&self.kind, &id.kind, None)
            && (self.name.is_empty() || fits(&self.name, &id.name, None))
    }
}

/// See the module. The default denies all cluster-scoped kinds and allows all others, everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permits {
    /// Whose permits they are, for messages.
    pub project: String,
    pub cluster_allowed: Vec<Pattern>,
    pub cluster_denied: Vec<Pattern>,
    /// `None`: all kinds.
    pub allowed: Option<Vec<Pattern>>,
    pub denied: Vec<Pattern>,
    /// Globs of namespaces, those that begin with `!` deny; `None`: all.
    pub namespaces: Option<Vec<String>>,
}

impl Permits {
    /// Whether an object may be made; the error says why not.
    pub fn object(&self, id: &Id) -> Result<(), String> {
        let any = |list: &[Pattern]| list.iter().any(|pattern| pattern.fits(id));
        let kind = if id.namespace.is_empty() {
            any(&self.cluster_allowed) && !any(&self.cluster_denied)
        } else {
            self.allowed.as_ref().is_none_or(|list| any(list)) && !any(&self.denied)
        };
        if !kind {
            return Err(format!(
                "resource {}:{} is not permitted in project {}",
                id.group, id.kind, self.project
            ));
        }
        if !id.namespace.is_empty() && !self.namespace(&id.namespace) {
            return Err(format!("namespace {} is not permitted in project '{}'", id.namespace, self.project));
        }
        Ok(())
    }

    pub fn namespace(&self, namespace: &str) -> bool {
        let Some(all) = &self.namespaces else { return true };
        let mut permitted = false;
        for pattern in all {
            match (fits_or_denies(pattern, namespace, None), pattern.starts_with('!')) {
                (true, _) => permitted = true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        permitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(group: &str, kind: &str, name: &str) -> Pattern {
        Pattern { group: group.into(), kind: kind.into(), name: name.into() }
    }

    #[test]
    fn lists_allow_and_deny() {
        let permits = Permits {
            project: "p".into(),
            cluster_allowed: vec![pattern("", "Namespace", "team-*"), pattern("rbac*", "*", "")],
            cluster_denied: vec![pattern("*", "ClusterRoleBinding", "")],
            denied: vec![pattern("", "ResourceQuota", "")],
            namespaces: Some(vec!["team-*".into(), "!team-secret".into()]),
            ..Permits::default()
        };
        for (group, kind, namespace, name, expected) in [
            ("", "Namespace", "", "team-a", true),
            ("", "Namespace", "", "other", false),
            ("rbac.authorization.k8s.io", "ClusterRole", "", "x", true),
            ("rbac.authorization.k8s.io", "ClusterRoleBinding", "", "x", false),
            ("", "ConfigMap", "team-a", "x", true),
            ("", "ResourceQuota", "team-a", "x", false),
            ("", "ConfigMap", "team-secret", "x", false),
            // As upstream: what is not denied by `!` is permitted by it.
            ("", "ConfigMap", "other", "x", true),
        ] {
            let id = Id::new(group, kind, namespace, name);
            assert_eq!(permits.object(&id).is_ok(), expected, "{id}");
        }
        let only = Permits { allowed: Some(vec![]), ..Permits::default() };
        let id = Id::new("", "Pod", "a", "");
        assert_eq!(only.object(&id).unwrap_err(), "resource :Pod is not permitted in project ");
    }
}
