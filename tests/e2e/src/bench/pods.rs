//! Pods of one sleeping container whose image is present: thirty at once and what they cost at rest, then twenty one by one.
//! A pod's time runs from before its create is sent until a watch tells that it is Running.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e::machine::PATIENCE;
use e2e::{image, until};
use futures_util::future::try_join_all;
use futures_util::stream::{BoxStream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use super::idle::{REST, WATCHED};
use super::usage::{Memory, Rate};
use super::{Bench, Row, Running, megabytes, percentile, with};

const IMAGE: &str = "example.com/bench:1";
const AT_ONCE: usize = 30;
const ONE_BY_ONE: usize = 20;

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let machine = bench.machine("pods")?;
    std::fs::create_dir_all(machine.images())?;
    image::write(IMAGE, "1", &machine.images().join("bench.tar"))?;
    with(machine, |running| async move { rows(&running).await }).await
}

async fn rows(running: &Running) -> Result<Vec<Row>> {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(running.client.clone());
    until("the default service account", PATIENCE, async || {
        accounts.get_opt("default").await.map_err(Into::into)
    })
    .await?;
    // A new node may be tainted for a moment, and one whose disk is nearly full stays so: no pod would be scheduled.
    let nodes: Api<Node> = Api::all(running.client.clone());
    until("a node without taints", PATIENCE, async || {
        let nodes = nodes.list(&ListParams::default()).await?.items;
        let tainted = |node: &Node| {
            node.spec.as_ref().is_some_and(|spec| spec.taints.as_ref().is_some_and(|all| !all.is_empty()))
        };
        Ok((!nodes.iter().any(tainted)).then_some(()))
    })
    .await?;
    let pods: Api<Pod> = Api::default_namespaced(running.client.clone());
    // The first pod finds the image unread and the network not made: it is not counted.
    let mut watch = Watch::open(&pods).await?;
    create(&pods, "first").await?;
    watch.running(["first".to_owned()].into()).await?;
    remove(&pods).await?;
    tokio::time::sleep(REST).await;

    let before = Memory::now(running.pid)?;
    let mut watch = Watch::open(&pods).await?;
    let names: BTreeSet<String> = (0..AT_ONCE).map(|number| format!("idle-{number}")).collect();
    let since = Instant::now();
    try_join_all(names.iter().map(|name| create(&pods, name))).await?;
    let created = since.elapsed();
    watch.running(names).await?;
    let all = since.elapsed();
    tokio::time::sleep(REST).await;
    let after = Memory::now(running.pid)?;
    let rate = Rate::over(WATCHED).await?;
    drop(watch);
    remove(&pods).await?;

    let mut times = Vec::new();
    let mut watch = Watch::open(&pods).await?;
    for number in 0..ONE_BY_ONE {
        let name = format!("single-{number}");
        let since = Instant::now();
        create(&pods, &name).await?;
        watch.running([name].into()).await?;
        times.push(since.elapsed());
    }
    remove(&pods).await?;

    let each = |after: u64, before: u64| (after as f64 - before as f64) / AT_ONCE as f64 / 1e6;
    let per_pod = format!(
        "{:.2} MB (skiff {:+.2}, shims {:.2}, containers {:.2})",
        each(after.sum(), before.sum()),
        each(after.skiff, before.skiff),
        each(after.shims, before.shims),
        each(after.others, before.others),
    );
    let singles = format!(
        "{} / {} ms",
        percentile(&mut times, 0.5).as_millis(),
        percentile(&mut times, 0.99).as_millis()
    );
    let at_once = format!("{:.2} s (creates answered at {:.2} s)", all.as_secs_f64(), created.as_secs_f64());
    Ok(vec![
        Row::new("memory per idle pod, over 30 (PSS)", per_pod, "1 MB", "6.0 MB"),
        Row::new("memory with 30 idle pods (PSS)", megabytes(after.sum()), "", ""),
        Row::new("CPU with 30 idle pods, of a core", format!("{:.2} %", rate.percent), "0.5 %", "13.5 %"),
        Row::new("disk writes with 30 idle pods", format!("{:.2} kB/s", rate.written / 1e3), "", ""),
        Row::new("pod create to Running, p50 / p99 of 20", singles, "60 / 150 ms", "530 / 590 ms"),
        Row::new("30 pods at once, all Running", at_once, "1 s", "4.2 s"),
    ])
}

async fn create(pods: &Api<Pod>, name: &str) -> Result<()> {
    let pod = json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "sleep", "image": IMAGE, "command": ["/bin/toolbox", "pause"]}]},
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    Ok(())
}

/// Deletes every pod and waits until none is left.
async fn remove(pods: &Api<Pod>) -> Result<()> {
    for pod in pods.list(&ListParams::default()).await? {
        let name = pod.metadata.name.context("a pod has no name")?;
        pods.delete(&name, &DeleteParams::default().grace_period(1)).await?;
    }
    until("the pods to be gone", PATIENCE, async || {
        Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
    })
    .await
}

struct Watch {
    events: BoxStream<'static, kube::Result<WatchEvent<Pod>>>,
}

impl Watch {
    /// A watch from now on.
    async fn open(pods: &Api<Pod>) -> Result<Watch> {
        let list = pods.list(&ListParams::default()).await?;
        let revision = list.metadata.resource_version.context("the list has no resource version")?;
        let events = pods.watch(&WatchParams::default().timeout(290), &revision).await?;
        Ok(Watch { events: events.boxed() })
    }

    /// Waits until all of them were told to be Running.
    async fn running(&mut self, mut names: BTreeSet<String>) -> Result<()> {
        let patience: Duration = PATIENCE;
        let wait = async {
            while !names.is_empty() {
                match self.events.next().await.context("the watch of pods ended")?? {
                    WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                        let status = pod.status.unwrap_or_default();
                        match (status.phase.as_deref(), pod.metadata.name) {
                            (Some("Running"), Some(name)) => drop(names.remove(&name)),
                            (Some("Failed"), Some(name)) => bail!("{name} failed: {:?}", status.message),
                            _ => {}
                        }
                    }
                    WatchEvent::Error(status) => bail!("the watch of pods told {status:?}"),
                    WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                }
            }
            Ok(())
        };
        let done = tokio::time::timeout(patience, wait).await;
        done.unwrap_or_else(|_| bail!("waited {}s for pods to be Running", patience.as_secs()))
            .with_context(|| format!("not Running yet: {names:?}"))
    }
}
