//! One object on its way through the layers, with the identities that it had.

use std::fmt;

use api::{Map, Value};

use crate::Error;

/// What identifies an object: group, version, kind, effective namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    /// `default` if unset; a mark that is no namespace for cluster-scoped kinds.
    pub namespace: String,
}

impl Id {
    pub fn of_kind(&self, group: &str, version: &str, kind: &str) -> bool {
        (group.is_empty() || group == self.group)
            && (version.is_empty() || version == self.version)
            && (kind.is_empty() || kind == self.kind)
    }
}

impl fmt::Display for Id {
    /// As upstream's messages: `Deployment.v1.apps/web.default`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str, none: &'static str| {
            if text.is_empty() { none.to_string() } else { text.to_string() }
        };
        let namespace = if self.namespace == NO_NAMESPACE { "[noNs]" } else { &self.namespace };
        write!(
            out,
            "{}.{}.{}/{}.{namespace}",
            self.kind,
            text(&self.version, "[noVer]"),
            text(&self.group, "[noGrp]"),
            self.name
        )
    }
}

pub(super) const NO_NAMESPACE: &str = "_non_namespaceable_";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Behavior {
    #[default]
    Create,
    Replace,
    Merge,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    pub value: Value,
    /// Name, effective namespace and kind before each change of one of them, oldest first.
    pub previous: Vec<(String, String, String)>,
    pub prefixes: Vec<String>,
    pub suffixes: Vec<String>,
    /// The name gets a hash of the content at the end.
    pub hashed: bool,
    pub behavior: Behavior,
}

/// `group`, `version` of an apiVersion.
pub(super) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    let mut rows = api::schema::kinds().iter().filter(|row| row.kind() == kind && row.group() == group);
    rows.next().is_some_and(|row| !row.namespaced())
}

impl Resource {
    pub fn new(value: Value) -> Resource {
        Resource { value, ..Resource::default() }
    }
    pub fn name(&self) -> &str {
        self.value.str_at(&["metadata", "name"])
    }
    pub fn namespace(&self) -> &str {
        self.value.str_at(&["metadata", "namespace"])
    }
    pub fn kind(&self) -> &str {
        self.value.str_at(&["kind"])
    }
    pub fn group(&self) -> &str {
        group_version(self.value.str_at(&["apiVersion"])).0
    }
    pub fn version(&self) -> &str {
        group_version(self.value.str_at(&["apiVersion"])).1
    }
    pub fn is_cluster_scoped(&self) -> bool {
        is_cluster_scoped(self.group(), self.kind())
    }
    fn effective_namespace(&self) -> String {
        match self.namespace() {
            _ if self.is_cluster_scoped() => NO_NAMESPACE.into(),
            "" => "default".into(),
            namespace => namespace.into(),
        }
    }

    /// What it is now.
    pub fn id(&self) -> Id {
        Id {
            group: self.group().into(),
            version: self.version().into(),
            kind: self.kind().into(),
            name: self.name().into(),
            namespace: self.effective_namespace(),
        }
    }

    /// What it was, oldest first; empty if nothing ever changed.
    pub fn previous_ids(&self) -> Vec<Id> {
        let (group, version) = (self.group(), self.version());
        self.previous
            .iter()
            .map(|(name, namespace, kind)| Id {
                group: group.into(),
                version: version.into(),
                kind: kind.clone(),
                name: name.clone(),
                namespace: if is_cluster_scoped(group, kind) {
                    NO_NAMESPACE.into()
                } else {
                    namespace.clone()
                },
            })
            .collect()
    }

    pub fn original_id(&self) -> Id {
        self.previous_ids().into_iter().next().unwrap_or_else(|| self.id())
    }

    pub fn any_id(&self, test: impl Fn(&Id) -> bool) -> bool {
        self.previous_ids().iter().any(&test) || test(&self.id())
    }

    pub fn store_previous(&mut self) {
        let id = self.id();
        self.previous.push((id.name, id.namespace, id.kind));
    }

    pub fn set_name(&mut self, name: &str) {
        self.value.set(&["metadata", "name"], name);
    }

    pub fn texts(&self, field: &str) -> Vec<(String, String)> {
        let map = self.value.at(&["metadata", field]).and_then(Value::as_map);
        let fields = map.into_iter().flat_map(Map::iter);
        fields.map(|(key, value)| (key.to_string(), value.as_str().unwrap_or_default().to_string())).collect()
    }

    /// `config.kubernetes.io/local-config`: used while building, not printed.
    pub fn is_local(&self) -> bool {
        let mark = self.value.at(&["metadata", "annotations", "config.kubernetes.io/local-config"]);
        mark.is_some_and(|mark| mark.as_str() != Some("false"))
    }
}

/// The objects of a text; lists are taken apart.
pub(super) fn parse(text: &str, file: &str) -> Result<Vec<Resource>, Error> {
    let mut all = Vec::new();
    for document in super::documents(text, file)? {
        push(document, file, &mut all)?;
    }
    Ok(all)
}

fn push(document: Value, file: &str, all: &mut Vec<Resource>) -> Result<(), Error> {
    let kind = document.str_at(&["kind"]).to_string();
    if document.as_map().is_none() {
        return Err(Error::field(
            file,
            ".",
            "a document is not a map; an object has apiVersion, kind and metadata",
        ));
    }
    if kind.is_empty() {
        return Err(Error::field(
            file,
            "kind",
            "missing; every object needs apiVersion, kind and metadata.name",
        ));
    }
    if kind.ends_with("List")
        && let Some(Value::Array(items)) = document.get("items")
    {
        return items.iter().try_for_each(|item| push(item.clone(), file, all));
    }
    if document.str_at(&["metadata", "name"]).is_empty()
        && document.str_at(&["metadata", "generateName"]).is_empty()
    {
        return Err(Error::field(file, "metadata.name", format!("missing in the {kind}")));
    }
    all.push(Resource::new(document));
    Ok(())
}

/// Strategic merge patches; with a target they need no name.
pub(super) fn parse_patches(
    documents: Vec<Value>,
    file: &str,
    targeted: bool,
) -> Result<Vec<Resource>, Error> {
    let mut all = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        if document.as_map().is_none() {
            let text =
                "is neither a strategic merge patch (a map) nor a JSON patch (a list of op, path and value)";
            return Err(Error::field(file, ".", text));
        }
        for field in [&["apiVersion"][..], &["kind"], &["metadata", "name"]] {
            if document.str_at(field).is_empty() && !(targeted && field.len() == 2) {
                return Err(Error::field(file, field.join("."), "missing in the patch"));
            }
        }
        all.push(Resource::new(document));
    }
    Ok(all)
}
