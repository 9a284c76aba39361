//! What upstream v1.36.3 makes of an object on create and update, or says against it: `fixtures/upstream.jsonl` and
//! `fixtures/updates.jsonl`, one answer of its API server (a dry run) a line. Ours must be the same.

use std::collections::BTreeSet;

use super::*;
use crate::kind::Context;
use crate::service::Network;
use crate::{Value, decode, schema, validation};

#[test]
fn creates_what_upstream_creates() {
    let kinds = builtin();
    let mut wrong = Vec::new();
    let lines = include_str!("fixtures/upstream.jsonl").lines();
    for line in lines.clone() {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut value = case.get("input").unwrap().clone();
        let (group, version) = match value.str_at(&["apiVersion"]).split_once('/') {
            Some((group, version)) => (group.to_string(), version.to_string()),
            None => (String::new(), value.str_at(&["apiVersion"]).to_string()),
        };
        let kind = kinds.kind(&group, value.str_at(&["kind"])).unwrap();
        let of = schema::lookup(kind.version(&version).unwrap().type_name).unwrap();
        if kind.namespaced {
            value.set(&["metadata", "namespace"], "default");
        }
        let canonical = |value: &mut Value| drop(decode::normalize(of, value).unwrap());
        canonical(&mut value);
        kind.rules.default(&version, &mut value);
        decode::default_facts(of, &mut value);
        canonical(&mut value);
        value.set(&["metadata", "uid"], "the-uid");
        let key = crate::Key::new(&kind.resource, "default", "a");
        let context =
            Context { key: &key, now: "2026-01-01T00:00:00Z", user: "admin", who: Default::default() };
        kind.rules.drop_disabled(&mut value);
        kind.rules.prepare_create(&context, &mut value);
        if kind.rules.has_generation() {
            value.set(&["metadata", "generation"], 1i64);
        }
        let mut errors = Vec::new();
        if kind.kind == "Service" {
            let mut network = network();
            if let Err(refused) = network.assign(&mut value, None) {
                errors = refused;
            }
        }
        canonical(&mut value);
        if kind.kind == "Pod" {
            value.set(&["spec", "serviceAccountName"], "default");
        }
        if errors.is_empty() {
            validation::validate_object_meta(kind, &value, &mut errors);
            kind.rules.validate_create(&context, &value, &mut errors);
        }
        match case.get("output") {
            Some(output) => {
                compare(&value, output, &errors, line, &mut wrong);
                cells(kind, &version, output, &case, &mut wrong);
            }
            None => causes(&case, &errors, line, &mut wrong),
        }
    }
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} differ:\n{shown}", wrong.len(), lines.count());
}

#[test]
fn updates_what_upstream_updates() {
    let kinds = builtin();
    let mut wrong = Vec::new();
    let lines = include_str!("fixtures/updates.jsonl").lines();
    for line in lines.clone() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (mut old, mut value) = (case.get("old").unwrap().clone(), case.get("input").unwrap().clone());
        let api_version = value.str_at(&["apiVersion"]).to_string();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let kind = kinds.kind(group, value.str_at(&["kind"])).unwrap();
        let of = schema::lookup(kind.version(version).unwrap().type_name).unwrap();
        let canonical = |value: &mut Value| drop(decode::normalize(of, value).unwrap());
        canonical(&mut old);
        canonical(&mut value);
        kind.rules.default(version, &mut value);
        decode::default_facts(of, &mut value);
        canonical(&mut value);
        let revision = old.str_at(&["metadata", "resourceVersion"]).to_string();
        value.set(&["metadata", "resourceVersion"], revision);
        let key = crate::Key::new(&kind.resource, "default", "a");
        let context =
            Context { key: &key, now: "2026-01-01T00:00:00Z", user: "admin", who: Default::default() };
        kind.rules.prepare_update(&context, &mut value, &old);
        if kind.rules.has_generation() && kind.rules.generation_changes(&value, &old) {
            let generation = old.at(&["metadata", "generation"]).and_then(Value::as_int).unwrap_or_default();
            value.set(&["metadata", "generation"], generation + 1);
        }
        let mut errors = Vec::new();
        if kind.kind == "Service" {
            let mut network = network();
            network.occupy(&old);
            if let Err(refused) = network.assign(&mut value, Some(&old)) {
                errors = refused;
            }
        }
        canonical(&mut value);
        if errors.is_empty() {
            validation::validate_object_meta_update(kind, &value, &old, &mut errors);
            kind.rules.validate_update(&context, &value, &old, &mut errors);
        }
        match case.get("output") {
            Some(output) => compare(&value, output, &errors, line, &mut wrong),
            None => causes(&case, &errors, line, &mut wrong),
        }
    }
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} differ:\n{shown}", wrong.len(), lines.count());
}

