//! VolumeAttributesClass.

use super::storage_class::{parameters, provisioner};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "volumeattributesclasses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            check: |class| {
                provisioner(&class.get("driverName"));
                parameters(&class.get("parameters"));
                class.get("parameters").required_for("must contain at least one key/value pair");
            },
            // Upstream compares first.
            update_alone: true,
            update: |class, old| {
                for field in ["driverName", "parameters"] {
                    if !class.get(field).is_same(&old.get(field)) {
                        class.get(field).forbidden(format!("updates to {field} are forbidden."));
                    }
                }
                provisioner(&class.get("driverName"));
                parameters(&class.get("parameters"));
                class.get("parameters").required_for("must contain at least one key/value pair");
            },
            row: Some(|class, now| {
                vec![cells::name(class), class.str_at(&["driverName"]).into(), age(class, now)]
            }),
            ..Strategy::new()
        })
    },
};
