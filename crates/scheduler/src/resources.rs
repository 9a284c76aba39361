//! Amounts of what a node has and pods ask for, in whole units, and how a pod's request is summed. Pure.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use smol_str::SmolStr;

/// CPU in thousandths, the others in their unit; never negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu: i64,
    pub memory: i64,
    pub storage: i64,
    pub pods: i64,
    /// Extended resources and huge pages.
    pub others: BTreeMap<SmolStr, i64>,
}

type List = BTreeMap<String, Text>;

impl Resources {
    /// A quantity that cannot be read counts as none; the server refused it anyway.
    pub fn of(list: &List) -> Resources {
        let mut resources = Resources::default();
        for (name, text) in list {
            let Ok(quantity) = text.0.parse::<Quantity>() else { continue };
            *resources.slot(name) = if name == "cpu" { quantity.milli_value() } else { quantity.value() };
        }
        resources
    }

    fn slot(&mut self, name: &str) -> &mut i64 {
        match name {
            "cpu" => &mut self.cpu,
            "memory" => &mut self.memory,
            "ephemeral-storage" => &mut self.storage,
            "pods" => &mut self.pods,
            other => self.others.entry(other.into()).or_default(),
        }
    }

    fn combine(&mut self, other: &Resources, with: impl Fn(i64, i64) -> i64) {
        self.cpu = with(self.cpu, other.cpu);
        self.memory = with(self.memory, other.memory);
        self.storage = with(self.storage, other.storage);
        self.pods = with(self.pods, other.pods);
        for (name, amount) in &other.others {
            let slot = self.others.entry(name.clone()).or_default();
            *slot = with(*slot, *amount);
        }
    }

    pub fn add(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_add);
    }
    pub fn subtract(&mut self, other: &Resources) {
        self.combine(other, |a, b| a.saturating_sub(b).max(0));
    }
    pub fn raise_to(&mut self, other: &Resources) {
        self.combine(other, i64::max);
    }
}

/// What scoring takes for a container that asks for nothing: 0.1 CPU and 200 MB, as upstream.
const LEAST_CPU: i64 = 100;
const LEAST_MEMORY: i64 = 200 * 1024 * 1024;

/// What a pod occupies, and the same with the least amounts that scoring assumes.
pub fn requests(spec: &PodSpec) -> (Resources, Resources) {
    (summed(spec, false), summed(spec, true))
}

fn summed(spec: &PodSpec, assume: bool) -> Resources {
    let of = |container: &Container| {
        let list = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let mut request = list.map(Resources::of).unwrap_or_default();
        if assume {
            let asked = |name: &str| list.is_some_and(|list| list.contains_key(name));
            if !asked("cpu") {
                request.cpu = LEAST_CPU;
            }
            if !asked("memory") {
                request.memory = LEAST_MEMORY;
            }
        }
        request
    };
    let mut total = Resources::default();
    spec.containers.iter().for_each(|container| total.add(&of(container)));
    // Sidecars run beside everything that starts after them (KEP-753).
    let mut sidecars = Resources::default();
    let mut most = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut needed = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            total.add(&needed);
            sidecars.add(&needed);
            needed = sidecars.clone();
        } else {
            needed.add(&sidecars);
        }
        most.raise_to(&needed);
    }
    total.raise_to(&most);
    // Requests of the pod as a whole go before those of its containers (KEP-2837).
    if let Some(list) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) {
        let whole = Resources::of(list);
        for name in list.keys() {
            let amount = match name.as_str() {
                "cpu" => whole.cpu,
                "memory" => whole.memory,
                other => whole.others.get(other).copied().unwrap_or(0),
            };
            *total.slot(name) = amount;
        }
    }
    if let Some(overhead) = &spec.overhead {
        total.add(&Resources::of(overhead));
    }
    total.pods = 1;
    total
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sums_as_upstream() {
        let ask = |cpu: &str| json!({ "requests": { "cpu": cpu } });
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{ "name": "a", "resources": ask("1") }, { "name": "b", "resources": ask("500m") }],
            "initContainers": [
                { "name": "early", "resources": ask("1800m") },
                { "name": "side", "restartPolicy": "Always", "resources": ask("200m") },
                { "name": "late", "resources": ask("1700m") },
            ],
            "overhead": { "cpu": "10m", "memory": "1Mi" },
        }))
        .unwrap();
        let (exact, assumed) = requests(&spec);
        assert_eq!(exact.cpu, 1910, "late beside its sidecar, and the overhead");
        assert_eq!((exact.memory, exact.pods), (1 << 20, 1));
        assert_eq!(assumed.memory, 3 * LEAST_MEMORY + (1 << 20));
    }
}
