//! Kinds that are answered and not stored: reviews of tokens and rights, bindings.

use bytes::Bytes;
use http::Response;

use crate::engine::Call;
use crate::http::Body;
use crate::status::{Result, Status};

pub(crate) async fn run(_call: &Call, _bytes: Bytes) -> Result<Response<Body>> {
    Err(Status::no_such_path())
}
