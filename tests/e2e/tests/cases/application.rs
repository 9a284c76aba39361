//! From a Git repository to objects: sync, a commit, prune, heal, and a repository that is suddenly empty or gone.

use anyhow::{Context, Result, ensure};
use e2e::git::Repository;
use e2e::{Machine, cluster, machine::PATIENCE, until};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;

const KUSTOMIZATION: &str = "resources:\n- a.yaml\n- b.yaml\n";
const LESS: &str = "resources:\n- a.yaml\n";

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value}\n")
}

pub async fn follows_git(machine: &mut Machine) -> Result<()> {
    let repository = Repository::init(&machine.data().with_file_name("site.git"))?;
    let (a, b) = (map("a", "one"), map("b", "one"));
    let files = [
        ("k8s/kustomization.yaml", Some(KUSTOMIZATION)),
        ("k8s/a.yaml", Some(&*a)),
        ("k8s/b.yaml", Some(&*b)),
    ];
    repository.commit("Two maps", &files)?;
    machine.start().await?;
    let client = machine.client().await?;
    let applications = apply(&client, "site", &format!("file://{}", repository.path().display())).await?;

    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "shop");
    holds(&maps, "a", Some("one")).await?;
    holds(&maps, "b", Some("one")).await?;

    // A commit changes one and takes the other away.
    let changed = map("a", "two");
    let files =
        [("k8s/kustomization.yaml", Some(LESS)), ("k8s/a.yaml", Some(&*changed)), ("k8s/b.yaml", None)];
    let second = repository.commit("One map", &files)?;
    holds(&maps, "a", Some("two")).await?;
    holds(&maps, "b", None).await?;
    until("the Application to tell the revision", PATIENCE, async || {
        let status = applications.get("site").await?.data["status"].clone();
        let told = status["sync"]["status"] == "Synced" && status["sync"]["revision"] == second.as_str();
        Ok(told.then_some(()))
    })
    .await?;

    // What is changed or deleted by hand comes back; what is not ours stays.
    let mine = serde_json::from_value(json!({"metadata": {"name": "stranger"}}))?;
    maps.create(&PostParams::default(), &mine).await?;
    maps.delete("a", &DeleteParams::default()).await?;
    holds(&maps, "a", Some("two")).await?;
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "by hand"}}))).await?;
    holds(&maps, "a", Some("two")).await?;
    ensure!(maps.get_opt("stranger").await?.is_some(), "an object that is not in the inventory was deleted");

    // A path that vanished is an error that is told, and prunes nothing.
    repository
        .commit("Oops", &[("k8s/kustomization.yaml", None), ("k8s/a.yaml", None), ("readme", Some("x"))])?;
    let told = complaint(&applications, "site").await?;
    ensure!(told.contains("k8s"), "it does not name the path: {told}");
    holds(&maps, "a", Some("two")).await
}

/// Applies an Application of this repository's `k8s`, as its owner would; gives the API of Applications.
pub async fn apply(client: &kube::Client, name: &str, repository: &str) -> Result<Api<DynamicObject>> {
    let applications: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "argocd", &cluster::application());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    // The engine may have made it first.
    let argocd = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}});
    namespaces.patch("argocd", &PatchParams::apply("e2e"), &Patch::Apply(&argocd)).await?;
    let application: DynamicObject = serde_json::from_value(application(name, repository))?;
    until("the Application to be taken", PATIENCE, async || {
        Ok(Some(applications.patch(name, &PatchParams::apply("e2e"), &Patch::Apply(&application)).await?))
    })
    .await?;
    Ok(applications)
}

fn application(name: &str, repository: &str) -> serde_json::Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "project": "default",
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "source": {"repoURL": repository, "path": "k8s", "targetRevision": "main"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"]},
        },
    })
}

/// What an Application tells that is wrong, once it does.
pub async fn complaint(applications: &Api<DynamicObject>, name: &str) -> Result<String> {
    until(&format!("the Application {name} to tell what is wrong"), PATIENCE, async || {
        let conditions = applications.get(name).await?.data["status"]["conditions"].clone();
        Ok(conditions[0]["message"].as_str().map(str::to_owned))
    })
    .await
}

/// Waits until a map has this value, or is gone.
async fn holds(maps: &Api<ConfigMap>, name: &str, value: Option<&str>) -> Result<()> {
    until(&format!("ConfigMap {name} to be {value:?}"), PATIENCE, async || {
        let found = maps.get_opt(name).await?;
        let found = found.map(|map| map.data.unwrap_or_default().remove("key").unwrap_or_default());
        Ok((found.as_deref() == value).then_some(()))
    })
    .await
    .with_context(|| format!("ConfigMap {name}"))
}
