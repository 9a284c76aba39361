//! OpenAPI of the servers behind APIServices, in this server's own documents (kube-aggregator/pkg/controllers/openapi and
//! openapiv3).
//!
//! The documents are asked for when somebody wants them, and none is kept: they are large, and wanted rarely. A server that
//! is unavailable or says nothing useful is left out. Servers without OpenAPI v3 are in v2 only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{Map, Value, json};
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::{Entry, proxy};
use crate::http::Body;
use crate::server::Inner;
use crate::status::{Result, Status};

/// Upstream waits a minute; a client here waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Adds to the index of `/openapi/v3` what the others serve of their groups and versions; gives what changes when it does.
pub(crate) async fn merge_index(inner: &Arc<Inner>, index: &mut Value) -> String {
    let mut hasher = Sha256::new();
    for (entry, document) in all(inner, "/openapi/v3").await {
        let path = api::openapi::path_of(&entry.group, &entry.version);
        let found = document.at(&["paths"]).and_then(|paths| paths.get(&path)).cloned();
        if let Some(found) = found {
            hasher.update(found.to_json());
            index.set(&["paths", &path], found);
        }
    }
    hex(hasher)
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Adds to `/openapi/v2` the paths of the others with the definitions that they need; gives what changes when they do.
pub(crate) async fn merge_v2(inner: &Arc<Inner>, document: &mut Value) -> String {
    let mut hasher = Sha256::new();
    for (entry, other) in all(inner, "/openapi/v2").await {
        hasher.update(other.to_json());
        merge(document, other, &format!("/apis/{}/{}/", entry.group, entry.version));
    }
    hex(hasher)
}

/// One document of v3, as the server that serves the group and version gives it.
pub(crate) async fn v3(inner: &Arc<Inner>, entry: &Entry, query: &str) -> Result<Response<Body>> {
    let path = format!("/openapi/v3/{}", api::openapi::path_of(&entry.group, &entry.version));
    let path = if query.is_empty() { path } else { format!("{path}?{query}") };
    let (parts, body) = get(inner, entry, &path)
        .await
        .map_err(|why| Status::unavailable(format!("error trying to reach service: {why}")))?;
    if parts.status == StatusCode::NOT_FOUND {
        return Err(Status::no_such_path());
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = parts.status;
    for name in [CONTENT_TYPE, ETAG, CACHE_CONTROL] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

/// One path of every available server that answers it with JSON, asked all at once.
async fn all(inner: &Arc<Inner>, path: &str) -> Vec<(Arc<Entry>, Value)> {
    let asked = inner.aggregated.all().into_iter().filter(|entry| entry.available).map(|entry| async move {
        match get(inner, &entry, path).await {
            Ok((parts, body)) if parts.status == StatusCode::OK => {
                json::parse(&body).ok().map(|document| (entry, document))
            }
            Ok(_) => None,
            Err(why) => {
                tracing::warn!(name = entry.name, why, path, "an aggregated server's OpenAPI is left out");
                None
            }
        }
    });
    futures_util::future::join_all(asked).await.into_iter().flatten().collect()
}

async fn get(
    inner: &Arc<Inner>,
    entry: &Entry,
    path: &str,
) -> std::result::Result<(http::response::Parts, Bytes), String> {
    let answer = proxy::get(inner, entry, path, "system:aggregator", &[(ACCEPT, "application/json")]);
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| "it took too long".to_string())?
}

const DEFINITIONS: &str = "#/definitions/";
const PARAMETERS: &str = "#/parameters/";

/// Adds paths that begin with `prefix` and what they refer to. A path that is there stays; a definition of the same name and
/// other content comes in under another name (`MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters`).
fn merge(document: &mut Value, mut other: Value, prefix: &str) {
    let mut paths = other.remove(&["paths"]).unwrap_or_default();
    let Some(paths) = paths.as_map_mut() else { return };
    paths.retain(|path, _| path.starts_with(prefix));
    let mut definitions = Shelf::of(&mut other, "definitions", DEFINITIONS);
    let mut parameters = Shelf::of(&mut other, "parameters", PARAMETERS);
    // Definitions refer to definitions, and parameters to both.
    let mut open: Vec<String> = paths.iter().flat_map(|(_, path)| references(path)).collect();
    while let Some(reference) = open.pop() {
        for shelf in [&mut definitions, &mut parameters] {
            open.extend(shelf.want(&reference));
        }
    }
    let mut names = BTreeMap::new();
    for shelf in [&definitions, &parameters] {
        shelf.rename(document, &mut names);
    }
    for shelf in [definitions, parameters] {
        shelf.put(document, &names);
    }
    let own = document.make(&["paths"]);
    if own.as_map().is_none() {
        *own = Value::object();
    }
    let Some(own) = own.as_map_mut() else { return };
    for (name, path) in paths.iter_mut() {
        if !own.contains_key(name) {
            refer(path, &names);
            own.insert(name.clone(), std::mem::take(path));
        }
    }
}

/// One kind of named things that are referred to.
struct Shelf {
    field: &'static str,
    /// Before the name in a reference.
    prefix: &'static str,
    there: BTreeMap<String, Value>,
    wanted: BTreeSet<String>,
}

impl Shelf {
    fn of(document: &mut Value, field: &'static str, prefix: &'static str) -> Shelf {
        let all = document.remove(&[field]).unwrap_or_default();
        let there = all.as_map().map(Map::iter).into_iter().flatten();
        let there = there.map(|(name, value)| (name.to_string(), value.clone())).collect();
        Shelf { field, prefix, there, wanted: BTreeSet::new() }
    }

    /// Notes that a reference is used; gives what it refers to itself, the first time.
    fn want(&mut self, reference: &str) -> Vec<String> {
        let Some(name) = reference.strip_prefix(self.prefix) else { return Vec::new() };
        let Some(value) = self.there.get(name) else { return Vec::new() };
        match self.wanted.insert(name.to_string()) {
            true => references(value),
            false => Vec::new(),
        }
    }

    /// New references for names that `document` has with other content.
    fn rename(&self, document: &Value, names: &mut BTreeMap<String, String>) {
        let own = document.get(self.field).and_then(Value::as_map);
        for name in &self.wanted {
            let taken = |name: &str| own.and_then(|own| own.get(name));
            let same = |there: &Value| without_kinds(there) == without_kinds(&self.there[name]);
            if taken(name).is_none_or(same) {
                continue;
            }
            let mut numbers = (2..).map(|number| format!("{name}_v{number}"));
            let free = numbers.find(|free| taken(free).is_none_or(same) && !self.there.contains_key(free));
            if let Some(free) = free {
                names.insert(format!("{}{name}", self.prefix), format!("{}{free}", self.prefix));
            }
        }
    }

    fn put(mut self, document: &mut Value, names: &BTreeMap<String, String>) {
        if self.wanted.is_empty() {
            return;
        }
        let own = document.make(&[self.field]);
        if own.as_map().is_none() {
            *own = Value::object();
        }
        let Some(own) = own.as_map_mut() else { return };
        for name in &self.wanted {
            let Some(mut value) = self.there.remove(name) else { continue };
            refer(&mut value, names);
            let reference = names.get(&format!("{}{name}", self.prefix));
            let name = reference.and_then(|reference| reference.strip_prefix(self.prefix)).unwrap_or(name);
            if !own.contains_key(name) {
                own.insert(name, value);
            }
        }
    }
}

/// A definition but for the list of kinds that are of it, in which servers differ.
fn without_kinds(definition: &Value) -> Value {
    let mut definition = definition.clone();
    definition.remove(&["x-kubernetes-group-version-kind"]);
    definition
}

/// Every `$ref` below a value.
fn references(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                open.extend(map.iter().map(|(_, value)| value));
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    found
}

/// Makes references go to new names.
fn refer(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (field, value) in map.iter_mut() {
                match value.as_str().filter(|_| field == "$ref").and_then(|text| names.get(text)) {
                    Some(new) => *value = new.as_str().into(),
                    None => refer(value, names),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| refer(value, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: serde_json::Value) -> Value {
        json::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn documents_are_merged_with_what_they_need() {
        let mut document = value(serde_json::json!({
            "paths": {"/apis/apps/v1/": {}, "/apis/x.io/v1/taken": {"get": "own"}},
            "definitions": {
                "Meta": {"type": "object", "x-kubernetes-group-version-kind": [1]},
                "Time": {"type": "string"},
                "Time_v2": {"type": "boolean"},
            },
        }));
        let other = value(serde_json::json!({
            "paths": {
                "/apis/": {"$ref": "#/definitions/Unused"},
                "/apis/x.io/v1/taken": {"get": "other"},
                "/apis/x.io/v1/flunders": {"schema": {"$ref": "#/definitions/Flunder"}, "parameters": [{"$ref": "#/parameters/p-1"}]},
                "/apis/x.io/v2/flunders": {"$ref": "#/definitions/Unused"},
            },
            "definitions": {
                "Flunder": {"properties": {"meta": {"$ref": "#/definitions/Meta"}, "at": {"$ref": "#/definitions/Time"}, "own": {"$ref": "#/definitions/Flunder"}}},
                "Meta": {"type": "object", "x-kubernetes-group-version-kind": [2]},
                "Time": {"type": "integer"},
                "Unused": {"type": "string"},
            },
            "parameters": {"p-1": {"name": "pretty"}, "p-2": {"name": "unused"}},
        }));
        merge(&mut document, other, "/apis/x.io/v1/");
        let merged: serde_json::Value = serde_json::from_slice(&document.to_json()).unwrap();
        assert_eq!(
            merged,
            serde_json::json!({
                "paths": {
                    "/apis/apps/v1/": {},
                    "/apis/x.io/v1/taken": {"get": "own"},
                    "/apis/x.io/v1/flunders": {"schema": {"$ref": "#/definitions/Flunder"}, "parameters": [{"$ref": "#/parameters/p-1"}]},
                },
                "definitions": {
                    "Meta": {"type": "object", "x-kubernetes-group-version-kind": [1]},
                    "Time": {"type": "string"},
                    "Time_v2": {"type": "boolean"},
                    "Flunder": {"properties": {"meta": {"$ref": "#/definitions/Meta"}, "at": {"$ref": "#/definitions/Time_v3"}, "own": {"$ref": "#/definitions/Flunder"}}},
                    "Time_v3": {"type": "integer"},
                },
                "parameters": {"p-1": {"name": "pretty"}},
            })
        );
    }
}
