//! ResourceClaimTemplate: claims to be, one a pod.

use super::devices;
use crate::kinds::edit::inside;
use crate::kinds::{Builtin, Strategy};

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourceclaimtemplates",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            defaults: |version, value| {
                inside(value, &["spec", "spec"], |spec| devices::defaults(version, spec));
            },
            to_storage: |version, value| {
                if version == "v1beta1" {
                    inside(value, &["spec", "spec"], devices::to_storage);
                }
            },
            from_storage: |version, value| {
                if version == "v1beta1" {
                    inside(value, &["spec", "spec"], devices::from_storage);
                }
            },
            check: |template| {
                let spec = template.get("spec");
                spec.get("metadata").template_metadata();
                devices::claim(&spec.get("spec"));
            },
            update: |template, old| {
                template.get("spec").immutable(&old.get("spec"));
            },
            ..Strategy::new()
        })
    },
};
