//! Beside the originals: a live controller keeps us off, what it made is taken over with nothing restarted and no field
//! lost, and handed back. Needs the program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

mod bench;

use std::time::Duration;

use api::Value;
use bench::{Bench, bench, map, yaml};
use fleet::frontends::Settings;
use fleet::handover::{self, What};

/// Sends a write of another's field manager.
async fn write(bench: &Bench, method: http::Method, manager: &str, object: &Value) -> Result<Value, String> {
    let kind = bench.cluster.kind(object.str_at(&["apiVersion"]), object.str_at(&["kind"])).await.unwrap();
    let root = if kind.group.is_empty() { "api" } else { "apis" };
    let namespace = match object.str_at(&["metadata", "namespace"]) {
        "" => String::new(),
        namespace => format!("namespaces/{namespace}/"),
    };
    let name = object.str_at(&["metadata", "name"]);
    let at = if method == http::Method::POST { String::new() } else { format!("/{name}") };
    let uri = format!("/{root}/{}/{namespace}{}{at}?fieldManager={manager}", kind.api_version(), kind.plural);
    let content = match method {
        http::Method::PATCH => "application/apply-patch+yaml",
        _ => "application/json",
    };
    let request = http::Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content)
        .body(object.to_json())
        .unwrap();
    bench.client.request::<Value>(request).await.map_err(|error| error.to_string())
}

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      - {{name: c, image: {image}, env: [{{name: A, value: b}}]}}\n"
    )
}

/// What a pod's restart would show in: the object is the same, and so is its spec. (Its generation counts annotations too.)
async fn standing(bench: &Bench) -> (String, String) {
    let object = bench.get("Deployment", "web").await.unwrap();
    (object.str_at(&["metadata", "uid"]).into(), object.get("spec").unwrap().to_string())
}

/// The Deployment's pods, where controllers make some: not in an API server alone.
async fn pods(bench: &Bench) -> Vec<String> {
    let kind = bench.cluster.kind("v1", "Pod").await.unwrap();
    bench
        .until("a pod of the Deployment", async || {
            let all = bench.cluster.list(&kind, &bench.namespace, "app=web").await.unwrap();
            let uids: Vec<String> =
                all.iter().map(|one| one.str_at(&["metadata", "uid"]).to_string()).collect();
            (bench.own.is_some() || !uids.is_empty()).then_some(uids)
        })
        .await
}

async fn managers(bench: &Bench, kind: &str, name: &str) -> Vec<String> {
    let object = bench.get(kind, name).await.unwrap();
    let all = object.at(&["metadata", "managedFields"]).unwrap().as_array().unwrap().to_vec();
    let own = all.iter().filter(|one| one.str_at(&["subresource"]).is_empty());
    own.map(|one| format!("{}/{}", one.str_at(&["manager"]), one.str_at(&["operation"])))
        // Whoever counts revisions in the cluster's own controllers.
        .filter(|one| !one.starts_with("kube-controller-manager"))
        .collect()
}

fn placed(bench: &Bench, text: &str, marks: &str) -> Value {
    let mut object = yaml(text);
    object.set(&["metadata", "namespace"], bench.namespace.as_str());
    let more = yaml(&format!("x: 1\nmetadata: {marks}"));
    for field in ["labels", "annotations"] {
        for (key, value) in
            more.at(&["metadata", field]).and_then(Value::as_map).into_iter().flat_map(|map| map.iter())
        {
            object.set(&["metadata", field, key], value.clone());
        }
    }
    object
}

