//! The Node authorizer: a kubelet reads only what its own pods refer to, and writes only what is its node's
//! (k8s.io/kubernetes/plugin/pkg/auth/authorizer/node). What it does not decide is judged by the role of nodes.

use api::{Object, Value};

use super::{Attributes, selectors};
use crate::Identity;
use crate::server::Inner;

/// What the node may, where this authorizer has a word.
pub(super) enum Verdict {
    Allow,
    Deny(String),
    /// The rules of `system:node` decide.
    Rules,
}

/// The node that an identity is of.
pub(crate) fn name_of(identity: &Identity) -> Option<&str> {
    identity.name.strip_prefix("system:node:").filter(|_| identity.is_in("system:nodes"))
}

pub(super) fn decide(inner: &Inner, node: &str, attributes: &Attributes<'_>) -> Verdict {
    let Attributes { verb, group, resource, subresource, namespace, name, .. } = *attributes;
    let allow =
        |good: bool, why: &dyn Fn() -> String| if good { Verdict::Allow } else { Verdict::Deny(why()) };
    let no_relation = || format!("no relationship found between node '{node}' and this object");
    match (group, resource) {
        ("", "secrets" | "configmaps") => {
            if !matches!(verb, "get" | "list" | "watch") || !subresource.is_empty() {
                return Verdict::Deny("can only read resources of this type".into());
            }
            if name.is_empty() {
                return Verdict::Deny("No Object name found".into());
            }
            let referred = pods(inner, node, namespace).iter().any(|pod| refers(pod, resource, name));
            let by_volume = resource == "secrets" && secret_of_volume(inner, node, namespace, name);
            allow(referred || by_volume, &no_relation)
        }
        ("", "persistentvolumeclaims") => {
            let reads = verb == "get" && subresource.is_empty();
            let tells = matches!(verb, "update" | "patch") && subresource == "status";
            if !reads && !tells {
                return Verdict::Deny("can only get individual resources of this type".into());
            }
            allow(pods(inner, node, namespace).iter().any(|pod| refers(pod, resource, name)), &no_relation)
        }
        ("", "persistentvolumes") => {
            if verb != "get" || !subresource.is_empty() {
                return Verdict::Deny("can only get individual resources of this type".into());
            }
            allow(volume_is_used(inner, node, name), &no_relation)
        }
        ("", "serviceaccounts") if subresource == "token" => {
            let used = pods(inner, node, namespace)
                .iter()
                .any(|pod| pod.str_at(&["spec", "serviceAccountName"]) == name);
            allow(verb == "create" && used, &no_relation)
        }
        ("coordination.k8s.io", "leases") => {
            let own = matches!(verb, "get" | "create" | "update" | "patch" | "delete")
                && namespace == "kube-node-lease"
                && (verb == "create" || name == node);
            allow(own, &|| "can only access node lease with the same name as the requesting node".into())
        }
        ("storage.k8s.io", "csinodes") => {
            let own = matches!(verb, "get" | "create" | "update" | "patch" | "delete")
                && (verb == "create" || name == node);
            allow(own, &|| "can only access CSINode with the same name as the requesting node".into())
        }
        // What a node writes of its own is narrowed by the admission of NodeRestriction.
        ("", "nodes") => match (subresource, verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Verdict::Allow,
            ("", "get" | "list" | "watch") if name == node => Verdict::Allow,
            ("", "get" | "list" | "watch") => {
                let what = if name.is_empty() { "all nodes".into() } else { format!("'{name}'") };
                Verdict::Deny(format!("node '{node}' cannot read {what}, only its own Node object"))
            }
            _ => Verdict::Deny(String::new()),
        },
        ("", "pods") => match (subresource, verb) {
            ("", "get") => allow(is_bound(inner, node, namespace, name), &no_relation),
            ("", "list" | "watch") if selectors::wants(attributes.fields, "spec.nodeName", node) => {
                Verdict::Allow
            }
            ("", "list" | "watch") if !name.is_empty() => {
                allow(is_bound(inner, node, namespace, name), &no_relation)
            }
            ("", "list" | "watch") => {
                Verdict::Deny("can only list/watch pods with spec.nodeName field selector".into())
            }
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Verdict::Allow
            }
            _ => Verdict::Deny(String::new()),
        },
        ("resource.k8s.io", "resourceslices") if matches!(verb, "list" | "watch" | "deletecollection") => {
            allow(selectors::wants(attributes.fields, "spec.nodeName", node), &|| {
                "can only list/watch/deletecollection resourceslices with nodeName field selector".into()
            })
        }
        _ => Verdict::Rules,
    }
}

fn is_bound(inner: &Inner, node: &str, namespace: &str, name: &str) -> bool {
    let pod = inner.peek("", "pods", namespace, name);
    pod.is_some_and(|pod| pod.value().str_at(&["spec", "nodeName"]) == node)
}

