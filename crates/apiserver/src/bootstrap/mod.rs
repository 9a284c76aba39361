//! What every cluster has: four namespaces, upstream's roles and bindings, two priority classes, the `kubernetes` Service with its
//! endpoints. Made and put right at every start; nothing is written when nothing is missing.

pub(crate) mod endpoints;
mod policy;

use std::sync::Arc;

use api::Value;

use crate::engine::update::Part;
use crate::flow;
use crate::server::{Error, Inner};
use crate::status::Status;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

pub(crate) async fn run(inner: &Arc<Inner>) -> Result<(), Error> {
    let attempt = async {
        for name in NAMESPACES {
            inner.ensure(("", "v1", "namespaces", "", name), Value::object()).await?;
        }
        policy::reconcile(inner).await?;
        priority_classes(inner).await?;
        fairness(inner).await?;
        authentication(inner).await?;
        service_cidr(inner).await?;
        kubernetes(inner).await
    };
    attempt.await.map_err(|status: Status| Error::Bootstrap(status.message().into()))
}

fn json(value: serde_json::Value) -> Value {
    serde_json::from_value(value).expect("because JSON is a Value")
}

/// k8s.io/kubernetes/pkg/apis/scheduling/helpers.go, `SystemPriorityClasses`.
async fn priority_classes(inner: &Arc<Inner>) -> Result<(), Status> {
    let classes = [
        (
            "system-node-critical",
            2_000_001_000i64,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ];
    for (name, value, description) in classes {
        let class = json(serde_json::json!({"value": value, "description": description}));
        inner.ensure(("scheduling.k8s.io", "v1", "priorityclasses", "", name), class).await?;
    }
    Ok(())
}

/// Priority levels and flow schemas. Who took the annotation away has made the object their own.
async fn fairness(inner: &Arc<Inner>) -> Result<(), Status> {
    let levels =
        flow::priority_levels().into_iter().map(|(name, spec)| ("prioritylevelconfigurations", name, spec));
    let schemas = flow::flow_schemas().into_iter().map(|(name, spec)| ("flowschemas", name, spec));
    for (plural, name, spec) in levels.chain(schemas) {
        let place = (flow::GROUP, "v1", plural, "", name);
        let wanted =
            json(serde_json::json!({"metadata": {"annotations": {flow::AUTOUPDATE: "true"}}, "spec": spec}));
        let there = inner.ensure(place, wanted.clone()).await?.value();
        let ours = there.str_at(&["metadata", "annotations", flow::AUTOUPDATE]) == "true";
        if ours && !says(there.get("spec"), wanted.get("spec")) {
            let make = |old: &Value| {
                let mut new = old.clone();
                new.set(&["spec"], wanted.get("spec").cloned().unwrap_or_default());
                Ok(new)
            };
            inner.change(place, Part::Main, &make).await?;
        }
    }
    Ok(())
}

/// Every field of `wanted` is in `there`; defaults may be there beside them.
fn says(there: Option<&Value>, wanted: Option<&Value>) -> bool {
    match (there, wanted) {
        (Some(Value::Object(there)), Some(Value::Object(wanted))) => {
            wanted.iter().all(|(key, value)| says(there.get(key), Some(value)))
        }
        (Some(Value::Array(there)), Some(Value::Array(wanted))) => {
            there.len() == wanted.len()
                && there.iter().zip(wanted).all(|(one, other)| says(Some(one), Some(other)))
        }
        (there, wanted) => there == wanted,
    }
}

/// The range of ClusterIPs, as an object (KEP-1880).
async fn service_cidr(inner: &Arc<Inner>) -> Result<(), Status> {
    let cidrs: Vec<String> = inner.config.service_cidrs.iter().map(ToString::to_string).collect();
    let place = ("networking.k8s.io", "v1", "servicecidrs", "", "kubernetes");
    let there = inner.ensure(place, json(serde_json::json!({"spec": {"cidrs": cidrs}}))).await?.value();
    if api::pod::condition(&there, "Ready").is_some() {
        return Ok(());
    }
    let now = inner.now();
    let make = |old: &Value| {
        let mut new = old.clone();
        let ready = serde_json::json!([{
            "type": "Ready", "status": "True", "reason": "", "lastTransitionTime": now,
            "message": "Kubernetes Service CIDR is ready",
        }]);
        new.set(&["status", "conditions"], json(ready));
        Ok(new)
    };
    inner.change(place, Part::Status, &make).await.map(drop)
}

/// Where extension servers find the CA of client certificates.
async fn authentication(inner: &Arc<Inner>) -> Result<(), Status> {
    let Some(ca) = inner.config.client_ca.clone() else { return Ok(()) };
    let place = ("", "v1", "configmaps", "kube-system", "extension-apiserver-authentication");
    let mut data = serde_json::json!({"client-ca-file": ca});
    if let Some(proxy) = &inner.config.front_proxy {
        data["requestheader-client-ca-file"] = proxy.ca.clone().into();
        data["requestheader-allowed-names"] = r#"["front-proxy-client"]"#.into();
        data["requestheader-extra-headers-prefix"] = r#"["X-Remote-Extra-"]"#.into();
        data["requestheader-group-headers"] = r#"["X-Remote-Group"]"#.into();
        data["requestheader-uid-headers"] = r#"["X-Remote-Uid"]"#.into();
        data["requestheader-username-headers"] = r#"["X-Remote-User"]"#.into();
    }
    let data = json(data);
    let mut map = Value::object();
    map.set(&["data"], data.clone());
    let there = inner.ensure(place, map).await?;
    if there.value().get("data") != Some(&data) {
        let make = |old: &Value| {
            let mut new = old.clone();
            new.set(&["data"], data.clone());
            Ok(new)
        };
        inner.change(place, Part::Main, &make).await?;
    }
    Ok(())
}

/// The Service by which pods reach this server, and where it leads.
async fn kubernetes(inner: &Arc<Inner>) -> Result<(), Status> {
    let ip = inner.config.kubernetes_ip();
    let address = inner.config.advertise;
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let labels = serde_json::json!({"component": "apiserver", "provider": "kubernetes"});
    let service = json(serde_json::json!({
        "metadata": {"labels": labels},
        "spec": {
            "clusterIP": ip.to_string(), "clusterIPs": [ip.to_string()], "type": "ClusterIP",
            "ipFamilies": [family], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": address.port()}],
        }
    }));
    let place = ("", "v1", "services", "default", "kubernetes");
    let wanted = i64::from(address.port());
    let there = inner.ensure(place, service).await?.value();
    let ports = there.at(&["spec", "ports"]).and_then(Value::as_array).unwrap_or_default();
    if ports.first().and_then(|port| port.get("targetPort")).and_then(Value::as_int) != Some(wanted) {
        let make = |old: &Value| {
            let mut new = old.clone();
            if let Some(port) =
                new.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut).and_then(|all| all.first_mut())
            {
                port.set(&["targetPort"], wanted);
            }
            Ok(new)
        };
        inner.change(place, Part::Main, &make).await?;
    }
    endpoints::start(inner).await
}