async fn namespace(bench: &Bench) {
    bench
        .apply(&yaml(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", bench.namespace)))
        .await;
}

async fn until_off(bench: &Bench) {
    bench
        .until("an event that says that we stay off", async || {
            let kind = bench.cluster.kind("v1", "Event").await.unwrap();
            let all = bench.cluster.list(&kind, &bench.namespace, "").await.unwrap();
            all.iter().any(|one| one.str_at(&["reason"]) == "FrontEndOff").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_is_taken_over_and_handed_back() {
    let mut bench = bench("fluxover").await;
    namespace(&bench).await;
    let name = bench.namespace.clone();
    bench.commit(&[("apps/a.yaml", &map("a", "one")), ("apps/web.yaml", &deployment("i:1"))]);

    // Flux is live: its Lease is held.
    let lease = |holder: &str| {
        yaml(&format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: kustomize-controller-leader-election, namespace: {name}}}\nspec: {{holderIdentity: '{holder}', leaseDurationSeconds: 3600, renewTime: '2020-01-01T00:00:00.000000Z'}}\n"
        ))
    };
    bench.apply(&lease("kustomize-controller-x")).await;
    until_off(&bench).await;

    // What Flux made, in its way.
    let marks = format!(
        "{{labels: {{kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: {name}}}}}"
    );
    for text in [map("a", "one") + "  old: x\n", deployment("i:1")] {
        let object = placed(&bench, &text, &marks);
        write(&bench, http::Method::PATCH, "kustomize-controller", &object).await.unwrap();
    }
    bench
        .apply(&yaml(&format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: site, namespace: {name}}}\nspec: {{url: 'file://{}', interval: 1m, ref: {{branch: main}}}}\n",
            bench.repository().display()
        )))
        .await;
    bench
        .apply(&yaml(&format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: apps, namespace: {name}}}\nspec: {{interval: 10m, path: apps, prune: true, targetNamespace: {name}, sourceRef: {{kind: GitRepository, name: site}}}}\n"
        )))
        .await;
    let served = bench.cluster.kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization").await.unwrap();
    let status = format!(
        r#"{{"status":{{"inventory":{{"entries":[{{"id":"{name}_a__ConfigMap","v":"v1"}},{{"id":"{name}_web_apps_Deployment","v":"v1"}}]}}}}}}"#
    );
    let status: Value = serde_json::from_str(&status).unwrap();
    bench.cluster.status_patch(&served, &name, "apps", &status).await.unwrap();
    let (before, pods_before) = (standing(&bench).await, pods(&bench).await);
    let settings = Settings::default();

    // Scaled down, its Lease let go: we are on, and make it ours.
    bench.apply(&lease("")).await;
    let told = handover::take_over(&bench.cluster, "flux", &settings).await.unwrap();
    assert!(
        told.iter()
            .filter(|one| one.by.ends_with("/apps"))
            .all(|one| matches!(one.what, What::Moved | What::Already)),
        "{told:?}"
    );
    bench
        .until("the field that Git does not have is gone", async || {
            bench.get("ConfigMap", "a").await?.at(&["data", "old"]).is_none().then_some(())
        })
        .await;
    bench
        .until("ready", async || {
            let object = bench.cluster.get(&served, &name, "apps").await.unwrap()?;
            let all = object.at(&["status", "conditions"])?.as_array()?.to_vec();
            all.iter().any(|one| one.str_at(&["reason"]) == "ReconciliationSucceeded").then_some(())
        })
        .await;
    assert_eq!(standing(&bench).await, before);
    assert_eq!(pods(&bench).await, pods_before);
    assert_eq!(managers(&bench, "Deployment", "web").await, ["skiff-fleet/Apply"]);
    assert_eq!(managers(&bench, "ConfigMap", "a").await, ["skiff-fleet/Apply"]);

    // Back again.
    let (told, answered) =
        handover::hand_back(&bench.cluster, "flux", &settings, Duration::from_secs(30)).await.unwrap();
    assert!(answered);
    let own: Vec<_> = told.iter().filter(|one| one.by.ends_with(&format!("{name}/apps"))).collect();
    assert!(own.len() == 2 && own.iter().all(|one| one.what == What::Moved), "{told:?}");
    assert_eq!(managers(&bench, "Deployment", "web").await, ["kustomize-controller/Apply"]);
    assert_eq!(standing(&bench).await, before);
    // Flux applies without force, and a field that it leaves out goes; we do nothing about it.
    let object = placed(&bench, &map("a", "theirs"), &marks);
    write(&bench, http::Method::PATCH, "kustomize-controller", &object).await.unwrap();
    let mut other = placed(&bench, &deployment("i:1"), &marks);
    other.remove(&["spec", "replicas"]);
    write(&bench, http::Method::PATCH, "kustomize-controller", &other).await.unwrap();
    bench.commit(&[("apps/a.yaml", &map("a", "two")), ("apps/web.yaml", &deployment("i:2"))]);
    assert_eq!(standing(&bench).await.0, before.0);

    // An agent that starts anew knows that it is not ours.
    bench.stop().await;
    bench.start().await;
    let settled = bench.cluster.get(&served, &name, "apps").await.unwrap().unwrap();
    assert_eq!(settled.str_at(&["metadata", "annotations", handover::HANDED_BACK]), "done");
    assert_eq!(bench.value("a").await.as_deref(), Some("theirs"));

    // And once more.
    let told = handover::take_over(&bench.cluster, "flux", &settings).await.unwrap();
    assert!(told.iter().all(|one| !matches!(one.what, What::Failed(_))), "{told:?}");
    bench.until_value("a", Some("two")).await;
    for kind in ["Kustomization", "GitRepository"] {
        let which = if kind == "Kustomization" { "apps" } else { "site" };
        bench.remove((bench::api_version(kind), kind), &name, which).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn argo_cd_is_taken_over_and_handed_back() {
    let bench = bench("argoover").await;
    namespace(&bench).await;
    let name = bench.namespace.clone();
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/web.yaml", &deployment("i:1"))]);
    let settings = Settings::default();

    // Argo CD is to run: its controller has a replica.
    let controller = |replicas: u32| {
        yaml(&format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: argocd-application-controller, namespace: {name}, labels: {{app.kubernetes.io/name: argocd-application-controller}}}}\nspec: {{replicas: {replicas}, serviceName: x, selector: {{matchLabels: {{a: b}}}}, template: {{metadata: {{labels: {{a: b}}}}, spec: {{nodeSelector: {{no: node}}, containers: [{{name: c, image: i}}]}}}}}}\n"
        ))
    };
    bench.apply(&controller(1)).await;
    let refused = handover::take_over(&bench.cluster, "argocd", &settings).await.unwrap_err().to_string();
    assert!(refused.contains("scale statefulset argocd-application-controller --replicas=0"), "{refused}");
    until_off(&bench).await;

    // What is there: an object of kubectl with its note, one of helm that Argo CD took, both by the older mark.
    let marks = format!("{{labels: {{app.kubernetes.io/instance: {name}}}}}");
    let mut noted = placed(&bench, &(map("a", "one") + "  old: x\n"), &marks);
    let note = noted.to_string();
    noted.set(&["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"], note);
    write(&bench, http::Method::POST, "argocd-controller", &noted).await.unwrap();
    let helm = placed(
        &bench,
        &deployment("i:1"),
        &format!(
            "{{labels: {{app.kubernetes.io/instance: {name}, app.kubernetes.io/managed-by: Helm}}, annotations: {{meta.helm.sh/release-name: web}}}}"
        ),
    );
    write(&bench, http::Method::POST, "helm", &helm).await.unwrap();
    // Not automated: nobody but takeover may write.
    bench.create("").await;
    let app = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    let resource = |group: &str, kind: &str, which: &str| {
        format!(
            r#"{{"group":"{group}","version":"v1","kind":"{kind}","namespace":"{name}","name":"{which}"}}"#
        )
    };
    let status = format!(
        r#"{{"status":{{"resources":[{},{}]}}}}"#,
        resource("", "ConfigMap", "a"),
        resource("apps", "Deployment", "web")
    );
    let status: Value = serde_json::from_str(&status).unwrap();
    bench.cluster.merge_patch(&app, "argocd", &name, &status).await.unwrap();
    let (before, pods_before) = (standing(&bench).await, pods(&bench).await);

    bench.apply(&controller(0)).await;
    let told = bench
        .until("the pods of the controller are gone", async || {
            handover::take_over(&bench.cluster, "argocd", &settings).await.ok()
        })
        .await;
    let own: Vec<_> = told.iter().filter(|one| one.by.ends_with(&name)).collect();
    assert!(own.len() == 2 && own.iter().all(|one| one.what == What::Moved), "{told:?}");
    assert_eq!(managers(&bench, "Deployment", "web").await, ["skiff-fleet/Apply"]);
    // The agent compares: one field too many in one, labels that Git does not have in both. Only a sync would write.
    bench
        .until("compared", async || {
            let status = bench.status().await;
            (status.str_at(&["sync", "status"]) == "OutOfSync").then_some(())
        })
        .await;
    assert_eq!(standing(&bench).await, before);
    assert_eq!(bench.get("ConfigMap", "a").await.unwrap().str_at(&["data", "old"]), "x");
    bench.order(r#"{"sync":{}}"#).await;
    bench.until_synced().await;
    assert_eq!(bench.get("ConfigMap", "a").await.unwrap().at(&["data", "old"]), None);
    assert_eq!(standing(&bench).await, before);
    assert_eq!(pods(&bench).await, pods_before);

    let (told, answered) =
        handover::hand_back(&bench.cluster, "argocd", &settings, Duration::from_secs(30)).await.unwrap();
    let own: Vec<_> = told.iter().filter(|one| one.by.ends_with(&name)).collect();
    assert!(answered && own.iter().all(|one| one.what == What::Moved), "{told:?}");
    assert_eq!(managers(&bench, "Deployment", "web").await, ["argocd-controller/Update"]);
    let handed = bench.get("Deployment", "web").await.unwrap();
    let note =
        handed.str_at(&["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"]);
    let note: Value = serde_json::from_str(note).unwrap();
    assert!(fleet_same(note.get("spec").unwrap(), yaml(&deployment("i:1")).get("spec").unwrap()), "{note}");
    assert_eq!(standing(&bench).await, before);

    // Taken over again, nothing differs: recognised without a write.
    handover::take_over(&bench.cluster, "argocd", &settings).await.unwrap();
    let revision =
        bench.get("Deployment", "web").await.unwrap().str_at(&["metadata", "resourceVersion"]).to_string();
    bench.until_synced().await;
    let after = bench.get("Deployment", "web").await.unwrap();
    assert_eq!(after.str_at(&["metadata", "resourceVersion"]), revision);
    assert_eq!(managers(&bench, "Deployment", "web").await, ["skiff-fleet/Apply"]);
    let kind = bench.cluster.kind("apps/v1", "StatefulSet").await.unwrap();
    bench.cluster.delete(&kind, &name, "argocd-application-controller", "", "Background").await.unwrap();
    bench.finish().await;
}

