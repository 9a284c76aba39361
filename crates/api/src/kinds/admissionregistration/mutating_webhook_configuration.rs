//! MutatingWebhookConfiguration: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, each, inside, list};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingwebhookconfigurations",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            generation: true,
            unconditional_update: false,
            defaults,
            row: Some(row),
            ..FactsOnly::new()
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
