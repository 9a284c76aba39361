//! VolumeAttachment: the wish that a volume be attached to a node.

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::core::persistent_volume::{driver_name, spec as volume_spec};
use crate::kinds::edit::flag;
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "volumeattachments",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            check,
            update: |attachment, old| {
                attachment.get("spec").immutable(&old.get("spec"));
            },
            check_status: |attachment, old| {
                check(attachment);
                attachment.get("spec").immutable(&old.get("spec"));
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn check(attachment: &Node<'_>) {
    let spec = attachment.get("spec");
    driver_name(&spec.get("attacher"));
    let source = spec.get("source");
    let (inline, name) = (source.get("inlineVolumeSpec"), source.get("persistentVolumeName"));
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (inline.has(), name.has()) {
        (false, false) => source.missing(one),
        (true, true) => source.forbidden(one),
        (false, true) => drop(name.required_for("must specify non empty persistentVolumeName")),
        (true, false) => volume_spec(&inline, None),
    }
    spec.get("nodeName").is_even_empty(names::dns_subdomain);
    let status = attachment.get("status");
    let size: usize = status
        .get("attachmentMetadata")
        .entries()
        .iter()
        .map(|(key, value)| key.len() + value.text().len())
        .sum();
    if size > 256 << 10 {
        let path = status.path().child("attachmentMetadata");
        status.error(Error::too_long(path, 256 << 10));
    }
    for field in ["attachError", "detachError"] {
        let error = status.get(field);
        if error.get("message").text().len() > 1024 {
            // Upstream names the other bound here.
            error.error(Error::too_long(error.path().child("message"), 256 << 10));
        }
        error.get("errorCode").between(0, i64::from(i32::MAX));
    }
    if name.has() {
        name.named(Path::new("spec.source.persistentVolumeName")).is_even_empty(names::dns_subdomain);
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    vec![
        cells::name(value),
        value.str_at(&["spec", "attacher"]).into(),
        value.str_at(&["spec", "source", "persistentVolumeName"]).into(),
        value.str_at(&["spec", "nodeName"]).into(),
        flag(value, &["status", "attached"]).into(),
        age(value, now),
    ]
}
