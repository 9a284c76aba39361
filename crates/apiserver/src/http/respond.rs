//! Answers: a value, a text or a failure, in the form that was asked for.

use api::Value;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};

use super::Body;
use super::accept::{Accept, Media};
use super::body::Gzip;
use crate::status::Status;

/// Bodies from here on are compressed for those who accept it (upstream's threshold).
pub(crate) const COMPRESS: u64 = 128 * 1024;

/// Bytes that are already in their form.
pub fn bytes(code: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    body(code, content_type, Body::One(bytes.into()))
}

pub fn body(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", text)
}

/// A value with `kind` and `apiVersion`; protobuf where its type has one, else JSON.
pub fn value(accept: &Accept, code: StatusCode, value: &Value) -> Response<Body> {
    let (media, encoded) = encode(accept, value);
    packed(code, media.content_type(), encoded, accept.gzip)
}

/// Bytes, compressed if the client takes that and they are many.
pub fn packed(code: StatusCode, content_type: &'static str, encoded: Vec<u8>, gzip: bool) -> Response<Body> {
    if !gzip || (encoded.len() as u64) < COMPRESS {
        return bytes(code, content_type, encoded);
    }
    let chunks = Gzip::new(std::iter::once(Bytes::from(encoded)));
    let mut response = body(code, content_type, Body::lazy(chunks, None));
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// The bytes of a value, and the form that they have in the end.
pub fn encode(accept: &Accept, value: &Value) -> (Media, Vec<u8>) {
    match accept.media {
        Media::Protobuf => {
            if let Some(bytes) = crate::codec::to_protobuf(value) {
                return (Media::Protobuf, bytes);
            }
        }
        Media::Yaml => return (Media::Yaml, crate::codec::to_yaml(value).into_bytes()),
        Media::Json => {}
    }
    let mut out = if accept.pretty {
        serde_json::to_vec_pretty(value).expect("because a Value holds only string keys and finite numbers")
    } else {
        api::json::to_vec(value)
    };
    out.push(b'\n');
    (Media::Json, out)
}

pub fn failure(accept: &Accept, status: &Status) -> Response<Body> {
    let mut response = value(accept, status.code(), &status.value());
    if status.retry_seconds() > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(status.retry_seconds()));
    }
    response
}

/// The same of somebody who may not: upstream writes it by a function of its own.
pub fn refused(accept: &Accept, status: &Status) -> Response<Body> {
    let mut response = failure(accept, status);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A failure that is no Status, as Go's `http.Error` writes it.
pub fn error(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = self::text(code, text);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The server has no seat for the request: upstream's text and header.
pub fn busy() -> Response<Body> {
    let text = "Too many requests, please try again later.\n";
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Adds `Warning` headers (RFC 7234, code 299), as clients print them.
pub fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
}
