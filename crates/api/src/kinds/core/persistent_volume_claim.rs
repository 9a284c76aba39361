//! PersistentVolumeClaim, and the claim templates of StatefulSets and ephemeral volumes.

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::core::pod::defaults::round;
use crate::kinds::core::pod::difference;
use crate::kinds::edit::{default, default_pointer, inside};
use crate::kinds::{Builtin, Strategy};
use crate::pod::quantity;
use crate::table::{age, cells, volume};
use crate::validation::{Node, names};

pub const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
pub const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const RESIZES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "persistentvolumeclaims",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            defaults,
            created: |claim| data_sources(claim.make(&["spec"]), None),
            updated: |claim, old| data_sources(claim.make(&["spec"]), old.get("spec")),
            check: |claim| spec(&claim.get("spec")),
            update,
            update_alone: true,
            check_status,
            warnings: |claim, _| warnings(claim),
            row: Some(row),
            ..Strategy::new()
        })
    },
};

/// Also of the claim templates of StatefulSets.
pub fn defaults(_: &str, claim: &mut Value) {
    default(claim.make(&["status"]), "phase", "Pending");
    default_pointer(claim.make(&["spec"]), "volumeMode", "Filesystem");
    inside(claim, &["spec", "resources"], |resources| {
        round(resources.get_mut("limits"));
        round(resources.get_mut("requests"));
    });
    inside(claim, &["status"], |status| {
        round(status.get_mut("capacity"));
        round(status.get_mut("allocatedResources"));
    });
}

/// `dataSource` and `dataSourceRef` say the same where only one was set (KEP-1495).
fn data_sources(spec: &mut Value, old: Option<&Value>) {
    let set = |spec: &Value, field: &str| spec.get(field).is_some_and(|source| !source.is_null());
    // Off by default upstream: CrossNamespaceVolumeDataSource.
    let used = old.is_some_and(|old| set(old, "dataSourceRef"));
    if !used && !spec.str_at(&["dataSourceRef", "namespace"]).is_empty() {
        spec.remove(&["dataSourceRef"]);
    }
    let in_use = old.is_some_and(|old| set(old, "dataSource") || set(old, "dataSourceRef"));
    if !in_use && !set(spec, "dataSourceRef") && set(spec, "dataSource") {
        let of = |field: &str| spec.str_at(&["dataSource", field]);
        let known = matches!(
            (of("apiGroup"), of("kind")),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        );
        if !known {
            spec.remove(&["dataSource"]);
        }
    }
    let (from, to) = match (set(spec, "dataSource"), set(spec, "dataSourceRef")) {
        (true, false) => ("dataSource", "dataSourceRef"),
        (false, true) if spec.str_at(&["dataSourceRef", "namespace"]).is_empty() => {
            ("dataSourceRef", "dataSource")
        }
        _ => return,
    };
    let mut copy = spec.get(from).cloned().unwrap_or_default();
    copy.remove(&["namespace"]);
    spec.set(&[to], copy);
}

