//! Upstream's own fixtures: 187 kinds in JSON and protobuf. Three of them lie beside this file; all are run where
//! `SKIFF_API_FIXTURES` names the folder `testdata/HEAD` of the Go module k8s.io/api.

use super::*;
use crate::json;

/// Decodes both forms, and checks that each is made of the other byte for byte.
fn check(name: &str, text: &[u8], body: &[u8]) -> Result<(), String> {
    let problem = |what: &str| format!("{name}: {what}");
    let envelope = envelope(body).map_err(|error| problem(&error.to_string()))?;
    let (group, version) = envelope.api_version.rsplit_once('/').unwrap_or(("", &envelope.api_version));
    let of = schema::of_kind(group, version, &envelope.kind).ok_or_else(|| problem("has no type"))?;
    let mut from_json = json::parse(text).map_err(|error| problem(&error.to_string()))?;
    let expected = json::to_string(&from_json);
    let strict = decode::normalize(of, &mut from_json).map_err(|error| problem(&error.to_string()))?;
    if !strict.is_empty() {
        return Err(problem(&format!("{strict:?}")));
    }
    if json::to_string(&from_json) != expected {
        return Err(problem(&format!("normalised\n{}\nnot\n{expected}", json::to_string(&from_json))));
    }
    let from_pb = decode(body).map_err(|error| problem(&error.to_string()))?;
    if json::to_string(&from_pb) != expected {
        return Err(problem(&format!("protobuf gives\n{}\nnot\n{expected}", json::to_string(&from_pb))));
    }
    if encode(of, &from_json) != body {
        return Err(problem("protobuf made of JSON differs from upstream's"));
    }
    Ok(())
}

#[test]
fn agrees_with_upstream_on_the_sample() {
    for (name, text, body) in [
        (
            "Pod",
            &include_bytes!("fixtures/core.v1.Pod.json")[..],
            &include_bytes!("fixtures/core.v1.Pod.pb")[..],
        ),
        (
            "Service",
            include_bytes!("fixtures/core.v1.Service.json"),
            include_bytes!("fixtures/core.v1.Service.pb"),
        ),
        (
            "SubjectAccessReview",
            include_bytes!("fixtures/authorization.k8s.io.v1.SubjectAccessReview.json"),
            include_bytes!("fixtures/authorization.k8s.io.v1.SubjectAccessReview.pb"),
        ),
    ] {
        check(name, text, body).unwrap();
    }
}

#[test]
fn agrees_with_upstream_on_all_fixtures() {
    let Ok(folder) = std::env::var("SKIFF_API_FIXTURES") else {
        println!("SKIFF_API_FIXTURES is not set: upstream's 187 fixtures were not compared, only the sample");
        return;
    };
    let (mut problems, mut count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let (text, body) = (std::fs::read(&path).unwrap(), std::fs::read(path.with_extension("pb")));
            let Ok(body) = body else { continue };
            // A WatchEvent has no TypeMeta; on the wire it never has an envelope.
            if path.ends_with("core.v1.WatchEvent.json") {
                continue;
            }
            count += 1;
            problems.extend(check(&path.file_stem().unwrap().to_string_lossy(), &text, &body).err());
        }
    }
    println!("{count} fixtures");
    assert!(count > 100 && problems.is_empty(), "{} of {count}:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn frames_hold_an_event() {
    let of = schema::of_kind("", "v1", "ConfigMap").unwrap();
    let value = json::parse(br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}"#).unwrap();
    let body = encode(of, &value);
    let frame = watch_frame("ADDED", &body);
    assert_eq!(frame[..4], (frame.len() as u32 - 4).to_be_bytes());
    let event = decode_message(schema::of_kind("", "v1", "WatchEvent").unwrap(), &frame[4..]);
    // The object is a body and not JSON, so that the generic decoder must refuse it.
    assert!(event.is_err());
    assert!(frame.ends_with(&body));
    assert_eq!(decode(&body).unwrap().str_at(&["metadata", "name"]), "a");
}

#[test]
fn broken_bytes_are_errors() {
    let body = include_bytes!("fixtures/core.v1.Pod.pb");
    for end in 0..body.len() {
        let _ = decode(&body[..end]);
    }
    assert!(decode(b"k8s\x01").is_err());
    assert!(decode(b"{}").is_err());
}
