//! Subresources: what each does, by name. `status` is an update of a part; those that change a few fields are grafts; the
//! others have a file each.

mod binding;
pub(crate) mod connect;
mod eviction;
mod links;
mod scale;
mod token;

use api::{Value, json};
use bytes::Bytes;
use http::Response;

use crate::engine::Call;
use crate::engine::patch::{Way, parse_patch, patch_document};
use crate::engine::update::Part;
use crate::http::Body;
use crate::manage::How;
use crate::status::{Result, Status};

pub(crate) use binding::{bind, success};
pub(crate) use scale::{SCALE_FORM, show_scale, take_scale};

/// The subresource is a stream to a node or pod: no body is read, no time limit holds.
pub(crate) fn is_stream(subresource: &str) -> bool {
    matches!(subresource, "exec" | "attach" | "portforward" | "proxy" | "log")
}

/// Runs a subresource's verb.
pub(crate) async fn run(call: &Call, bytes: Bytes) -> Result<Response<Body>> {
    let name = call.info.subresource.as_str();
    let row = call.target.version().subresource(name).ok_or_else(Status::no_such_path)?;
    if !row.verbs.iter().any(|verb| verb == call.info.verb) {
        return Err(call.no_verb());
    }
    match (name, call.info.verb) {
        ("status", "update") => call.update(bytes).await,
        ("status", "patch") => call.patch(bytes).await,
        ("scale", _) => scale::run(call, row, bytes).await,
        ("binding", "create") => binding::run(call, bytes).await,
        ("eviction", "create") => eviction::run(call, bytes).await,
        ("token", "create") => token::run(call, bytes).await,
        (_, "get") => call.get().await,
        (_, "update") => graft_update(call, bytes).await,
        (_, "patch") => graft_patch(call, bytes).await,
        _ => Err(call.no_verb()),
    }
}

async fn graft_update(call: &Call, bytes: Bytes) -> Result<Response<Body>> {
    let options = call.write_options()?;
    let sent = call.decode(&bytes, &options)?;
    let name = call.info.subresource.clone();
    let make = |old: &Value| Ok(graft(&name, old, &sent));
    let outcome = call.change(Part::Whole, &options, How::Update, &make, None).await?;
    call.answer(outcome.code(), &outcome.object)
}

async fn graft_patch(call: &Call, bytes: Bytes) -> Result<Response<Body>> {
    let options = call.write_options()?;
    let way = Way::of(call)?;
    let patch = parse_patch(&bytes)?;
    let name = call.info.subresource.clone();
    let make = |old: &Value| {
        let schema = crate::custom::schema_of(call.target.version());
        let mut sent = patch_document(way, &patch, old.clone(), schema)?;
        call.target.complete(&mut sent, &options, &mut Vec::new())?;
        Ok(graft(&name, old, &sent))
    };
    let outcome = call.change(Part::Whole, &options, How::Patch, &make, None).await?;
    call.answer(outcome.code(), &outcome.object)
}

/// `old` with the fields of `sent` that the subresource may change.
fn graft(subresource: &str, old: &Value, sent: &Value) -> Value {
    let mut new = old.clone();
    let mut copy = |path: &[&str]| match sent.at(path) {
        Some(value) => new.set(path, value.clone()),
        None => drop(new.remove(path)),
    };
    match subresource {
        "finalize" => copy(&["spec", "finalizers"]),
        "ephemeralcontainers" => copy(&["spec", "ephemeralContainers"]),
        "approval" => {
            copy(&["status", "conditions"]);
            copy(&["metadata", "annotations"]);
            copy(&["metadata", "labels"]);
        }
        "resize" => {
            let containers = sent.at(&["spec", "containers"]).and_then(Value::as_array).unwrap_or_default();
            let all = new.at_mut(&["spec", "containers"]).and_then(Value::as_array_mut);
            for container in all.into_iter().flatten() {
                let name = container.str_at(&["name"]).to_string();
                let other = containers.iter().find(|other| other.str_at(&["name"]) == name);
                if let Some(resources) = other.and_then(|other| other.get("resources")) {
                    container.set(&["resources"], resources.clone());
                }
            }
        }
        _ => {}
    }
    match sent.at(&["metadata", "resourceVersion"]) {
        Some(version) => new.set(&["metadata", "resourceVersion"], version.clone()),
        None => drop(new.remove(&["metadata", "resourceVersion"])),
    }
    new
}

/// JSON of the facts' types, as the server's own answers are written.
pub(crate) fn value_of(json: serde_json::Value) -> Value {
    json::parse(json.to_string().as_bytes()).expect("because it was just written")
}
