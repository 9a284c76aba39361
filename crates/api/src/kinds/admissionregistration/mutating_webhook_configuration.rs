//! MutatingWebhookConfiguration.

use super::webhooks;
use crate::kinds::edit::{default_pointer, each};
use crate::kinds::{Builtin, Strategy};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingwebhookconfigurations",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            defaults: |_, value| {
                each(value, &["webhooks"], |webhook| {
                    webhooks::defaults(webhook);
                    default_pointer(webhook, "reinvocationPolicy", "Never");
                });
            },
            ..webhooks::strategy()
        })
    },
};