/// Equal, in whatever order of fields.
fn fleet_same(a: &Value, b: &Value) -> bool {
    let sorted = |value: &Value| serde_json::from_str::<serde_json::Value>(&value.to_string()).unwrap();
    sorted(a) == sorted(b)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_there_is_used_and_never_changed() {
    // Two of its own: whoever installed it wrote a label that ours does not have.
    let mut bench = bench("crd").await;
    let kind = bench.cluster.kind("apiextensions.k8s.io/v1", "CustomResourceDefinition").await.unwrap();
    let name = "applications.argoproj.io";
    let label: Value = serde_json::from_str(r#"{"metadata":{"labels":{"theirs":"x"}}}"#).unwrap();
    bench.stop().await;
    bench.cluster.merge_patch(&kind, "", name, &label).await.unwrap();
    let before = bench.cluster.get(&kind, "", name).await.unwrap().unwrap();
    bench.start().await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create("  syncPolicy: {automated: {}, syncOptions: [CreateNamespace=true]}\n").await;
    bench.until_synced().await;
    let after = bench.cluster.get(&kind, "", name).await.unwrap().unwrap();
    assert_eq!(
        before.str_at(&["metadata", "resourceVersion"]),
        after.str_at(&["metadata", "resourceVersion"])
    );
    let clean: Value = serde_json::from_str(r#"{"metadata":{"labels":{"theirs":null}}}"#).unwrap();
    bench.cluster.merge_patch(&kind, "", name, &clean).await.unwrap();
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_that_is_not_asked_for_installs_nothing() {
    let mut bench = bench::bench_with("only", |config| config.front_ends = vec!["argocd".into()]).await;
    bench.stop().await;
    let flux = bench.cluster.kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization").await;
    // On a cluster that others use too, it may be there already.
    assert!(bench.own.is_none() || flux.is_err());
    bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
}
