//! A `kube::Client` whose server is [`super::Sources`]: get, create, merge-like patches, delete, token requests.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::Sources;

pub fn client(sources: Sources) -> kube::Client {
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let sources = sources.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let (code, answer) = serve(&sources, &parts.method, parts.uri.path(), body);
            let bytes = Bytes::from(serde_json::to_vec(&answer).expect("a tree of JSON has a text"));
            Response::builder().status(code).body(Full::new(bytes))
        }
    });
    kube::Client::new(service, "default")
}

fn kind(plural: &str) -> &'static str {
    match plural {
        "pods" => "Pod",
        "nodes" => "Node",
        "leases" => "Lease",
        "events" => "Event",
        _ => "Other",
    }
}

fn serve(sources: &Sources, method: &Method, path: &str, body: Value) -> (u16, Value) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let skip = if parts[0] == "api" { 2 } else { 3 };
    let (namespace, rest) = match parts.get(skip) {
        Some(&"namespaces") => (parts[skip + 1], &parts[skip + 2..]),
        _ => ("", &parts[skip..]),
    };
    let (plural, name, sub) = (rest[0], rest.get(1).copied().unwrap_or_default(), rest.get(2).copied());
    let kind = kind(plural);
    if sub == Some("token") {
        let expires = jiff::Timestamp::now() + std::time::Duration::from_secs(3600);
        return (
            201,
            json!({"kind": "TokenRequest", "metadata": {}, "spec": {"audiences": []}, "status": {"token": "t0ken", "expirationTimestamp": expires}}),
        );
    }
    let missing = || {
        (
            404,
            json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "not found", "code": 404}),
        )
    };
    match *method {
        Method::POST => {
            let mut object = body;
            object["kind"] = json!(kind);
            if object["metadata"]["name"].is_null() {
                object["metadata"]["name"] = json!("generated");
            }
            (201, sources.put_json(object))
        }
        Method::GET => sources.get_json(kind, namespace, name).map_or_else(missing, |object| (200, object)),
        Method::PATCH => {
            let Some(mut object) = sources.get_json(kind, namespace, name) else { return missing() };
            merge(&mut object, &body);
            (200, sources.put_json(object))
        }
        Method::DELETE => {
            let Some(object) = sources.get_json(kind, namespace, name) else { return missing() };
            sources.remove(kind, namespace, name);
            (200, object)
        }
        _ => (405, Value::Null),
    }
}

/// A strategic merge as far as statuses need it: conditions by type, addresses by ip.
fn merge(into: &mut Value, patch: &Value) {
    let (Value::Object(into), Value::Object(patch)) = (&mut *into, patch) else {
        *into = patch.clone();
        return;
    };
    for (field, value) in patch {
        let key = match field.as_str() {
            "conditions" => Some("type"),
            "podIPs" | "hostIPs" => Some("ip"),
            _ => None,
        };
        match (key, value) {
            (_, Value::Null) => {
                into.remove(field);
            }
            (Some(key), Value::Array(items)) => {
                let list = into.entry(field.clone()).or_insert_with(|| json!([]));
                let Value::Array(list) = list else { continue };
                for item in items {
                    list.retain(|old| old.get(key) != item.get(key));
                    if item.get("$patch").is_none() {
                        list.push(item.clone());
                    }
                }
            }
            (_, Value::Object(_)) => merge(into.entry(field.clone()).or_insert_with(|| json!({})), value),
            _ => {
                into.insert(field.clone(), value.clone());
            }
        }
    }
}
