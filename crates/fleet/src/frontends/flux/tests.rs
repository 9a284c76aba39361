//! What is read from Flux' objects and what is shown in them, as data.

use std::sync::Arc;

use api::Value;
use jiff::Timestamp;

use super::*;
use crate::app::{Fault, FaultKind, ObjectState, State};
use crate::artifact::Artifact;
use crate::frontends::{Context, Settings};
use crate::health::{Health, Status};
use crate::known::Known;
use crate::plan::Standing;
use crate::source::Render;

const COMMIT: &str = "0123456789012345678901234567890123456789";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn repository(status: &str) -> Value {
    json(&format!(
        r#"{{"metadata":{{"name":"site","namespace":"flux-system","generation":1}},
        "spec":{{"url":"https://x/r","interval":"1m","ref":{{"branch":"main"}},"secretRef":{{"name":"token"}}}},"status":{status}}}"#
    ))
}

fn fetched() -> Value {
    repository(&format!(r#"{{"artifact":{{"revision":"main@sha1:{COMMIT}"}}}}"#))
}

fn kustomization(spec: &str) -> Value {
    json(&format!(
        r#"{{"metadata":{{"name":"apps","namespace":"flux-system","generation":3,"annotations":{{"reconcile.fluxcd.io/requestedAt":"t1"}}}},
        "spec":{{"interval":"10m","path":"./apps","prune":true,"sourceRef":{{"kind":"GitRepository","name":"site"}}{spec}}}}}"#
    ))
}

fn read(spec: &str, repositories: &[Value], others: &[Value]) -> Result<App, Fault> {
    let known = Known::default();
    let shared = |all: &[Value]| all.iter().cloned().map(Arc::new).collect::<Vec<_>>();
    known.replace(REPOSITORY, &shared(repositories));
    known.replace(KUSTOMIZATION, &shared(others));
    let settings = Settings::default();
    kustomization::read(&kustomization(spec), &Context::new(&settings, &known, Timestamp::UNIX_EPOCH))
}

#[test]
fn a_repository_is_a_source_without_manifests() {
    let known = Known::default();
    let settings = Settings::default();
    let context = Context::new(&settings, &known, Timestamp::UNIX_EPOCH);
    let app = repository::read(&repository("{}"), &context).unwrap();
    let source = &app.recipe.sources[0];
    assert_eq!((source.revision.as_str(), &source.render), ("refs/heads/main", &Render::Nothing));
    assert_eq!(app.secrets.credentials.as_deref(), Some("token"));
    assert_eq!(app.policy.interval.as_secs(), 60);
    let mut signed = repository("{}");
    signed.set(&["spec", "verify", "mode"], "TagAndHEAD");
    assert!(repository::read(&signed, &context).unwrap_err().text.contains("spec.verify.secretRef"));
    signed.set(&["spec", "verify", "secretRef", "name"], "keys");
    let app = repository::read(&signed, &context).unwrap();
    assert!(app.recipe.sources[0].verify.commit && app.secrets.keys.as_deref() == Some("keys"));
    signed.set(&["spec", "serviceAccountName"], "cloud");
    assert!(repository::read(&signed, &context).unwrap_err().text.contains("spec.serviceAccountName"));
}

#[test]
fn a_kustomization_takes_its_repositorys_commit() {
    let app = read(
        r#","targetNamespace":"shop","wait":true,"timeout":"2m","retryInterval":"20s","serviceAccountName":"deployer",
        "images":[{"name":"nginx","newTag":"2"}],"patches":[{"patch":"p","target":{"kind":"Deployment"}}],
        "commonMetadata":{"labels":{"a":"b"}},"postBuild":{"substitute":{"X":"1"},"substituteFrom":[{"kind":"ConfigMap","name":"vars","optional":true}]},
        "ignore":[{"paths":["/spec/replicas"],"target":{"group":"apps","kind":"Deployment"}}]"#,
        &[fetched()],
        &[],
    )
    .unwrap();
    let source = &app.recipe.sources[0];
    assert_eq!(
        (source.url.as_str(), source.revision.as_str(), source.path.as_str()),
        ("https://x/r", COMMIT, "apps")
    );
    let Render::KustomizeAny(edits) = &source.render else { panic!("{:?}", source.render) };
    assert_eq!(
        (edits.namespace.as_str(), edits.images[0].new_tag.as_str(), edits.patches.len()),
        ("shop", "2", 1)
    );
    assert_eq!(app.recipe.finish.labels["a"], "b");
    assert_eq!(app.recipe.finish.substitute.as_ref().unwrap()["X"], "1");
    assert_eq!(app.user.as_deref(), Some("system:serviceaccount:flux-system:deployer"));
    assert!(app.policy.wait && app.policy.prune && app.policy.timeout.as_secs() == 120);
    assert_eq!(app.policy.retry.first.as_secs(), 20);
    assert_eq!(app.masks[0].pointers, ["/spec/replicas"]);
    assert_eq!(app.refresh, crate::app::Refresh::Normal);
    assert_eq!(app.shown_revision.unwrap(), format!("main@sha1:{COMMIT}"));
}

