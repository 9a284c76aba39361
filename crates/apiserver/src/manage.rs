//! `metadata.managedFields` on every write: who owns which field. The rules are `api::apply`'s.
//!
//! Ownership is kept in the version of the request; entries of other versions are converted when they meet.

use api::apply::{self, Set, Subject};
use api::schema::{self, Schema};
use api::{Value, field};

use crate::codec;
use crate::engine::{Target, WriteOptions};
use crate::status::{Details, Result, Status};

/// By which way a new object was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Update,
    Patch,
    Apply,
}

/// Kinds whose status is written without their metadata (`GetResetFields` of upstream's strategies).
const KEPT_METADATA: &[&str] = &[
    "PodGroup",
    "ServiceCIDR",
    "StorageVersionMigration",
    "ResourceClaim",
    "DeviceTaintRule",
    "ResourcePoolStatusRequest",
    "StorageVersion",
    "VolumeAttachment",
    "FlowSchema",
    "PriorityLevelConfiguration",
    "ValidatingAdmissionPolicy",
    "APIService",
];

/// Runs `act` with what is written to.
fn with<T>(target: &Target, subresource: &str, now: &str, act: impl FnOnce(&Subject<'_>) -> T) -> T {
    let kind = &target.kind;
    let version = target.version();
    let reset = match (subresource, kind.resource.group.as_str()) {
        // Written by the server, and never changed.
        ("", "certificates.k8s.io") if kind.kind == "CertificateSigningRequest" => {
            Set::of_fields(&[&["spec"], &["status"]])
        }
        // Upstream's strategy drops a client's status, and forgets to say so.
        ("", _) if matches!(kind.kind.as_str(), "PodCertificateRequest" | "PodGroup") && !kind.custom => {
            Set::new()
        }
        ("", _) if target.storage.rules.has_status() => Set::of_fields(&[&["status"]]),
        ("status", _) if kind.custom || KEPT_METADATA.contains(&kind.kind.as_str()) => {
            Set::of_fields(&[&["spec"], &["metadata"]])
        }
        ("status", "apps") if kind.kind == "Deployment" => {
            Set::of_fields(&[&["spec"], &["metadata", "labels"]])
        }
        ("status", "") if kind.kind == "Pod" => {
            Set::of_fields(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
        }
        ("status", _) => Set::of_fields(&[&["spec"]]),
        ("finalize", "") => Set::of_fields(&[&["status"]]),
        _ => Set::new(),
    };
    let convert = |value: &Value, api_version: &str| {
        let name = api_version.rsplit('/').next().unwrap_or_default();
        let row = kind.version(name).filter(|_| kind.api_version(name) == api_version)?;
        let mut value = value.clone();
        codec::to_storage(kind, &target.storage, &version.name, &mut value).ok()?;
        codec::from_storage(kind, name, &mut value).ok()?;
        Some((value, crate::custom::schema_of(row)))
    };
    let api_version = kind.api_version(&version.name);
    act(&Subject {
        api_version: &api_version,
        kind: &kind.kind,
        schema: crate::custom::schema_of(version),
        subresource,
        reset: &reset,
        now,
        convert: &convert,
    })
}

/// Runs `act` on a stored value as it is in the request's version, and takes over who owns what in it.
fn in_version(target: &Target, value: &mut Value, act: impl FnOnce(&mut Value)) {
    if target.is_storage() {
        return act(value);
    }
    let mut shown = value.clone();
    if codec::from_storage(&target.kind, &target.version().name, &mut shown).is_err() {
        // What cannot be shown cannot be told apart: its owners stay.
        return;
    }
    act(&mut shown);
    match shown.remove(&["metadata", "managedFields"]) {
        Some(entries) => value.set(&["metadata", "managedFields"], entries),
        None => drop(value.remove(&["metadata", "managedFields"])),
    }
}

/// A new object: everything in it belongs to the one who made it.
pub(crate) fn created(
    target: &Target,
    value: &mut Value,
    options: &WriteOptions,
    subresource: &str,
    now: &str,
) {
    if !options.applied {
        with(target, subresource, now, |subject| {
            in_version(target, value, |value| apply::track_update(subject, None, value, &options.manager));
        });
    }
}

/// A changed object: what changed belongs to the one who changed it.
pub(crate) fn updated(
    target: &Target,
    old: &Value,
    new: &mut Value,
    options: &WriteOptions,
    subresource: &str,
    now: &str,
) {
    if !options.applied {
        let shown = (!target.is_storage()).then(|| {
            let mut shown = old.clone();
            let shown_as = codec::from_storage(&target.kind, &target.version().name, &mut shown);
            shown_as.is_ok().then_some(shown)
        });
        let shown = shown.flatten();
        let old = shown.as_ref().unwrap_or(old);
        with(target, subresource, now, |subject| {
            in_version(target, new, |new| apply::track_update(subject, Some(old), new, &options.manager));
        });
    }
}

/// Server-side apply of a configuration; all values are in the version of the request.
pub(crate) fn applied(
    target: &Target,
    old: Option<&Value>,
    config: &Value,
    options: &WriteOptions,
    subresource: &str,
    now: &str,
) -> Result<Value> {
    let result = with(target, subresource, now, |subject| {
        apply::apply(subject, old, config, &options.manager, options.force)
    });
    result.map_err(|error| match &error {
        apply::Error::BadRequest(text) => Status::bad_request(text.as_str()),
        apply::Error::Failed(text) => Status::new(500, "", text.as_str()),
        apply::Error::Conflicts(conflicts) => {
            let status = Status::new(409, "Conflict", error.to_string()).with(Details::default());
            conflicts.iter().fold(status, |status, conflict| {
                status.caused("FieldManagerConflict", conflict.message(), &conflict.path)
            })
        }
    })
}

/// Gives the entries of an otherwise unchanged object their old times back, so that nothing is written.
pub(crate) fn settle(new: &mut Value, old: &Value) {
    const FIELDS: [&str; 2] = ["metadata", "managedFields"];
    let timeless = |value: &Value| -> Vec<Value> {
        let mut all = value.at(&FIELDS).and_then(Value::as_array).unwrap_or_default().to_vec();
        for entry in &mut all {
            entry.remove(&["time"]);
        }
        all
    };
    if new.at(&FIELDS) == old.at(&FIELDS) || timeless(new) != timeless(old) {
        return;
    }
    let (mut one, mut other) = (new.clone(), old.clone());
    one.remove(&FIELDS);
    other.remove(&FIELDS);
    if one == other
        && let Some(entries) = old.at(&FIELDS)
    {
        new.set(&FIELDS, entries.clone());
    }
}

/// `fieldManager` of a request (metav1 validation, `ValidateFieldManager`).
pub(crate) fn check_manager(manager: &str, errors: &mut Vec<field::Error>) {
    let path = field::Path::new("fieldManager");
    if manager.len() > 128 {
        errors.push(field::Error::too_long(path.clone(), 128));
    }
    for (at, letter) in manager.char_indices().filter(|(_, letter)| !api::text::is_printable(*letter)) {
        let text = format!("invalid character U+{:04X} (at position {at})", letter as u32);
        errors.push(field::Error::invalid(path.clone(), manager, text));
    }
}

/// The schema of a built-in type by its version.
pub(crate) fn built_in(type_name: &str) -> Schema<'static> {
    schema::lookup(type_name).map_or(Schema::Free, Schema::Type)
}
