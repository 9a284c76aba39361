//! What a kind is: one [`Kind`] a row, in one table that server, discovery, OpenAPI, tables, RBAC and docs walk (D1).
//!
//! A built-in kind's row comes from the facts and its [`Rules`] from its file under `kinds/`. A CRD makes the same row
//! at run time, with rules made of its schema.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::field;
use crate::validation::names;
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
    /// Another resource keeps this one's objects (events.k8s.io Event: core's). Keys, cache, strategies and validation are
    /// that row's; this row's rules default and convert, and its storage version counts for nothing.
    pub stored_as: Option<Resource>,
    /// Made by a CustomResourceDefinition.
    pub custom: bool,
    /// Converts between the versions of a custom kind where they differ in more than their names. Objects are then stored
    /// in whatever version they were written in.
    pub converter: Option<Arc<dyn Converter>>,
}

/// See [`Kind::converter`].
pub trait Converter: std::fmt::Debug + Send + Sync {
    /// The objects in another `apiVersion`, in their order. May block.
    fn convert(&self, objects: Vec<Value>, to: &str) -> Result<Vec<Value>, String>;
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
    /// [`Version::schema`], parsed once.
    pub structural: Option<Arc<crate::structural::Schema>>,
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
    /// Dotted path in the storage version, e.g. `spec.nodeName`; with `a|b` the first that is not empty. Empty: the label
    /// is accepted, and is always "".
    pub path: SmolStr,
    /// What an unset field is: `""`, `"0"` or `"false"`.
    pub zero: &'static str,
}

/// What a strategy may know beside the object: who asks, from where, and what time it is. Pure data.
pub struct Context<'a> {
    pub key: &'a Key,
    /// RFC 3339 in seconds, UTC.
    pub now: &'a str,
    pub user: &'a str,
    pub who: Who<'a>,
}

/// What else is known of [`Context::user`].
#[derive(Clone, Copy, Default)]
pub struct Who<'a> {
    pub uid: &'a str,
    pub groups: &'a [String],
    pub extra: &'a [(String, Vec<String>)],
}

