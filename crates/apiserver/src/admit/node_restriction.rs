//! NodeRestriction: what a kubelet writes is of its own node and its own pods
//! (k8s.io/kubernetes/plugin/pkg/admission/noderestriction).

use api::Value;

use super::{Form, Operation, Plugin, Request};
use crate::authz::node::name_of;
use crate::status::Result;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "NodeRestriction",
    default: true,
    handles: |request| {
        request.call.identity.name.starts_with("system:node:") && request.call.identity.is_in("system:nodes")
    },
    mutate: Some(|request, value| Box::pin(std::future::ready(judge(request, value)))),
    validate: None,
};

const MIRROR: &str = "kubernetes.io/config.mirror";

fn judge(request: &Request<'_>, value: &Value) -> Result<()> {
    let identity = &request.call.identity;
    let refuse = |why: String| Err(request.forbidden(Some(value), why));
    let Some(node) = name_of(identity).filter(|node| !node.is_empty()) else {
        return refuse(format!("could not determine node from user {:?}", identity.name));
    };
    let resource = &request.call.target.storage.resource;
    match (resource.group.as_str(), resource.plural.as_str(), request.subresource) {
        ("", "pods", "") => pod(request, node, value),
        ("", "pods", "status") => match request.old.map(|old| old.str_at(&["spec", "nodeName"])) {
            Some(bound) if bound == node => {
                let labels = |value: &Value| value.at(&["metadata", "labels"]).cloned();
                match request.old.is_some_and(|old| labels(old) != labels(value)) {
                    true => refuse(format!("node {node:?} cannot update labels through pod status")),
                    false => Ok(()),
                }
            }
            _ => refuse(format!(
                "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
            )),
        },
        ("", "pods", "eviction") => {
            let call = request.call;
            let own = call.inner.peek("", "pods", &call.info.namespace, &call.info.name);
            match own.is_none_or(|pod| pod.value().str_at(&["spec", "nodeName"]) == node) {
                true => Ok(()),
                false => {
                    refuse(format!("node {node:?} can only evict pods with spec.nodeName set to itself"))
                }
            }
        }
        ("", "pods", sub) => {
            refuse(format!("unexpected pod subresource {sub:?}, only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => own_node(request, node, value),
        ("", "persistentvolumeclaims", sub) if sub != "status" => {
            refuse(format!("may only update PVC status, not {sub:?}"))
        }
        ("", "serviceaccounts", "token") => token(request, node, value),
        ("certificates.k8s.io", "certificatesigningrequests", _) => {
            super::certificates::of_node(request, node, value)
        }
        ("coordination.k8s.io", "leases", _) => named(request, node, value, "lease"),
        ("storage.k8s.io", "csinodes", _) => named(request, node, value, "CSINode"),
        _ => Ok(()),
    }
}

fn named(request: &Request<'_>, node: &str, value: &Value, what: &str) -> Result<()> {
    let name = match request.operation {
        Operation::Create => value.str_at(&["metadata", "name"]),
        _ => &request.call.info.name,
    };
    match name == node {
        true => Ok(()),
        false => Err(request.forbidden(
            Some(value),
            format!("can only access {what} with the same name as the requesting node"),
        )),
    }
}

fn pod(request: &Request<'_>, node: &str, value: &Value) -> Result<()> {
    let refuse = |why: String| Err(request.forbidden(Some(value), why));
    match request.operation {
        Operation::Create => {
            if value.at(&["metadata", "annotations", MIRROR]).is_none() {
                return refuse(format!(
                    "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
                ));
            }
            if value.str_at(&["spec", "nodeName"]) != node {
                return refuse(format!(
                    "node {node:?} can only create pods with spec.nodeName set to itself"
                ));
            }
            let owners =
                value.at(&["metadata", "ownerReferences"]).and_then(Value::as_array).unwrap_or_default();
            let own = |owner: &&Value| owner.str_at(&["kind"]) == "Node" && owner.str_at(&["name"]) == node;
            if !owners.is_empty() && (owners.len() != 1 || !owners.iter().any(|owner| own(&owner))) {
                return refuse(format!(
                    "node {node:?} can only create pods with an owner reference set to itself"
                ));
            }
            if !value.str_at(&["spec", "serviceAccountName"]).is_empty() {
                return refuse(format!("node {node:?} can not create pods that reference a service account"));
            }
            let volumes = value.at(&["spec", "volumes"]).and_then(Value::as_array).unwrap_or_default();
            for (field, what) in [
                ("secret", "secrets"),
                ("configMap", "configmaps"),
                ("persistentVolumeClaim", "persistentvolumeclaims"),
            ] {
                if volumes.iter().any(|volume| volume.get(field).is_some_and(|source| !source.is_null())) {
                    return refuse(format!("node {node:?} can not create pods that reference {what}"));
                }
            }
            Ok(())
        }
        Operation::Delete => match request.old.is_some_and(|old| old.str_at(&["spec", "nodeName"]) == node) {
            true => Ok(()),
            false => refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself")),
        },
        _ => refuse(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            request.operation.as_str()
        )),
    }
}

/// Labels of Kubernetes' own that a kubelet may set on its node (kubeletapis.IsKubeletLabel).
fn kubelet_label(key: &str) -> bool {
    const KNOWN: [&str; 13] = [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "node.kubernetes.io/windows-build",
    ];
    let prefix = key.split('/').next().unwrap_or_default();
    let below = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    KNOWN.contains(&key) || below("kubelet.kubernetes.io") || below("node.kubernetes.io")
}

/// The node may not give itself these, as it would draw pods to itself.
pub fn restricted(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return false };
    let below = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    if below("node-restriction.kubernetes.io") {
        return true;
    }
    (below("kubernetes.io") || below("k8s.io")) && !kubelet_label(key)
}

fn own_node(request: &Request<'_>, node: &str, value: &Value) -> Result<()> {
    let refuse = |why: String| Err(request.forbidden(Some(value), why));
    let name = match request.operation {
        Operation::Create => value.str_at(&["metadata", "name"]),
        _ => &request.call.info.name,
    };
    if name != node {
        return refuse(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    if request.operation == Operation::Delete {
        return refuse(format!("node {node:?} is not allowed to delete itself"));
    }
    if request.form != Form::Own {
        return Ok(());
    }
    let label = |value: &Value, key: &str| value.at(&["metadata", "labels", key]).cloned();
    let keys = |value: &Value| -> Vec<String> {
        let map = value.at(&["metadata", "labels"]).and_then(Value::as_map);
        map.into_iter().flat_map(|map| map.iter()).map(|(key, _)| key.to_string()).collect()
    };
    let mut changed: Vec<String> = keys(value);
    changed.extend(request.old.map(keys).unwrap_or_default());
    changed.retain(|key| restricted(key));
    changed.retain(|key| request.old.is_none_or(|old| label(old, key) != label(value, key)));
    changed.sort();
    changed.dedup();
    if !changed.is_empty() {
        let verb = if request.old.is_some() { "modify" } else { "set" };
        return refuse(format!("is not allowed to {verb} the following labels: {}", changed.join(", ")));
    }
    if let Some(old) = request.old
        && request.subresource.is_empty()
        && old.at(&["spec", "taints"]) != value.at(&["spec", "taints"])
    {
        return refuse(format!("node {node:?} is not allowed to modify taints"));
    }
    Ok(())
}

fn token(request: &Request<'_>, node: &str, value: &Value) -> Result<()> {
    let refuse = |why: String| Err(request.forbidden(Some(value), why));
    let Some(bound) = value.at(&["spec", "boundObjectRef"]).filter(|bound| !bound.is_null()) else {
        return refuse("node requested token not bound to a pod".into());
    };
    if bound.str_at(&["apiVersion"]) != "v1"
        || bound.str_at(&["kind"]) != "Pod"
        || bound.str_at(&["name"]).is_empty()
    {
        return refuse("node requested token not bound to a pod".into());
    }
    if bound.str_at(&["uid"]).is_empty() {
        return refuse("node requested token with a pod binding without a uid".into());
    }
    let call = request.call;
    let Some(pod) = call.inner.peek("", "pods", &call.info.namespace, bound.str_at(&["name"])) else {
        return Err(crate::status::Status::not_found(
            &api::Resource::new("", "pods"),
            bound.str_at(&["name"]),
        ));
    };
    if pod.uid.0 != bound.str_at(&["uid"]) {
        return refuse("the UID in the bound object reference does not match the UID in record. The object might have been deleted and then recreated".into());
    }
    match pod.value().str_at(&["spec", "nodeName"]) == node {
        true => Ok(()),
        false => refuse("node requested token bound to a pod scheduled on a different node".into()),
    }
}
