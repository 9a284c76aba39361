//! A Deployment to Running, its Service by address, node port and name, a rollout, and a scale to nothing.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use e2e::{Machine, cluster, image, machine::PATIENCE, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

pub async fn deployment(machine: &mut Machine) -> Result<()> {
    image::put(machine, "example.com/web", &["1", "2"])?;
    machine.start().await?;
    let client = machine.client().await?;
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let services: Api<Service> = Api::default_namespaced(client);
    deployments.create(&PostParams::default(), &serde_json::from_value(web())?).await?;
    let service = json!({
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let service = services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
    let spec = service.spec.context("the Service has no spec")?;
    let address = spec.cluster_ip.context("the Service has no address")?;
    let port =
        spec.ports.and_then(|ports| ports.first()?.node_port).context("the Service has no node port")?;
    let available = async |count| cluster::available(&deployments, "web", count).await;
    until("two available pods", PATIENCE, async || available(2).await).await?;
    let places = [format!("{address}:80"), format!("127.0.0.1:{port}")];
    for place in &places {
        answers(place, "version=1").await?;
    }
    let found = resolve("web.default.svc.cluster.local").await?;
    ensure!(found == Some(address.parse()?), "the name is {found:?}, the Service is at {address}");
    ensure!(
        resolve("none.default.svc.cluster.local").await?.is_none(),
        "a name that is not there has an address"
    );

    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "example.com/web:2"}]}}}});
    let to = |patch: Value| Patch::Strategic(patch);
    deployments.patch("web", &PatchParams::default(), &to(image)).await?;
    until("the rollout to end", PATIENCE, async || available(2).await).await?;
    answers(&places[0], "version=2").await?;

    deployments.patch("web", &PatchParams::default(), &to(json!({"spec": {"replicas": 0}}))).await?;
    until("a Service without pods to refuse", PATIENCE, async || {
        Ok(tokio::net::TcpStream::connect(&places[0]).await.is_err().then_some(()))
    })
    .await
}

async fn answers(place: &str, part: &str) -> Result<()> {
    until(&format!("{place} to answer with {part}"), PATIENCE, async || {
        Ok(cluster::get(place).await?.contains(part).then_some(()))
    })
    .await
}

fn web() -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "web",
                        "image": "example.com/web:1",
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
                    }],
                },
            },
        },
    })
}

/// Asks the cluster's DNS for an A record (RFC 1035, section 4).
async fn resolve(name: &str) -> Result<Option<Ipv4Addr>> {
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(label.len() as u8);
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.send_to(&question, "10.43.0.10:53").await?;
    let mut answer = [0u8; 512];
    let length =
        tokio::time::timeout(PATIENCE, socket.recv(&mut answer)).await.context("the DNS is silent")??;
    ensure!(answer[..2] == question[..2], "an answer to another question");
    // The one A record, if there is one, is what the answer ends with unless an OPT record follows.
    if u16::from_be_bytes([answer[6], answer[7]]) == 0 {
        return Ok(None);
    }
    let record = &answer[question.len()..length];
    let data = record.get(12..16).context("the answer is cut off")?;
    Ok(Some(Ipv4Addr::new(data[0], data[1], data[2], data[3])))
}
