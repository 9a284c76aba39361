//! Discovery documents: what is served, told by walking [`Kinds`]. Both forms: a document a group and version, and the
//! aggregated one (KEP-3352). Only served versions are shown, in order of preference.
//!
//! APIs of aggregated servers are no rows of `Kinds`: the server adds those itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::kind::{Subresource, Version};
use crate::{Kind, Kinds, Map, Value};

/// The media type of aggregated discovery.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/api`.
pub fn versions(server_address: &str) -> Value {
    object([
        ("kind", "APIVersions".into()),
        ("versions", list(["v1".into()])),
        (
            "serverAddressByClientCIDRs",
            list([object([("clientCIDR", "0.0.0.0/0".into()), ("serverAddress", server_address.into())])]),
        ),
    ])
}

/// `/apis`.
pub fn groups(kinds: &Kinds) -> Value {
    let groups = group_names(kinds).into_iter().filter(|name| !name.is_empty());
    object([
        ("kind", "APIGroupList".into()),
        ("apiVersion", "v1".into()),
        ("groups", list(groups.map(|name| group_body(&name, &group_versions(kinds, &name), Map::new())))),
    ])
}

/// `/apis/<group>`.
pub fn group(kinds: &Kinds, name: &str) -> Option<Value> {
    let versions = group_versions(kinds, name);
    let head = [("kind", "APIGroup"), ("apiVersion", "v1")].into_iter().collect();
    (!versions.is_empty() && !name.is_empty()).then(|| group_body(name, &versions, head))
}

fn group_body(name: &str, versions: &[String], mut body: Map) -> Value {
    let version = |version: &String| {
        object([("groupVersion", format!("{name}/{version}").into()), ("version", version.as_str().into())])
    };
    body.insert("name", name);
    body.insert("versions", list(versions.iter().map(version)));
    if let Some(first) = versions.first() {
        body.insert("preferredVersion", version(first));
    }
    Value::Object(body)
}

/// `/api/v1`, `/apis/<group>/<version>`.
pub fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let rows = served(kinds, group, version);
    if rows.is_empty() {
        return None;
    }
    let mut resources = Vec::new();
    for (kind, version) in rows {
        resources.push(resource(kinds, kind, version));
        let mut subresources: Vec<&Subresource> = version.subresources.iter().collect();
        subresources.sort_by(|a, b| a.name.cmp(&b.name));
        for subresource in subresources {
            let mut body = Map::new();
            body.insert("name", format!("{}/{}", kind.resource.plural, subresource.name));
            body.insert("singularName", "");
            body.insert("namespaced", kind.namespaced);
            if (&*subresource.group, &*subresource.version) != (&*kind.resource.group, &*version.name) {
                body.insert("group", subresource.group.clone());
                body.insert("version", subresource.version.clone());
            }
            body.insert("kind", subresource.kind.clone());
            body.insert("verbs", texts(&subresource.verbs));
            resources.push(Value::Object(body));
        }
    }
    let group_version = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
    let mut body = Map::new();
    body.insert("kind", "APIResourceList");
    if !group.is_empty() {
        body.insert("apiVersion", "v1");
    }
    body.insert("groupVersion", group_version);
    body.insert("resources", resources);
    Some(Value::Object(body))
}

fn resource(kinds: &Kinds, kind: &Kind, version: &Version) -> Value {
    let mut body = Map::new();
    body.insert("name", kind.resource.plural.clone());
    body.insert("singularName", kind.singular.clone());
    body.insert("namespaced", kind.namespaced);
    body.insert("kind", kind.kind.clone());
    body.insert("verbs", texts(&version.verbs));
    if !kind.short_names.is_empty() {
        body.insert("shortNames", texts(&kind.short_names));
    }
    if !kind.categories.is_empty() {
        body.insert("categories", texts(&kind.categories));
    }
    if kind.is_stored() {
        body.insert("storageVersionHash", storage_version_hash(kinds, kind));
    }
    Value::Object(body)
}

