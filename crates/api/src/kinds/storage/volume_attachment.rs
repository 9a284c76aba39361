//! VolumeAttachment: cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::flag;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "volumeattachments",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            row: Some(row),
            ..FactsOnly::new()
        })
    },
};

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
