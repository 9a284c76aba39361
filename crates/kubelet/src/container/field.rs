//! The downward API: fields of a pod and resources of a container, as text.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::pod::spec;
use crate::quantity;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unsupported fieldPath: {0}")]
    Path(String),
    #[error("unsupported container resource: {0}")]
    Resource(String),
    #[error("container {0} not found")]
    Container(String),
    #[error("divisor {0:?} is no quantity above zero")]
    Divisor(String),
}

/// Addresses that a pod's own status may not have yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses<'a> {
    pub host: &'a [IpAddr],
    pub pod: &'a [IpAddr],
}

/// The value of `fieldRef.fieldPath`.
pub fn field(pod: &Pod, path: &str, addresses: Addresses) -> Result<String, Error> {
    let all = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |ips: &[IpAddr]| ips.first().map(ToString::to_string).unwrap_or_default();
    let pod_spec = spec::spec(pod);
    Ok(match path {
        "metadata.name" => spec::name(pod).to_owned(),
        "metadata.namespace" => spec::namespace(pod).to_owned(),
        "metadata.uid" => spec::uid(pod).to_owned(),
        "metadata.labels" => lines(pod.metadata.labels.as_ref()),
        "metadata.annotations" => lines(pod.metadata.annotations.as_ref()),
        "spec.nodeName" => pod_spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => pod_spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(addresses.host),
        "status.hostIPs" => all(addresses.host),
        "status.podIP" => first(addresses.pod),
        "status.podIPs" => all(addresses.pod),
        _ => {
            let (map, key) = keyed(path).ok_or_else(|| Error::Path(path.to_owned()))?;
            let map = match map {
                "metadata.labels" => &pod.metadata.labels,
                "metadata.annotations" => &pod.metadata.annotations,
                _ => return Err(Error::Path(path.to_owned())),
            };
            map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
        }
    })
}

/// `metadata.labels['app']` into its two parts.
fn keyed(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// `key="value"` a line, quoted as Go's `%q`.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    lines.join("\n")
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if letter.is_control() && u32::from(letter) < 256 => {
                out.push_str(&format!("\\x{:02x}", u32::from(letter)))
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// The value of a `resourceFieldRef`. A limit that is not set is what the node has to give.
pub fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, Quantity>,
) -> Result<String, Error> {
    let name = selector.container_name.as_deref().unwrap_or_default();
    let found;
    let container = match own {
        Some(own) if name.is_empty() || own.name == name => own,
        _ => {
            found = spec::container(pod, name).ok_or_else(|| Error::Container(name.to_owned()))?;
            &*found.container
        }
    };
    let (list, resource) =
        selector.resource.split_once('.').ok_or_else(|| Error::Resource(selector.resource.clone()))?;
    let resources = container.resources.clone().unwrap_or_default();
    let amount = match list {
        "limits" => resources
            .limits
            .as_ref()
            .and_then(|list| list.get(resource))
            .or_else(|| allocatable.get(resource)),
        "requests" => resources.requests.as_ref().and_then(|list| list.get(resource)),
        _ => return Err(Error::Resource(selector.resource.clone())),
    };
    let text = amount.map_or("0", |quantity| quantity.0.as_str());
    let divisor = selector.divisor.as_ref().map_or("0", |divisor| divisor.0.as_str());
    let bad = || Error::Divisor(divisor.to_owned());
    // Milli-units serve CPU; memory in thousandths could leave i64, so it is read whole.
    let (amount, by) = match resource == "cpu" {
        true => (quantity::milli(text), quantity::milli(divisor).map(|by| if by == 0 { 1000 } else { by })),
        false => (quantity::value(text), quantity::value(divisor).map(|by| by.max(1))),
    };
    let (amount, by) = (amount.unwrap_or(0), by.filter(|by| *by > 0).ok_or_else(bad)?);
    Ok((amount / by + i64::from(amount % by != 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_pod() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"app": "a", "b/c": "x\"y"}},
            "spec": {"nodeName": "n1", "containers": []}
        }))
        .unwrap();
        let ip = ["10.42.0.9".parse().unwrap(), "fd00::9".parse().unwrap()];
        let addresses = Addresses { host: &[], pod: &ip };
        for (path, expected) in [
            ("metadata.name", "web"),
            ("metadata.labels", "app=\"a\"\nb/c=\"x\\\"y\""),
            ("metadata.labels['b/c']", "x\"y"),
            ("metadata.annotations['none']", ""),
            ("spec.nodeName", "n1"),
            ("status.podIP", "10.42.0.9"),
            ("status.podIPs", "10.42.0.9,fd00::9"),
        ] {
            assert_eq!(field(&pod, path, addresses).unwrap(), expected, "{path}");
        }
        assert!(field(&pod, "status.phase", addresses).is_err());
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "c", "resources": {"limits": {"cpu": "1250m"}, "requests": {"memory": "65Mi"}}
        }))
        .unwrap();
        let node = BTreeMap::from([("memory".to_owned(), Quantity("1Gi".into()))]);
        for (resource_name, divisor, expected) in [
            ("limits.cpu", None, "2"),
            ("limits.cpu", Some("1m"), "1250"),
            ("requests.memory", Some("1Mi"), "65"),
            ("limits.memory", None, "1073741824"),
            ("requests.cpu", None, "0"),
        ] {
            let selector = ResourceFieldSelector {
                resource: resource_name.into(),
                divisor: divisor.map(|text: &str| Quantity(text.into())),
                container_name: None,
            };
            assert_eq!(resource(&Pod::default(), Some(&container), &selector, &node).unwrap(), expected);
        }
    }
}
