//! PersistentVolume, and the inline volume of a VolumeAttachment.

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep_all_but};
use crate::kinds::Builtin;
use crate::kinds::core::persistent_volume_claim::{CLASS_ANNOTATION, VOLUME_MODES, access_modes};
use crate::kinds::core::pod::defaults::round;
use crate::kinds::core::pod::{difference, node_selector};
use crate::kinds::core::volume_source;
use crate::kinds::edit::{default, default_pointer, has, inside, list, same};
use crate::kinds::node_labels;
use crate::table::{age, cells, volume};
use crate::validation::check::Errors;
use crate::validation::node::{inspect, inspect_both};
use crate::validation::{Node, names};

pub const KIND: Builtin =
    Builtin { group: "", plural: "persistentvolumes", storage: "v1", rules: || Box::new(PersistentVolume) };

struct PersistentVolume;

const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// Sources in the order in which upstream looks at them; of two the later is to blame.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// Sources that cannot take the annotation with mount options.
const WITHOUT_OPTIONS: [&str; 9] =
    ["hostPath", "flocker", "fc", "flexVolume", "portworxVolume", "scaleIO", "local", "storageos", "csi"];

const DEPRECATED: [(&str, &str, &str); 6] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

impl Rules for PersistentVolume {
    fn default(&self, _: &str, value: &mut Value) {
        default(value.make(&["status"]), "phase", "Pending");
        let spec = value.make(&["spec"]);
        default(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_pointer(spec, "volumeMode", "Filesystem");
        inside(spec, &["hostPath"], |source| default_pointer(source, "type", ""));
        round(spec.get_mut("capacity"));
    }
    fn prepare_create(&self, context: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        new.set(&["status", "phase"], "Pending");
        new.set(&["status", "lastPhaseTransitionTime"], context.now);
    }
    fn prepare_status(&self, context: &Context<'_>, new: &mut Value, old: &Value) {
        keep_all_but(new, old, &["metadata", "status"]);
        let time =
            |value: &Value| value.at(&["status", "lastPhaseTransitionTime"]).cloned().unwrap_or_default();
        let same_phase = new.at(&["status", "phase"]) == old.at(&["status", "phase"]);
        if same_phase && time(new).is_null() && !time(old).is_null() {
            new.set(&["status", "lastPhaseTransitionTime"], time(old));
        } else if !same_phase && (time(new).is_null() || time(new) == time(old)) {
            new.set(&["status", "lastPhaseTransitionTime"], context.now);
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        inspect(new, errors, |object| {
            spec(&object.get("spec"), Some(object.at(&["metadata", "name"]).text()));
            mount_options(object);
        });
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        // Upstream asks twice.
        inspect(new, errors, |object| {
            spec(&object.get("spec"), Some(object.at(&["metadata", "name"]).text()))
        });
        inspect_both(new, old, errors, update);
    }
    fn has_status(&self) -> bool {
        true
    }
    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        warnings(new)
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(row(value, now))
    }
}

/// `name`: the volume's; none: the spec stands inside a VolumeAttachment.
pub fn spec(spec: &Node<'_>, name: Option<&str>) {
    let inline = name.is_none();
    let policy = spec.get("persistentVolumeReclaimPolicy");
    if inline {
        let alone = "may not be specified in the context of inline volumes";
        spec.get("claimRef").unset(alone);
        spec.get("capacity").unset(alone);
        spec.get("csi").set("has to be specified in the context of inline volumes");
    }
    spec.get("accessModes").required();
    access_modes(&spec.get("accessModes"));
    if !inline {
        capacity(&spec.get("capacity"));
    }
    match (policy.text(), inline) {
        ("", _) | ("Retain", true) => {}
        (_, true) => policy.forbidden("may only be Retain in the context of inline volumes"),
        (_, false) => drop(policy.one_of_even_empty(&["Delete", "Recycle", "Retain"])),
    }
    let affinity = spec.get("nodeAffinity");
    if affinity.has() && inline {
        affinity.forbidden("may not be specified in the context of inline volumes");
    } else if affinity.has() {
        let required = affinity.get("required");
        match required.has() {
            true => drop(required.by(node_selector)),
            false => required.missing("must specify required node constraints"),
        }
    }
    sources(spec, name);
    if policy.text() == "Recycle" && is_root(spec.at(&["hostPath", "path"]).text()) {
        policy.forbidden("may not be 'recycle' for a hostPath mount of '/'");
    }
    let (class, mode) = (spec.get("storageClassName"), spec.get("volumeMode"));
    if inline {
        class.unset("may not be specified in the context of inline volumes");
        if mode.has() && mode.text() != "Filesystem" {
            mode.forbidden(
                "may not specify volumeMode other than Filesystem in the context of inline volumes",
            );
        }
    } else {
        class.is(names::dns_subdomain);
        if mode.has() {
            mode.one_of_even_empty(&VOLUME_MODES);
        }
    }
    let attributes = spec.get("volumeAttributesClassName");
    if attributes.has() && !inline {
        attributes.required_for("an empty string is disallowed").is(names::dns_subdomain);
        spec.get("csi").set("has to be specified when using volumeAttributesClassName");
    }
}

fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| part.is_empty() || part == ".")
}

