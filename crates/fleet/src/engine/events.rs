//! Events on the driving object: what a person sees with `kubectl describe`.

use api::Value;
use jiff::Timestamp;

use super::Shared;
use crate::app::App;
use crate::frontends::{FrontEnd, Level};

/// Writes an event. A courtesy: one that cannot be written is logged and lost.
pub(super) async fn tell(
    shared: &Shared,
    front: &FrontEnd,
    app: &App,
    level: Level,
    reason: &str,
    text: &str,
) {
    let now = shared.clock.now();
    let mut event = Value::object();
    event.set(&["apiVersion"], "v1");
    event.set(&["kind"], "Event");
    event.set(&["metadata", "namespace"], app.namespace.as_str());
    event.set(&["metadata", "name"], format!("{}.{:x}", app.name, now.as_nanosecond()));
    event.set(&["involvedObject", "apiVersion"], front.api_version);
    event.set(&["involvedObject", "kind"], front.kind);
    event.set(&["involvedObject", "namespace"], app.namespace.as_str());
    event.set(&["involvedObject", "name"], app.name.as_str());
    event.set(&["involvedObject", "uid"], app.uid.as_str());
    event.set(&["reason"], reason);
    event.set(&["message"], text.chars().take(1000).collect::<String>());
    event.set(&["type"], if level == Level::Normal { "Normal" } else { "Warning" });
    event.set(&["source", "component"], front.component);
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    event.set(&["firstTimestamp"], seconds.as_str());
    event.set(&["lastTimestamp"], seconds);
    event.set(&["count"], 1i64);
    let written = async {
        let kind = shared.cluster.kind("v1", "Event").await?;
        shared.cluster.create(&kind, &app.namespace, &event).await
    };
    if let Err(error) = written.await {
        tracing::debug!(application = app.name, error = error.text(), "cannot write an event");
    }
}
