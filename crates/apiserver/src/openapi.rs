//! `/openapi/v2` and `/openapi/v3`, with what clients need to keep them (k8s.io/kube-openapi/pkg/handler3): a tag that changes
//! with the document, 304 for who has it, and a year for a document that was asked for by its hash.
//!
//! Documents are made when they are asked for: they are large, and asked for rarely. Version 2 comes as JSON or as protobuf.

use std::sync::Arc;

use api::{Kinds, Value, openapi};
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, EXPIRES, IF_NONE_MATCH, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::aggregate;
use crate::http::accept::{Media, clauses, takes_gzip};
use crate::http::{Accept, Body, Query, respond};
use crate::server::Inner;
use crate::status::{Result, Status};

const YEAR: i64 = 365 * 24 * 3600;

/// Which document.
#[derive(Clone)]
enum Wanted {
    V2,
    Index,
    Of { group: String, version: String },
}

impl Wanted {
    fn of(rest: &[&str]) -> Option<Wanted> {
        Some(match rest {
            ["v2"] => Wanted::V2,
            ["v3"] => Wanted::Index,
            ["v3", "api", version] => Wanted::Of { group: String::new(), version: (*version).into() },
            ["v3", "apis", group, version] => {
                Wanted::Of { group: (*group).into(), version: (*version).into() }
            }
            _ => return None,
        })
    }

    fn hash(&self, kinds: &Kinds) -> String {
        match self {
            Wanted::V2 | Wanted::Index => openapi::hash_of_all(kinds),
            Wanted::Of { group, version } => openapi::hash(kinds, group, version),
        }
    }

    fn document(&self, kinds: &Kinds) -> Option<Value> {
        match self {
            Wanted::V2 => Some(openapi::v2(kinds)),
            Wanted::Index => Some(openapi::index(kinds)),
            Wanted::Of { group, version } => openapi::v3(kinds, group, version),
        }
    }
}

/// How version 2 in protobuf is named, and how client-go asks for it, which is an older name.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const OLD_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// What the best clause of an `Accept` header that can be served asks for. The index has one form, whatever is asked for.
fn protobuf_is_wanted(accept: &str, wanted: &Wanted) -> Option<bool> {
    if matches!(wanted, Wanted::Index) {
        return Some(false);
    }
    let accept = if accept.is_empty() { "*/*" } else { accept };
    let form = |clause: &str| match clause.split(';').next().unwrap_or_default().trim() {
        "application/json" | "application/*" | "*/*" => Some(false),
        PROTOBUF | OLD_PROTOBUF if matches!(wanted, Wanted::V2) => Some(true),
        _ => None,
    };
    clauses(accept).find_map(form)
}

/// Answers the path `/openapi/` and `rest`.
pub(crate) async fn answer(
    inner: &Arc<Inner>,
    rest: &[&str],
    accept: &Accept,
    query: &Query,
    parts: &Parts,
) -> Result<Response<Body>> {
    let header = |name: HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_string()
    };
    let Some(wanted) = Wanted::of(rest) else {
        return match rest {
            ["v3", ..] => Ok(nothing(StatusCode::NOT_FOUND)),
            _ => Err(Status::no_such_path()),
        };
    };
    let Some(protobuf) = protobuf_is_wanted(&header(ACCEPT), &wanted) else {
        let mut response = nothing(StatusCode::NOT_ACCEPTABLE);
        set(&mut response, VARY, "Accept");
        return Ok(response);
    };
    if let Wanted::Of { group, version } = &wanted
        && let Some(entry) = inner.aggregated.of_version(group, version)
    {
        return aggregate::openapi::v3(inner, &entry, parts.uri.query().unwrap_or_default()).await;
    }
    let kinds = inner.kinds.load_full();
    let merged = !inner.aggregated.is_empty() && !matches!(wanted, Wanted::Of { .. });
    let (own, all) = (wanted.clone(), kinds.clone());
    let mut hash = tokio::task::spawn_blocking(move || own.hash(&all)).await.map_err(Status::internal)?;
    let asked = query.get("hash");
    let by_hash = matches!(wanted, Wanted::Of { .. }) && !asked.is_empty();
    if by_hash && asked != hash {
        let place = format!("/openapi/{}?hash={hash}", rest.join("/"));
        let mut response = respond::text(StatusCode::MOVED_PERMANENTLY, "");
        set(&mut response, LOCATION, &place);
        return Ok(response);
    }
    let has = header(IF_NONE_MATCH);
    let has = |hash: &str| has.split(',').any(|tag| tag.trim().trim_matches('"') == hash);
    let mut response = if !merged && has(&hash) {
        not_modified()
    } else {
        let own = wanted.clone();
        let made = tokio::task::spawn_blocking(move || own.document(&kinds)).await;
        let mut document = made.map_err(Status::internal)?.ok_or_else(Status::no_such_path)?;
        match wanted {
            Wanted::V2 if merged => {
                hash.push_str(&aggregate::openapi::merge_v2(inner, &mut document).await);
            }
            Wanted::Index if merged => {
                hash.push_str(&aggregate::openapi::merge_index(inner, &mut document).await);
            }
            _ => {}
        }
        match has(&hash) {
            true => not_modified(),
            false if protobuf => {
                let made = tokio::task::spawn_blocking(move || openapi::protobuf::v2(&document)).await;
                let gzip = takes_gzip(&parts.headers);
                respond::packed(StatusCode::OK, PROTOBUF, made.map_err(Status::internal)?, gzip)
            }
            // Upstream says no type of the index, and Go's server finds one.
            false if matches!(wanted, Wanted::Index) => {
                respond::packed(StatusCode::OK, "text/plain; charset=utf-8", document.to_json(), accept.gzip)
            }
            false => respond::value(&Accept { media: Media::Json, ..*accept }, StatusCode::OK, &document),
        }
    };
    set(&mut response, ETAG, &format!("\"{hash}\""));
    set(&mut response, VARY, "Accept");
    if by_hash {
        set(&mut response, CACHE_CONTROL, "public, immutable");
        let end = jiff::Timestamp::from_second(inner.clock.now().as_second() + YEAR).unwrap_or_default();
        set(&mut response, EXPIRES, &end.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string());
    }
    Ok(response)
}

fn not_modified() -> Response<Body> {
    nothing(StatusCode::NOT_MODIFIED)
}

/// A code, and no body.
fn nothing(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = code;
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
