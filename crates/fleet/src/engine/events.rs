//! Events on the driving object: what a person sees with `kubectl describe`.

use api::Value;
use jiff::Timestamp;

use super::Shared;
use crate::app::App;
use crate::frontends::{FrontEnd, Level};
use crate::neighbours::Sign;

/// Writes an event. A courtesy: one that cannot be written is logged and lost.
pub(super) async fn tell(
    shared: &Shared,
    front: &FrontEnd,
    app: &App,
    level: Level,
    reason: &str,
    text: &str,
) {
    let mut involved = Value::object();
    involved.set(&["apiVersion"], front.api_version);
    involved.set(&["kind"], front.kind);
    involved.set(&["namespace"], app.namespace.as_str());
    involved.set(&["name"], app.name.as_str());
    involved.set(&["uid"], app.uid.as_str());
    write(shared, involved, front.component, level, reason, text).await;
}

/// A warning about another's controller.
pub(super) async fn about_sign(shared: &Shared, sign: &Sign, reason: &str, text: &str) {
    let mut involved = Value::object();
    involved.set(&["apiVersion"], sign.api_version.as_str());
    involved.set(&["kind"], sign.kind.as_str());
    involved.set(&["namespace"], sign.namespace.as_str());
    involved.set(&["name"], sign.name.as_str());
    write(shared, involved, crate::cluster::MANAGER, Level::Warning, reason, text).await;
}

async fn write(shared: &Shared, involved: Value, component: &str, level: Level, reason: &str, text: &str) {
    let now = shared.clock.now();
    let (namespace, name) =
        (involved.str_at(&["namespace"]).to_string(), involved.str_at(&["name"]).to_string());
    let mut event = Value::object();
    event.set(&["apiVersion"], "v1");
    event.set(&["kind"], "Event");
    event.set(&["metadata", "namespace"], namespace.as_str());
    event.set(&["metadata", "name"], format!("{name}.{:x}", now.as_nanosecond()));
    event.set(&["involvedObject"], involved);
    event.set(&["reason"], reason);
    event.set(&["message"], text.chars().take(1000).collect::<String>());
    event.set(&["type"], if level == Level::Normal { "Normal" } else { "Warning" });
    event.set(&["source", "component"], component);
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    event.set(&["firstTimestamp"], seconds.as_str());
    event.set(&["lastTimestamp"], seconds);
    event.set(&["count"], 1i64);
    let written = async {
        let kind = shared.cluster.kind("v1", "Event").await?;
        shared.cluster.create(&kind, &namespace, &event).await
    };
    if let Err(error) = written.await {
        tracing::debug!(about = name, error = error.text(), "cannot write an event");
    }
}