/// The aggregated document of `/api` (`core`) or of `/apis`.
pub fn aggregated(kinds: &Kinds, core: bool) -> Value {
    let groups = group_names(kinds).into_iter().filter(|name| name.is_empty() == core);
    let group = |name: String| {
        let mut metadata = Map::new();
        if !name.is_empty() {
            metadata.insert("name", name.as_str());
        }
        let versions = group_versions(kinds, &name).into_iter().map(|version| {
            let rows = served(kinds, &name, &version);
            object([
                ("version", version.into()),
                (
                    "resources",
                    list(rows.into_iter().map(|(kind, version)| aggregated_resource(kind, version))),
                ),
                ("freshness", "Current".into()),
            ])
        });
        object([("metadata", Value::Object(metadata)), ("versions", list(versions))])
    };
    object([
        ("kind", "APIGroupDiscoveryList".into()),
        ("apiVersion", "apidiscovery.k8s.io/v2".into()),
        ("metadata", Value::object()),
        ("items", list(groups.map(group))),
    ])
}

fn aggregated_resource(kind: &Kind, version: &Version) -> Value {
    // Upstream leaves a built-in kind's own group and version out of responseKind, and fills them in for CRDs.
    let response = |group: &str, of_version: &str, name: &str| {
        let same = !kind.custom && group == kind.resource.group && of_version == version.name;
        let (group, of_version) = if same { ("", "") } else { (group, of_version) };
        object([("group", group.into()), ("version", of_version.into()), ("kind", name.into())])
    };
    let mut body = Map::new();
    body.insert("resource", kind.resource.plural.clone());
    body.insert("responseKind", response(&kind.resource.group, &version.name, &kind.kind));
    body.insert("scope", if kind.namespaced { "Namespaced" } else { "Cluster" });
    body.insert("singularResource", kind.singular.clone());
    body.insert("verbs", texts(&version.verbs));
    if !kind.short_names.is_empty() {
        body.insert("shortNames", texts(&kind.short_names));
    }
    if !kind.categories.is_empty() {
        body.insert("categories", texts(&kind.categories));
    }
    if !version.subresources.is_empty() {
        let mut rows: Vec<&Subresource> = version.subresources.iter().collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let subresource = |row: &Subresource| {
            object([
                ("subresource", row.name.clone().into()),
                ("responseKind", response(&row.group, &row.version, &row.kind)),
                ("verbs", texts(&row.verbs)),
            ])
        };
        body.insert("subresources", list(rows.into_iter().map(subresource)));
    }
    Value::Object(body)
}

/// The first eight bytes of SHA-256 of the storage group, version and kind, which tells clients when to migrate.
fn storage_version_hash(kinds: &Kinds, kind: &Kind) -> String {
    let row = kind.stored_as.as_ref().and_then(|resource| kinds.get(resource)).map_or(kind, |row| row);
    // Upstream stores CRDs as v1beta1 to this day; a client that compares hashes must see what it saw.
    let version = if row.kind == "CustomResourceDefinition" { "v1beta1" } else { &row.storage().name };
    let text = format!("{}/{version}/{}", row.resource.group, row.kind);
    STANDARD.encode(&Sha256::digest(text)[..8])
}

/// Names of the groups with something served: built-in ones in the facts' order, then those of CRDs by name.
pub fn group_names(kinds: &Kinds) -> Vec<String> {
    let (mut builtin, mut custom): (Vec<String>, Vec<String>) = Default::default();
    for kind in kinds.iter().filter(|kind| kind.versions.iter().any(|version| version.served)) {
        let names = if kind.custom { &mut custom } else { &mut builtin };
        if !names.iter().any(|name| *name == kind.resource.group) {
            names.push(kind.resource.group.to_string());
        }
    }
    custom.retain(|name| !builtin.contains(name));
    custom.sort();
    builtin.extend(custom);
    builtin
}

/// The served versions of a group, the preferred first.
pub fn group_versions(kinds: &Kinds, group: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.resource.group == group) {
        for version in kind.versions.iter().filter(|version| version.served) {
            if !versions.iter().any(|name| *name == version.name) {
                versions.push(version.name.to_string());
            }
        }
    }
    versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    versions
}

/// Orders version names as upstream's CompareKubeAwareVersionStrings: `v2` > `v1` > `v1beta2` > `v1beta1` > `v1alpha1` >
/// everything else, which orders by name, the smaller first.
pub fn priority(version: &str) -> (u8, u64, u64, std::cmp::Reverse<String>) {
    let other = || (0, 0, 0, std::cmp::Reverse(version.to_string()));
    let Some(rest) = version.strip_prefix('v') else { return other() };
    let digits = rest.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let (major, stage) = rest.split_at(digits);
    let Ok(major) = major.parse() else { return other() };
    let none = std::cmp::Reverse(String::new());
    let minor = |rank: u8, text: &str| match text.parse() {
        Ok(minor) => (rank, major, minor, none.clone()),
        Err(_) => other(),
    };
    match stage {
        "" => (3, major, 0, none),
        _ if stage.starts_with("beta") => minor(2, &stage[4..]),
        _ if stage.starts_with("alpha") => minor(1, &stage[5..]),
        _ => other(),
    }
}

