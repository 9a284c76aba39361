//! One object on its way through the layers, with the identities that it had.

use std::collections::VecDeque;
use std::fmt;

use api::{Map, Value};

use super::scalar::{restyled, text};
use super::schema;
use crate::Error;
use crate::goyaml::kyaml::Document;

/// What identifies an object: group, version, kind, namespace and name.
#[derive(Clone, Debug, Eq)]
pub(super) struct Id {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    /// As it is written, which may be not at all.
    pub namespace: String,
    pub cluster_scoped: bool,
}

impl PartialEq for Id {
    fn eq(&self, other: &Id) -> bool {
        self.name == other.name && self.kind == other.kind && self.is_near(other)
    }
}

impl Id {
    pub fn of(object: &Value) -> Id {
        let api_version = object.str_at(&["apiVersion"]);
        let (group, version) = group_version(api_version);
        let kind = object.str_at(&["kind"]);
        Id {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            name: field_text(object, "name"),
            namespace: field_text(object, "namespace"),
            cluster_scoped: schema::is_cluster_scoped(api_version, kind),
        }
    }

    /// The same group, version and effective namespace.
    fn is_near(&self, other: &Id) -> bool {
        self.version == other.version && self.group == other.group && self.effective() == other.effective()
    }

    pub fn of_kind(&self, group: &str, version: &str, kind: &str) -> bool {
        (group.is_empty() || group == self.group)
            && (version.is_empty() || version == self.version)
            && (kind.is_empty() || kind == self.kind)
    }

    /// The namespace that it is in: `default` if none is written, and a mark for kinds without one.
    pub fn effective(&self) -> &str {
        match self.namespace.as_str() {
            _ if self.cluster_scoped => NO_NAMESPACE,
            "" => "default",
            namespace => namespace,
        }
    }
}

fn field_text(object: &Value, field: &str) -> String {
    match object.at(&["metadata", field]) {
        None | Some(Value::Null) => String::new(),
        Some(value) => text(value).unwrap_or_default(),
    }
}

impl fmt::Display for Id {
    /// As upstream's messages: `Deployment.v1.apps/web.default`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str, none: &'static str| {
            if text.is_empty() { none.to_string() } else { text.to_string() }
        };
        write!(
            out,
            "{}.{}.{}/{}.{}",
            or(&self.kind, "[noKind]"),
            or(&self.version, "[noVer]"),
            or(&self.group, "[noGrp]"),
            or(&self.name, "[noName]"),
            or(&self.namespace, "[noNs]"),
        )
    }
}

pub(super) const NO_NAMESPACE: &str = "_non_namespaceable_";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Behavior {
    /// Not generated.
    #[default]
    None,
    Create,
    Replace,
    Merge,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    pub value: Value,
    /// Fields without any value, which a merge takes out where it leaves a written null.
    pub unwritten: Vec<Vec<String>>,
    /// Name, effective namespace and kind before each change of one of them, oldest first.
    pub previous: Vec<(String, String, String)>,
    pub prefixes: Vec<String>,
    pub suffixes: Vec<String>,
    /// The name gets a hash of the content at the end.
    pub hashed: bool,
    /// It was made by a generator of this kind of file, which marks it.
    pub behavior: Behavior,
    /// It came out of a chart, which says itself in which namespace it is.
    pub from_chart: bool,
    /// The `vars` that take their value from it.
    pub variables: Vec<String>,
}

/// `group`, `version` of an apiVersion.
pub(super) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

impl Resource {
    pub fn new(value: Value) -> Resource {
        Resource { value, ..Resource::default() }
    }
    pub fn name(&self) -> String {
        field_text(&self.value, "name")
    }
    pub fn namespace(&self) -> String {
        field_text(&self.value, "namespace")
    }
    pub fn kind(&self) -> &str {
        self.value.str_at(&["kind"])
    }
    pub fn is_cluster_scoped(&self) -> bool {
        schema::is_cluster_scoped(self.value.str_at(&["apiVersion"]), self.kind())
    }
    /// A patch took everything away.
    pub fn is_gone(&self) -> bool {
        self.value.as_map().is_none_or(Map::is_empty)
    }

    /// What it is now.
    pub fn id(&self) -> Id {
        Id::of(&self.value)
    }

    /// The same for all objects that are the same one.
    pub fn key(&self) -> String {
        let id = self.id();
        format!("{}|{}|{}|{}|{}", id.group, id.version, id.kind, id.effective(), id.name)
    }