/// The hand-written part of a kind. Every method has upstream's generic behaviour as its default, so that a file says
/// only what is special. Values are in the storage version, defaulted, except in [`Rules::default`] and conversions.
#[allow(unused_variables)] // defaults that need no argument still show its name
pub trait Rules: Send + Sync {
    /// Fills in defaults that the facts do not state. `version` is the one the value is in.
    fn default(&self, version: &str, value: &mut Value) {}
    /// Fills in the defaults that are the present moment, in a value of the storage version; `now` in RFC 3339.
    fn default_moments(&self, now: &str, value: &mut Value) {}
    /// Converts a defaulted value of `version` to the storage version, in place.
    fn to_storage(&self, version: &str, value: &mut Value) {}
    /// Converts a value of the storage version to `version`, in place.
    #[allow(clippy::wrong_self_convention)] // the pair of `to_storage`; `self` are the rules, not the value
    fn from_storage(&self, version: &str, value: &mut Value) {}
    /// Where the spec of a pod stands that this kind has or makes; empty: nowhere.
    fn pod_spec(&self) -> &'static [&'static str] {
        &[]
    }
    /// Before a create or an update: drop the fields whose feature is off in upstream, which it takes and does not store. After
    /// admission, and after it is noted who owns what: as upstream's strategies do.
    fn drop_disabled(&self, new: &mut Value) {
        if let Some(spec) = new.at_mut(self.pod_spec()).filter(|_| !self.pod_spec().is_empty()) {
            crate::kinds::core::pod::disabled::drop_fields(spec);
        }
    }
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
    /// Before an update through `status`: keep everything but `status` and, as most of upstream's kinds do, metadata.
    fn prepare_status(&self, context: &Context<'_>, new: &mut Value, old: &Value) {
        keep_all_but(new, old, &["metadata", "status"]);
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
    /// Before an update through a subresource that shows the whole object: `status`, `finalize`, `ephemeralcontainers`,
    /// `resize`.
    fn prepare_subresource(&self, name: &str, context: &Context<'_>, new: &mut Value, old: &Value) {
        match name {
            "status" => self.prepare_status(context, new, old),
            _ => self.prepare_update(context, new, old),
        }
    }
    fn validate_subresource(
        &self,
        name: &str,
        context: &Context<'_>,
        new: &Value,
        old: &Value,
        errors: &mut Vec<field::Error>,
    ) {
        match name {
            "status" => self.validate_status(context, new, old, errors),
            _ => self.validate_update(context, new, old, errors),
        }
    }
    /// The update grows `metadata.generation` (asked only if [`Rules::has_generation`]).
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        spec_differs(new, old)
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
    /// What a delete that names no policy does with dependents: they are orphaned, as batch/v1 and v1 promised once.
    /// Its objects may own others, which the garbage collector then looks after.
    fn has_dependents(&self) -> bool {
        true
    }
    fn orphans_by_default(&self) -> bool {
        false
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

/// Something outside metadata and status differs, as Go's semantic comparison sees it.
pub fn spec_differs(new: &Value, old: &Value) -> bool {
    let skip = ["metadata", "status", "kind", "apiVersion"];
    let fields = |value: &'_ Value| -> Vec<SmolStr> {
        let map = value.as_map().into_iter().flat_map(|map| map.iter());
        map.map(|(key, _)| key.clone()).filter(|key| !skip.contains(&key.as_str())).collect()
    };
    let differs = |field: &SmolStr| !crate::kinds::edit::same(new.get(field), old.get(field));
    fields(new).iter().any(differs) || fields(old).iter().any(differs)
}

/// Takes every top-level field from `old`, save those named.
pub fn keep_all_but(new: &mut Value, old: &Value, fields: &[&str]) {
    let mut kept = old.clone();
    for field in fields {
        match new.remove(&[field]) {
            Some(value) => kept.set(&[field], value),
            None => drop(kept.remove(&[field])),
        }
    }
    *new = kept;
}

/// Takes everything from `old`, save `status` and what is written with each update: resourceVersion and managedFields.
pub fn only_status(new: &mut Value, old: &Value) {
    let metadata = new.remove(&["metadata"]).unwrap_or_default();
    keep_all_but(new, old, &["status"]);
    for field in ["resourceVersion", "managedFields"] {
        match metadata.get(field) {
            Some(value) => new.set(&["metadata", field], value.clone()),
            None => drop(new.remove(&["metadata", field])),
        }
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
    name_by(names::dns_subdomain, name, prefix)
}

/// A name rule made of one of the formats of [`crate::validation::names`].
pub fn name_by(format: fn(&str) -> Vec<String>, name: &str, prefix: bool) -> Option<String> {
    // Upstream puts a letter where a generated suffix would follow a dash (maskTrailingDash).
    let masked = match name.strip_suffix('-') {
        Some(head) if prefix && !head.is_empty() => format!("{head}a"),
        _ => name.into(),
    };
    format(&masked).into_iter().next()
}

/// The table: built-in kinds and those of CRDs. A snapshot, cheap to clone; the server swaps it when a CRD changes.
#[derive(Clone, Default)]
pub struct Kinds(Arc<Table>);

#[derive(Default)]
struct Table {
    rows: Vec<Arc<Kind>>,
    by_resource: HashMap<Resource, usize>,
}

impl Kinds {
    /// A row of a resource that is already there replaces it, in its place.
    pub fn new(kinds: Vec<Arc<Kind>>) -> Kinds {
        let mut table = Table::default();
        for kind in kinds {
            match table.by_resource.get(&kind.resource) {
                Some(&at) => table.rows[at] = kind,
                None => {
                    table.by_resource.insert(kind.resource.clone(), table.rows.len());
                    table.rows.push(kind);
                }
            }
        }
        Kinds(Arc::new(table))
    }
    /// In discovery order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.rows.iter()
    }
    pub fn resource(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.get(&Resource::new(group, plural))
    }
    pub fn get(&self, resource: &Resource) -> Option<&Arc<Kind>> {
        self.0.by_resource.get(resource).map(|&at| &self.0.rows[at])
    }
    /// What a request's path names: a resource in a version that is served.
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Option<(&Arc<Kind>, &Version)> {
        let kind = self.resource(group, plural)?;
        let version = kind.version(version).filter(|version| version.served)?;
        Some((kind, version))
    }
    pub fn kind(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.0.rows.iter().find(|row| row.resource.group == group && row.kind == kind)
    }
    /// The row that keeps this kind's objects: itself, or the one that [`Kind::stored_as`] names.
    pub fn storage_of<'a>(&'a self, kind: &'a Arc<Kind>) -> &'a Arc<Kind> {
        kind.stored_as.as_ref().and_then(|resource| self.get(resource)).unwrap_or(kind)
    }
    /// This table with the rows of `more` after it; a row of a resource already there replaces it.
    pub fn with(&self, more: impl IntoIterator<Item = Arc<Kind>>) -> Kinds {
        Kinds::new(self.0.rows.iter().cloned().chain(more).collect())
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
    /// A value of `version` is stored as it is.
    pub fn is_storage(&self, version: &str) -> bool {
        self.stored_as.is_none() && self.version(version).is_some_and(|version| version.storage)
    }
    /// Objects of this kind are kept. The others are answered at once: reviews, Binding, ComponentStatus.
    pub fn is_stored(&self) -> bool {
        self.versions.iter().any(|version| version.verbs.iter().any(|verb| verb == "watch"))
    }
    /// What the fields of [`Kind::fields`] are in an object of the storage version, in that order.
    pub fn field_values(&self, value: &Value) -> Vec<SmolStr> {
        self.fields.iter().map(|field| field.value(value)).collect()
    }
}

impl Version {
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

impl Selectable {
    /// Its text in an object of the storage version; a missing field is its Go zero value.
    pub fn value(&self, value: &Value) -> SmolStr {
        for path in self.path.split('|') {
            let found = path.split('.').try_fold(value, |here, key| here.get(key));
            match found {
                Some(Value::String(text)) if text.is_empty() => {}
                Some(Value::String(text)) => return text.clone(),
                Some(Value::Bool(flag)) => return SmolStr::new_static(if *flag { "true" } else { "false" }),
                Some(Value::Int(number)) => return SmolStr::from(number.to_string()),
                _ => {}
            }
        }
        SmolStr::new_static(self.zero)
    }
}
