//! MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use super::rules;
use super::validating_admission_policy::match_resources;
use crate::kinds::edit::inside;
use crate::kinds::{Builtin, Strategy};
use crate::validation::names;

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingadmissionpolicybindings",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            unconditional_update: false,
            defaults: |_, value| inside(value, &["spec", "matchResources"], match_resources),
            check: |binding| {
                let spec = binding.get("spec");
                spec.get("policyName").required().is(names::dns_subdomain);
                rules::param_ref(&spec.get("paramRef"));
                rules::match_resources(&spec.get("matchResources"));
            },
            ..Strategy::new()
        })
    },
};
