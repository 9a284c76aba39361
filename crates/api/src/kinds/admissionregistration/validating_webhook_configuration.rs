//! ValidatingWebhookConfiguration.

use super::webhooks;
use crate::kinds::edit::each;
use crate::kinds::{Builtin, Strategy};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "validatingwebhookconfigurations",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            defaults: |_, value| each(value, &["webhooks"], webhooks::defaults),
            ..webhooks::strategy()
        })
    },
};
