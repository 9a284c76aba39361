//! The two operations: apply, and noting what another write changed.

use std::borrow::Cow;
use std::sync::LazyLock;

use smol_str::SmolStr;

use super::compare::{Comparison, compare};
use super::element::equal;
use super::managed::{self, Entry};
use super::set::Set;
use super::{merge, typed};
use crate::schema::Schema;
use crate::{Value, decode, json};

/// What is written to, and how.
pub struct Subject<'a> {
    /// The version of the request, `apps/v1`: live, new and configured values are in it.
    pub api_version: &'a str,
    pub kind: &'a str,
    pub schema: Schema<'a>,
    /// `status`, `scale`, …; empty for the main resource.
    pub subresource: &'a str,
    /// Fields that this way of writing resets, so that nobody comes to own them by it: `status` for the main resource,
    /// `spec` for `status`. A member stands for everything below it.
    pub reset: &'a Set,
    /// RFC 3339 in seconds, UTC.
    pub now: &'a str,
    /// Gives a value of one version in another one, with that version's schema; `None`: there is no such version (any
    /// more), and what was owned in it is forgotten. Kinds with one version never get here.
    pub convert: &'a dyn Fn(&Value, &str) -> Option<(Value, Schema<'a>)>,
}

/// A field that somebody else owns and that the configuration would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// As upstream shows it: `"kubectl-edit" using apps/v1`.
    pub manager: String,
    /// `.spec.replicas`.
    pub path: String,
}

/// Why a configuration cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// HTTP 409, one cause of type FieldManagerConflict each (`message` is [`Conflict::message`]).
    #[error("{}", message(.0))]
    Conflicts(Vec<Conflict>),
    /// HTTP 400.
    #[error("{0}")]
    BadRequest(String),
    /// HTTP 500, as upstream has it.
    #[error("{0}")]
    Failed(String),
}

