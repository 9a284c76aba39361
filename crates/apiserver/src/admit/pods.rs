//! Plugins of pods that are off unless asked for: AlwaysPullImages, PodNodeSelector, PodTolerationRestriction,
//! ExtendedResourceToleration, and DenyServiceExternalIPs for Services (k8s.io/kubernetes/plugin/pkg/admission).

use api::selector::Labels;
use api::{Map, Value, json};

use super::{Operation, Plugin, Request};
use crate::status::Result;

/// AlwaysPullImages: nobody uses an image that somebody else's credentials brought to the node.
pub(super) const PULL: Plugin = Plugin {
    name: "AlwaysPullImages",
    default: false,
    handles: |request| is_pod_write(request),
    mutate: Some(|_, value| {
        each_container(value, |container| {
            if container.get("image").is_some() {
                container.set(&["imagePullPolicy"], "Always");
            }
        });
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: None,
};

/// PodNodeSelector: a namespace's pods go where its annotation says.
pub(super) const SELECTOR: Plugin = Plugin {
    name: "PodNodeSelector",
    default: false,
    handles: |request| request.creates("", "pods"),
    mutate: Some(|request, value| Box::pin(std::future::ready(node_selector(request, value)))),
    validate: None,
};

/// PodTolerationRestriction: a namespace's pods tolerate what its annotations say, and nothing beyond their whitelist.
pub(super) const TOLERATIONS: Plugin = Plugin {
    name: "PodTolerationRestriction",
    default: false,
    handles: |request| request.creates("", "pods") || request.updates("", "pods"),
    mutate: Some(|request, value| Box::pin(std::future::ready(tolerations(request, value)))),
    validate: None,
};

/// ExtendedResourceToleration: pods that ask for a device tolerate the taint that keeps others off its nodes.
pub(super) const EXTENDED: Plugin = Plugin {
    name: "ExtendedResourceToleration",
    default: false,
    handles: |request| request.creates("", "pods") || request.updates("", "pods"),
    mutate: Some(|_, value| {
        extended(value);
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: None,
};

/// DenyServiceExternalIPs (CVE-2020-8554).
pub(super) const EXTERNAL: Plugin = Plugin {
    name: "DenyServiceExternalIPs",
    default: false,
    handles: |request| request.creates("", "services") || request.updates("", "services"),
    mutate: None,
    validate: Some(|request, value| {
        let ips = |service: Option<&Value>| -> Vec<Value> {
            let list = service.and_then(|own| own.at(&["spec", "externalIPs"])).and_then(Value::as_array);
            list.unwrap_or_default().to_vec()
        };
        let before = ips(request.old);
        let result = match ips(value).iter().all(|ip| before.contains(ip)) {
            true => Ok(()),
            false => Err(request.forbidden(value, "Use of external IPs is denied by admission control.")),
        };
        Box::pin(std::future::ready(result))
    }),
};

fn is_pod_write(request: &Request<'_>) -> bool {
    let part = matches!(request.subresource, "" | "ephemeralcontainers");
    request.is("", "pods") && part && matches!(request.operation, Operation::Create | Operation::Update)
}

fn each_container(pod: &mut Value, mut act: impl FnMut(&mut Value)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let all = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        all.into_iter().flatten().for_each(&mut act);
    }
}

/// An annotation of the request's namespace.
fn annotation(request: &Request<'_>, key: &str) -> Option<String> {
    let namespace = request.call.inner.peek("", "namespaces", "", request.namespace())?;
    let value = namespace.value();
    value.at(&["metadata", "annotations", key]).and_then(Value::as_str).map(String::from)
}

fn node_selector(request: &Request<'_>, pod: &mut Value) -> Result<()> {
    let Some(text) = annotation(request, "scheduler.alpha.kubernetes.io/node-selector") else {
        return Ok(());
    };
    let labels = Labels::parse(&text).map_err(|error| request.forbidden(Some(pod), error))?;
    let mut wanted = Map::new();
    for requirement in labels.requirements() {
        if let [value] = requirement.values.as_slice() {
            wanted.insert(requirement.key.clone(), value.clone());
        }
    }
    let conflict = wanted
        .iter()
        .any(|(key, value)| pod.at(&["spec", "nodeSelector", key]).is_some_and(|given| given != value));
    if conflict {
        let why = "pod node label selector conflicts with its namespace node label selector";
        return Err(request.forbidden(Some(pod), why));
    }
    for (key, value) in wanted {
        pod.set(&["spec", "nodeSelector", key.as_str()], value);
    }
    Ok(())
}

fn tolerations(request: &Request<'_>, pod: &mut Value) -> Result<()> {
    const KEY: &str = "scheduler.alpha.kubernetes.io/";
    let read = |name: &str| -> Result<Option<Vec<Value>>> {
        let Some(text) = annotation(request, &format!("{KEY}{name}")).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let parsed = json::parse(text.as_bytes()).map_err(|error| request.forbidden(Some(pod), error))?;
        Ok(parsed.as_array().map(<[Value]>::to_vec))
    };
    let (defaults, allowed) = (read("defaultTolerations")?, read("tolerationsWhitelist")?);
    let mut all = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).unwrap_or_default().to_vec();
    if request.operation == Operation::Create {
        for toleration in defaults.into_iter().flatten() {
            if !all.contains(&toleration) {
                all.push(toleration);
            }
        }
    }
    if let Some(allowed) = allowed.filter(|allowed| !allowed.is_empty()) {
        let covered = |own: &Value| allowed.iter().any(|other| covers(other, own));
        if !all.iter().all(covered) {
            let why = "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist";
            return Err(request.forbidden(Some(pod), why));
        }
    }
    if !all.is_empty() {
        pod.set(&["spec", "tolerations"], all);
    }
    Ok(())
}

/// Everything that `own` tolerates, `wider` does.
fn covers(wider: &Value, own: &Value) -> bool {
    let same = |field: &str| {
        let wide = wider.str_at(&[field]);
        wide.is_empty() || wide == own.str_at(&[field])
    };
    let exists = wider.str_at(&["operator"]) == "Exists";
    same("key") && same("effect") && (exists || wider.str_at(&["value"]) == own.str_at(&["value"]))
}

fn extended(pod: &mut Value) {
    let mut names: Vec<String> = Vec::new();
    for list in ["initContainers", "containers"] {
        for container in pod.at(&["spec", list]).and_then(Value::as_array).unwrap_or_default() {
            let requests = container.at(&["resources", "requests"]).and_then(Value::as_map);
            for (name, _) in requests.into_iter().flat_map(|map| map.iter()) {
                if name.contains('/')
                    && !name.contains("kubernetes.io/")
                    && !names.iter().any(|own| own == name)
                {
                    names.push(name.to_string());
                }
            }
        }
    }
    if names.is_empty() {
        return;
    }
    names.sort();
    let mut all = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).unwrap_or_default().to_vec();
    for name in names {
        let mut toleration = Value::object();
        toleration.set(&["key"], name);
        toleration.set(&["operator"], "Exists");
        if !all.contains(&toleration) {
            all.push(toleration);
        }
    }
    pod.set(&["spec", "tolerations"], all);
}