fn capacity(capacity: &Node<'_>) {
    capacity.required();
    if !capacity.get("storage").has() || capacity.len() > 1 {
        let shown = capacity.value().clone();
        capacity.error(Error::not_supported(capacity.path().clone(), shown, &["storage"]));
    }
    for (_, amount) in capacity.entries() {
        if amount.quantity().sign() < 0 {
            let text = "must be a valid resource quantity";
            amount.error(Error::invalid(amount.path().clone(), amount.quantity().value(), text));
        }
        amount.positive_quantity();
    }
}

fn sources(spec: &Node<'_>, name: Option<&str>) {
    let set: Vec<&str> = SOURCES.into_iter().filter(|kind| spec.get(kind).has()).collect();
    if set.is_empty() {
        spec.missing("must specify a volume type");
    }
    for (at, kind) in set.into_iter().enumerate() {
        let source = spec.get(kind);
        // Paths that are not the field's name stand so upstream.
        let path = || {
            let child = match (at > 0, kind) {
                (true, "cephfs") => "cephFS",
                (false, "gcePersistentDisk") => "persistentDisk",
                _ => kind,
            };
            spec.path().child(child)
        };
        let source = source.named(path());
        if at > 0 && kind != "flexVolume" {
            source.forbidden("may not specify more than 1 volume type");
            continue;
        }
        match kind {
            "hostPath" => {
                source.get("path").required();
                if !source.get("path").text().is_empty() {
                    volume_source::no_backsteps(&source.get("path"));
                    if source.get("type").has() {
                        source.get("type").one_of_even_empty(&crate::kinds::core::pod::HOST_PATH_TYPES);
                    }
                }
            }
            "local" => {
                source.get("path").required();
                volume_source::no_backsteps(&source.get("path"));
                if !spec.get("nodeAffinity").has() {
                    spec.get("nodeAffinity").missing("Local volume requires node affinity");
                }
            }
            "csi" => csi(&source),
            kind => drop(volume_source::check(kind, &source, Some(name.unwrap_or_default()))),
        }
    }
}

fn csi(source: &Node<'_>) {
    driver_name(&source.get("driver"));
    source.get("volumeHandle").required();
    let references = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ];
    for field in references {
        let reference = source.get(field);
        if reference.has() {
            reference.get("name").required().is(names::dns_subdomain);
            reference.get("namespace").required().is(names::dns_label);
        }
    }
}

/// The name of a CSI driver: an RFC 1123 subdomain in any case, up to 63 bytes.
pub fn driver_name(name: &Node<'_>) {
    if name.text().is_empty() {
        return name.missing("");
    }
    name.at_most_bytes(63);
    for text in names::dns_subdomain(&name.text().to_lowercase()) {
        name.invalid(text);
    }
}

fn mount_options(volume: &Node<'_>) {
    let spec = volume.get("spec");
    let plain = SOURCES.iter().all(|kind| WITHOUT_OPTIONS.contains(kind) || !spec.get(kind).has());
    if plain && volume.at(&["metadata", "annotations", MOUNT_OPTIONS]).has() {
        let path = Path::new("metadata").child("annotations").child(MOUNT_OPTIONS);
        volume.error(Error::forbidden(path, "may not specify mount options for this volume type"));
    }
}

