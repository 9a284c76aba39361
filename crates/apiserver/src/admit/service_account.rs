//! ServiceAccount: a pod runs as an account of its namespace and finds a token of it
//! (k8s.io/kubernetes/plugin/pkg/admission/serviceaccount).

use api::Value;
use rand::Rng;

use super::Plugin;
use crate::engine::Call;
use crate::status::{Result, Status};
use crate::subresource::value_of;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "ServiceAccount",
    default: true,
    handles: |request| request.creates("", "pods"),
    mutate: Some(|request, value| Box::pin(create(request.call, value))),
    validate: None,
};

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME: &str = "kube-api-access-";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Upstream's: an hour, and seven seconds to tell it from tokens that were asked for by hand.
const SECONDS: i64 = 3607;

async fn create(call: &Call, pod: &mut Value) -> Result<()> {
    if pod.at(&["metadata", "annotations", MIRROR]).is_some() {
        return mirror(call, pod);
    }
    let given = pod.str_at(&["spec", "serviceAccountName"]);
    let name = if given.is_empty() { "default".to_string() } else { given.to_string() };
    pod.set(&["spec", "serviceAccountName"], name.as_str());
    pod.set(&["spec", "serviceAccount"], name.as_str());
    let namespace = call.info.namespace.as_str();
    let mut account = call.inner.peek("", "serviceaccounts", namespace, &name);
    if account.is_none()
        && let Some(cache) = call.inner.caches.named("", "serviceaccounts")
    {
        call.inner.catch_up(&cache).await?;
        account = cache.get(namespace, &name);
    }
    let Some(account) = account else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(forbidden(call, pod, why));
    };
    let account = account.value();
    let wants = pod
        .at(&["spec", "automountServiceAccountToken"])
        .or_else(|| account.get("automountServiceAccountToken"))
        .and_then(Value::as_bool)
        .unwrap_or(true);
    if wants {
        mount(pod);
    }
    let secrets = |value: &Value, path: &[&str]| {
        value.at(path).and_then(Value::as_array).filter(|list| !list.is_empty()).map(<[Value]>::to_vec)
    };
    if secrets(pod, &["spec", "imagePullSecrets"]).is_none()
        && let Some(list) = secrets(&account, &["imagePullSecrets"])
    {
        pod.set(&["spec", "imagePullSecrets"], list);
    }
    Ok(())
}

/// A mirror of a static pod cannot have what lives in the API.
fn mirror(call: &Call, pod: &Value) -> Result<()> {
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        return Err(forbidden(call, pod, "a mirror pod may not reference service accounts".into()));
    }
    Ok(())
}

fn forbidden(call: &Call, pod: &Value, why: String) -> Status {
    Status::forbidden(&call.target.kind.resource, pod.str_at(&["metadata", "name"]), why)
}

fn mount(pod: &mut Value) {
    let volumes = pod.at(&["spec", "volumes"]).and_then(Value::as_array).unwrap_or_default();
    let there = volumes.iter().map(|volume| volume.str_at(&["name"])).find(|name| name.starts_with(VOLUME));
    let name = there.map_or_else(|| format!("{VOLUME}{}", suffix()), String::from);
    let has_volume = there.is_some();
    let mut used = false;
    for list in ["initContainers", "containers"] {
        let all = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        for container in all.into_iter().flatten() {
            let mounts = container.get("volumeMounts").and_then(Value::as_array).unwrap_or_default();
            if mounts.iter().any(|mount| mount.str_at(&["mountPath"]) == MOUNT) {
                continue;
            }
            let mut all = mounts.to_vec();
            let mut mount = Value::object();
            mount.set(&["name"], name.as_str());
            mount.set(&["readOnly"], true);
            mount.set(&["mountPath"], MOUNT);
            all.push(mount);
            container.set(&["volumeMounts"], all);
            used = true;
        }
    }
    if used && !has_volume {
        let volume = value_of(serde_json::json!({
            "name": name,
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": SECONDS, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]}},
                ],
                "defaultMode": 420,
            },
        }));
        let volumes = pod.make(&["spec", "volumes"]);
        match volumes.as_array_mut() {
            Some(list) => list.push(volume),
            None => *volumes = vec![volume].into(),
        }
    }
}

fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5).map(|_| LETTERS[random.random_range(0..LETTERS.len())] as char).collect()
}
