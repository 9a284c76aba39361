//! Subresources: what each does, by name. `status` is an update of a part; the others have a file each.

use bytes::Bytes;
use http::{Response, Uri};

use crate::engine::Call;
use crate::http::Body;
use crate::status::{Result, Status};

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
        ("status", "get") => call.get().await,
        ("status", "update") => call.update(bytes).await,
        ("status", "patch") => call.patch(bytes).await,
        _ => Err(Status::no_such_path()),
    }
}

/// Joins the client to a node or pod.
pub(crate) async fn stream<B>(
    call: Call,
    _uri: Uri,
    _body: B,
    _upgrade: Option<hyper::upgrade::OnUpgrade>,
) -> Result<Response<Body>> {
    let _ = call;
    Err(Status::no_such_path())
}