/// The pods that are bound to the node, of one namespace or (`""`) of all.
fn pods(inner: &Inner, node: &str, namespace: &str) -> Vec<Value> {
    let Some(cache) = inner.caches.named("", "pods") else { return Vec::new() };
    let of = |pod: &std::sync::Arc<Object>| namespace.is_empty() || pod.namespace() == namespace;
    cache.by_field("spec.nodeName", node).iter().filter(|pod| of(pod)).map(|pod| pod.value()).collect()
}

/// The pod names the object somewhere in its spec.
pub(crate) fn refers(pod: &Value, resource: &str, name: &str) -> bool {
    let empty = Value::object();
    let spec = pod.get("spec").unwrap_or(&empty);
    let list = |value: &Value, path: &[&str]| -> Vec<Value> {
        value.at(path).and_then(Value::as_array).unwrap_or_default().to_vec()
    };
    let is = |value: &Value, path: &[&str]| value.str_at(path) == name;
    let volumes = list(spec, &["volumes"]);
    if resource == "persistentvolumeclaims" {
        let pod_name = pod.str_at(&["metadata", "name"]);
        return volumes.iter().any(|volume| {
            is(volume, &["persistentVolumeClaim", "claimName"])
                || (volume.get("ephemeral").is_some()
                    && name == format!("{pod_name}-{}", volume.str_at(&["name"])))
        });
    }
    let secrets = resource == "secrets";
    if secrets && list(spec, &["imagePullSecrets"]).iter().any(|own| is(own, &["name"])) {
        return true;
    }
    let (from, key, source, field) = match secrets {
        true => ("secretRef", "secretKeyRef", "secret", "secretName"),
        false => ("configMapRef", "configMapKeyRef", "configMap", "name"),
    };
    let in_volume = |volume: &Value| {
        let projected = list(volume, &["projected", "sources"]);
        let plain = is(volume, &[source, field]) || projected.iter().any(|part| is(part, &[source, "name"]));
        let drivers =
            ["azureFile", "cephfs", "cinder", "csi", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"];
        plain
            || (secrets
                && (is(volume, &["azureFile", "secretName"])
                    || is(volume, &["csi", "nodePublishSecretRef", "name"])
                    || drivers.iter().any(|driver| is(volume, &[driver, "secretRef", "name"]))))
    };
    let in_container = |container: &Value| {
        list(container, &["envFrom"]).iter().any(|own| is(own, &[from, "name"]))
            || list(container, &["env"]).iter().any(|own| is(own, &["valueFrom", key, "name"]))
    };
    volumes.iter().any(in_volume)
        || ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .any(|kind| list(spec, &[kind]).iter().any(in_container))
}

/// The claims that the node's pods use, with their volumes.
fn volume_is_used(inner: &Inner, node: &str, volume: &str) -> bool {
    let Some(volume) = inner.peek("", "persistentvolumes", "", volume) else { return false };
    let volume = volume.value();
    let (namespace, claim) =
        (volume.str_at(&["spec", "claimRef", "namespace"]), volume.str_at(&["spec", "claimRef", "name"]));
    !claim.is_empty()
        && pods(inner, node, namespace).iter().any(|pod| refers(pod, "persistentvolumeclaims", claim))
}

/// A volume in use names the secret.
fn secret_of_volume(inner: &Inner, node: &str, namespace: &str, name: &str) -> bool {
    let Some(cache) = inner.caches.named("", "persistentvolumes") else { return false };
    let snapshot = cache.snapshot();
    snapshot.iter().any(|object| {
        let volume = object.value();
        let spec = volume.get("spec").and_then(Value::as_map);
        let named = spec.into_iter().flat_map(|map| map.iter()).any(|(_, source)| {
            ["secretRef", "nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"].iter().any(
                |field| {
                    let space = source.str_at(&[field, "namespace"]);
                    let own_space = if space.is_empty() {
                        volume.str_at(&["spec", "claimRef", "namespace"])
                    } else {
                        space
                    };
                    source.str_at(&[field, "name"]) == name && own_space == namespace
                },
            )
        });
        named && volume_is_used(inner, node, object.name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_refer_to_what_they_name() {
        let pod = api::json::parse(
            br#"{"metadata":{"name":"p"},"spec":{"imagePullSecrets":[{"name":"pull"}],"volumes":[
            {"name":"a","secret":{"secretName":"s"}},{"name":"b","projected":{"sources":[{"configMap":{"name":"c"}}]}},
            {"name":"d","persistentVolumeClaim":{"claimName":"claim"}}],"containers":[{"name":"c","env":[
            {"name":"X","valueFrom":{"secretKeyRef":{"name":"env","key":"k"}}}],"envFrom":[{"configMapRef":{"name":"from"}}]}]}}"#,
        )
        .unwrap();
        for (resource, name, expected) in [
            ("secrets", "pull", true),
            ("secrets", "s", true),
            ("secrets", "env", true),
            ("secrets", "c", false),
            ("configmaps", "c", true),
            ("configmaps", "from", true),
            ("configmaps", "s", false),
            ("persistentvolumeclaims", "claim", true),
        ] {
            assert_eq!(refers(&pod, resource, name), expected, "{resource} {name}");
        }
    }
}
