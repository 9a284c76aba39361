//! MutatingWebhookConfiguration.

use super::webhooks;
use crate::Value;
use crate::kinds::edit::{default_pointer, each, inside, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingwebhookconfigurations",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            unconditional_update: false,
            defaults,
            check: webhooks::check,
            update_alone: true,
            update: webhooks::update,
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn defaults(_: &str, value: &mut Value) {
    each(value, &["webhooks"], |webhook| {
        default_pointer(webhook, "failurePolicy", "Fail");
        default_pointer(webhook, "matchPolicy", "Equivalent");
        default_pointer(webhook, "namespaceSelector", Value::object());
        default_pointer(webhook, "objectSelector", Value::object());
        default_pointer(webhook, "timeoutSeconds", 10i64);
        default_pointer(webhook, "reinvocationPolicy", "Never");
        each(webhook, &["rules"], |rule| default_pointer(rule, "scope", "*"));
        inside(webhook, &["clientConfig", "service"], |service| default_pointer(service, "port", 443i64));
    });
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    vec![cells::name(value), Value::Int(list(value, &["webhooks"]).len() as i64), age(value, now)]
}
