//! Service: strategy and cells here, validation in the folder; addresses and ports are [`crate::service`]'s.

use crate::Value;
use crate::kind::{Context, Rules, keep, name_by};
use crate::kinds::Builtin;
use crate::kinds::edit::{default, default_pointer, each, has, int, is_unset, list};
use crate::service::{drop_type_dependent, is_external, keep_assigned, normalize_addresses};
use crate::table::{age, cells};
use crate::validation::check::Errors;
use crate::validation::names;

mod validate;
mod warnings;

pub use validate::asked;

pub const KIND: Builtin =
    Builtin { group: "", plural: "services", storage: "v1", rules: || Box::new(Service) };

struct Service;

/// Three hours: how long a client stays with its endpoint.
const AFFINITY_SECONDS: i64 = 10800;

fn port_text(port: &Value) -> String {
    let (number, protocol) = (int(port, &["port"]), port.str_at(&["protocol"]));
    match int(port, &["nodePort"]) {
        0 => format!("{number}/{protocol}"),
        node => format!("{number}:{node}/{protocol}"),
    }
}

fn external_address(service: &Value) -> String {
    let mut ips: Vec<&str> =
        list(service, &["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    match service.str_at(&["spec", "type"]) {
        "ClusterIP" | "NodePort" if ips.is_empty() => "<none>".into(),
        "ClusterIP" | "NodePort" => ips.join(","),
        "LoadBalancer" => {
            let ingress = list(service, &["status", "loadBalancer", "ingress"]);
            let mut balancers: Vec<&str> = ingress
                .iter()
                .map(|one| {
                    if one.str_at(&["ip"]).is_empty() {
                        one.str_at(&["hostname"])
                    } else {
                        one.str_at(&["ip"])
                    }
                })
                .filter(|text| !text.is_empty())
                .collect();
            balancers.sort_unstable();
            balancers.dedup();
            balancers.append(&mut ips);
            if balancers.is_empty() { "<pending>".into() } else { balancers.join(",") }
        }
        "ExternalName" => service.str_at(&["spec", "externalName"]).into(),
        _ => "<unknown>".into(),
    }
}

/// A name outside has no endpoints here to choose among; upstream drops the policy whenever it reads such a Service.
fn drop_unused_policy(service: &mut Value) {
    let known = matches!(service.str_at(&["spec", "internalTrafficPolicy"]), "" | "Cluster" | "Local");
    if known && service.str_at(&["spec", "type"]) == "ExternalName" {
        service.remove(&["spec", "internalTrafficPolicy"]);
    }
}

impl Rules for Service {
    fn default(&self, _: &str, value: &mut Value) {
        let spec = value.make(&["spec"]);
        default(spec, "sessionAffinity", "None");
        match spec.str_at(&["sessionAffinity"]) {
            "None" => drop(spec.remove(&["sessionAffinityConfig"])),
            "ClientIP" if !has(spec, &["sessionAffinityConfig", "clientIP", "timeoutSeconds"]) => {
                spec.set(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"], AFFINITY_SECONDS);
            }
            _ => {}
        }
        default(spec, "type", "ClusterIP");
        each(spec, &["ports"], |port| {
            default(port, "protocol", "TCP");
            if is_unset(port.get("targetPort")) {
                let number = int(port, &["port"]);
                port.set(&["targetPort"], number);
            }
        });
        let (external, kind) = (is_external(value), value.str_at(&["spec", "type"]).to_string());
        let spec = value.make(&["spec"]);
        if external {
            default(spec, "externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
            default_pointer(spec, "internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            default_pointer(spec, "allocateLoadBalancerNodePorts", true);
            each(value, &["status", "loadBalancer", "ingress"], |ingress| {
                if !ingress.str_at(&["ip"]).is_empty() {
                    default_pointer(ingress, "ipMode", "VIP");
                }
            });
        }
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        drop_unused_policy(new);
        normalize_addresses(new, None);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        drop_unused_policy(new);
        keep_assigned(new, old);
        normalize_addresses(new, Some(old));
        drop_type_dependent(new, old);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        validate::service(new, errors);
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        validate::update(new, old, errors);
        validate::service(new, errors);
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        validate::status(new, errors);
    }
    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        warnings::service(new)
    }
    fn has_status(&self) -> bool {
        true
    }
    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        name_by(names::dns_label, name, prefix)
    }
    fn create_on_update(&self) -> bool {
        true
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let address =
            list(value, &["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or("<none>");
        let ports: Vec<String> = list(value, &["spec", "ports"]).iter().map(port_text).collect();
        Some(vec![
            cells::name(value),
            value.str_at(&["spec", "type"]).into(),
            address.into(),
            external_address(value).into(),
            cells::or(&ports.join(","), "<none>"),
            age(value, now),
            cells::labels(value.at(&["spec", "selector"])).into(),
        ])
    }
}
