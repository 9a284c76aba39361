//! A container's environment: the image's, then Services', then `envFrom`, then `env`, each overriding what came before.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::expand::expand;
use super::field::{self, Addresses};
use crate::pod::spec;
use crate::sources::Sources;

/// Shown with `CreateContainerConfigError`; the texts are upstream's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{kind} {name:?} not found")]
    NotFound { kind: &'static str, name: String },
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    Key { kind: &'static str, namespace: String, name: String, key: String },
    #[error(transparent)]
    Field(#[from] field::Error),
}

/// What variables may come from.
pub struct Context<'a> {
    pub pod: &'a Pod,
    pub sources: &'a dyn Sources,
    pub addresses: Addresses<'a>,
    pub allocatable: &'a BTreeMap<String, Quantity>,
}

/// Variables in the order in which they are given to the process; each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env(Vec<(String, String)>);

impl Env {
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(found) => found.1 = value,
            None => self.0.push((name, value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn into_vec(self) -> Vec<(String, String)> {
        self.0
    }
}

/// What the pod gives its container; the image's own variables are not in it, nor may `$(…)` name them.
pub fn declared(context: &Context, container: &Container) -> Result<Env, Error> {
    let namespace = spec::namespace(context.pod);
    let links = spec::spec(context.pod).enable_service_links.unwrap_or(true);
    let mut env = Env::default();
    for (name, value) in services(context.sources, namespace, links) {
        env.set(name, value);
    }
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(wanted) = &from.config_map_ref
            && let Some(map) = config_map(context, &wanted.name, wanted.optional)?
        {
            for (key, value) in map.data.iter().flatten() {
                env.set(format!("{prefix}{key}"), value);
            }
        }
        if let Some(wanted) = &from.secret_ref
            && let Some(secret) = secret(context, &wanted.name, wanted.optional)?
        {
            for (key, value) in secret.data.iter().flatten() {
                env.set(format!("{prefix}{key}"), String::from_utf8_lossy(&value.0));
            }
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(context, container, variable, &env)? {
            env.set(&variable.name, value);
        }
    }
    Ok(env)
}

fn value(
    context: &Context,
    container: &Container,
    variable: &EnvVar,
    env: &Env,
) -> Result<Option<String>, Error> {
    let namespace = spec::namespace(context.pod);
    let literal = variable.value.as_deref().unwrap_or_default();
    let Some(from) = variable.value_from.as_ref().filter(|_| literal.is_empty()) else {
        return Ok(Some(expand(literal, |name| env.get(name))));
    };
    if let Some(reference) = &from.field_ref {
        return Ok(Some(field::field(context.pod, &reference.field_path, context.addresses)?));
    }
    if let Some(reference) = &from.resource_field_ref {
        return Ok(Some(field::resource(context.pod, Some(container), reference, context.allocatable)?));
    }
    let missing = |kind, name: &str, key: &str, optional: Option<bool>| match optional {
        Some(true) => Ok(None),
        _ => Err(Error::Key { kind, namespace: namespace.into(), name: name.into(), key: key.into() }),
    };
    if let Some(reference) = &from.config_map_key_ref {
        let Some(map) = config_map(context, &reference.name, reference.optional)? else { return Ok(None) };
        return match map.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(value.clone())),
            None => missing("ConfigMap", &reference.name, &reference.key, reference.optional),
        };
    }
    if let Some(reference) = &from.secret_key_ref {
        let Some(secret) = secret(context, &reference.name, reference.optional)? else { return Ok(None) };
        return match secret.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None => missing("Secret", &reference.name, &reference.key, reference.optional),
        };
    }
    Ok(Some(String::new()))
}

