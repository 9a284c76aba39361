//! Paths outside of resources: discovery, health, version, metrics, the issuer's keys.

use std::sync::Arc;

use api::{Value, discovery};
use http::request::Parts;
use http::{Response, StatusCode};

use crate::aggregate;
use crate::http::accept::MEDIA;
use crate::http::answer::Asked;
use crate::http::{Accept, Body, respond};
use crate::server::Inner;
use crate::status::{Result, Status};

/// What `/readyz?verbose` names: the things that must work for a ready server.
const CHECKS: [&str; 4] = ["ping", "log", "store", "watch-cache"];
/// Named where there are KMS plugins: what they said last.
const PLUGINS: &str = "kms-providers";

pub(crate) async fn answer(inner: &Arc<Inner>, asked: &Asked, parts: &Parts) -> Result<Response<Body>> {
    let path = asked.info.path.as_str();
    let text = parts.headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
    let asked_for = Accept::of(&parts.headers, &asked.query, false);
    let accept = *asked_for.as_ref().unwrap_or(&Accept::default());
    let value = |value: Option<Value>| match value {
        Some(value) => Ok(respond::value(&accept, StatusCode::OK, &value)),
        None => Err(Status::no_such_path()),
    };
    if !matches!(asked.info.verb, "get" | "head") {
        return Err(match path {
            "/healthz" | "/livez" | "/readyz" | "/version" => {
                Status::new(405, "MethodNotAllowed", "method not allowed")
            }
            _ => Status::no_such_path(),
        });
    }
    if asked_for.is_err() {
        // The routes that choose among forms; the others have one, and give it whatever is asked for.
        match path.trim_matches('/').split('/').next() {
            Some("api" | "apis") if !text.is_some_and(wants_aggregated) => {
                return Err(Status::no_representation(MEDIA));
            }
            Some("version") => return Err(Status::no_representation("application/json")),
            _ => {}
        }
    }
    match path {
        "/version" | "/version/" => return Ok(version()),
        "/metrics" => return Ok(metrics(inner)),
        "/openid/v1/jwks" => {
            let keys = serde_json::json!({"keys": [inner.config.service_account_key.jwk()]});
            return Ok(respond::bytes(StatusCode::OK, "application/jwk-set+json", keys.to_string()));
        }
        "/.well-known/openid-configuration" => return Ok(issuer(inner)),
        "/" => {
            let mut root = Value::object();
            let paths = [
                "/api",
                "/api/v1",
                "/apis",
                "/healthz",
                "/livez",
                "/metrics",
                "/openapi/v2",
                "/openapi/v3",
                "/readyz",
                "/version",
            ];
            root.set(&["paths"], paths.map(Value::from).to_vec());
            return value(Some(root));
        }
        _ => {}
    }
    let kinds = inner.kinds.load_full();
    let trimmed = path.trim_matches('/');
    let places: Vec<&str> = trimmed.split('/').collect();
    match places.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => health(inner, asked, &places).await,
        ["api"] | ["apis"] => {
            let core = places[0] == "api";
            if text.is_some_and(wants_aggregated) {
                let mut document = discovery::aggregated(&kinds, core);
                if !core {
                    aggregate::merge(&inner.aggregated, &mut document, true);
                }
                return Ok(respond::bytes(StatusCode::OK, discovery::AGGREGATED, document.to_json()));
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

/// The first clause that names a form decides, as for every answer.
fn wants_aggregated(accept: &str) -> bool {
    accept.split(',').any(|clause| {
        clause.contains("as=APIGroupDiscoveryList")
            && clause.contains("v=v2")
            && !clause.contains("v=v2beta1")
    })
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

async fn health(inner: &Arc<Inner>, asked: &Asked, places: &[&str]) -> Result<Response<Body>> {
    let mut report = String::new();
    let mut good = true;
    let plugins = inner.encrypted.as_ref().and_then(|encrypted| encrypted.health_of_plugins());
    let more = plugins.as_ref().map(|_| PLUGINS);
    for check in CHECKS.into_iter().chain(more) {
        if places.get(1).is_some_and(|only| *only != check) {
            continue;
        }
        if asked.query.all("exclude").any(|name| name == check) {
            report.push_str(&format!("[+]{check} excluded: ok\n"));
            continue;
        }
        let fine = match check {
            "store" => inner.store.current().await.is_ok(),
            PLUGINS => !matches!(plugins, Some(Err(_))),
            "watch-cache" => inner.caches.all().iter().all(|cache| cache.synced()),
            _ => true,
        };
        good &= fine;
        report.push_str(&match fine {
            true => format!("[+]{check} ok\n"),
            false => format!("[-]{check} failed: reason withheld\n"),
        });
    }
    let name = places[0];
    if good && report.is_empty() {
        return Err(Status::no_such_path());
    }
    Ok(match (good, asked.query.has("verbose")) {
        (true, false) => respond::text(StatusCode::OK, "ok"),
        (true, true) => respond::text(StatusCode::OK, format!("{report}{name} check passed\n")),
        (false, _) => {
            respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}{name} check failed\n"))
        }
    })
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
    crate::metrics::process(&mut text);
    respond::bytes(StatusCode::OK, "text/plain; version=0.0.4", text)
}
