//! What is read from an Application and what is shown in it, as data.

use api::Value;
use jiff::Timestamp;

use super::{definitions, show, spec};
use crate::app::{App, Fault, FaultKind, ObjectState, State};
use crate::frontends::Settings;
use crate::health::{Health, Status};
use crate::inventory::Id;
use crate::plan::Standing;
use crate::source::Render;
use crate::step::Phase;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn application(spec: &str) -> Value {
    json(&format!(
        r#"{{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","metadata":{{"name":"web","namespace":"argocd","uid":"u"}},"spec":{spec}}}"#
    ))
}

const DESTINATION: &str =
    r#""project":"default","destination":{"server":"https://kubernetes.default.svc","namespace":"shop"}"#;

fn read(rest: &str) -> Result<App, String> {
    spec::read(&application(&format!("{{{DESTINATION},{rest}}}")), &Settings::default())
        .map_err(|fault| fault.text)
}

#[test]
fn reads_what_argo_reads() {
    let app = read(
        r#""source":{"repoURL":"https://example.com/r.git","path":"k8s","targetRevision":"main","kustomize":
        {"namePrefix":"a-","images":["nginx=mirror/nginx:1"],"replicas":[{"name":"w","count":"3"}],"commonLabels":{"x":"y"}}},
        "syncPolicy":{"automated":{"prune":true,"selfHeal":true},"syncOptions":["CreateNamespace=true"],
        "retry":{"limit":3,"backoff":{"duration":"5s","factor":3,"maxDuration":"1m"}}},
        "ignoreDifferences":[{"group":"apps","kind":"Deployment","jsonPointers":["/spec/replicas"]}]"#,
    )
    .unwrap();
    assert!(app.policy.automated && app.policy.prune && app.policy.heal && !app.policy.empty);
    assert!(app.policy.create_namespace && app.policy.retry.limit == Some(3));
    assert_eq!((app.destination.as_str(), app.source.revision.as_str()), ("shop", "main"));
    assert_eq!(app.masks[0].pointers, ["/spec/replicas"]);
    let Render::Kustomize(edits) = app.source.render else { panic!("not kustomize") };
    assert_eq!((edits.name_prefix.as_str(), edits.replicas[0].1), ("a-", 3));
    assert_eq!(edits.images[0].new_name, "mirror/nginx");
}

#[test]
fn refuses_by_name_what_it_does_not_do() {
    for (rest, part) in [
        (r#""source":{"repoURL":"https://x/r","chart":"c"}"#, "chart"),
        (r#""source":{"repoURL":"https://x/r","path":"p","helm":{"values":"a"}}"#, "helm"),
        (r#""source":{"repoURL":"https://x/r"}"#, "path is required"),
        (r#""source":{"repoURL":"oci://x/r","path":"."}"#, "repoURL"),
        (r#""sources":[{},{}]"#, "several sources"),
        (r#""x":1"#, "spec.source is required"),
    ] {
        let text = read(rest).unwrap_err();
        assert!(text.contains(part), "{text}");
    }
    let away =
        application(r#"{"destination":{"server":"https://other"},"source":{"repoURL":"/r","path":"."}}"#);
    let fault = spec::read(&away, &Settings::default()).unwrap_err();
    assert!(fault.text.contains("another cluster"), "{}", fault.text);
}

#[test]
fn annotations_become_places_and_marks() {
    let hook = json(
        r#"{"metadata":{"annotations":{"argocd.argoproj.io/hook":"PreSync","argocd.argoproj.io/sync-wave":"-2"}}}"#,
    );
    let place = spec::place(&hook);
    assert_eq!((place.phase, place.wave), (Phase::Before, -2));
    assert!(place.hook.unwrap().before_creation);
    let kept = json(
        r#"{"metadata":{"annotations":{"argocd.argoproj.io/sync-options":"Prune=false, Replace=true"}}}"#,
    );
    let place = spec::place(&kept);
    assert!(place.keep && place.replace && place.hook.is_none());
    let app = App { instance: "web".into(), destination: "shop".into(), ..App::default() };
    let mut object =
        json(r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","namespace":"shop"}}"#);
    spec::mark(&app, &mut object);
    assert_eq!(object.str_at(&["metadata", "annotations", spec::TRACKING]), "web:apps/Deployment:shop/d");
    let meta = crate::cluster::Metadata::of(&object);
    assert_eq!(spec::marked_by(&meta).as_deref(), Some("web"));
    object.set(&["metadata", "name"], "copy");
    assert_eq!(spec::marked_by(&crate::cluster::Metadata::of(&object)), None);
}

#[test]
fn shows_once_and_then_is_silent() {
    let mut object = application(&format!(r#"{{{DESTINATION},"source":{{"repoURL":"/r","path":"."}}}}"#));
    let app = spec::read(&object, &Settings::default()).unwrap();
    let id =
        Id { group: "apps".into(), kind: "Deployment".into(), namespace: "shop".into(), name: "d".into() };
    let health = Health { status: Status::Progressing, message: "waiting".into() };
    let state = State {
        compared: true,
        synced: true,
        objects: vec![ObjectState {
            id,
            version: "v1".into(),
            wave: 0,
            standing: Some(Standing::InSync),
            kept: None,
            health: Some(health),
            keep: false,
        }],
        faults: vec![Fault { kind: FaultKind::Offline, text: "offline since".into() }],
        ..State::default()
    };
    let patch = show::show(&app, &object, &state, Timestamp::UNIX_EPOCH).unwrap();
    let status = patch.get("status").unwrap().clone();
    assert_eq!(status.str_at(&["sync", "status"]), "Synced");
    assert!(status.to_string().contains(r#""type":"ComparisonError","message":"offline since""#), "{status}");
    object.set(&["status"], status);
    let later: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(show::show(&app, &object, &state, later), None);
    let patch = show::show(&app, &object, &State { faults: Vec::new(), ..state }, later).unwrap();
    assert_eq!(patch.at(&["status", "conditions"]), Some(&Value::Null));
}

#[test]
fn definitions_can_be_read() {
    assert_eq!(definitions::all().len(), 4);
}
