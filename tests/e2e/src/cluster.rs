//! Questions that tests and demo ask a cluster and the machine under it.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Api, ListParams};
use kube::discovery::ApiResource;
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The first node that is Ready, once pods can be made: each needs the ServiceAccount of its namespace.
pub async fn ready_node(client: &kube::Client) -> Result<Option<String>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let ready = |node: &Node| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    };
    let found = nodes.list(&ListParams::default()).await?.items.into_iter().find(ready);
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let account = accounts.get_opt("default").await?;
    Ok(found.filter(|_| account.is_some()).and_then(|node| node.metadata.name))
}

/// The Deployment, once as many replicas as wanted are available and none is old.
pub async fn available(deployments: &Api<Deployment>, name: &str, replicas: i32) -> Result<Option<()>> {
    let deployment = deployments.get(name).await?;
    let status = deployment.status.unwrap_or_default();
    let fresh = status.observed_generation >= deployment.metadata.generation;
    let done = status.available_replicas == Some(replicas)
        && status.updated_replicas == Some(replicas)
        && status.replicas == Some(replicas);
    Ok((fresh && done).then_some(()))
}

/// Argo CD's Application as a resource.
pub fn application() -> ApiResource {
    ApiResource {
        group: "argoproj.io".into(),
        version: "v1alpha1".into(),
        api_version: "argoproj.io/v1alpha1".into(),
        kind: "Application".into(),
        plural: "applications".into(),
    }
}

/// One HTTP GET of `/`; the body.
pub async fn get(address: &str) -> Result<String> {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream
            .write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let text = tokio::time::timeout(Duration::from_secs(2), ask)
        .await
        .with_context(|| format!("{address} did not answer"))??;
    let (_, body) = text.split_once("\r\n\r\n").with_context(|| format!("{address} sent no HTTP"))?;
    Ok(body.to_owned())
}

/// The processes below this one whose program has this name, in order.
pub fn processes(name: &str) -> Vec<i32> {
    let named = |pid: &Pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        text.trim() == name
    };
    let mut found: Vec<i32> =
        crate::namespace::descendants().into_iter().filter(named).map(Pid::as_raw).collect();
    found.sort_unstable();
    found
}

/// Bytes of memory of a process, with what it shares divided among those that share it.
pub fn pss(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes << 10)
}
