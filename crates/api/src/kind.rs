//! What a kind is: one [`Kind`] a row, in one table that server, discovery, OpenAPI, tables, RBAC and docs walk (D1).
//!
//! A built-in kind's row comes from the facts and its [`Rules`] from its file under `kinds/`. A CRD makes the same row
//! at run time, with rules made of its schema.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::field;
use crate::{Key, Resource, Value};

/// One storage kind: a resource with all versions that serve it.
pub struct Kind {
    pub resource: Resource,
    pub kind: SmolStr,
    pub list_kind: SmolStr,
    pub singular: SmolStr,
    pub short_names: Vec<SmolStr>,
    pub categories: Vec<SmolStr>,
    pub namespaced: bool,
    /// In order of preference. Exactly one has `storage`.
    pub versions: Vec<Version>,
    /// Labels of selectable fields beside `metadata.name` and `metadata.namespace`, with the stored path of each.
    pub fields: Vec<Selectable>,
    pub rules: Box<dyn Rules>,
    /// Made by a CustomResourceDefinition.
    pub custom: bool,
}

/// One served version of a [`Kind`].
pub struct Version {
    pub name: SmolStr,
    pub served: bool,
    pub storage: bool,
    /// On unless the configuration turns it off.
    pub default: bool,
    pub deprecated: Option<String>,
    pub verbs: Vec<SmolStr>,
    pub subresources: Vec<Subresource>,
    pub columns: Vec<Column>,
    /// Name of the type in the schema facts; empty for custom resources, whose schema is [`Version::schema`].
    pub type_name: &'static str,
    /// The structural schema of a custom resource's version, as the CRD has it; pruned and defaulted by.
    pub schema: Option<Arc<Value>>,
}

/// `status`, `scale`, `binding`, `log`, …
#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: SmolStr,
    /// What it takes and gives: `autoscaling/v1 Scale` for `scale`; the parent's own for `status`.
    pub group: SmolStr,
    pub version: SmolStr,
    pub kind: SmolStr,
    pub verbs: Vec<SmolStr>,
    /// JSON paths of a custom resource's `scale`.
    pub paths: Option<ScalePaths>,
}

#[derive(Clone, Debug)]
pub struct ScalePaths {
    pub spec_replicas: String,
    pub status_replicas: String,
    pub selector: Option<String>,
}

/// A column of a server-side Table (KEP-365).
#[derive(Clone, Debug)]
pub struct Column {
    pub name: SmolStr,
    pub kind: SmolStr,
    pub format: SmolStr,
    pub description: String,
    pub priority: i32,
    /// A custom resource's JSONPath; a built-in kind's cells come from [`Rules::cells`].
    pub path: Option<String>,
}

/// A field that a field selector may name.
#[derive(Clone, Debug)]
pub struct Selectable {
    pub label: SmolStr,
    /// Dotted path in the storage version, e.g. `spec.nodeName`.
    pub path: SmolStr,
}

/// What a strategy may know beside the object: who asks, from where, and what time it is. Pure data.
pub struct Context<'a> {
    pub key: &'a Key,
    /// RFC 3339 in seconds, UTC.
    pub now: &'a str,
    pub user: &'a str,
}

