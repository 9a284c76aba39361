//! `--disable flux` leaves one front end out with its definitions, and `--disable argocd` beside it both: what is there is followed by
//! nobody any more.

use anyhow::{Result, ensure};
use e2e::git::Repository;
use e2e::{Machine, cluster, machine::PATIENCE, until};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// The groups that are served.
async fn groups(client: &kube::Client) -> Result<Vec<String>> {
    Ok(client.list_api_groups().await?.groups.into_iter().map(|group| group.name).collect())
}

pub async fn left_out(machine: &mut Machine) -> Result<()> {
    let repository = Repository::init(&machine.data().with_file_name("site.git"))?;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n";
    repository.commit("One map", &[("k8s/a.yaml", Some(map))])?;
    machine.add_flags(&["--disable-agent", "--disable", "flux"]);
    machine.start().await?;
    let client = machine.client().await?;
    until("Argo CD's kinds to be served", PATIENCE, async || {
        Ok(groups(&client).await?.iter().any(|group| group == "argoproj.io").then_some(()))
    })
    .await?;
    let application = |name: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
                "source": {"repoURL": format!("file://{}", repository.path().display()), "path": "k8s", "targetRevision": "main"},
            },
        })
    };
    let applications: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "argocd", &cluster::application());
    let put = PatchParams::apply("e2e");
    until("an Application to be taken", PATIENCE, async || {
        Ok(applications.patch("first", &put, &Patch::Apply(application("first"))).await.ok())
    })
    .await?;
    until("the Application to be looked at", PATIENCE, async || {
        let status = applications.get("first").await?.data["status"].clone();
        Ok((status["sync"]["status"] == "OutOfSync").then_some(()))
    })
    .await?;
    let served = groups(&client).await?;
    ensure!(!served.iter().any(|group| group.ends_with("toolkit.fluxcd.io")), "served: {served:?}");
    machine.stop()?;

    machine.add_flags(&["--disable", "argocd"]);
    machine.start().await?;
    let client = machine.client().await?;
    let told = machine.skiff(&["status", "-o", "json"]).output()?;
    let told: Value = serde_json::from_slice(&told.stdout)?;
    let text = told.to_string();
    ensure!(text.contains("--disable=argocd,flux"), "{text}");
    let applications: Api<DynamicObject> = Api::namespaced_with(client, "argocd", &cluster::application());
    let before = applications.get("first").await?;
    let asked = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
    applications.patch("first", &PatchParams::default(), &Patch::Merge(asked)).await?;
    applications.patch("second", &put, &Patch::Apply(application("second"))).await?;
    // A commit, and several times the second after which it would be looked at.
    repository.commit("Another", &[("k8s/b.yaml", Some(&map.replace("name: a", "name: b")))])?;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let (first, second) = (applications.get("first").await?, applications.get("second").await?);
    ensure!(first.data["status"] == before.data["status"], "the first was looked at");
    let annotations = first.metadata.annotations.unwrap_or_default();
    ensure!(annotations.contains_key("argocd.argoproj.io/refresh"), "somebody heard the first");
    ensure!(second.data["status"].is_null(), "the second was looked at");
    machine.stop()?;
    Ok(())
}