fn served<'a>(kinds: &'a Kinds, group: &str, version: &str) -> Vec<(&'a Kind, &'a Version)> {
    let mut rows: Vec<(&Kind, &Version)> = kinds
        .iter()
        .filter(|kind| kind.resource.group == group)
        .filter_map(|kind| Some((&**kind, kind.version(version).filter(|version| version.served)?)))
        .collect();
    rows.sort_by(|(a, _), (b, _)| a.resource.plural.cmp(&b.resource.plural));
    rows
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().collect())
}
fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}
fn texts(texts: &[smol_str::SmolStr]) -> Value {
    list(texts.iter().map(|text| text.clone().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn hashes_as_upstream() {
        let kinds = kinds::builtin();
        let document = resources(&kinds, "", "v1").unwrap();
        let rows = document.get("resources").unwrap().as_array().unwrap();
        let hash = |name: &str| {
            let row = rows.iter().find(|row| row.str_at(&["name"]) == name).unwrap();
            row.str_at(&["storageVersionHash"]).to_string()
        };
        assert_eq!(hash("configmaps"), "qFsyl6wFWjQ=");
        assert_eq!(hash("endpoints"), "fWeeMqaN/OA=");
        assert_eq!(hash("bindings"), "");
    }

    #[test]
    fn prefers_as_upstream() {
        let mut versions = ["v1alpha1", "foo", "v1beta2", "v2", "v1", "v10", "bar", "v1beta10"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "bar", "foo"]);
    }

    /// Compares with upstream's own documents (`api/discovery` of the kubernetes module) where the environment names
    /// their folder.
    #[test]
    fn agrees_with_upstreams_documents() {
        let Ok(folder) = std::env::var("UPSTREAM_DISCOVERY") else {
            eprintln!("UPSTREAM_DISCOVERY names no folder: upstream's discovery documents were not compared");
            return;
        };
        let kinds = kinds::builtin_serving(|_, _, _| true);
        let read = |name: &str| -> Value {
            let path = std::path::Path::new(&folder).join(format!("{name}.json"));
            sort(serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        };
        let mut wrong = Vec::new();
        let mut check = |name: &str, ours: Value| {
            if sort(ours.clone()) != read(name) {
                wrong.push(format!("{name}: {}", first_difference(&sort(ours), &read(name), name)));
            }
        };
        check("apis", groups(&kinds));
        check("aggregated_v2", aggregated(&kinds, false));
        check("api__v1", resources(&kinds, "", "v1").unwrap());
        for name in group_names(&kinds).iter().filter(|name| !name.is_empty()) {
            check(&format!("apis__{name}"), group(&kinds, name).unwrap());
            for version in group_versions(&kinds, name) {
                check(&format!("apis__{name}__{version}"), resources(&kinds, name, &version).unwrap());
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn sort(value: Value) -> Value {
        match value {
            Value::Array(items) => list(items.into_iter().map(sort)),
            Value::Object(map) => {
                let mut map: Map = map.into_iter().map(|(key, value)| (key, sort(value))).collect();
                map.sort_by_key(|key| key.to_string());
                Value::Object(map)
            }
            other => other,
        }
    }

    fn first_difference(ours: &Value, theirs: &Value, path: &str) -> String {
        match (ours, theirs) {
            (Value::Object(a), Value::Object(b)) => {
                for (key, value) in a.iter() {
                    match b.get(key) {
                        None => return format!("{path}.{key} is ours alone"),
                        Some(other) if other != value => {
                            return first_difference(value, other, &format!("{path}.{key}"));
                        }
                        _ => {}
                    }
                }
                let missing: Vec<_> = b.keys().filter(|key| !a.contains_key(key)).collect();
                format!("{path} lacks {missing:?}")
            }
            (Value::Array(a), Value::Array(b)) => {
                for (at, (a, b)) in a.iter().zip(b).enumerate() {
                    if a != b {
                        return first_difference(a, b, &format!("{path}[{at}]"));
                    }
                }
                format!("{path}: {} items, not {}", a.len(), b.len())
            }
            _ => format!("{path}: {ours} is not {theirs}"),
        }
    }
}
