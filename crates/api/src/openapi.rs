//! OpenAPI documents, made on demand from the facts and the kinds: version 3 with one document a group and version and an
//! index of their hashes (KEP-2896), and version 2 in one piece.
//!
//! Schemas carry what clients act on: types, keys of lists and merges, defaults, enums, group-version-kinds. Only what
//! every object has is described: the facts have no descriptions. Version 2 is also made in protobuf ([`protobuf`]); version 3 is JSON
//! alone, which is what its clients ask for.

use sha2::{Digest, Sha256};

use crate::discovery::{group_names, group_versions};
use crate::kind::Version;
use crate::{Kind, Kinds, Map, Value};

mod custom;
mod descriptions;
mod paths;
pub mod protobuf;
mod schemas;

use schemas::Form;

/// The version that `info.version` tells, and a part of every hash.
const VERSION: &str = "v1.36.3";

/// `/openapi/v3`.
pub fn index(kinds: &Kinds) -> Value {
    let mut map = Map::new();
    for (group, version) in group_version_pairs(kinds) {
        let path = path_of(&group, &version);
        let hash = hash(kinds, &group, &version);
        let mut entry = Value::object();
        entry.set(&["serverRelativeURL"], format!("/openapi/v3/{path}?hash={hash}"));
        map.insert(path, entry);
    }
    let mut index = Value::object();
    index.set(&["paths"], Value::Object(map));
    index
}

/// `api/v1`, `apis/apps/v1`: what follows `/openapi/v3/`.
pub fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Changes when the document does; the ETag of the document.
pub fn hash(kinds: &Kinds, group: &str, version: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update([VERSION, env!("CARGO_PKG_VERSION"), group, version].join("\n"));
    for (kind, version) in served(kinds, group, version) {
        hasher.update(kind.resource.plural.as_bytes());
        hasher.update(kind.kind.as_bytes());
        if let Some(schema) = &version.schema {
            hasher.update(schema.to_json());
        }
    }
    hex(&hasher.finalize())
}

