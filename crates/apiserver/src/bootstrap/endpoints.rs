//! Where the `kubernetes` Service leads: to every server on this store (k8s.io/kubernetes/pkg/controlplane/reconcilers/lease.go).
//!
//! Each server says in the store that it is there, for a few seconds, and again before they are over. Endpoints and EndpointSlice
//! hold those that are: one that was killed is gone after [`LASTS`], one that is stopped at once. A server that has its store alone
//! is the only one, and asks nobody.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::Value;

use crate::engine::update::Part;
use crate::server::Inner;
use crate::status::Status;

/// Upstream's DefaultEndpointReconcilerInterval and DefaultEndpointReconcilerTTL.
const INTERVAL: Duration = Duration::from_secs(10);
const LASTS: Duration = Duration::from_secs(15);

/// Puts the endpoints right, and keeps them so where there may be other servers.
pub(super) async fn start(inner: &Arc<Inner>) -> Result<(), Status> {
    let address = inner.config.advertise;
    if address.ip().is_loopback() {
        // No pod could follow such an endpoint, and validation refuses it.
        tracing::warn!(%address, "the advertised address is a loopback address: the kubernetes Service gets no endpoints");
        return Ok(());
    }
    if !reconcile(inner).await? {
        return Ok(());
    }
    let own = inner.clone();
    inner.tasks.spawn("kubernetes-endpoints", async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = reconcile(&own).await {
                tracing::warn!(
                    error = error.message(),
                    "the endpoints of the kubernetes Service are as they were"
                );
            }
        }
    });
    Ok(())
}

/// Says that this server is no more; the others take it from the endpoints.
pub(crate) async fn withdraw(inner: &Inner) {
    let own = inner.config.advertise.ip();
    if let Err(error) = inner.store.withdraw(&own.to_string()).await {
        tracing::warn!(error = %base::chain(&error), "the store says for some seconds more that this server is there");
    }
}

/// `true`: there may be other servers.
async fn reconcile(inner: &Arc<Inner>) -> Result<bool, Status> {
    let own = inner.config.advertise.ip();
    let told = inner.store.announce(&own.to_string(), LASTS).await.map_err(Status::internal)?;
    let alone = told.is_none();
    let mut servers: Vec<IpAddr> = told.into_iter().flatten().filter_map(|name| name.parse().ok()).collect();
    if !servers.contains(&own) {
        servers.push(own);
    }
    // A slice has addresses of one family.
    servers.retain(|ip| ip.is_ipv4() == own.is_ipv4());
    servers.sort_by_key(IpAddr::to_string);
    write(inner, &servers).await?;
    Ok(!alone)
}

async fn write(inner: &Arc<Inner>, servers: &[IpAddr]) -> Result<(), Status> {
    let port = serde_json::json!({"name": "https", "protocol": "TCP", "port": inner.config.advertise.port()});
    let (endpoints, slice) = endpoints_of(servers, &port);
    for (place, value, fields) in [
        (("", "v1", "endpoints", "default", "kubernetes"), endpoints, &["subsets"][..]),
        (
            ("discovery.k8s.io", "v1", "endpointslices", "default", "kubernetes"),
            slice,
            &["addressType", "endpoints", "ports"][..],
        ),
    ] {
        let there = inner.ensure(place, value.clone()).await?.value();
        if fields.iter().any(|field| there.get(field) != value.get(field)) {
            let make = |old: &Value| {
                let mut new = old.clone();
                for field in fields {
                    new.set(&[field], value.get(field).cloned().unwrap_or_default());
                }
                Ok(new)
            };
            inner.change(place, Part::Main, &make).await?;
        }
    }
    Ok(())
}

fn endpoints_of(servers: &[IpAddr], port: &serde_json::Value) -> (Value, Value) {
    let addresses: Vec<_> = servers.iter().map(|ip| serde_json::json!({"ip": ip.to_string()})).collect();
    let endpoints = super::json(serde_json::json!({
        "metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": addresses, "ports": [port]}],
    }));
    let ready =
        |ip: &IpAddr| serde_json::json!({"addresses": [ip.to_string()], "conditions": {"ready": true}});
    let slice = super::json(serde_json::json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if servers.iter().all(IpAddr::is_ipv4) { "IPv4" } else { "IPv6" },
        "endpoints": servers.iter().map(ready).collect::<Vec<_>>(),
        "ports": [port],
    }));
    (endpoints, slice)
}
