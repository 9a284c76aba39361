//! Paths outside of resources: discovery, health, version, metrics, the issuer's keys.

use std::sync::Arc;

use api::{Value, discovery};
use http::request::Parts;
use http::{Response, StatusCode};

use crate::http::accept::{MEDIA, Media, clauses, is_routed};
use crate::http::answer::Asked;
use crate::http::{Accept, Body, respond};
use crate::server::Inner;
use crate::status::{Result, Status};
use crate::{aggregate, health};

pub(crate) async fn answer(inner: &Arc<Inner>, asked: &Asked, parts: &Parts) -> Result<Response<Body>> {
    let path = asked.info.path.as_str();
    let text = parts.headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
    let asked_for = Accept::of(&parts.headers, &asked.query, false);
    let accept = *asked_for.as_ref().unwrap_or(&Accept::default());
    let value = |value: Option<Value>| match value {
        Some(value) => Ok(respond::value(&accept, StatusCode::OK, &value)),
        None => Err(Status::no_such_path()),
    };
    let kinds = inner.kinds.load_full();
    let trimmed = path.trim_matches('/');
    let places: Vec<&str> = trimmed.split('/').collect();
    // Upstream hands these to a function and not to its router: any method will do.
    let is_free =
        matches!(places.as_slice(), [""] | ["healthz" | "livez" | "readyz" | "metrics" | "openapi", ..])
            || matches!(places.as_slice(), ["apis"] | ["apis", _]);
    if asked.info.verb != "get" && !is_free {
        let known = match places.as_slice() {
            ["version"] | ["openid", "v1", "jwks"] | [".well-known", "openid-configuration"] | ["api"] => {
                true
            }
            ["api", version] => discovery::resources(&kinds, "", version).is_some(),
            ["apis", group, version] => discovery::resources(&kinds, group, version).is_some(),
            _ => false,
        };
        return Err(if known { Status::no_such_method() } else { Status::no_such_path() });
    }
    let aggregated = wants_aggregated(text.unwrap_or_default());
    // The routes that choose among forms; the others have one, and give it whatever is asked for.
    match places.as_slice() {
        ["api" | "apis"] if aggregated.is_some() => {}
        ["api" | "apis", ..] => {
            if let Err(status) = asked_for {
                return Err(match is_routed(&parts.headers) {
                    true => status,
                    false => Status::no_representation(MEDIA),
                });
            }
        }
        ["version"] if !takes(text, "application/json") => {
            return Err(Status::no_representation("application/json"));
        }
        _ => {}
    }
    match path {
        "/version" | "/version/" => return Ok(version()),
        "/metrics" => return Ok(metrics(inner)),
        "/metrics/slis" => {
            let text = health::metrics(inner).await;
            return Ok(respond::bytes(StatusCode::OK, METRICS, text));
        }
        "/openid/v1/jwks" => {
            const SET: &str = "application/jwk-set+json";
            if !takes(text, SET) {
                return Err(Status::no_representation(SET));
            }
            let keys = serde_json::json!({"keys": [inner.config.service_account_key.jwk()]});
            return Ok(public(respond::bytes(StatusCode::OK, SET, keys.to_string())));
        }
        "/.well-known/openid-configuration" => {
            let json = "application/json";
            return if takes(text, json) {
                Ok(public(issuer(inner)))
            } else {
                Err(Status::no_representation(json))
            };
        }
        "/" => {
            let mut root = Value::object();
            let kinds = inner.kinds.load_full();
            root.set(&["paths"], index(&kinds).into_iter().map(Value::from).collect::<Vec<_>>());
            return value(Some(root));
        }
        _ => {}
    }
    match places.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => health::answer(inner, asked).await,
        ["api"] | ["apis"] => {
            let core = places[0] == "api";
            if let Some(media) = aggregated {
                let mut document = discovery::aggregated(&kinds, core);
                if !core {
                    aggregate::merge(&inner.aggregated, &mut document, true);
                }
                return Ok(tagged(&document, media, parts));
            }
            match core {
                true => value(Some(discovery::versions(&inner.config.advertise.to_string()))),
                false => {
                    let mut groups = discovery::groups(&kinds);
                    aggregate::merge(&inner.aggregated, &mut groups, false);
                    value(Some(groups))
                }
            }
        }
        ["api", version] => value(discovery::resources(&kinds, "", version)),
        ["apis", group] => {
            value(discovery::group(&kinds, group).or_else(|| aggregate::group(&inner.aggregated, group)))
        }
        ["apis", group, version] => value(discovery::resources(&kinds, group, version)),
        ["openapi", rest @ ..] => crate::openapi::answer(inner, rest, &accept, &asked.query, parts).await,
        _ => Err(Status::no_such_path()),
    }
}

/// The `Accept` header of a route with one form lets it through.
fn takes(accept: Option<&str>, form: &str) -> bool {
    let clauses = accept.unwrap_or("*/*").split(',');
    clauses
        .map(|clause| clause.split(';').next().unwrap_or_default().trim())
        .any(|one| one == "*/*" || one == form)
}

