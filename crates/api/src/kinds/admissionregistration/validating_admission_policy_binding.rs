//! ValidatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use super::rules;
use super::validating_admission_policy::match_resources;
use crate::kinds::edit::inside;
use crate::kinds::{Builtin, Strategy};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "validatingadmissionpolicybindings",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            unconditional_update: false,
            defaults: |_, value| inside(value, &["spec", "matchResources"], match_resources),
            row: Some(rules::binding_row),
            check: |binding| {
                let actions = rules::binding(binding).get("validationActions");
                let items = actions.items();
                for (at, action) in items.iter().enumerate() {
                    action.one_of_even_empty(&["Audit", "Deny", "Warn"]);
                    if items[..at].iter().any(|other| other.text() == action.text()) {
                        action.duplicate();
                    }
                }
                let texts = actions.texts();
                if texts.contains(&"Deny") && texts.contains(&"Warn") {
                    actions.invalid(
                        "must not contain both Deny and Warn (repeating the same validation failure information in \
                         the API response and headers serves no purpose)",
                    );
                }
                actions.required_for("at least one validation action is required");
            },
            ..Strategy::new()
        })
    },
};
