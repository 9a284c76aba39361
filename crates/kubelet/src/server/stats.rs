//! What pods and the node use: `/stats/summary` for autoscalers and `kubectl`, Prometheus texts for metrics-server.

use std::fmt::Write;
use std::sync::Arc;

use http::Response;
use runtime::{SandboxStatus, State, Stats};
use serde_json::{Value, json};

use super::{Body, Error, full, json_body};
use crate::node::{disk, meminfo};
use crate::work::Shared;

/// Statistics of a sandbox and of its running containers.
struct Usage {
    sandbox: SandboxStatus,
    whole: Stats,
    containers: Vec<(String, String, Stats)>,
}

async fn usage(shared: &Shared) -> Result<Vec<Usage>, Error> {
    let runtime = &shared.seams.runtime;
    let mut found = Vec::new();
    for sandbox in runtime.list().await.map_err(|error| Error::runtime(&error))? {
        // A pod that ends while it is looked at has nothing to tell.
        let Ok(whole) = runtime.sandbox_stats(&sandbox.spec.uid).await else { continue };
        let mut containers = Vec::new();
        for container in sandbox.containers.iter().filter(|container| container.state == State::Running) {
            if let Ok(stats) = runtime.stats(&container.id).await {
                let started = container.started.unwrap_or(container.created).to_string();
                containers.push((container.name.clone(), started, stats));
            }
        }
        found.push(Usage { sandbox, whole, containers });
    }
    Ok(found)
}

/// A sample a container, with the labels that tell which it is.
fn by_container(usage: &[Usage], value: fn(&Stats) -> f64) -> Vec<(String, f64)> {
    let labels = |pod: &Usage, name: &str| {
        let spec = &pod.sandbox.spec;
        format!("{{container={name:?},namespace={:?},pod={:?}}}", spec.namespace, spec.name)
    };
    usage
        .iter()
        .flat_map(|pod| pod.containers.iter().map(move |(name, _, stats)| (labels(pod, name), value(stats))))
        .collect()
}

/// CPU time of the whole machine in seconds, from /proc/stat.
fn node_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, then idle and iowait left out, irq, softirq, steal; USER_HZ is 100 on all architectures of ours.
    let busy: u64 = ticks
        .iter()
        .enumerate()
        .filter(|(index, _)| matches!(index, 0..=2 | 5..=7))
        .map(|(_, value)| value)
        .sum();
    busy as f64 / 100.0
}

fn cpu(stats: &Stats, now: &str) -> Value {
    json!({"time": now, "usageCoreNanoSeconds": u64::try_from(stats.cpu_usage.as_nanos()).unwrap_or(u64::MAX)})
}

fn memory(stats: &Stats, now: &str) -> Value {
    json!({"time": now, "usageBytes": stats.memory_usage, "workingSetBytes": stats.memory_working_set,
        "rssBytes": stats.memory_rss, "pageFaults": stats.page_faults, "majorPageFaults": stats.major_page_faults})
}

pub(super) async fn summary(shared: &Arc<Shared>) -> Result<Response<Body>, Error> {
    let now = crate::pod::whole(shared.clock.now()).to_string();
    let total = meminfo("MemTotal").unwrap_or(0);
    let free = meminfo("MemAvailable").unwrap_or(0);
    let (size, left) = disk(&shared.config.paths.pods()).unwrap_or((0, 0));
    let mut pods = Vec::new();
    for usage in usage(shared).await? {
        let containers: Vec<Value> = usage
            .containers
            .iter()
            .map(|(name, started, stats)| {
                json!({"name": name, "startTime": started, "cpu": cpu(stats, &now), "memory": memory(stats, &now),
                    "rootfs": {"time": now, "usedBytes": stats.rootfs_used, "inodesUsed": stats.rootfs_inodes, "availableBytes": left, "capacityBytes": size},
                    "logs": {"time": now, "usedBytes": stats.log_used, "availableBytes": left, "capacityBytes": size}})
            })
            .collect();
        pods.push(json!({
            "podRef": {"name": usage.sandbox.spec.name, "namespace": usage.sandbox.spec.namespace, "uid": usage.sandbox.spec.uid},
            "startTime": usage.sandbox.created.to_string(),
            "containers": containers, "cpu": cpu(&usage.whole, &now), "memory": memory(&usage.whole, &now),
            "process_stats": {"process_count": usage.whole.processes},
        }));
    }
    let nanos = (node_cpu() * 1e9) as u64;
    Ok(json_body(&json!({
        "node": {
            "nodeName": shared.config.node_name,
            "startTime": now,
            "cpu": {"time": now, "usageCoreNanoSeconds": nanos},
            "memory": {"time": now, "availableBytes": free, "usageBytes": total.saturating_sub(free), "workingSetBytes": total.saturating_sub(free)},
            "fs": {"time": now, "availableBytes": left, "capacityBytes": size, "usedBytes": size.saturating_sub(left)},
        },
        "pods": pods,
    })))
}