fn config_map(
    context: &Context,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<Arc<ConfigMap>>, Error> {
    match context.sources.config_map(spec::namespace(context.pod), name) {
        None if optional != Some(true) => Err(Error::NotFound { kind: "configmap", name: name.into() }),
        found => Ok(found),
    }
}

fn secret(context: &Context, name: &str, optional: Option<bool>) -> Result<Option<Arc<Secret>>, Error> {
    match context.sources.secret(spec::namespace(context.pod), name) {
        None if optional != Some(true) => Err(Error::NotFound { kind: "secret", name: name.into() }),
        found => Ok(found),
    }
}

/// Variables of the Services that a pod of `namespace` is told of; `default/kubernetes` always.
fn services(sources: &dyn Sources, namespace: &str, links: bool) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let is_api = |service: &Service| service.metadata.name.as_deref() == Some("kubernetes");
    let own = if links { sources.services(namespace) } else { Vec::new() };
    let api = (!own.iter().any(|service| is_api(service)))
        .then(|| sources.services("default").into_iter().find(|service| is_api(service)))
        .flatten();
    for service in own.iter().chain(&api) {
        of_service(service, &mut told);
    }
    told
}

fn of_service(service: &Service, told: &mut Vec<(String, String)>) {
    let Some(spec) = &service.spec else { return };
    let Some(address) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else {
        return;
    };
    let upper = |name: &str| name.replace('-', "_").to_uppercase();
    let prefix = upper(service.metadata.name.as_deref().unwrap_or_default());
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    told.push((format!("{prefix}_SERVICE_HOST"), address.to_owned()));
    told.push((format!("{prefix}_SERVICE_PORT"), first.port.to_string()));
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            told.push((format!("{prefix}_SERVICE_PORT_{}", upper(name)), port.port.to_string()));
        }
    }
    let host = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => address.to_owned(),
    };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let small = protocol.to_lowercase();
        let url = format!("{small}://{host}:{}", port.port);
        if index == 0 {
            told.push((format!("{prefix}_PORT"), url.clone()));
        }
        let prefix = format!("{prefix}_PORT_{}_{protocol}", port.port);
        told.push((format!("{prefix}_PROTO"), small));
        told.push((format!("{prefix}_PORT"), port.port.to_string()));
        told.push((format!("{prefix}_ADDR"), address.to_owned()));
        told.push((prefix, url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn every_source_of_a_variable() {
        let sources = fake::Sources::default();
        sources.put_json(
            serde_json::json!({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "cm"},
            "data": {"one": "1", "two": "2"}}),
        );
        sources
            .put_json(serde_json::json!({"kind": "Secret", "metadata": {"namespace": "shop", "name": "s"},
            "data": {"pass": "aGlkZGVu"}}));
        sources.put_json(serde_json::json!({"kind": "Service", "metadata": {"namespace": "default", "name": "kubernetes"},
            "spec": {"clusterIP": "10.43.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}}));
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"enableServiceLinks": false, "containers": []}
        }))
        .unwrap();
        let allocatable = BTreeMap::new();
        let context = Context {
            pod: &pod,
            sources: &sources,
            addresses: Addresses::default(),
            allocatable: &allocatable,
        };
        let container = |json| serde_json::from_value::<Container>(json).unwrap();
        let env = declared(
            &context,
            &container(serde_json::json!({"name": "c",
                "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "CM_"}, {"secretRef": {"name": "no", "optional": true}}],
                "env": [
                    {"name": "A", "value": "x-$(CM_one)-$(KUBERNETES_SERVICE_PORT_HTTPS)-$(LATER)"},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "two"}}},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pass"}}},
                    {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no", "optional": true}}},
                    {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "CM_two", "value": "over"}]})),
        )
        .unwrap();
        for (name, expected) in [
            ("A", Some("x-1-443-$(LATER)")),
            ("B", Some("2")),
            ("C", Some("hidden")),
            ("D", None),
            ("E", Some("web")),
            ("CM_two", Some("over")),
            ("KUBERNETES_PORT", Some("tcp://10.43.0.1:443")),
            ("KUBERNETES_PORT_443_TCP_ADDR", Some("10.43.0.1")),
        ] {
            assert_eq!(env.get(name), expected, "{name}");
        }
        for (json, expected) in [
            (
                serde_json::json!({"name": "c", "envFrom": [{"configMapRef": {"name": "no"}}]}),
                "configmap \"no\" not found",
            ),
            (
                serde_json::json!({"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                "couldn't find key k in Secret shop/s",
            ),
        ] {
            assert_eq!(declared(&context, &container(json)).unwrap_err().to_string(), expected);
        }
    }
}
