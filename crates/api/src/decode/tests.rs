//! Tests of strict decoding and normalisation.

use super::*;
use crate::{json, schema};

fn decode(kind: (&str, &str, &str), text: &str) -> Result<(String, Vec<String>), Error> {
    let of = schema::of_kind(kind.0, kind.1, kind.2).unwrap();
    let mut value = json::parse(text.as_bytes()).unwrap();
    let strict = normalize(of, &mut value)?;
    Ok((json::to_string(&value), strict))
}

const POD: (&str, &str, &str) = ("", "v1", "Pod");
const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");

#[test]
fn leaves_what_go_writes() {
    for (kind, text, expected) in [
        (
            POD,
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"b":"1","a":null},"name":"x","creationTimestamp":null}}"#,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","labels":{"a":"","b":"1"}},"spec":{"containers":null},"status":{}}"#,
        ),
        (
            POD,
            r#"{"spec":{"hostNetwork":false,"containers":[{"resources":{"limits":{"memory":"1024Mi","cpu":0.5}},"name":"a","ports":[]}],"restartPolicy":""}}"#,
            r#"{"metadata":{},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]},"status":{}}"#,
        ),
        (
            DEPLOYMENT,
            r#"{"spec":{"replicas":0}}"#,
            r#"{"metadata":{},"spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}"#,
        ),
        (
            ("", "v1", "Secret"),
            r#"{"data":{"a":"aGk=","b":"aG\nk="},"metadata":{"deletionTimestamp":"2024-01-01T01:00:00+01:00"}}"#,
            r#"{"metadata":{"deletionTimestamp":"2024-01-01T00:00:00Z"},"data":{"a":"aGk=","b":"aGk="}}"#,
        ),
        (
            ("", "v1", "Service"),
            r#"{"spec":{"ports":[{"port":80},{"port":81,"targetPort":"http"}]}}"#,
            r#"{"metadata":{},"spec":{"ports":[{"port":80,"targetPort":0},{"port":81,"targetPort":"http"}]},"status":{"loadBalancer":{}}}"#,
        ),
        (
            ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
            r#"{"metadata":{},"rules":[]}"#,
            r#"{"metadata":{},"rules":[]}"#,
        ),
    ] {
        assert_eq!(decode(kind, text).unwrap(), (expected.into(), vec![]), "{text}");
    }
}

#[test]
fn names_unknown_fields() {
    let text = r#"{"foo":1,"spec":{"containers":[{"name":"a","Image":"b","x":{"y":1}}],"bar":[]}}"#;
    let (_, strict) = decode(POD, text).unwrap();
    assert_eq!(
        strict,
        [
            r#"unknown field "foo""#,
            r#"unknown field "spec.containers[0].Image""#,
            r#"unknown field "spec.containers[0].x""#,
            r#"unknown field "spec.bar""#
        ]
    );
}

#[test]
fn complains_as_go_does() {
    for (kind, text, expected) in [
        (
            DEPLOYMENT,
            r#"{"spec":{"replicas":"3"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            POD,
            r#"{"spec":{"containers":{"a":1}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            POD,
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            POD,
            r#"{"spec":"x"}"#,
            "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
        ),
        (POD, "[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            POD,
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (("", "v1", "Secret"), r#"{"data":{"a":"!"}}"#, "illegal base64 data at input byte 0"),
    ] {
        assert_eq!(decode(kind, text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn fills_in_stated_defaults() {
    let of = schema::of_kind("", "v1", "Pod").unwrap();
    let text =
        r#"{"spec":{"containers":[{"ports":[{"containerPort":80}],"envFrom":[{"configMapRef":{}}]}]}}"#;
    let mut value = json::parse(text.as_bytes()).unwrap();
    default_facts(of, &mut value);
    let expected = r#"{"spec":{"containers":[{"ports":[{"containerPort":80,"protocol":"TCP"}],"envFrom":[{"configMapRef":{}}]}]}}"#;
    assert_eq!(json::to_string(&value), expected);
}

/// Runs texts that upstream's strict serializer (apimachinery v0.36.3, its client's scheme) decoded:
/// `{in, out, err, strict}`. A sample lies in `fixtures`; a longer file is taken from `SKIFF_API_DECODE_CASES`.
#[test]
fn agrees_with_upstream() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in crate::cases::read("SKIFF_API_DECODE_CASES", include_str!("fixtures/upstream.jsonl")) {
        count += 1;
        let sent = case.str_at(&["in"]);
        // Go keeps the text of embedded JSON; a tree knows no difference between 2.0 and 2.
        if sent.contains("2.0") {
            continue;
        }
        let mut value = json::parse(sent.as_bytes()).unwrap();
        let api_version = value.str_at(&["apiVersion"]).to_string();
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        // Without a kind there is nothing to decode; the server's engine says so.
        let Some(of) = schema::of_kind(group, version, value.str_at(&["kind"])) else { continue };
        let expected = case.str_at(&["err"]);
        let result = normalize(of, &mut value);
        let problem = match (result, expected) {
            // Go's errors name types that the facts do not have.
            (Err(_), error) if !error.is_empty() => continue,
            // The client's scheme does not know every kind.
            (Ok(_), error) if error.starts_with("no kind") => continue,
            (Err(error), _) => format!("fails: {error}"),
            (Ok(_), error) if !error.is_empty() => format!("is taken, but {error}"),
            (Ok(mut strict), _) => {
                let mut expected: Vec<String> = case
                    .at(&["strict"])
                    .and_then(Value::as_array)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|text| Some(text.as_str()?.to_string()))
                    .collect();
                strict.sort();
                expected.sort();
                if strict != expected {
                    format!("strict {strict:?}\nexpected {expected:?}")
                } else if json::to_string(&value) != case.str_at(&["out"]) {
                    format!("found    {value}\nexpected {}", case.str_at(&["out"]))
                } else {
                    continue;
                }
            }
        };
        wrong.push(format!("line {count}: {sent}\n{problem}"));
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(8)].join("\n\n"));
}