/// Changes when any document does; the ETag of the index and of version 2.
pub fn hash_of_all(kinds: &Kinds) -> String {
    let mut hasher = Sha256::new();
    for (group, version) in group_version_pairs(kinds) {
        hasher.update(hash(kinds, &group, &version));
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// `/openapi/v3/<path>`; `None`: the group and version are not served.
pub fn v3(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let rows = served(kinds, group, version);
    if rows.is_empty() {
        return None;
    }
    let mut schemas = schemas::Schemas::new(Form::V3 { group, version });
    let mut paths = Map::new();
    for (kind, version) in rows {
        schemas.add_kind(kind, version);
        paths::add(&mut paths, kind, version, Form::V3 { group, version: &version.name });
    }
    let mut document = Value::object();
    document.set(&["openapi"], "3.0.0");
    document.set(&["info", "title"], "Kubernetes");
    document.set(&["info", "version"], VERSION);
    document.set(&["paths"], sorted(paths));
    document.set(&["components", "schemas"], sorted(schemas.finish()));
    Some(document)
}

/// `/openapi/v2`.
pub fn v2(kinds: &Kinds) -> Value {
    let mut schemas = schemas::Schemas::new(Form::V2);
    let mut paths = Map::new();
    for (group, version) in group_version_pairs(kinds) {
        for (kind, version) in served(kinds, &group, &version) {
            schemas.add_kind(kind, version);
            paths::add(&mut paths, kind, version, Form::V2);
        }
    }
    let mut document = Value::object();
    document.set(&["swagger"], "2.0");
    document.set(&["info", "title"], "Kubernetes");
    document.set(&["info", "version"], VERSION);
    document.set(&["paths"], sorted(paths));
    document.set(&["definitions"], sorted(schemas.finish()));
    document
}

fn sorted(mut map: Map) -> Value {
    map.sort_by_key(str::to_string);
    Value::Object(map)
}

fn group_version_pairs(kinds: &Kinds) -> Vec<(String, String)> {
    group_names(kinds)
        .into_iter()
        .flat_map(|group| {
            group_versions(kinds, &group).into_iter().map(move |version| (group.clone(), version))
        })
        .collect()
}

fn served<'a>(kinds: &'a Kinds, group: &str, version: &str) -> Vec<(&'a Kind, &'a Version)> {
    kinds
        .iter()
        .filter(|kind| kind.resource.group == group)
        .filter_map(|kind| Some((&**kind, kind.version(version).filter(|version| version.served)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn documents_name_what_they_serve() {
        let kinds = kinds::builtin();
        let document = v3(&kinds, "apps", "v1").unwrap();
        let path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
        let patch = document.get("paths").unwrap().get(path).unwrap().get("patch").unwrap();
        assert_eq!(patch.str_at(&["x-kubernetes-group-version-kind", "kind"]), "Deployment");
        let content = patch.at(&["requestBody", "content"]).unwrap();
        assert!(content.get("application/strategic-merge-patch+json").is_some());
        let schemas = document.at(&["components", "schemas"]).unwrap();
        assert!(schemas.get("io.k8s.api.core.v1.PodTemplateSpec").is_some());
        assert!(index(&kinds).at(&["paths", "api/v1"]).is_some());
        assert!(v3(&kinds, "apps", "v1beta1").is_none());
        let definitions = v2(&kinds);
        let container =
            definitions.at(&["definitions", "io.k8s.api.core.v1.PodSpec", "properties", "containers"]);
        assert_eq!(container.unwrap().str_at(&["x-kubernetes-patch-merge-key"]), "name");
        assert_eq!(
            container.unwrap().at(&["items"]).unwrap().to_string(),
            r##"{"$ref":"#/definitions/io.k8s.api.core.v1.Container"}"##
        );
    }

    /// Compares schemas with upstream's published documents where the environment names their folder
    /// (`api/openapi-spec` of the kubernetes module).
    #[test]
    fn agrees_with_upstreams_schemas() {
        let Ok(folder) = std::env::var("UPSTREAM_OPENAPI") else {
            eprintln!("UPSTREAM_OPENAPI names no folder: upstream's OpenAPI documents were not compared");
            return;
        };
        let folder = std::path::Path::new(&folder);
        let read = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let kinds = kinds::builtin_serving(|_, _, _| true);
        let mut wrong = Vec::new();
        let mut count = 0;
        for (group, version) in group_version_pairs(&kinds) {
            let name = format!("v3/{}_openapi.json", path_of(&group, &version).replace('/', "__"));
            let theirs = read(&name);
            let ours = v3(&kinds, &group, &version).unwrap();
            compare(&ours, &theirs, &["components", "schemas"], &name, &mut wrong, &mut count);
            let (ours, theirs) = (ours.get("paths").unwrap(), theirs.get("paths").unwrap());
            for (path, item) in ours.as_map().unwrap().iter() {
                for (verb, operation) in
                    item.as_map().unwrap().iter().filter(|(verb, _)| *verb != "parameters")
                {
                    let there = theirs.get(path).and_then(|item| item.get(verb));
                    let id = |value: &Value| value.str_at(&["operationId"]).to_string();
                    if there.map(id) != Some(id(operation)) {
                        wrong.push(format!("{verb} {path}: {} is not {:?}", id(operation), there.map(id)));
                    }
                }
            }
        }
        compare(&v2(&kinds), &read("swagger.json"), &["definitions"], "swagger.json", &mut wrong, &mut count);
        println!("{count} schemas compared");
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
    }

    fn compare(
        ours: &Value,
        theirs: &Value,
        path: &[&str],
        name: &str,
        wrong: &mut Vec<String>,
        count: &mut usize,
    ) {
        let (ours, theirs) = (ours.at(path).unwrap(), theirs.at(path).unwrap());
        for (key, schema) in ours.as_map().unwrap().iter() {
            *count += 1;
            match theirs.get(key) {
                None => wrong.push(format!("{name}: {key} is ours alone")),
                // A list type on bytes, and references without the usual wrapping: nothing that a client acts on.
                Some(_)
                    if ["APIServiceSpec", "v1.IngressRule", "v1.JSONSchemaProps"]
                        .iter()
                        .any(|end| key.ends_with(end)) => {}
                Some(other) => {
                    let (a, b) = (bare(schema.clone(), false), bare(other.clone(), false));
                    if a != b {
                        wrong.push(format!("{name}: {key}\n  {a}\n  {b}"));
                    }
                }
            }
        }
        for key in theirs.as_map().unwrap().keys().filter(|key| ours.get(key).is_none()) {
            // Scale, Eviction and the like come with paths that we leave out.
            if ![
                "APIResource",
                "APIGroup",
                "APIVersions",
                "ServerAddress",
                "GroupVersionForDiscovery",
                "version.Info",
            ]
            .iter()
            .any(|part| key.contains(part))
            {
                wrong.push(format!("{name}: {key} is missing"));
            }
        }
    }

    /// Without descriptions and enums (upstream's published files have no enums), fields sorted.
    fn bare(value: Value, names: bool) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.into_iter().map(|item| bare(item, false)).collect()),
            Value::Object(map) => {
                let keep = |key: &str| {
                    names || !matches!(key, "description" | "enum" | "x-kubernetes-group-version-kind")
                };
                let mut map: Map = map
                    .into_iter()
                    .filter(|(key, _)| keep(key))
                    .filter(|(key, value)| {
                        key != "x-kubernetes-map-type" || value.as_str() != Some("granular")
                    })
                    .map(|(key, value)| {
                        let inner = bare(value, key == "properties" && !names);
                        (key, inner)
                    })
                    .collect();
                map.sort_by_key(str::to_string);
                Value::Object(map)
            }
            other => other,
        }
    }
}
