//! Who makes a request: upstream's `user.Info`.

/// A user with its groups. Made by an authenticator, or by the process for its own roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: Vec<(String, Vec<String>)>,
}

/// Group of everybody who proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Group that is allowed everything.
pub const MASTERS: &str = "system:masters";

impl Identity {
    /// A user that proved who it is; `system:authenticated` is added to its groups.
    pub fn new(name: &str, groups: &[&str]) -> Identity {
        let mut groups: Vec<String> = groups.iter().map(|group| group.to_string()).collect();
        groups.push(AUTHENTICATED.into());
        Identity { name: name.into(), groups, ..Identity::default() }
    }
    pub fn anonymous() -> Identity {
        let groups = vec![UNAUTHENTICATED.into()];
        Identity { name: "system:anonymous".into(), groups, ..Identity::default() }
    }
    /// The server itself: `system:apiserver`, a master.
    pub fn apiserver() -> Identity {
        Identity::new("system:apiserver", &[MASTERS])
    }
    /// `system:node:<name>`, the kubelet of a node.
    pub fn node(name: &str) -> Identity {
        Identity::new(&format!("system:node:{name}"), &["system:nodes"])
    }
    /// A ServiceAccount, as a token of it would say.
    pub fn service_account(namespace: &str, name: &str) -> Identity {
        Identity::new(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")],
        )
    }
    /// For the strategies of kinds that write down who made them.
    pub fn who(&self) -> api::kind::Who<'_> {
        api::kind::Who { uid: &self.uid, groups: &self.groups, extra: &self.extra }
    }
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}