/// What anybody may keep for an hour: the issuer's documents.
fn public(mut response: Response<Body>) -> Response<Body> {
    let hour = http::HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(http::header::CACHE_CONTROL, hour);
    response
}

/// The paths that the root names, as upstream's index.
fn index(kinds: &api::Kinds) -> Vec<String> {
    const OTHERS: [&str; 11] = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
    ];
    let mut paths: Vec<String> = OTHERS.map(String::from).to_vec();
    paths.push("/version".into());
    paths.extend(health::paths());
    for kind in kinds.iter().filter(|kind| !kind.resource.group.is_empty()) {
        let group = &kind.resource.group;
        for version in kind.versions.iter().filter(|version| version.served) {
            paths.push(format!("/apis/{group}"));
            paths.push(format!("/apis/{group}/{}", version.name));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The form of the aggregated document, if the best clause that can be served asks for that.
fn wants_aggregated(accept: &str) -> Option<Media> {
    let found = clauses(accept).find_map(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let media = match parts.next()? {
            "application/json" | "*/*" => Media::Json,
            "application/yaml" => Media::Yaml,
            "application/vnd.kubernetes.protobuf" => Media::Protobuf,
            _ => return None,
        };
        let given = |name: &str| {
            clause.split(';').find_map(|part| part.trim().strip_prefix(name)).unwrap_or_default()
        };
        match (given("as="), given("g="), given("v=")) {
            ("", _, _) => Some((media, false)),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some((media, true)),
            _ => None,
        }
    });
    found.filter(|(media, aggregated)| *aggregated && *media != Media::Yaml).map(|(media, _)| media)
}

/// The aggregated document with a tag, so that who has it is told so (k8s.io/apiserver/pkg/endpoints/discovery/aggregated).
fn tagged(document: &Value, media: Media, parts: &Parts) -> Response<Body> {
    use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
    use sha2::Digest;
    const PROTOBUF: &str =
        "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let json = document.to_json();
    let hash = sha2::Sha512::digest(&json);
    let tag: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    let tag = format!("\"{tag}\"");
    let has = parts.headers.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let of = || api::schema::lookup("io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList");
    let mut response = match (has, media, of()) {
        (true, ..) => {
            let mut none = Response::new(Body::Empty);
            *none.status_mut() = StatusCode::NOT_MODIFIED;
            none
        }
        (_, Media::Protobuf, Some(of)) => {
            respond::bytes(StatusCode::OK, PROTOBUF, api::protobuf::encode(of, document))
        }
        _ => respond::bytes(StatusCode::OK, discovery::AGGREGATED, json),
    };
    let headers = response.headers_mut();
    headers.insert(VARY, http::HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("public"));
    if let Ok(tag) = http::HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// What this server serves: upstream's version, and that it is skiff.
fn version() -> Response<Body> {
    let version = serde_json::json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": concat!("v1.36.3+skiff", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": concat!("linux/", "amd64"),
    });
    let mut text = serde_json::to_vec_pretty(&version).expect("because it is plain data");
    text.push(b'\n');
    respond::bytes(StatusCode::OK, "application/json", text)
}

fn issuer(inner: &Inner) -> Response<Body> {
    let issuer = &inner.config.issuer;
    let document = serde_json::json!({
        "issuer": issuer,
        "jwks_uri": format!("https://{}/openid/v1/jwks", inner.config.advertise),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    respond::bytes(StatusCode::OK, "application/json", document.to_string())
}

/// A few of upstream's, by upstream's names.
fn metrics(inner: &Inner) -> Response<Body> {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: Vec<(String, u64)>| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for (labels, value) in rows {
            text.push_str(&format!("{name}{labels} {value}\n"));
        }
    };
    let objects = inner.caches.all();
    let objects = objects.iter().filter(|cache| !cache.is_empty());
    let rows = objects.map(|cache| (format!("{{resource=\"{}\"}}", cache.resource()), cache.len() as u64));
    gauge("apiserver_storage_objects", "Stored objects by resource.", rows.collect());
    let objects = inner.caches.all();
    let rows = objects.iter().map(|cache| {
        let resource = cache.resource();
        (format!("{{group=\"{}\",resource=\"{}\"}}", resource.group, resource.plural), cache.len() as u64)
    });
    gauge("apiserver_resource_objects", "Stored objects by group and resource.", rows.collect());
    let panics = base::task::panics();
    gauge(
        "skiff_task_panics",
        "Panics that were caught.",
        vec![(String::new(), panics.iter().map(|(_, count, _)| count).sum::<u64>())],
    );
    inner.metrics.write(&mut text);
    inner.flow.metrics(&mut text);
    if let Some(audit) = &inner.audit {
        audit.counts.write(&mut text);
    }
    crate::metrics::queues(&mut text);
    base::metrics::write(&mut text);
    crate::metrics::process(&mut text);
    respond::bytes(StatusCode::OK, METRICS, text)
}
