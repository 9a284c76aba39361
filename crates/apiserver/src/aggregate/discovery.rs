//! What other servers serve, in this server's discovery documents.

use api::{Map, Value};

use super::Aggregated;

/// Adds the aggregated groups to a document: `APIGroupList`, or `APIGroupDiscoveryList` as `aggregated` says.
pub(crate) fn merge(all: &Aggregated, document: &mut Value, aggregated: bool) {
    let mut served = all.served();
    served.sort_by_key(|(entry, _)| {
        (
            std::cmp::Reverse(entry.group_priority),
            entry.group.clone(),
            std::cmp::Reverse(entry.version_priority),
        )
    });
    let list = document.make(&[if aggregated { "items" } else { "groups" }]);
    if list.as_array().is_none() {
        *list = Vec::new().into();
    }
    let Some(list) = list.as_array_mut() else { return };
    for (entry, resources) in served {
        let name_of = |group: &Value| -> String {
            let path: &[&str] = if aggregated { &["metadata", "name"] } else { &["name"] };
            group.str_at(path).to_string()
        };
        let at = list.iter().position(|group| name_of(group) == entry.group).unwrap_or_else(|| {
            let mut group = Value::object();
            match aggregated {
                true => group.set(&["metadata", "name"], entry.group.as_str()),
                false => group.set(&["name"], entry.group.as_str()),
            }
            list.push(group);
            list.len() - 1
        });
        let group = &mut list[at];
        let version = match aggregated {
            true => version_discovery(&entry.version, &resources),
            false => {
                let mut version = Value::object();
                version.set(&["groupVersion"], format!("{}/{}", entry.group, entry.version));
                version.set(&["version"], entry.version.as_str());
                version
            }
        };
        let versions = group.make(&["versions"]);
        if versions.as_array().is_none() {
            *versions = Vec::new().into();
        }
        if let Some(versions) = versions.as_array_mut()
            && !versions.iter().any(|own| own.str_at(&["version"]) == entry.version)
        {
            versions.push(version.clone());
        }
        if !aggregated && group.get("preferredVersion").is_none() {
            group.set(&["preferredVersion"], version);
        }
    }
}

/// An APIVersionDiscovery made of an APIResourceList.
fn version_discovery(version: &str, list: &Value) -> Value {
    let group_version = list.str_at(&["groupVersion"]);
    let own_group = group_version.rsplit_once('/').map_or("", |(group, _)| group);
    let kind_of = |resource: &Value| {
        let text = |name: &str, other: &str| match resource.str_at(&[name]) {
            "" => other.to_string(),
            own => own.to_string(),
        };
        let mut kind = Value::object();
        kind.set(&["group"], text("group", own_group));
        kind.set(&["version"], text("version", version));
        kind.set(&["kind"], resource.str_at(&["kind"]));
        kind
    };
    let all = list.get("resources").and_then(Value::as_array).unwrap_or_default();
    let mut resources: Vec<(String, Value)> = Vec::new();
    for resource in all.iter().filter(|resource| !resource.str_at(&["name"]).contains('/')) {
        let namespaced = resource.get("namespaced").and_then(Value::as_bool) == Some(true);
        let mut row = Value::object();
        row.set(&["resource"], resource.str_at(&["name"]));
        row.set(&["responseKind"], kind_of(resource));
        row.set(&["scope"], if namespaced { "Namespaced" } else { "Cluster" });
        row.set(&["singularResource"], resource.str_at(&["singularName"]));
        for field in ["verbs", "shortNames", "categories"] {
            if let Some(value) = resource.get(field).filter(|value| !value.is_null()) {
                row.set(&[field], value.clone());
            }
        }
        resources.push((resource.str_at(&["name"]).into(), row));
    }
    for resource in all {
        let Some((parent, name)) = resource.str_at(&["name"]).split_once('/') else { continue };
        let Some((_, row)) = resources.iter_mut().find(|(own, _)| own == parent) else { continue };
        let mut sub = Map::new();
        sub.insert("subresource", name);
        sub.insert("responseKind", kind_of(resource));
        if let Some(verbs) = resource.get("verbs") {
            sub.insert("verbs", verbs.clone());
        }
        let list = row.make(&["subresources"]);
        match list.as_array_mut() {
            Some(list) => list.push(sub.into()),
            None => *list = vec![Value::from(sub)].into(),
        }
    }
    let mut out = Value::object();
    out.set(&["version"], version);
    out.set(&["resources"], resources.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    out.set(&["freshness"], "Current");
    out
}

/// The APIGroup of an aggregated group, as `/apis/<group>` answers.
pub(crate) fn group(all: &Aggregated, name: &str) -> Option<Value> {
    let mut list = Value::object();
    merge(all, &mut list, false);
    let groups = list.get("groups").and_then(Value::as_array)?;
    let mut group = groups.iter().find(|group| group.str_at(&["name"]) == name)?.clone();
    crate::codec::type_meta(&mut group, "APIGroup", "v1");
    Some(group)
}