/// The hand-written part of a kind. Every method has upstream's generic behaviour as its default, so that a file says
/// only what is special. Values are in the storage version, defaulted, except in [`Rules::default`] and conversions.
#[allow(unused_variables)]
pub trait Rules: Send + Sync {
    /// Fills in defaults that the facts do not state. `version` is the one the value is in.
    fn default(&self, version: &str, value: &mut Value) {}
    /// Converts a defaulted value of `version` to the storage version, in place.
    fn to_storage(&self, version: &str, value: &mut Value) {}
    /// Converts a value of the storage version to `version`, in place.
    fn from_storage(&self, version: &str, value: &mut Value) {}
    /// Before a create: drop what clients may not set (`status`), set what the server sets.
    fn prepare_create(&self, context: &Context<'_>, new: &mut Value) {
        if self.has_status() {
            new.remove(&["status"]);
        }
    }
    /// Before an update of the main resource: keep what it may not change (`status`). The engine bumps
    /// `metadata.generation` after this if anything outside metadata and status changed.
    fn prepare_update(&self, context: &Context<'_>, new: &mut Value, old: &Value) {
        if self.has_status() {
            keep(new, old, "status");
        }
    }
    /// Before an update through `status`: keep everything but `status`.
    fn prepare_status(&self, context: &Context<'_>, new: &mut Value, old: &Value) {
        let status = new.remove(&["status"]);
        let resource_version = new.remove(&["metadata", "resourceVersion"]);
        let managed = new.remove(&["metadata", "managedFields"]);
        *new = old.clone();
        match status {
            Some(status) => new.set(&["status"], status),
            None => drop(new.remove(&["status"])),
        }
        for (field, value) in [("resourceVersion", resource_version), ("managedFields", managed)] {
            match value {
                Some(value) => new.set(&["metadata", field], value),
                None => drop(new.remove(&["metadata", field])),
            }
        }
    }
    fn validate_create(&self, context: &Context<'_>, new: &Value, errors: &mut Vec<field::Error>) {}
    fn validate_update(
        &self,
        context: &Context<'_>,
        new: &Value,
        old: &Value,
        errors: &mut Vec<field::Error>,
    ) {
        self.validate_create(context, new, errors);
    }
    fn validate_status(
        &self,
        context: &Context<'_>,
        new: &Value,
        old: &Value,
        errors: &mut Vec<field::Error>,
    ) {
    }
    /// Warnings for the `Warning` header of a create or update.
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }
    /// `status` is written only through the subresource.
    fn has_status(&self) -> bool {
        false
    }
    /// The kind has `metadata.generation`, which grows when anything outside metadata and status changes.
    fn has_generation(&self) -> bool {
        false
    }
    /// Name rule of the kind; `None` if `name` is good, else upstream's text.
    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        crate::kind::dns_subdomain(name, prefix)
    }
    /// The cells of one Table row, one for each column of the version; `now` in seconds since the epoch, for ages.
    /// `None`: the machinery answers with name and age.
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        None
    }
    /// An update to an object that does not exist creates it (upstream's AllowCreateOnUpdate).
    fn create_on_update(&self) -> bool {
        false
    }
    /// An update without `metadata.resourceVersion` is taken (upstream's AllowUnconditionalUpdate).
    fn unconditional_update(&self) -> bool {
        true
    }
    /// Seconds of grace for a delete that asks for `asked`; `None`: the kind deletes at once.
    fn graceful(&self, value: &Value, asked: Option<i64>) -> Option<i64> {
        None
    }
    /// The hand-written parts are there; a test prints the kinds for which this is false.
    fn complete(&self) -> bool {
        true
    }
}

/// A kind without rules of its own yet: facts only.
pub struct FactsOnly {
    pub has_status: bool,
}

impl Rules for FactsOnly {
    fn has_status(&self) -> bool {
        self.has_status
    }
    fn has_generation(&self) -> bool {
        self.has_status
    }
    fn complete(&self) -> bool {
        false
    }
}

/// Copies a top-level field from `old` to `new`, or takes it away where `old` has none.
pub fn keep(new: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => new.set(&[field], value.clone()),
        None => drop(new.remove(&[field])),
    }
}

/// RFC 1123 subdomain, the name rule of most kinds; `prefix` allows a trailing dash (generateName).
pub fn dns_subdomain(name: &str, prefix: bool) -> Option<String> {
    let name = if prefix { name.strip_suffix('-').unwrap_or(name) } else { name };
    if name.len() > 253 {
        return Some("must be no more than 253 bytes".into());
    }
    let label = |part: &str| {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = part.as_bytes();
        !bytes.is_empty()
            && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'-')
            && alphanumeric(bytes[0])
            && alphanumeric(bytes[bytes.len() - 1])
    };
    (!name.split('.').all(label)).then(|| {
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
         start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            .into()
    })
}

/// The table: built-in kinds and those of CRDs. A snapshot; the server swaps it when a CRD changes.
#[derive(Clone, Default)]
pub struct Kinds(Vec<Arc<Kind>>);

impl Kinds {
    pub fn new(kinds: Vec<Arc<Kind>>) -> Kinds {
        Kinds(kinds)
    }
    /// In discovery order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.iter()
    }
    pub fn resource(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.0.iter().find(|kind| kind.resource.group == group && kind.resource.plural == plural)
    }
    pub fn kind(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.0.iter().find(|row| row.resource.group == group && row.kind == kind)
    }
    /// This table with the rows of `more` after it; a row of a resource already there replaces it.
    pub fn with(&self, more: impl IntoIterator<Item = Arc<Kind>>) -> Kinds {
        let mut rows = self.0.clone();
        for kind in more {
            match rows.iter_mut().find(|row| row.resource == kind.resource) {
                Some(row) => *row = kind,
                None => rows.push(kind),
            }
        }
        Kinds(rows)
    }
}

impl Kind {
    pub fn storage(&self) -> &Version {
        self.versions
            .iter()
            .find(|version| version.storage)
            .expect("because every kind has a storage version")
    }
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }
    /// `v1`, `apps/v1`: what `apiVersion` says for `version`.
    pub fn api_version(&self, version: &str) -> String {
        if self.resource.group.is_empty() {
            version.into()
        } else {
            format!("{}/{version}", self.resource.group)
        }
    }
}
