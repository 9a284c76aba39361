//! MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use super::rules;
use super::validating_admission_policy::match_resources;
use crate::kinds::edit::{default_pointer, inside};
use crate::kinds::{Builtin, Strategy};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingadmissionpolicybindings",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            unconditional_update: false,
            defaults: |version, value| {
                inside(value, &["spec", "matchResources"], match_resources);
                if version == "v1alpha1" {
                    inside(value, &["spec", "paramRef"], |reference| {
                        default_pointer(reference, "parameterNotFoundAction", "Deny");
                    });
                }
            },
            row: Some(rules::binding_row),
            check: |binding| {
                let spec = rules::binding(binding);
                rules::no_deletes(&spec.get("matchResources"));
            },
            ..Strategy::new()
        })
    },
};