fn update(volume: &Node<'_>, old: &Node<'_>) {
    let (new_spec, old_spec) = (volume.get("spec"), old.get("spec"));
    let source = |spec: &Value| -> Value {
        Value::Object(SOURCES.iter().filter_map(|kind| Some((*kind, spec.get(kind)?.clone()))).collect())
    };
    let (mut is, was) = (source(new_spec.value()), source(old_spec.value()));
    let expand = ["csi", "controllerExpandSecretRef"];
    if has(&was, &["csi"]) && !has(&was, &expand) {
        is.remove(&expand);
    }
    if !same(Some(&is), Some(&was)) {
        let path = Path::new("spec").child("persistentvolumesource");
        let text =
            format!("spec.persistentvolumesource is immutable after creation\n{}", difference(&was, &is));
        volume.error(Error::forbidden(path, text));
    }
    new_spec.get("volumeMode").named(Path::new("volumeMode")).immutable(&old_spec.get("volumeMode"));
    let (affinity, old_affinity) = (new_spec.get("nodeAffinity"), old_spec.get("nodeAffinity"));
    if old_affinity.has() {
        let mut renamed = affinity.value().clone();
        rename_like(&mut renamed, old_affinity.value());
        if !same(Some(&renamed), Some(old_affinity.value())) {
            affinity
                .named(Path::new("nodeAffinity"))
                .invalid("field is immutable, except for updating from beta label to GA");
        }
    }
    let (class, old_class) =
        (new_spec.get("volumeAttributesClassName"), old_spec.get("volumeAttributesClassName"));
    if old_class.has() && !class.has() {
        class.forbidden("update from non-nil value to nil is forbidden");
    }
}

/// Node labels that became stable may take their beta name's place.
fn rename_like(affinity: &mut Value, old: &Value) {
    let path = ["required", "nodeSelectorTerms"];
    let old_terms = list(old, &path).to_vec();
    let terms = affinity.at_mut(&path).and_then(Value::as_array_mut);
    for (term, old_term) in terms.into_iter().flatten().zip(&old_terms) {
        let olds = list(old_term, &["matchExpressions"]).to_vec();
        let expressions = term.get_mut("matchExpressions").and_then(Value::as_array_mut);
        for (expression, old) in expressions.into_iter().flatten().zip(&olds) {
            let was = old.str_at(&["key"]);
            // Upstream's table gives no text for a label that has no successor.
            if node_labels::successor(was).unwrap_or_default() == expression.str_at(&["key"]) {
                expression.set(&["key"], was);
            }
        }
    }
}

fn warnings(volume: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let annotations = [
        (CLASS_ANNOTATION, "deprecated since v1.8; use \"storageClassName\" attribute instead"),
        (MOUNT_OPTIONS, "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ];
    for (key, text) in annotations {
        if volume.at(&["metadata", "annotations", key]).is_some() {
            texts.push(format!("metadata.annotations[{key}]: {text}"));
        }
    }
    if volume.str_at(&["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
        texts.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .into(),
        );
    }
    let terms = ["spec", "nodeAffinity", "required", "nodeSelectorTerms"];
    for (at, term) in list(volume, &terms).iter().enumerate() {
        let path = format!("spec.nodeAffinity.required.nodeSelectorTerms[{at}]");
        node_labels::term_warnings(term, &path, &mut texts);
    }
    for (kind, shown, text) in DEPRECATED {
        if has(volume, &["spec", kind]) {
            texts.push(format!("spec.{shown}: {text}"));
        }
    }
    texts
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let claim = value.at(&["spec", "claimRef"]).filter(|claim| !claim.is_null());
    let claim = claim.map(|claim| format!("{}/{}", claim.str_at(&["namespace"]), claim.str_at(&["name"])));
    vec![
        cells::name(value),
        value.at(&["spec", "capacity", "storage"]).cloned().unwrap_or_else(|| "0".into()),
        volume::modes_at(value, &["spec", "accessModes"]),
        value.str_at(&["spec", "persistentVolumeReclaimPolicy"]).into(),
        volume::phase(value),
        claim.unwrap_or_default().into(),
        volume::class(value),
        volume::or_unset(value, &["spec", "volumeAttributesClassName"]),
        value.str_at(&["status", "reason"]).into(),
        age(value, now),
        volume::or_unset(value, &["spec", "volumeMode"]),
    ]
}
