//! One pod on the node, without a scheduler: it runs, tells so, outlives the server, and goes.

use anyhow::{Context, Result, ensure};
use e2e::{Machine, cluster, image, machine::PATIENCE, until};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

pub async fn by_hand(machine: &mut Machine) -> Result<()> {
    image::put(machine, "example.com/web", &["1"])?;
    machine.start().await?;
    let client = machine.client().await?;
    let node = until("a Ready node", PATIENCE, async || cluster::ready_node(&client).await).await?;
    let api: Api<Pod> = Api::default_namespaced(client);
    let pod = json!({
        "metadata": {"name": "web"},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": false,
            "containers": [{"name": "web", "image": "example.com/web:1", "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}}],
        },
    });
    api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let running = until("the pod to be ready", PATIENCE, async || ready(&api).await).await?;
    let status = running.status.clone().context("it has no status")?;
    let address = format!("{}:8080", status.pod_ip.context("it has no address")?);
    ensure!(cluster::get(&address).await?.contains("version=1"), "the pod does not serve its page");

    let before = cluster::processes("toolbox");
    machine.kill()?;
    ensure!(cluster::get(&address).await?.contains("version=1"), "it does not serve without skiff");
    machine.start().await?;
    let api: Api<Pod> = Api::default_namespaced(machine.client().await?);
    let again = until("the pod to be ready", PATIENCE, async || ready(&api).await).await?;
    ensure!(cluster::processes("toolbox") == before, "its process is another one");
    let count =
        |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().map(|one| one.restart_count);
    ensure!(count(&again) == Some(0), "it was restarted");

    api.delete("web", &DeleteParams::default().grace_period(1)).await?;
    until("the pod to be gone", PATIENCE, async || Ok(api.get_opt("web").await?.is_none().then_some(())))
        .await?;
    ensure!(cluster::processes("toolbox").is_empty(), "its process is still there");
    Ok(())
}

async fn ready(api: &Api<Pod>) -> Result<Option<Pod>> {
    let pod = api.get("web").await?;
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    Ok(conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True").then_some(pod))
}
