//! Subresources: what each does, by name. Those that show the whole object are updates of a part of it; the others have a
//! file each.

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
use crate::http::Body;
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
        ("scale", _) => scale::run(call, row, bytes).await,
        ("binding", "create") => binding::run(call, bytes).await,
        ("eviction", "create") => eviction::run(call, bytes).await,
        ("token", "create") => token::run(call, bytes).await,
        (_, "get") => call.get().await,
        // What of the object they may change is the kind's to say (`prepare_subresource`).
        (_, "update") => call.update(bytes).await,
        (_, "patch") => call.patch(bytes).await,
        _ => Err(call.no_verb()),
    }
}

/// JSON of the facts' types, as the server's own answers are written.
pub(crate) fn value_of(json: serde_json::Value) -> Value {
    json::parse(json.to_string().as_bytes()).expect("because it was just written")
}