pub fn access_modes(modes: &Node<'_>) {
    let texts = modes.texts();
    for mode in &texts {
        if !ACCESS_MODES.contains(mode) {
            modes.error(Error::not_supported(modes.path().clone(), *mode, &ACCESS_MODES));
        }
    }
    let alone = |mode: &&&str| **mode == "ReadWriteOncePod";
    let others =
        texts.iter().filter(|mode| **mode != "ReadWriteOncePod" && ACCESS_MODES.contains(mode)).count();
    if texts.iter().find(alone).is_some() && others > 0 {
        modes.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

/// The spec of a claim.
pub fn spec(spec: &Node<'_>) {
    checked(spec, true);
}

/// `groups`: names of groups in the data sources are checked.
fn checked(spec: &Node<'_>, groups: bool) {
    spec.get("accessModes").required_for("at least 1 access mode is required");
    spec.get("selector").label_selector();
    access_modes(&spec.get("accessModes"));
    let size = spec.at(&["resources", "requests", "storage"]);
    let size = size.named(spec.path().child("resources").key("storage"));
    if !size.has() {
        size.missing("");
    } else if size.quantity().sign() <= 0 {
        size.positive_quantity();
    }
    spec.get("storageClassName").is(names::dns_subdomain);
    let mode = spec.get("volumeMode");
    if mode.has() {
        mode.one_of_even_empty(&VOLUME_MODES);
    }
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    let old_forms = |node: &Node<'_>| node.has().then(|| data_source(node, groups));
    old_forms(&source);
    old_forms(&reference);
    reference.get("namespace").is(names::dns_label);
    let both = source.has() && reference.has();
    // Upstream shows the path's own struct as the bad value.
    let clash = |text: &str| spec.error(Error::invalid(spec.path().clone(), Value::object(), text));
    if !reference.get("namespace").text().is_empty() {
        if source.has() {
            clash("may not be specified when dataSourceRef.namespace is specified");
        }
    } else if both
        && ["apiGroup", "kind", "name"].iter().any(|field| !source.get(field).is_same(&reference.get(field)))
    {
        clash("must match dataSourceRef");
    }
    spec.get("volumeAttributesClassName").is(names::dns_subdomain);
}

fn data_source(source: &Node<'_>, groups: bool) {
    source.get("name").required();
    source.get("kind").required();
    let (group, kind) = (source.get("apiGroup"), source.get("kind"));
    if group.text().is_empty() && kind.text() != "PersistentVolumeClaim" {
        let text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        source.error(Error::invalid(source.path().clone(), kind.text(), text));
    }
    if groups {
        group.is(names::dns_subdomain);
    }
}

fn update(claim: &Node<'_>, old: &Node<'_>) {
    let (new_spec, old_spec) = (claim.get("spec"), old.get("spec"));
    // Upstream once took any name of a group, and takes it from those that have one.
    let sources = ["dataSource", "dataSourceRef"];
    checked(&new_spec, sources.iter().all(|source| !old_spec.at(&[source, "apiGroup"]).has()));
    let mut was = old_spec.value().clone();
    let mut is = new_spec.value().clone();
    if old_spec.get("volumeName").is_empty() {
        crate::kind::keep(&mut was, new_spec.value(), "volumeName");
    }
    let annotation = |claim: &Node<'_>| {
        let value = claim.value().at(&["metadata", "annotations", CLASS_ANNOTATION]);
        value.and_then(Value::as_str).map(String::from)
    };
    let (new_mark, old_mark) = (annotation(claim), annotation(old));
    let class = new_spec.get("storageClassName");
    let unset_before = !old_spec.get("storageClassName").has();
    let upgraded = old_mark.is_some()
        && unset_before
        && class.has()
        && Some(class.text()) == old_mark.as_deref()
        && (new_mark.is_none() || new_mark == old_mark);
    if upgraded {
        is.remove(&["storageClassName"]);
    } else {
        if new_mark.clone().unwrap_or_default() != old_mark.clone().unwrap_or_default() {
            let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION);
            claim.error(Error::invalid(path, new_mark.unwrap_or_default(), "field is immutable"));
        }
        if class.has() && unset_before && old_mark.is_none_or(|mark| mark == class.text()) {
            crate::kind::keep(&mut is, old_spec.value(), "storageClassName");
        }
    }
    let size = ["resources", "requests", "storage"];
    if claim.at(&["status", "phase"]).text() == "Bound" {
        if new_spec.at(&["resources", "requests"]).has()
            && let Some(old_size) = was.at(&size)
        {
            is.set(&size, old_size.clone());
        }
        crate::kind::keep(&mut is, &was, "volumeAttributesClassName");
    }
    if !crate::kinds::edit::same(Some(&is), Some(&was)) {
        new_spec.forbidden(format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
            difference(&was, &is)
        ));
    }
    let (new_size, old_size) = (new_spec.at(&size), old_spec.at(&size));
    let held = old.at(&["status", "capacity", "storage"]);
    if new_size.compare(&old_size).is_lt() && new_size.compare(&held).is_le() {
        new_size.forbidden("field can not be less than status.capacity");
    }
    new_spec.get("volumeMode").named(Path::new("volumeMode")).immutable(&old_spec.get("volumeMode"));
    let (class, old_class) =
        (new_spec.get("volumeAttributesClassName"), old_spec.get("volumeAttributesClassName"));
    if !class.is_same(&old_class) && old.at(&["status", "currentVolumeAttributesClassName"]).has() {
        if !class.has() {
            class.forbidden(
                "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil",
            );
        } else if class.text().is_empty() {
            class.forbidden(
                "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil",
            );
        }
    }
}

fn check_status(claim: &Node<'_>, _: &Node<'_>) {
    let status = claim.get("status");
    for (_, amount) in status.get("capacity").entries() {
        amount.nonnegative_quantity();
    }
    let resizes = status.get("allocatedResourceStatuses");
    for (key, value) in resizes.entries() {
        resource_key(key, &resizes);
        if !RESIZES.contains(&value.text()) {
            let mut sorted = RESIZES;
            sorted.sort_unstable();
            resizes.error(Error::not_supported(resizes.path().clone(), key, &sorted));
        }
    }
    let allocated = status.get("allocatedResources");
    for (key, amount) in allocated.entries() {
        if !resource_key(key, &allocated) {
            amount.nonnegative_quantity();
        }
    }
}

/// A qualified name; `storage` is the only one of Kubernetes' own. True: it is bad.
fn resource_key(key: &str, map: &Node<'_>) -> bool {
    let wrong = names::qualified_name(key);
    if !wrong.is_empty() {
        for text in wrong {
            map.error(Error::invalid(map.path().clone(), key, text));
        }
        return true;
    }
    let native = !key.contains('/') || key.contains("kubernetes.io/");
    if native && key != "storage" {
        map.error(Error::not_supported(map.path().clone(), key, &["storage"]));
        return true;
    }
    false
}

fn warnings(claim: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    if claim.at(&["metadata", "annotations", CLASS_ANNOTATION]).is_some() {
        texts.push(format!(
            "metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        ));
    }
    spec_warnings(claim.get("spec").unwrap_or(&Value::Null), "spec", &mut texts);
    texts
}

/// Also of claim templates.
pub fn spec_warnings(spec: &Value, path: &str, texts: &mut Vec<String>) {
    for part in ["requests", "limits"] {
        let Some(amount) = spec.at(&["resources", part, "storage"]).map(quantity) else { continue };
        if amount.milli_value() % 1000 != 0 {
            let text = amount.to_string();
            texts.push(format!(
                "{path}.resources.{part}[storage]: fractional byte value {text:?} is invalid, must be an integer"
            ));
        }
    }
}

fn row(claim: &Value, now: i64) -> Vec<Value> {
    let bound = !claim.str_at(&["spec", "volumeName"]).is_empty();
    let capacity = claim.at(&["status", "capacity", "storage"]).filter(|_| bound);
    let shown = if bound { capacity.cloned().unwrap_or_else(|| "0".into()) } else { "".into() };
    let modes = if bound { volume::modes_at(claim, &["status", "accessModes"]) } else { "".into() };
    vec![
        cells::name(claim),
        volume::phase(claim),
        claim.str_at(&["spec", "volumeName"]).into(),
        shown,
        modes,
        volume::class(claim),
        volume::or_unset(claim, &["spec", "volumeAttributesClassName"]),
        age(claim, now),
        volume::or_unset(claim, &["spec", "volumeMode"]),
    ]
}