fn prometheus(text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

/// One metric with its help and samples.
fn metric(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, f64)>,
) {
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _infallible = writeln!(out, "{name}{labels} {value}");
    }
}

/// What metrics-server reads.
pub(super) async fn resource(shared: &Arc<Shared>) -> Result<Response<Body>, Error> {
    let usage = usage(shared).await?;
    let containers = |value: fn(&Stats) -> f64| by_container(&usage, value);
    let pods = |value: fn(&Stats) -> f64| -> Vec<(String, f64)> {
        usage
            .iter()
            .map(|pod| {
                let spec = &pod.sandbox.spec;
                (format!("{{namespace={:?},pod={:?}}}", spec.namespace, spec.name), value(&pod.whole))
            })
            .collect()
    };
    let used = meminfo("MemTotal").unwrap_or(0).saturating_sub(meminfo("MemAvailable").unwrap_or(0)) as f64;
    let mut out = String::new();
    let cpu = |stats: &Stats| stats.cpu_usage.as_secs_f64();
    let memory = |stats: &Stats| stats.memory_working_set as f64;
    metric(
        &mut out,
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
        containers(cpu),
    );
    metric(
        &mut out,
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set of the container in bytes",
        containers(memory),
    );
    metric(
        &mut out,
        "node_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the node in core-seconds",
        [(String::new(), node_cpu())],
    );
    metric(
        &mut out,
        "node_memory_working_set_bytes",
        "gauge",
        "Current working set of the node in bytes",
        [(String::new(), used)],
    );
    metric(
        &mut out,
        "pod_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the pod in core-seconds",
        pods(cpu),
    );
    metric(
        &mut out,
        "pod_memory_working_set_bytes",
        "gauge",
        "Current working set of the pod in bytes",
        pods(memory),
    );
    metric(
        &mut out,
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
        [(String::new(), 0.0)],
    );
    Ok(prometheus(out))
}

/// The few of cAdvisor's metrics that dashboards rely on.
pub(super) async fn cadvisor(shared: &Arc<Shared>) -> Result<Response<Body>, Error> {
    let usage = usage(shared).await?;
    let samples = |value: fn(&Stats) -> f64| by_container(&usage, value);
    let mut out = String::new();
    metric(
        &mut out,
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        samples(|stats| stats.cpu_usage.as_secs_f64()),
    );
    metric(
        &mut out,
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        samples(|stats| stats.memory_usage as f64),
    );
    metric(
        &mut out,
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set in bytes.",
        samples(|stats| stats.memory_working_set as f64),
    );
    metric(
        &mut out,
        "container_memory_rss",
        "gauge",
        "Size of RSS in bytes.",
        samples(|stats| stats.memory_rss as f64),
    );
    metric(
        &mut out,
        "container_processes",
        "gauge",
        "Number of processes running inside the container.",
        samples(|stats| stats.processes as f64),
    );
    Ok(prometheus(out))
}

/// The kubelet's own metrics.
pub(super) async fn own(shared: &Arc<Shared>) -> Response<Body> {
    let sandboxes = shared.seams.runtime.list().await.unwrap_or_default();
    let ready = sandboxes.iter().filter(|sandbox| sandbox.ready).count() as f64;
    let running = sandboxes
        .iter()
        .flat_map(|sandbox| &sandbox.containers)
        .filter(|one| one.state == State::Running)
        .count() as f64;
    let mut out = String::new();
    metric(
        &mut out,
        "kubelet_running_pods",
        "gauge",
        "Number of pods that have a running pod sandbox",
        [(String::new(), ready)],
    );
    metric(
        &mut out,
        "kubelet_running_containers",
        "gauge",
        "Number of containers currently running",
        [("{container_state=\"running\"}".to_owned(), running)],
    );
    metric(
        &mut out,
        "kubelet_node_name",
        "gauge",
        "The node's name. The count is always 1.",
        [(format!("{{node={:?}}}", shared.config.node_name), 1.0)],
    );
    prometheus(out)
}
