//! What is read from an Application and what is shown in it, as data.

use std::sync::Arc;

use api::Value;
use jiff::Timestamp;

use super::{definitions, place as places, show, spec};
use crate::app::{App, Fault, FaultKind, ObjectState, State};
use crate::frontends::{Context, Settings};
use crate::health::{Health, Status};
use crate::inventory::Id;
use crate::known::Known;
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

fn project(name: &str, spec: &str) -> Arc<Value> {
    Arc::new(json(&format!(r#"{{"metadata":{{"name":"{name}","namespace":"argocd"}},"spec":{spec}}}"#)))
}

fn with(object: &Value, projects: &[Arc<Value>]) -> Result<App, Fault> {
    let known = Known::default();
    known.replace("AppProject", projects);
    let settings = Settings::default();
    spec::read(object, &Context::new(&settings, &known, "2026-11-21T22:30:00Z".parse().unwrap()))
}

fn everything() -> Arc<Value> {
    project(
        "default",
        r#"{"sourceRepos":["*"],"destinations":[{"namespace":"*","server":"*"}],"clusterResourceWhitelist":[{"group":"*","kind":"*"}]}"#,
    )
}

fn read(rest: &str) -> Result<App, String> {
    with(&application(&format!("{{{DESTINATION},{rest}}}")), &[everything()]).map_err(|fault| fault.text)
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
    assert_eq!((app.destination.as_str(), app.recipe.sources[0].revision.as_str()), ("shop", "main"));
    assert_eq!(app.masks[0].pointers, ["/spec/replicas"]);
    let Render::Kustomize(edits) = &app.recipe.sources[0].render else { panic!("not kustomize") };
    assert_eq!((edits.name_prefix.as_str(), edits.replicas[0].1), ("a-", 3));
    assert_eq!(edits.images[0].new_name, "mirror/nginx");
}

#[test]
fn refuses_by_name_what_it_does_not_do() {
    for (rest, part) in [
        (r#""source":{"repoURL":"https://x/r","chart":"c"}"#, "chart"),
        (r#""source":{"repoURL":"https://x/r","path":"p","helm":{"fancy":"a"}}"#, "helm.fancy"),
        (r#""source":{"repoURL":"https://x/r"}"#, "path is required"),
        (r#""source":{"repoURL":"oci://x/r","path":"."}"#, "repoURL"),
        (
            r#""sources":[{"repoURL":"https://x/r","path":"a"},{"repoURL":"https://x/r"}]"#,
            "sources[1].path is required",
        ),
        (
            r#""source":{"repoURL":"https://x/r","path":"p","kustomize":{"commonAnnotationsEnvsubst":true}}"#,
            "Envsubst",
        ),
        (
            r#""source":{"repoURL":"https://x/r","path":"p","targetRevision":"1.x","tagPrefix":"a/"}"#,
            "tagPrefix",
        ),
        (
            r#""source":{"repoURL":"https://x/r","path":"p","directory":{"disableExtensionFilter":true}}"#,
            "disableExtensionFilter",
        ),
        (
            r#""source":{"repoURL":"https://x/r","path":"p","kustomize":{"patches":[{"patch":"x","options":{"allowNameChange":true}}]}}"#,
            "patches: options",
        ),
        (r#""sourceHydrator":{"drySource":{"repoURL":"https://x/r"}}"#, "spec.sourceHydrator"),
        (r#""x":1"#, "spec.source is required"),
    ] {
        let text = read(rest).unwrap_err();
        assert!(text.contains(part), "{text}");
    }
    let away =
        application(r#"{"destination":{"server":"https://other"},"source":{"repoURL":"/r","path":"."}}"#);
    let fault = with(&away, &[everything()]).unwrap_err();
    assert!(fault.text.contains("another cluster"), "{}", fault.text);
}

#[test]
fn annotations_become_places_and_marks() {
    let hook = json(
        r#"{"metadata":{"annotations":{"argocd.argoproj.io/hook":"PreSync","argocd.argoproj.io/sync-wave":"-2"}}}"#,
    );
    let place = places::place(&hook);
    assert_eq!((place.phase, place.wave), (Phase::Before, -2));
    assert!(place.hook.unwrap().before_creation);
    let kept = json(
        r#"{"metadata":{"annotations":{"argocd.argoproj.io/sync-options":"Prune=false, Replace=true"}}}"#,
    );
    let place = places::place(&kept);
    assert!(place.keep && place.replace && place.hook.is_none());
    let app = App { instance: "web".into(), destination: "shop".into(), ..App::default() };
    let mut object =
        json(r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","namespace":"shop"}}"#);
    places::mark(&app, &mut object);
    assert_eq!(object.str_at(&["metadata", "annotations", spec::TRACKING]), "web:apps/Deployment:shop/d");
    let meta = crate::cluster::Metadata::of(&object);
    assert_eq!(places::marked_by(&meta).as_deref(), Some("web"));
    object.set(&["metadata", "name"], "copy");
    assert_eq!(places::marked_by(&crate::cluster::Metadata::of(&object)), None);
}

#[test]
fn shows_once_and_then_is_silent() {
    let mut object = application(&format!(r#"{{{DESTINATION},"source":{{"repoURL":"/r","path":"."}}}}"#));
    let app = with(&object, &[everything()]).unwrap();
    let id = Id::new("apps", "Deployment", "shop", "d");
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

#[test]
fn projects_permit_and_deny() {
    let object = application(
        r#"{"project":"team","destination":{"name":"in-cluster","namespace":"team-a"},"source":{"repoURL":"https://x/org/r","path":"."},
        "syncPolicy":{"automated":{}}}"#,
    );
    let fault = |spec: &str| with(&object, &[project("team", spec)]).unwrap_err().text;
    assert!(with(&object, &[everything()]).unwrap_err().text.contains("project team which does not exist"));
    assert!(fault(r#"{"sourceRepos":["https://y/*"]}"#).contains("repo https://x/org/r is not permitted"));
    let elsewhere = r#"{"sourceRepos":["*"],"destinations":[{"server":"*","namespace":"team-b"}]}"#;
    assert!(fault(elsewhere).contains("do not match any of the allowed destinations"));
    let rights = r#""sourceRepos":["*"],"destinations":[{"server":"*","namespace":"*"}]"#;
    let signed = format!(r#"{{{rights},"signatureKeys":[{{"keyID":"4AEE18F83AFDEB23"}}]}}"#);
    let app = with(&object, &[project("team", &signed)]).unwrap();
    assert_eq!(app.recipe.sources[0].verify.only, ["4AEE18F83AFDEB23"]);
    let scoped = format!(r#"{{{rights},"permitOnlyProjectScopedClusters":true}}"#);
    assert!(fault(&scoped).contains("spec.permitOnlyProjectScopedClusters"));
    let strict = r#""sourceIntegrity":{"git":{"policies":[{"repos":[{"url":"*"}],"gpg":{"mode":"strict","keys":[]}}]}}"#;
    assert!(fault(&format!("{{{rights},{strict}}}")).contains("a policy without keys lets nothing through"));
    let closed = r#"{"sourceRepos":["*"],"destinations":[{"name":"in-cluster","namespace":"team-*"}],
        "syncWindows":[{"kind":"deny","schedule":"0 22 * * *","duration":"1h","applications":["*"]}]}"#;
    let app = with(&object, &[project("team", closed)]).unwrap();
    assert!(!app.policy.automated && app.again.is_some());
    let permits = app.permits.unwrap();
    let id = |kind: &str, namespace: &str| Id::new("", kind, namespace, "");
    assert!(permits.object(&id("ConfigMap", "team-x")).is_ok());
    assert!(permits.object(&id("ConfigMap", "kube-system")).is_err());
    assert!(permits.object(&id("Namespace", "")).is_err());
}

#[test]
fn charts_take_values_from_many_places() {
    let app = read(
        r#""source":{"repoURL":"https://x/r","path":"charts/shop","helm":{"releaseName":"s","valueFiles":["a.yaml","$values/b.yaml"],
        "valuesObject":{"size":2},"parameters":[{"name":"x","value":"1","forceString":true}],"skipCrds":true}}"#,
    )
    .unwrap();
    let Render::Helm(helm) = &app.recipe.sources[0].render else { panic!("not a chart") };
    assert_eq!((helm.release.as_str(), helm.values.as_str()), ("s", "size: 2\n"));
    assert!(helm.skip_crds && helm.parameters[0].text && helm.value_files.len() == 2);
}

#[test]
fn several_sources_and_operations_are_read() {
    let mut object = application(
        r#"{"project":"default","destination":{"name":"in-cluster","namespace":"a"},"sources":[
        {"repoURL":"https://x/r","path":"app","targetRevision":"1.2.*"},
        {"repoURL":"https://x/v","ref":"values","targetRevision":"main"}],
        "ignoreDifferences":[{"kind":"Deployment","group":"apps","jqPathExpressions":[".spec.replicas"]}]}"#,
    );
    *object.make(&["operation"]) = json(
        r#"{"initiatedBy":{"username":"me"},"sync":{"revisions":["a","b"],"dryRun":true,"prune":true,"syncOptions":["Replace=true"],
        "resources":[{"group":"apps","kind":"Deployment","name":"web"}]}}"#,
    );
    let app = with(&object, &[everything()]).unwrap();
    assert_eq!(app.recipe.sources[0].revision, "semver:1.2.*");
    assert_eq!(
        (app.recipe.sources[1].name.as_str(), &app.recipe.sources[1].render),
        ("values", &Render::Nothing)
    );
    assert_eq!(app.recipe.masks[0].expressions, [".spec.replicas"]);
    let operation = app.operation.unwrap();
    assert!(operation.dry_run && operation.prune && operation.replace && !operation.force);
    assert_eq!(operation.revisions, ["a", "b"]);
    let web = Id::new("apps", "Deployment", "a", "web");
    assert!(operation.selects(&web) && !operation.selects(&Id::new("apps", "Deployment", "a", "other")));
}

#[test]
fn helms_hooks_are_taken_as_upstream_takes_them() {
    let object = |annotations: &str| json(&format!(r#"{{"metadata":{{"annotations":{annotations}}}}}"#));
    let place =
        places::place(&object(r#"{"helm.sh/hook":"pre-install,pre-upgrade","helm.sh/hook-weight":"-5"}"#));
    assert_eq!((place.phase, place.wave, place.hook.is_some()), (Phase::Before, -5, true));
    let place = places::place(&object(r#"{"helm.sh/hook":"test"}"#));
    assert!(place.skip);
    let place = places::place(&object(
        r#"{"helm.sh/hook":"post-install","helm.sh/hook-delete-policy":"hook-succeeded"}"#,
    ));
    assert!(place.phase == Phase::After && place.hook.unwrap().on_success);
    let place = places::place(&object(r#"{"helm.sh/resource-policy":"keep"}"#));
    assert!(place.keep && place.survives);
    let place = places::place(&object(r#"{"argocd.argoproj.io/hook":"SyncFail"}"#));
    assert!(place.phase == Phase::Failed && place.hook.is_some());
}
