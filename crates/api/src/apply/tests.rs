//! Tests of server-side apply, with samples of what upstream answers.

use super::update::{Error, Subject, apply, track_update};
use super::*;
use crate::schema::{self, Schema};
use crate::{Value, decode, json};

const NOW: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-02T00:00:00Z";

fn parse(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn with<T>(now: &str, subresource: &str, run: impl FnOnce(&Subject<'_>) -> T) -> T {
    let of = schema::of_kind("apps", "v1", "Deployment").unwrap();
    let reset =
        if subresource == "status" { Set::of_fields(&[&["spec"]]) } else { Set::of_fields(&[&["status"]]) };
    let schema = Schema::Type(of);
    run(&Subject {
        api_version: "apps/v1",
        kind: "Deployment",
        schema,
        subresource,
        reset: &reset,
        now,
        convert: &|_, _| None,
    })
}

fn config(spec: &str) -> Value {
    parse(&format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"web","namespace":"d"}},"spec":{spec}}}"#
    ))
}

/// Applies and decodes, as the server does.
fn applied(
    now: &str,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: bool,
) -> Result<Value, Error> {
    let mut value = with(now, "", |subject| apply(subject, live, config, manager, force))?;
    value.set(&["metadata", "uid"], "u");
    decode::normalize(schema::of_kind("apps", "v1", "Deployment").unwrap(), &mut value).unwrap();
    Ok(value)
}

fn owners(value: &Value) -> Vec<String> {
    let entries = value.at(&["metadata", "managedFields"]).and_then(Value::as_array).unwrap_or_default();
    let text = |entry: &Value, field: &str| entry.get(field).map(ToString::to_string).unwrap_or_default();
    entries
        .iter()
        .map(|entry| {
            format!("{} {} {}", text(entry, "manager"), text(entry, "operation"), text(entry, "fieldsV1"))
        })
        .collect()
}

const WEB: &str = r#"{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x","ports":[{"containerPort":80}]}]}}}"#;

#[test]
fn creating_by_apply_owns_what_is_stated() {
    let live = applied(NOW, None, &config(WEB), "me", false).unwrap();
    assert_eq!(
        owners(&live),
        [
            r#""me" "Apply" {"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}}"#
        ]
    );
    assert_eq!(
        live.at(&["metadata", "managedFields"]).unwrap().as_array().unwrap()[0].str_at(&["time"]),
        NOW
    );
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let live = applied(NOW, None, &config(WEB), "me", false).unwrap();
    assert_eq!(applied(LATER, Some(&live), &config(WEB), "me", false).unwrap(), live);
}

#[test]
fn what_is_no_longer_stated_goes_away() {
    let live = applied(NOW, None, &config(WEB), "me", false).unwrap();
    let fewer = config(
        r#"{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x"},{"name":"d","image":"y"}]}}}"#,
    );
    let live = applied(LATER, Some(&live), &fewer, "me", false).unwrap();
    assert_eq!(
        live.at(&["spec"]).unwrap().to_string(),
        r#"{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x","resources":{}},{"name":"d","image":"y","resources":{}}]}},"strategy":{}}"#
    );
}