fn network() -> Network {
    Network {
        addresses: vec![crate::allocator::IpRange::new("10.0.0.0".parse().unwrap(), 24)],
        ports: Default::default(),
    }
}

/// The row of the Table that upstream answers a create with.
fn cells(kind: &Kind, version: &str, output: &Value, case: &Value, wrong: &mut Vec<String>) {
    let Some(theirs) = case.get("cells").and_then(Value::as_array) else { return };
    let columns = crate::table::columns(kind, version);
    let ours = crate::table::row(kind, version, output, 0);
    let names: Vec<Value> = columns.iter().map(|column| column.name.clone().into()).collect();
    if Some(&*names) != case.get("columns").and_then(Value::as_array) {
        wrong.push(format!("columns of {}: {names:?} are not {:?}", kind.resource, case.get("columns")));
    }
    for ((column, ours), theirs) in columns.iter().zip(&ours).zip(theirs) {
        // Times and what the allocators chose are not the same twice.
        let varies = matches!(column.name.as_str(), "Age" | "Created At" | "Cluster-IP" | "Port(s)");
        let of_uid = ours.to_string().contains("controller-uid");
        if ours != theirs && !varies && !of_uid {
            wrong.push(format!("{} {}: {ours} is not {theirs}", kind.resource, column.name));
        }
    }
}

/// Only admission's, or the allocator's choice.
fn not_ours(value: &mut Value) {
    for path in [
        &["spec", "tolerations"][..],
        &["spec", "taints"],
        &["spec", "priority"],
        &["spec", "preemptionPolicy"],
        &["spec", "serviceAccountName"],
        &["spec", "serviceAccount"],
        &["spec", "clusterIP"],
        &["spec", "clusterIPs"],
        &["spec", "healthCheckNodePort"],
        &["metadata", "uid"],
        &["metadata", "resourceVersion"],
        &["metadata", "finalizers"],
        &["status", "lastPhaseTransitionTime"],
    ] {
        value.remove(path);
    }
    for port in value.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut).into_iter().flatten() {
        if port.get("nodePort").is_some() {
            port.set(&["nodePort"], 1i64);
        }
    }
    for condition in
        value.at_mut(&["status", "conditions"]).and_then(Value::as_array_mut).into_iter().flatten()
    {
        condition.remove(&["lastTransitionTime"]);
    }
}

fn uid_free(value: &Value) -> String {
    let text = value.to_string();
    let is_uid = |part: &str| part.len() == 36 && part.bytes().filter(|byte| *byte == b'-').count() == 4;
    text.split('"').map(|part| if is_uid(part) { "the-uid" } else { part }).collect::<Vec<_>>().join("\"")
}

fn compare(
    ours: &Value,
    theirs: &Value,
    errors: &[crate::field::Error],
    line: &str,
    wrong: &mut Vec<String>,
) {
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    not_ours(&mut ours);
    not_ours(&mut theirs);
    if !errors.is_empty() {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        wrong.push(format!("refused: {}\n  {}", &line[..line.len().min(150)], texts.join("\n  ")));
    } else if uid_free(&ours) != uid_free(&theirs) {
        wrong.push(format!("ours:   {}\ntheirs: {}", uid_free(&ours), uid_free(&theirs)));
    }
}

fn causes(case: &Value, errors: &[crate::field::Error], line: &str, wrong: &mut Vec<String>) {
    let mut theirs: Vec<String> = case
        .get("causes")
        .and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .map(|cause| {
            format!(
                "{} {}: {}",
                cause.str_at(&["reason"]),
                cause.str_at(&["field"]),
                cause.str_at(&["message"])
            )
        })
        .collect();
    let mut ours: Vec<String> = errors
        .iter()
        .map(|error| format!("{} {}: {}", error.reason.as_str(), error.path, error.body()))
        .collect();
    // The difference in the text of a refused pod has a form that upstream does not promise.
    for text in theirs.iter_mut().chain(&mut ours) {
        if let Some(end) = text.find("if it was previously negative)") {
            text.truncate(end);
        }
    }
    // Structs are shown with the names of Go's internal types, which are nobody's API.
    for text in theirs.iter_mut().chain(&mut ours) {
        for (open, close) in [("value: {", "}: "), ("value: [{", "}]: ")] {
            if let (Some(from), Some(to)) = (text.find(open), text.rfind(close)) {
                text.replace_range(from + open.len()..to, "");
            }
        }
    }
    theirs.sort();
    theirs.dedup();
    ours.sort();
    ours.dedup();
    let missing: Vec<&String> = theirs.iter().filter(|text| !ours.contains(text)).collect();
    let extra: Vec<&String> = ours.iter().filter(|text| !theirs.contains(text)).collect();
    if !missing.is_empty() || !extra.is_empty() {
        let show = |texts: &[&String], mark: &str| -> String {
            texts.iter().map(|text| format!("\n  {mark} {text}")).collect()
        };
        wrong.push(format!("{}{}{}", &line[..line.len().min(150)], show(&missing, "-"), show(&extra, "+")));
    }
}