#[test]
fn what_is_not_there_or_not_done_is_told() {
    let fault =
        |spec: &str, repositories: &[Value], others: &[Value]| read(spec, repositories, others).unwrap_err();
    assert_eq!(fault("", &[], &[]).kind, FaultKind::Artifact);
    assert!(fault("", &[repository("{}")], &[]).text.contains("Source artifact not found"));
    let refused = fault(r#","decryption":{"provider":"sops"}"#, &[fetched()], &[]);
    assert!(refused.kind == FaultKind::Spec && refused.text.contains("spec.decryption"));
    let depends = r#","dependsOn":[{"name":"infra"}]"#;
    assert!(fault(depends, &[fetched()], &[]).text.contains("dependency 'flux-system/infra' not found"));
    let infra = |applied: &str, ready: &str| {
        json(&format!(
            r#"{{"metadata":{{"name":"infra","namespace":"flux-system","generation":2}},"spec":{{"sourceRef":{{"name":"site"}}}},
            "status":{{"observedGeneration":2,"lastAppliedRevision":"{applied}","conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#
        ))
    };
    let now = format!("main@sha1:{COMMIT}");
    assert!(fault(depends, &[fetched()], &[infra(&now, "False")]).text.contains("is not ready"));
    assert!(fault(depends, &[fetched()], &[infra("main@sha1:old", "True")]).text.contains("not up to date"));
    assert!(read(depends, &[fetched()], &[infra(&now, "True")]).is_ok());
}

fn state(objects: Vec<ObjectState>) -> State {
    let inventory = objects.iter().map(|object| (object.id.clone(), object.version.clone())).collect();
    let artifact = Artifact {
        source: String::new(),
        inputs: String::new(),
        revision: COMMIT.into(),
        revisions: vec![COMMIT.into()],
        names: vec!["refs/heads/main".into()],
        digest: "sha256:x".into(),
        counter: 0,
        expiry: None,
        signatures: Vec::new(),
        trusted: String::new(),
        kind: "Kustomize".into(),
        kinds: Vec::new(),
        objects: 1,
        deliberate_empty: false,
        author: String::new(),
        date: String::new(),
        message: String::new(),
    };
    State { artifact: Some(artifact), compared: true, synced: true, objects, inventory, ..State::default() }
}

fn deployment(status: Status) -> ObjectState {
    ObjectState {
        id: Id::new("apps", "Deployment", "shop", "web"),
        version: "v1".into(),
        wave: 0,
        standing: Some(Standing::InSync),
        kept: None,
        health: Some(Health { status, message: String::new() }),
        keep: false,
    }
}

fn condition(patch: &Value, kind: &str) -> (String, String, String) {
    let all = patch.at(&["status", "conditions"]).and_then(Value::as_array).unwrap();
    let one =
        all.iter().find(|one| one.str_at(&["type"]) == kind).unwrap_or_else(|| panic!("no {kind}: {patch}"));
    let text = |field: &str| one.str_at(&[field]).to_string();
    (text("status"), text("reason"), text("message"))
}

#[test]
fn statuses_are_upstreams() {
    let app = read(r#","wait":true"#, &[fetched()], &[]).unwrap();
    let object = kustomization(r#","wait":true"#);
    let show = |state: &State| status::show(&app, &object, state, Timestamp::UNIX_EPOCH).unwrap();
    let good = show(&state(vec![deployment(Status::Healthy)]));
    let revision = format!("main@sha1:{COMMIT}");
    assert_eq!(
        condition(&good, "Ready"),
        ("True".into(), "ReconciliationSucceeded".into(), format!("Applied revision: {revision}"))
    );
    assert_eq!(condition(&good, "Healthy").0, "True");
    assert_eq!(good.str_at(&["status", "lastAppliedRevision"]), revision);
    assert_eq!(good.str_at(&["status", "lastHandledReconcileAt"]), "t1");
    assert_eq!(good.at(&["status", "observedGeneration"]), Some(&Value::Int(3)));
    let entries = good.at(&["status", "inventory", "entries"]).unwrap().to_string();
    assert_eq!(entries, r#"[{"id":"shop_web_apps_Deployment","v":"v1"}]"#);
    let waiting = show(&state(vec![deployment(Status::Progressing)]));
    assert_eq!(condition(&waiting, "Ready").0, "Unknown");
    assert!(condition(&waiting, "Reconciling").2.contains("Running health checks for revision"));
    let late = State { overdue: true, ..state(vec![deployment(Status::Progressing)]) };
    let late = condition(&show(&late), "Ready");
    assert_eq!((late.0.as_str(), late.1.as_str()), ("False", "HealthCheckFailed"));
    assert!(late.2.contains("timeout waiting for: [Deployment/shop/web status: 'InProgress']"), "{}", late.2);
    // The same again is nothing new.
    let mut shown = object.clone();
    *shown.make(&["status"]) = good.get("status").unwrap().clone();
    assert!(status::show(&app, &shown, &state(vec![deployment(Status::Healthy)]), Timestamp::MAX).is_none());
    assert_eq!(status::listed(&shown)[0].0, deployment(Status::Healthy).id);
    let fault = |kind| State { faults: vec![Fault { kind, text: "why".into() }], ..state(vec![]) };
    assert_eq!(condition(&show(&fault(FaultKind::Dependency)), "Ready").1, "DependencyNotReady");
    assert_eq!(condition(&show(&fault(FaultKind::Compare)), "Ready").1, "BuildFailed");
    assert_eq!(condition(&show(&fault(FaultKind::Spec)), "Stalled").0, "True");
}

#[test]
fn repositories_show_their_revision_and_keep_it() {
    let app = App { namespace: "flux-system".into(), name: "site".into(), ..App::default() };
    let good = repository::show(&app, &repository("{}"), &state(vec![]), Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(good.str_at(&["status", "artifact", "revision"]), format!("main@sha1:{COMMIT}"));
    assert_eq!(condition(&good, "Ready").1, "Succeeded");
    let faults = vec![Fault { kind: FaultKind::Offline, text: "gone".into() }];
    let mut shown = repository("{}");
    *shown.make(&["status"]) = good.get("status").unwrap().clone();
    let bad =
        repository::show(&app, &shown, &State { faults, ..state(vec![]) }, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(condition(&bad, "Ready").1, "GitOperationFailed");
    assert_eq!(condition(&bad, "ArtifactInStorage").0, "True");
    assert!(bad.at(&["status", "artifact"]).is_none(), "the artifact stays: {bad}");
}

#[test]
fn annotations_and_labels_are_read() {
    let object = |what: &str| json(&format!(r#"{{"metadata":{{"annotations":{{{what}}}}}}}"#));
    assert!(place(&object(r#""kustomize.toolkit.fluxcd.io/prune":"disabled""#)).keep);
    assert!(place(&object(r#""kustomize.toolkit.fluxcd.io/reconcile":"disabled""#)).leave);
    assert!(place(&object(r#""kustomize.toolkit.fluxcd.io/ssa":"IfNotPresent""#)).only_create);
    assert!(place(&object(r#""kustomize.toolkit.fluxcd.io/force":"enabled""#)).force);
    let mut object = json(r#"{"metadata":{"name":"a"}}"#);
    mark(&App { namespace: "n".into(), name: "k".into(), ..App::default() }, &mut object);
    assert_eq!(marked_by(&Metadata::of(&object)).as_deref(), Some("n/k"));
}

#[test]
fn definitions_are_whole() {
    for definition in definitions::repository().into_iter().chain(definitions::kustomization()) {
        let versions = definition.at(&["spec", "versions"]).and_then(Value::as_array).unwrap();
        assert_eq!(versions.len(), 2);
        assert!(versions[0].at(&["subresources", "status"]).is_some());
    }
}

#[test]
fn entries_name_objects() {
    let id = Id::new("rbac.authorization.k8s.io", "ClusterRole", "", "system:x");
    assert_eq!(entry_id(&id), "_system__x_rbac.authorization.k8s.io_ClusterRole");
    assert_eq!(parse_entry(&entry_id(&id)), Some(id));
}