#[test]
fn others_fields_conflict_and_can_be_forced() {
    let live = applied(NOW, None, &config(WEB), "me", false).unwrap();
    let mut scaled = live.clone();
    scaled.set(&["spec", "replicas"], 3i64);
    with(LATER, "", |subject| track_update(subject, Some(&live), &mut scaled, "kubectl-edit"));
    assert_eq!(owners(&scaled)[1], r#""kubectl-edit" "Update" {"f:spec":{"f:replicas":{}}}"#);
    let error = applied(LATER, Some(&scaled), &config(WEB), "me", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas"#
    );
    let forced = applied(LATER, Some(&scaled), &config(WEB), "me", true).unwrap();
    assert_eq!(owners(&forced).len(), 1);
    assert_eq!(forced.at(&["spec", "replicas"]), Some(&Value::Int(1)));
}

#[test]
fn equal_values_are_shared() {
    let live = applied(NOW, None, &config(WEB), "me", false).unwrap();
    let live = applied(LATER, Some(&live), &config(WEB), "you", false).unwrap();
    assert_eq!(owners(&live).len(), 2);
    // The second manager gives up everything: the first still owns it.
    let live = applied(LATER, Some(&live), &config("{}"), "you", false).unwrap();
    assert_eq!(live.at(&["spec", "replicas"]), Some(&Value::Int(1)));
}

#[test]
fn many_conflicts_are_listed() {
    let live = applied(NOW, None, &config(WEB), "a", false).unwrap();
    let other = config(r#"{"replicas":2,"template":{"spec":{"containers":[{"name":"c","image":"z"}]}}}"#);
    let error = applied(NOW, Some(&live), &other, "b", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.replicas\n- \
         .spec.template.spec.containers[name=\"c\"].image"
    );
}

#[test]
fn a_create_is_tracked_against_the_empty_object() {
    let of = schema::of_kind("apps", "v1", "Deployment").unwrap();
    let mut new = config(WEB);
    new.set(&["spec", "strategy", "type"], "Recreate");
    decode::normalize(of, &mut new).unwrap();
    with(NOW, "", |subject| track_update(subject, None, &mut new, "kubectl-create"));
    assert_eq!(
        owners(&new),
        [
            r#""kubectl-create" "Update" {"f:spec":{"f:replicas":{},"f:selector":{},"f:strategy":{"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:resources":{}}}}}}}"#
        ]
    );
}

#[test]
fn status_is_owned_through_its_subresource_only() {
    let live = applied(NOW, None, &config(WEB), "me", false).unwrap();
    let mut new = live.clone();
    new.set(&["status", "replicas"], 1i64);
    new.set(&["spec", "paused"], true);
    let mut main = new.clone();
    with(NOW, "", |subject| track_update(subject, Some(&live), &mut main, "x"));
    assert_eq!(owners(&main)[1], r#""x" "Update" {"f:spec":{"f:paused":{}}}"#);
    with(NOW, "status", |subject| track_update(subject, Some(&live), &mut new, "x"));
    assert_eq!(owners(&new)[1], r#""x" "Update" {"f:status":{"f:replicas":{}}}"#);
    let entry = &new.at(&["metadata", "managedFields"]).unwrap().as_array().unwrap()[1];
    assert_eq!(entry.str_at(&["subresource"]), "status");
}

#[test]
fn old_updaters_are_put_together() {
    let of = schema::of_kind("apps", "v1", "Deployment").unwrap();
    let mut live = config(WEB);
    decode::normalize(of, &mut live).unwrap();
    with(NOW, "", |subject| track_update(subject, None, &mut live, "creator"));
    live.set(&["metadata", "uid"], "u");
    for number in 0..15 {
        let mut new = live.clone();
        let label = format!("l{number}");
        new.set(&["metadata", "labels", label.as_str()], "x");
        let now = format!("2026-02-01T00:00:{number:02}Z");
        with(&now, "", |subject| track_update(subject, Some(&live), &mut new, &format!("m{number}")));
        live = new;
    }
    let owners = owners(&live);
    assert_eq!(owners.len(), 10);
    assert!(owners[0].starts_with(r#""ancient-changes" "Update""#), "{owners:?}");
}

#[test]
fn a_reset_forgets_everyone() {
    let live = applied(NOW, None, &config(WEB), "me", false).unwrap();
    let mut new = live.clone();
    new.set(&["metadata", "managedFields"], Value::Array(vec![Value::object()]));
    with(NOW, "", |subject| track_update(subject, Some(&live), &mut new, "x"));
    assert!(owners(&new).is_empty());
}

#[test]
fn untracked_objects_belong_to_whoever_was_before() {
    let of = schema::of_kind("apps", "v1", "Deployment").unwrap();
    let mut live = config(WEB);
    decode::normalize(of, &mut live).unwrap();
    live.set(&["metadata", "uid"], "u");
    let error = applied(NOW, Some(&live), &config(r#"{"replicas":7}"#), "me", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas"#
    );
}

#[test]
fn wrong_configurations_are_named() {
    for (text, expected) in [
        (
            r#"{"foo":1}"#,
            "failed to create typed patch object (d/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
        ),
        (
            r#"{"template":{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}}"#,
            "failed to create typed patch object (d/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
    ] {
        assert_eq!(applied(NOW, None, &config(text), "me", false).unwrap_err().to_string(), expected);
    }
}

#[test]
fn client_side_appliers_hand_over() {
    let of = schema::of_kind("apps", "v1", "Deployment").unwrap();
    let mut live = config(WEB);
    decode::normalize(of, &mut live).unwrap();
    with(NOW, "", |subject| track_update(subject, None, &mut live, "kubectl-client-side-apply"));
    let entries = take_over(&live, &["kubectl-client-side-apply"], "skiff").unwrap().unwrap();
    assert_eq!(entries[0].str_at(&["manager"]), "skiff");
    assert_eq!(entries[0].str_at(&["operation"]), "Apply");
    assert_eq!(take_over(&live, &["helm"], "skiff").unwrap(), None);
}

#[test]
fn sets_go_both_ways() {
    let text = r#"{"f:a":{".":{},"f:b":{}},"f:c":{},"f:l":{"k:{\"x\":1,\"y\":\"z\"}":{".":{}},"v:\"s\"":{},"v:3":{},"i:0":{}}}"#;
    let set = codec::decode(&parse(text)).unwrap();
    let expected = r#"{"f:a":{".":{},"f:b":{}},"f:c":{},"f:l":{"k:{\"x\":1,\"y\":\"z\"}":{},"v:3":{},"v:\"s\"":{},"i:0":{}}}"#;
    assert_eq!(codec::encode(&set).to_string(), expected);
    let paths: Vec<String> =
        set.paths().iter().map(|path| path.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(paths, [".a", ".c", ".a.b", ".l[x=1,y=\"z\"]", ".l[=3]", ".l[=\"s\"]", ".l[0]"]);
}

/// Runs cases whose outcome upstream's field manager (apimachinery v0.36.3, `managedfieldstest`) wrote down: a line each,
/// `{kind, ops: [{op, manager, force, obj}], out: [object or error]}`. A sample lies in `fixtures`; a longer file is
/// taken from `SKIFF_API_APPLY_CASES`.
#[test]
fn agrees_with_upstream() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in crate::cases::read("SKIFF_API_APPLY_CASES", include_str!("fixtures/upstream.jsonl")) {
        count += 1;
        let (group, api_version) = match case.str_at(&["kind"]) {
            "Deployment" => ("apps", "apps/v1"),
            _ => ("", "v1"),
        };
        let kind = case.str_at(&["kind"]);
        let of = schema::of_kind(group, "v1", kind).unwrap();
        let subject = Subject {
            api_version,
            kind,
            schema: Schema::Type(of),
            subresource: "",
            reset: &Set::new(),
            now: NOW,
            convert: &|_, _| None,
        };
        let mut live = Value::object();
        live.set(&["apiVersion"], api_version);
        live.set(&["kind"], kind);
        let ops = case.at(&["ops"]).unwrap().as_array().unwrap();
        let out = case.at(&["out"]).unwrap().as_array().unwrap();
        for (at, (op, expected)) in ops.iter().zip(out).enumerate() {
            let (manager, object) = (op.str_at(&["manager"]), op.at(&["obj"]).unwrap());
            let result = if op.str_at(&["op"]) == "apply" {
                apply(&subject, Some(&live), object, manager, op.at(&["force"]).unwrap().as_bool().unwrap())
            } else {
                let mut new = object.clone();
                decode::normalize(of, &mut new).unwrap();
                track_update(&subject, Some(&live), &mut new, manager);
                Ok(new)
            };
            let found = match result {
                Err(error) => format!("ERR {error}"),
                Ok(value) => {
                    live = value.clone();
                    shown(value, of)
                }
            };
            let expected = expected.as_str().unwrap();
            // The harness begins with an object that has no fields, the server with the kind's empty one.
            if expected.contains("before-first-apply") {
                break;
            }
            let expected =
                if expected.starts_with("ERR ") { expected.to_string() } else { shown(parse(expected), of) };
            if found != expected {
                wrong.push(format!("line {count}, op {at}:\n{op}\nfound    {found}\nexpected {expected}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n\n"));
}

/// Normalised, without times, which upstream takes from the wall clock.
fn shown(mut value: Value, of: &'static schema::Type) -> String {
    decode::normalize(of, &mut value).unwrap();
    if let Some(Value::Array(entries)) = value.at_mut(&["metadata", "managedFields"]) {
        entries.iter_mut().for_each(|entry| drop(entry.remove(&["time"])));
        // With times left out, the order is not upstream's either.
        entries.sort_by_key(ToString::to_string);
    }
    json::to_string(&value)
}