#[test]
fn the_tables_and_the_facts_name_the_same_resources() {
    let here: BTreeSet<(&str, &str)> =
        ALL.iter().flat_map(|group| group.iter()).map(|row| (row.group, row.plural)).collect();
    let facts: BTreeSet<(&str, &str)> =
        crate::schema::kinds().iter().map(|row| (row.group(), row.plural())).collect();
    assert_eq!(here, facts);
    for kind in builtin().iter() {
        assert_eq!(kind.versions.iter().filter(|version| version.storage).count(), 1, "{}", kind.resource);
    }
}

#[test]
fn prints_the_kinds_without_rules() {
    let kinds = builtin();
    let missing: Vec<String> = kinds
        .iter()
        .filter(|kind| kind.is_stored() && !kind.rules.complete())
        .map(|kind| kind.resource.to_string())
        .collect();
    println!("{} of {} stored kinds lack rules: {}", missing.len(), kinds.iter().count(), missing.join(", "));
}

#[test]
fn finds_what_a_path_names() {
    let kinds = builtin();
    let (kind, version) = kinds.served("apps", "v1", "deployments").unwrap();
    assert_eq!((kind.kind.as_str(), version.name.as_str()), ("Deployment", "v1"));
    assert!(version.subresource("scale").is_some());
    assert!(kinds.served("apps", "v1beta1", "deployments").is_none());
    assert!(kinds.served("resource.k8s.io", "v1beta1", "deviceclasses").is_none(), "off by default");
    let events = kinds.resource("events.k8s.io", "events").unwrap();
    assert_eq!(kinds.storage_of(events).resource.to_string(), "events");
    assert!(!events.is_storage("v1"));
    assert!(!kinds.resource("", "bindings").unwrap().is_stored());
}

/// Defaults, strategies, validation and cells of every kind take whatever a client may send.
#[test]
fn rules_take_anything() {
    let key = "core/pods/default/a".parse().unwrap();
    let context =
        crate::kind::Context { key: &key, now: "2026-01-01T00:00:00Z", user: "me", who: Default::default() };
    let odd = r#"{"metadata":{"name":"a","labels":{"a":"b"}},"spec":{"containers":[{"ports":[{}],"env":[{}]}],"ports":[{}],
        "template":{"spec":{"volumes":[{}],"containers":[{"livenessProbe":{}}]}}},"status":{"conditions":[{}]}}"#;
    for text in ["{}", r#"{"metadata":{"name":"a"},"spec":{},"status":{}}"#, odd] {
        for kind in builtin().iter() {
            for version in &kind.versions {
                let mut value: crate::Value = serde_json::from_str(text).unwrap();
                kind.rules.default(&version.name, &mut value);
                kind.rules.to_storage(&version.name, &mut value);
                let mut errors = Vec::new();
                let old = value.clone();
                kind.rules.drop_disabled(&mut value);
                kind.rules.prepare_create(&context, &mut value);
                kind.rules.validate_create(&context, &value, &mut errors);
                kind.rules.prepare_update(&context, &mut value, &old);
                kind.rules.validate_update(&context, &value, &old, &mut errors);
                for part in ["status", "finalize", "ephemeralcontainers", "resize"] {
                    let mut value = value.clone();
                    kind.rules.prepare_subresource(part, &context, &mut value, &old);
                    kind.rules.validate_subresource(part, &context, &value, &old, &mut errors);
                }
                kind.rules.warnings(&value, None);
                if let Some(cells) = kind.rules.cells(&value, 0) {
                    // Upstream writes an age that IPAddress has no column for.
                    let more = usize::from(kind.resource.plural == "ipaddresses");
                    assert_eq!(cells.len(), version.columns.len() + more, "{}", kind.resource);
                }
            }
        }
    }
}
