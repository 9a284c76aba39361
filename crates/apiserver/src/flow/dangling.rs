//! The condition `Dangling` of FlowSchemas: whether the priority level that one names is there
//! (k8s.io/apiserver/pkg/util/flowcontrol). Looked at when either changes; nothing is written while it says what is so.

use std::sync::Arc;
use std::time::Duration;

use api::{Object, Value};

use super::GROUP;
use crate::server::Inner;

/// Who owns the condition.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// After a change, so that several objects written together are looked at once.
const SETTLE: Duration = Duration::from_millis(200);

pub(crate) fn start(inner: &Arc<Inner>) {
    let own = inner.clone();
    inner.tasks.spawn("flow-schemas", async move {
        let of = |plural: &str| own.caches.named(GROUP, plural);
        let (Some(schemas), Some(levels)) = (of("flowschemas"), of("prioritylevelconfigurations")) else {
            return;
        };
        loop {
            // Opened before the look, so that nothing falls between; and again if it lost its place.
            let (mut of_schemas, mut of_levels) = (schemas.watch().1, levels.watch().1);
            loop {
                for schema in schemas.snapshot().iter() {
                    check(&own, schema).await;
                }
                let lost = tokio::select! {
                    more = of_schemas.next() => more.is_err(),
                    more = of_levels.next() => more.is_err(),
                };
                tokio::time::sleep(SETTLE).await;
                if lost {
                    break;
                }
            }
        }
    });
}

/// What the condition says of a level: status, reason and message.
fn condition(level: &str, there: bool) -> (&'static str, &'static str, String) {
    let text = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    match there {
        true => ("False", "Found", format!("{text} and it exists")),
        false => ("True", "NotFound", format!("{text} but there is no such object")),
    }
}

async fn check(inner: &Arc<Inner>, schema: &Arc<Object>) {
    let value = schema.value();
    let level = value.str_at(&["spec", "priorityLevelConfiguration", "name"]).to_string();
    let there = inner.peek(GROUP, "prioritylevelconfigurations", "", &level).is_some();
    let (status, reason, message) = condition(&level, there);
    let says = |value: &Value| {
        let all = value.at(&["status", "conditions"]).and_then(Value::as_array).unwrap_or_default();
        let own = all.iter().find(|one| one.str_at(&["type"]) == "Dangling");
        own.is_some_and(|own| {
            [("status", status), ("reason", reason), ("message", message.as_str())]
                .iter()
                .all(|(field, text)| own.str_at(&[field]) == *text)
        })
    };
    if says(&value) {
        return;
    }
    let now = inner.now();
    let mut own = Value::object();
    for (field, text) in [
        ("type", "Dangling"),
        ("status", status),
        ("lastTransitionTime", now.as_str()),
        ("reason", reason),
        ("message", message.as_str()),
    ] {
        own.set(&[field], text);
    }
    let name = schema.name();
    let mut config = Value::object();
    config.set(&["apiVersion"], format!("{GROUP}/v1"));
    config.set(&["kind"], "FlowSchema");
    config.set(&["metadata", "name"], name);
    config.set(&["status", "conditions"], vec![own]);
    match inner.apply_status((GROUP, "v1", "flowschemas", "", name), MANAGER, &config).await {
        Err(status) if status.reason() != "NotFound" => {
            tracing::warn!(name, message = status.message(), "cannot write a FlowSchema's status");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::condition;

    #[test]
    fn says_what_upstream_says() {
        let found = condition("exempt", true);
        assert_eq!(
            (found.0, found.1, found.2.as_str()),
            (
                "False",
                "Found",
                "This FlowSchema references the PriorityLevelConfiguration object named \"exempt\" and it exists"
            )
        );
        assert_eq!(condition("x", false).0, "True");
    }
}