    /// What it was, oldest first; empty if nothing ever changed.
    pub fn previous_ids(&self) -> Vec<Id> {
        let (group, version) = group_version(self.value.str_at(&["apiVersion"]));
        self.previous
            .iter()
            .map(|(name, namespace, kind)| Id {
                group: group.into(),
                version: version.into(),
                kind: kind.clone(),
                name: name.clone(),
                namespace: namespace.clone(),
                cluster_scoped: namespace == NO_NAMESPACE,
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
        self.previous.push((id.name.clone(), id.effective().into(), id.kind));
    }

    /// Upstream keeps what it knows of an object in annotations of the object, so that these exist.
    pub fn has_marks(&self) -> bool {
        !(self.previous.is_empty() && self.prefixes.is_empty() && self.suffixes.is_empty())
            || self.hashed
            || self.behavior != Behavior::None
    }

    pub fn set_name(&mut self, name: &str) {
        let old = self.value.at(&["metadata", "name"]).cloned().unwrap_or_default();
        self.value.set(&["metadata", "name"], restyled(&old, name));
    }

    pub fn set_namespace(&mut self, namespace: &str) {
        if namespace.is_empty() {
            self.value.remove(&["metadata", "namespace"]);
        } else {
            let old = self.value.at(&["metadata", "namespace"]).cloned().unwrap_or_default();
            self.value.set(&["metadata", "namespace"], restyled(&old, namespace));
        }
    }

    /// `labels` or `annotations`, as texts.
    pub fn texts(&self, field: &str) -> Vec<(String, String)> {
        let map = self.value.at(&["metadata", field]).and_then(Value::as_map);
        let fields = map.into_iter().flat_map(Map::iter);
        fields.map(|(key, value)| (key.to_string(), text(value).unwrap_or_default())).collect()
    }

    /// Writes `labels` or `annotations` anew; without any the field goes.
    pub fn set_texts(&mut self, field: &str, texts: impl IntoIterator<Item = (String, String)>) {
        let map: Map = texts.into_iter().collect();
        if map.is_empty() {
            self.value.remove(&["metadata", field]);
        } else {
            self.value.set(&["metadata", field], Value::Object(map));
        }
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.value.at(&["metadata", "annotations", name]).and_then(Value::as_str)
    }

    /// Helm gave it its namespace, here or in the build that wrote the annotation.
    pub fn is_from_chart(&self) -> bool {
        self.from_chart || self.annotation("internal.config.kubernetes.io/helm-generated") == Some("true")
    }

    pub fn annotate(&mut self, name: &str, value: String) {
        self.value.set(&["metadata", "annotations", name], value);
    }

    /// `config.kubernetes.io/local-config`: used while building, not printed.
    pub fn is_local(&self) -> bool {
        let mark = self.value.at(&["metadata", "annotations", "config.kubernetes.io/local-config"]);
        mark.is_some_and(|mark| text(mark).as_deref() != Some("false"))
    }
}

/// The objects of a text; lists are taken apart, their elements behind the rest.
pub(super) fn parse(source: &str, file: &str) -> Result<Vec<Resource>, Error> {
    from_documents(super::documents(source, file)?, file)
}

pub(super) fn from_documents(mut documents: Vec<Document>, file: &str) -> Result<Vec<Resource>, Error> {
    // The only document of a text may be a List without a kind of its own.
    if let [only] = documents.as_mut_slice()
        && ["List", "ResourceList"].contains(&only.value.str_at(&["kind"]))
        && let Some(Value::Array(items)) = only.value.as_map_mut().and_then(|map| map.remove("items"))
    {
        documents = within(items, &only.unwritten);
    }
    let mut all = Vec::new();
    let mut queue: VecDeque<Document> = VecDeque::new();
    let checked = |document: Document, queue: &mut VecDeque<Document>| -> Result<(), Error> {
        if !is_empty(&document.value) {
            check(&document.value, file)?;
            queue.push_back(document);
        }
        Ok(())
    };
    for document in documents {
        checked(document, &mut queue)?;
    }
    while let Some(mut document) = queue.pop_front() {
        let is_list = document.value.str_at(&["kind"]).ends_with("List");
        match document.value.as_map_mut().filter(|_| is_list).and_then(|map| map.remove("items")) {
            None => {
                let Document { value, unwritten } = document;
                all.push(Resource { value, unwritten, ..Resource::default() });
            }
            Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for item in within(items, &document.unwritten) {
                    checked(item, &mut queue)?;
                }
            }
            Some(_) => return Err(Error::field(file, "items", "expected array")),
        }
    }
    Ok(all)
}

/// The items of a list as documents of their own.
fn within(items: Vec<Value>, unwritten: &[Vec<String>]) -> Vec<Document> {
    let of = |at: usize| {
        let at = at.to_string();
        let below = unwritten.iter().filter(|place| place.len() > 2 && place[0] == "items" && place[1] == at);
        below.map(|place| place[2..].to_vec()).collect()
    };
    items.into_iter().enumerate().map(|(at, value)| Document { value, unwritten: of(at) }).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn check(document: &Value, file: &str) -> Result<(), Error> {
    if document.as_map().is_none() {
        let text = "a document is not a map; an object has apiVersion, kind and metadata";
        return Err(Error::field(file, ".", text));
    }
    let kind = document.str_at(&["kind"]);
    if kind.is_empty() {
        let text = "missing kind in object; every object needs apiVersion, kind and metadata.name";
        return Err(Error::field(file, "kind", text));
    }
    if field_text(document, "name").is_empty() && !kind.ends_with("List") {
        return Err(Error::field(file, "metadata.name", format!("missing metadata.name in object ({kind})")));
    }
    Ok(())
}