impl Conflict {
    /// The message of the conflict's cause in a Status.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.path);
    }
    let mut lines = Vec::new();
    let mut last = "";
    let mut sorted: Vec<&Conflict> = conflicts.iter().collect();
    sorted.sort_by_key(|conflict| &conflict.manager);
    for conflict in sorted {
        if conflict.manager != last {
            lines.push(format!("conflicts with {}:", conflict.manager));
            last = &conflict.manager;
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Metadata that is nobody's.
static NOBODYS: LazyLock<Set> = LazyLock::new(|| {
    Set::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl<'a> Subject<'a> {
    /// What Go's empty object of the kind is: fields that it writes anyway are not added by the first write.
    fn empty(&self) -> Value {
        let mut value = match self.schema {
            Schema::Type(of) => decode::zero(of),
            _ => Value::object(),
        };
        if let Value::Object(map) = &mut value {
            map.insert_first("apiVersion", self.api_version);
            map.insert_first("kind", self.kind);
        }
        value
    }

    fn in_version<'v>(&self, value: &'v Value, version: &str) -> Option<(Cow<'v, Value>, Schema<'a>)> {
        if version == self.api_version {
            return Some((Cow::Borrowed(value), self.schema));
        }
        (self.convert)(value, version).map(|(value, schema)| (Cow::Owned(value), schema))
    }
}

/// Notes in `new.metadata.managedFields` what `manager` changed against `live` (`None`: it creates the object). Never
/// fails: as upstream, entries that make no sense are forgotten.
pub fn track_update(subject: &Subject<'_>, live: Option<&Value>, new: &mut Value, manager: &str) {
    let sent = new.remove(&["metadata", "managedFields"]);
    let from_live = || live.map(managed::decode).transpose().ok().flatten().unwrap_or_default();
    let mut entries = match &sent {
        _ if !subject.subresource.is_empty() => from_live(),
        // An empty list, or one empty entry, asks to forget all owners.
        Some(Value::Array(items)) if asks_reset(items) => Vec::new(),
        Some(list @ Value::Array(_)) => {
            let mut holder = Value::object();
            holder.set(&["metadata", "managedFields"], list.clone());
            match managed::decode(&holder) {
                Ok(entries) if !entries.is_empty() => entries,
                _ => from_live(),
            }
        }
        _ => from_live(),
    };
    let created = live.is_none_or(|live| live.str_at(&["metadata", "uid"]).is_empty());
    if entries.is_empty() && !created {
        // An object that nobody tracked stays so until somebody applies.
        return;
    }
    let empty;
    let live = match live {
        Some(live) => live,
        None => {
            empty = subject.empty();
            &empty
        }
    };
    if !typed::has_elements(new, subject.schema) {
        // Upstream cannot compare such a value, and takes all owners away.
        return;
    }
    note_update(subject, live, new, &mut entries, manager);
    managed::cap(&mut entries);
    managed::encode(new, entries);
}

fn asks_reset(items: &[Value]) -> bool {
    match items {
        [] => true,
        [one] => one.as_map().is_some_and(|map| map.iter().all(|(_, value)| value.as_str() == Some(""))),
        _ => false,
    }
}

/// The fields that differ go to `manager`, and away from everyone else.
fn note_update(subject: &Subject<'_>, live: &Value, new: &Value, entries: &mut Vec<Entry>, manager: &str) {
    let manager = if manager.is_empty() { "unknown" } else { manager };
    reconcile(subject, entries);
    let comparison = take_from_others(subject, live, new, entries, None, true).unwrap_or_default();
    let mut own = comparison.modified.union(&comparison.added);
    if !subject.reset.is_empty() {
        own = own.recursive_difference(subject.reset);
    }
    let own = own.difference(&NOBODYS);
    if own.is_empty() {
        return;
    }
    match entries.iter_mut().find(|entry| entry.is(manager, false, subject.api_version, subject.subresource))
    {
        Some(entry) => {
            entry.fields = entry.fields.union(&own);
            entry.time = subject.now.into();
        }
        None => entries.push(Entry {
            manager: manager.into(),
            applied: false,
            api_version: subject.api_version.into(),
            subresource: subject.subresource.into(),
            time: subject.now.into(),
            fields: own,
        }),
    }
}

/// Brings entries in line with a schema that has made something atomic since.
fn reconcile(subject: &Subject<'_>, entries: &mut [Entry]) {
    for entry in entries.iter_mut().filter(|entry| entry.api_version == subject.api_version) {
        if let Some(fields) = entry.fields.reconciled(subject.schema) {
            entry.fields = fields;
        }
    }
}

/// Compares live and new in each owner's version. Without `force`, fields that others own and that change are conflicts;
/// with it, and for fields that are gone, the others lose them. `own` is the place of the writer's entry.
fn take_from_others(
    subject: &Subject<'_>,
    live: &Value,
    new: &Value,
    entries: &mut Vec<Entry>,
    own: Option<usize>,
    force: bool,
) -> Result<Comparison, Vec<Conflict>> {
    let comparison = compare(live, new, subject.schema).without(subject.reset);
    let mut others: Vec<(SmolStr, Option<Comparison>)> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.api_version != subject.api_version) {
        if others.iter().all(|(version, _)| *version != entry.api_version) {
            let both =
                subject.in_version(live, &entry.api_version).zip(subject.in_version(new, &entry.api_version));
            let comparison =
                both.map(|((live, schema), (new, _))| compare(&live, &new, schema).without(subject.reset));
            others.push((entry.api_version.clone(), comparison));
        }
    }
    let of_version = |version: &SmolStr| match others.iter().find(|(known, _)| known == version) {
        Some((_, comparison)) => comparison.as_ref(),
        None => Some(&comparison),
    };
    let mut conflicts = Vec::new();
    let mut changes: Vec<Option<Set>> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        if Some(at) == own {
            changes.push(None);
            continue;
        }
        let Some(comparison) = of_version(&entry.api_version) else {
            changes.push(Some(Set::new()));
            continue;
        };
        if comparison.is_same() {
            changes.push(None);
            continue;
        }
        let lost = entry.fields.intersection(&comparison.modified.union(&comparison.added));
        if !force {
            conflicts.extend(lost.paths().iter().map(|path| Conflict {
                manager: entry.shown(),
                path: path.iter().map(ToString::to_string).collect(),
            }));
        }
        changes.push(Some(entry.fields.difference(&lost).difference(&comparison.removed)));
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let mut changes = changes.into_iter();
    entries.retain_mut(|entry| {
        if let Some(fields) = changes.next().flatten() {
            entry.fields = fields;
        }
        !entry.fields.is_empty()
    });
    Ok(comparison)
}

/// Applies a configuration. `live` is `None` if the object does not exist yet. The result is the merged object with its
/// new `managedFields`, to be decoded and defaulted; equal to `live` (but for managedFields) if nothing changed.
pub fn apply(
    subject: &Subject<'_>,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: bool,
) -> Result<Value, Error> {
    let (kind, version) = (config.str_at(&["kind"]), config.str_at(&["apiVersion"]));
    if kind != subject.kind || version != subject.api_version {
        return Err(Error::BadRequest(format!("invalid object type: {version}, Kind={kind}")));
    }
    if config.at(&["metadata", "managedFields"]).is_some_and(|fields| !fields.is_null()) {
        return Err(Error::BadRequest("metadata.managedFields must be nil".into()));
    }
    let failed = |what: &str, problem: &str| {
        let (namespace, name) =
            (config.str_at(&["metadata", "namespace"]), config.str_at(&["metadata", "name"]));
        let slash = if version.contains('/') { "" } else { "/" };
        Error::Failed(format!(
            "failed to {what} ({namespace}/{name}; {slash}{version}, Kind={kind}): {problem}"
        ))
    };
    let problems = typed::validate(config, subject.schema);
    if !problems.is_empty() {
        return Err(failed("create typed patch object", &typed::join(&problems)));
    }
    let mut bare = live.cloned().unwrap_or_else(|| subject.empty());
    let mut entries = managed::decode(&bare)
        .map_err(|error| Error::Failed(format!("failed to decode managed fields: {error}")))?;
    bare.remove(&["metadata", "managedFields"]);
    if entries.is_empty() && live.is_some() {
        note_update(subject, &subject.empty(), &bare, &mut entries, "before-first-apply");
    }
    let mut applied = match apply_once(subject, &bare, config, entries.clone(), manager, force, &failed) {
        // kubectl owned by its annotation what it now applies: those conflicts are none.
        Err(Error::Conflicts(conflicts)) if manager == "kubectl" => {
            let allowed = last_applied(subject, &bare);
            let left: Vec<Conflict> =
                conflicts.into_iter().filter(|conflict| !allowed.contains(&conflict.path)).collect();
            if !left.is_empty() {
                return Err(Error::Conflicts(left));
            }
            apply_once(subject, &bare, config, entries, manager, true, &failed)?
        }
        other => other?,
    };
    if manager == "kubectl" && !applied.str_at(&["metadata", "annotations", LAST_APPLIED]).is_empty() {
        let mut plain = config.clone();
        plain.remove(&["metadata", "annotations", LAST_APPLIED]);
        let text = json::to_string(&plain) + "\n";
        applied.set(&["metadata", "annotations", LAST_APPLIED], text);
    }
    Ok(applied)
}

fn apply_once(
    subject: &Subject<'_>,
    live: &Value,
    config: &Value,
    mut entries: Vec<Entry>,
    manager: &str,
    force: bool,
    failed: &dyn Fn(&str, &str) -> Error,
) -> Result<Value, Error> {
    reconcile(subject, &mut entries);
    let manager = if manager.is_empty() { "unknown" } else { manager };
    let merged =
        merge::merge(live, config, subject.schema).map_err(|problem| failed("merge config", &problem))?;
    let mut fields = typed::fields(config, subject.schema);
    if !subject.reset.is_empty() {
        fields = fields.recursive_difference(subject.reset);
    }
    let mine = |entry: &Entry| entry.is(manager, true, subject.api_version, subject.subresource);
    let last = entries.iter().find(|entry| mine(entry)).cloned();
    let entry = Entry {
        manager: manager.into(),
        applied: true,
        api_version: subject.api_version.into(),
        subresource: subject.subresource.into(),
        time: last.as_ref().map(|last| last.time.clone()).unwrap_or_default(),
        fields,
    };
    entries.retain(|entry| !mine(entry));
    entries.push(entry);
    let pruned = match &last {
        Some(last) if !covers(&entries, last) => prune(subject, merged, &entries, last),
        _ => merged,
    };
    let own = entries.len() - 1;
    take_from_others(subject, live, &pruned, &mut entries, Some(own), force).map_err(Error::Conflicts)?;
    let changed = !equal(live, &pruned);
    if let Some(entry) = entries.iter_mut().find(|entry| mine(entry)) {
        entry.fields = entry.fields.difference(&NOBODYS);
        if changed {
            entry.time = subject.now.into();
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    let mut object = pruned;
    managed::encode(&mut object, entries);
    Ok(object)
}

/// The new fields hold all the old ones in the same version, so that there is nothing to take away.
fn covers(entries: &[Entry], last: &Entry) -> bool {
    let Some(new) = entries.last() else { return false };
    new.api_version == last.api_version && last.fields.difference(&new.fields).is_empty()
}

/// Takes away what the manager applied the last time, does not apply now, and nobody else owns.
fn prune(subject: &Subject<'_>, merged: Value, entries: &[Entry], last: &Entry) -> Value {
    let Some((in_last, schema)) = subject.in_version(&merged, &last.api_version) else { return merged };
    let last_fields = last.fields.with_named_parents(schema);
    let mut pruned = merge::remove(&in_last, &last_fields, schema);
    let mut current: Cow<'_, Value> = in_last.clone();
    // What others own comes back, judged in each owner's version.
    let mut versions: Vec<&SmolStr> = vec![&last.api_version];
    for entry in entries {
        if !versions.contains(&&entry.api_version) {
            versions.push(&entry.api_version);
        }
    }
    for version in versions {
        let owned = entries
            .iter()
            .filter(|entry| entry.api_version == *version)
            .fold(Set::new(), |all, entry| all.union(&entry.fields));
        let both = convert(subject, &current, version).zip(convert(subject, &pruned, version));
        let Some(((whole, schema), (part, _))) = both else { continue };
        let whole_fields = typed::fields(&whole, schema).with_named_parents(schema);
        let part_fields = typed::fields(&part, schema).with_named_parents(schema);
        let keep = part_fields.union(&owned.with_named_parents(schema));
        let back = merge::remove(&whole, &whole_fields.difference(&keep), schema);
        pruned = back;
        current = Cow::Owned(whole);
    }
    // What stands inside something that the manager did not own, but that goes away with it, stays.
    let (Some((pruned, _)), Some((current, schema))) =
        (convert(subject, &pruned, &last.api_version), convert(subject, &current, &last.api_version))
    else {
        return merged;
    };
    let pruned_fields = typed::fields(&pruned, schema).with_named_parents(schema);
    let whole_fields = typed::fields(&current, schema).with_named_parents(schema);
    let gone = whole_fields.difference(&pruned_fields).intersection(&last_fields);
    let result = merge::remove(&current, &gone, schema);
    match convert(subject, &result, subject.api_version) {
        Some((result, _)) => result,
        None => merged.clone(),
    }
}

/// A value whose own `apiVersion` says what it is in, in another version.
fn convert<'a>(subject: &Subject<'a>, value: &Value, version: &str) -> Option<(Value, Schema<'a>)> {
    if value.str_at(&["apiVersion"]) == version && version == subject.api_version {
        return Some((value.clone(), subject.schema));
    }
    (subject.convert)(value, version)
}

/// Paths of the fields that kubectl's annotation states and that still have the annotation's value.
fn last_applied(subject: &Subject<'_>, live: &Value) -> Vec<String> {
    let text = live.str_at(&["metadata", "annotations", LAST_APPLIED]);
    let Ok(applied) = json::parse(text.as_bytes()) else { return Vec::new() };
    if applied.str_at(&["apiVersion"]) != subject.api_version {
        return Vec::new();
    }
    let difference = compare(&applied, live, subject.schema);
    let fields = typed::fields(&applied, subject.schema)
        .difference(&difference.modified)
        .difference(&difference.added)
        .difference(&difference.removed);
    fields.paths().iter().map(|path| path.iter().map(ToString::to_string).collect()).collect()
}
