//! `metadata.managedFields` as entries, and the rules that keep the list short.

use smol_str::SmolStr;

use super::codec;
use super::set::Set;
use crate::{Map, Value};

/// An entry of `managedFields` that says nothing sensible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("error decoding the fields of managed fields entry {0}")]
    Fields(usize),
}

/// One manager's fields. Two entries are of the same manager if [`Entry::is`] says so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) manager: SmolStr,
    pub(super) applied: bool,
    pub(super) api_version: SmolStr,
    pub(super) subresource: SmolStr,
    pub(super) time: SmolStr,
    pub(super) fields: Set,
}

impl Entry {
    /// An applier is one whatever version it applies in; an updater is one for each version.
    pub(super) fn is(&self, manager: &str, applied: bool, api_version: &str, subresource: &str) -> bool {
        self.applied == applied
            && self.manager == manager
            && self.subresource == subresource
            && (applied || self.api_version == api_version)
    }

    /// How conflicts name the manager.
    pub(super) fn shown(&self) -> String {
        let mut text = crate::text::quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", crate::text::quote(&self.subresource)));
        }
        if !self.applied {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// The entries of an object; none if it has none.
pub(super) fn decode(object: &Value) -> Result<Vec<Entry>, BadEntry> {
    decode_list(object.at(&["metadata", "managedFields"]).and_then(Value::as_array).unwrap_or_default())
}

fn decode_list(items: &[Value]) -> Result<Vec<Entry>, BadEntry> {
    let mut entries = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default();
        let applied = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err(BadEntry::Operation),
        };
        if text("apiVersion").is_empty() {
            return Err(BadEntry::ApiVersion);
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(BadEntry::NoFieldsType(at)),
            other => return Err(BadEntry::FieldsType(at, other.into())),
        }
        let fields = match item.get("fieldsV1") {
            None | Some(Value::Null) => Set::new(),
            Some(fields) => codec::decode(fields).ok_or(BadEntry::Fields(at))?,
        };
        let entry = Entry {
            manager: text("manager").into(),
            applied,
            api_version: text("apiVersion").into(),
            subresource: text("subresource").into(),
            time: text("time").into(),
            fields,
        };
        // Of doubled managers the last one counts.
        entries.retain(|other: &Entry| {
            !other.is(&entry.manager, applied, &entry.api_version, &entry.subresource)
        });
        entries.push(entry);
    }
    Ok(entries)
}

/// Writes the entries into an object, in upstream's order; none: the field goes away.
pub(super) fn encode(object: &mut Value, mut entries: Vec<Entry>) {
    entries.sort_by(|left, right| {
        // `Apply` before `Update`; RFC 3339 in UTC sorts as text.
        (!left.applied, &left.time, &left.manager, &left.api_version, &left.subresource).cmp(&(
            !right.applied,
            &right.time,
            &right.manager,
            &right.api_version,
            &right.subresource,
        ))
    });
    let items = entries.iter().map(encode_entry).collect();
    write(object, items);
}

fn encode_entry(entry: &Entry) -> Value {
    let mut fields: Vec<(SmolStr, Value)> = Vec::with_capacity(7);
    fields.push(("manager".into(), entry.manager.clone().into()));
    fields.push(("operation".into(), if entry.applied { "Apply" } else { "Update" }.into()));
    fields.push(("apiVersion".into(), entry.api_version.clone().into()));
    if !entry.time.is_empty() {
        fields.push(("time".into(), entry.time.clone().into()));
    }
    fields.push(("fieldsType".into(), "FieldsV1".into()));
    fields.push(("fieldsV1".into(), codec::encode(&entry.fields)));
    if !entry.subresource.is_empty() {
        fields.push(("subresource".into(), entry.subresource.clone().into()));
    }
    Value::Object(Map::from_distinct(fields))
}

/// Puts a list of encoded entries into an object, or takes the field away.
pub(super) fn write(object: &mut Value, items: Vec<Value>) {
    if items.is_empty() {
        object.remove(&["metadata", "managedFields"]);
    } else {
        object.set(&["metadata", "managedFields"], Value::Array(items));
    }
}

/// Most managers that only update; older ones are put together.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// Joins the oldest updaters of one version into `ancient-changes` until at most ten are left.
pub(super) fn cap(entries: &mut Vec<Entry>) {
    let mut updaters: Vec<Entry> = entries.iter().filter(|entry| !entry.applied).cloned().collect();
    if updaters.len() <= MAX_UPDATERS {
        return;
    }
    updaters.sort_by(|left, right| (&left.time, &left.manager).cmp(&(&right.time, &right.manager)));
    let mut count = updaters.len();
    let mut first: Vec<Entry> = Vec::new();
    for entry in updaters {
        if count <= MAX_UPDATERS {
            break;
        }
        let Some(older) = first.iter().find(|older| older.api_version == entry.api_version).cloned() else {
            first.push(entry);
            continue;
        };
        let position = |entries: &[Entry], wanted: &Entry| {
            entries
                .iter()
                .position(|entry| entry.is(&wanted.manager, false, &wanted.api_version, &wanted.subresource))
        };
        let bucket = Entry { manager: ANCIENT.into(), subresource: SmolStr::default(), ..older.clone() };
        if position(entries, &bucket).is_none()
            && let Some(at) = position(entries, &older)
        {
            entries[at] = bucket.clone();
        }
        let gone = position(entries, &entry).map(|at| entries.remove(at));
        if let (Some(gone), Some(at)) = (gone, position(entries, &bucket)) {
            entries[at].fields = entries[at].fields.union(&gone.fields);
            entries[at].time = gone.time;
            count -= 1;
        }
    }
}

/// Moves what `updaters` own by updates to the applier `manager`, once: what client-go's csaupgrade does before the first
/// server-side apply. Gives the new list, or `None` if nothing is to be moved.
pub fn take_over(object: &Value, updaters: &[&str], manager: &str) -> Result<Option<Vec<Value>>, BadEntry> {
    let mut entries = decode(object)?;
    let theirs = |entry: &Entry| {
        !entry.applied && entry.subresource.is_empty() && updaters.contains(&entry.manager.as_str())
    };
    let Some(first) = entries.iter().position(theirs) else { return Ok(None) };
    let target = match entries.iter().position(|entry| entry.is(manager, true, "", "")) {
        Some(at) => at,
        None => {
            entries[first].manager = manager.into();
            entries[first].applied = true;
            first
        }
    };
    let moved = entries.iter().enumerate().filter(|(at, entry)| *at != target && theirs(entry));
    let fields = moved.fold(entries[target].fields.clone(), |all, (_, entry)| all.union(&entry.fields));
    entries[target].fields = fields;
    let mut at = 0;
    entries.retain(|entry| {
        at += 1;
        at - 1 == target || !theirs(entry)
    });
    Ok(Some(entries.iter().map(encode_entry).collect()))
}
