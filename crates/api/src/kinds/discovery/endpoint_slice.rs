//! EndpointSlice: addresses of one family, ports by name; its labels move the generation too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, spec_differs};
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, each, int, list, same};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};

pub const KIND: Builtin = Builtin {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    storage: "v1",
    rules: || Box::new(EndpointSlice),
};

struct EndpointSlice;

fn ports(ports: &[Value], errors: &mut Errors) {
    let path = Path::new("ports");
    if ports.len() > 20000 {
        return errors.push(Error::too_many(path, ports.len(), 20000));
    }
    let mut seen = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = path.index(at);
        let name = port.str_at(&["name"]);
        if !name.is_empty() {
            check::format(name, &path.child("name"), names::dns_label, errors);
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
        let protocol = port.str_at(&["protocol"]);
        check::one_of(protocol, path.child("protocol"), &["SCTP", "TCP", "UDP"], errors);
        if let Some(app) = port.get("appProtocol").and_then(Value::as_str) {
            check::format(app, &path.child("appProtocol"), names::qualified_name, errors);
        }
    }
}

fn endpoints(endpoints: &[Value], family: &str, errors: &mut Errors) {
    let path = Path::new("endpoints");
    if endpoints.len() > 1000 {
        return errors.push(Error::too_many(path, endpoints.len(), 1000));
    }
    for (at, endpoint) in endpoints.iter().enumerate() {
        let path = path.index(at);
        let addresses = list(endpoint, &["addresses"]);
        let inner = path.child("addresses");
        if addresses.is_empty() {
            errors.push(Error::required(inner.clone(), "must contain at least 1 address"));
        } else if addresses.len() > 100 {
            errors.push(Error::too_many(inner.clone(), addresses.len(), 100));
        }
        for (at, text) in addresses.iter().enumerate() {
            address(text.as_str().unwrap_or_default(), family, &inner, at, errors);
        }
        if let Some(node) = endpoint.get("nodeName").and_then(Value::as_str) {
            check::format(node, &path.child("nodeName"), names::dns_subdomain, errors);
        }
        if let Some(host) = endpoint.get("hostname").and_then(Value::as_str) {
            check::format(host, &path.child("hostname"), names::dns_label, errors);
        }
        hints(endpoint, &path.child("hints"), errors);
    }
}

/// For which zones and nodes an endpoint is.
fn hints(endpoint: &Value, path: &Path, errors: &mut Errors) {
    type Format = fn(&str) -> Vec<String>;
    for (field, format) in
        [("forZones", names::label_value as Format), ("forNodes", names::dns_subdomain as Format)]
    {
        let (items, path) = (list(endpoint, &["hints", field]), path.child(field));
        if items.len() > 8 {
            return errors.push(Error::too_many(path, items.len(), 8));
        }
        for (at, item) in items.iter().enumerate() {
            let (name, path) = (item.str_at(&["name"]), path.index(at).child("name"));
            if items[..at].iter().any(|other| other.str_at(&["name"]) == name) {
                errors.push(Error::duplicate(path.clone(), name));
            }
            check::format(name, &path, format, errors);
        }
    }
}

/// Written by clients of v1beta1 only; stays as long as the endpoints do.
fn drop_topology(new: &mut Value, old: Option<&Value>) {
    if old.is_none_or(|old| !same(new.get("endpoints"), old.get("endpoints"))) {
        each(new, &["endpoints"], |endpoint| drop(endpoint.remove(&["deprecatedTopology"])));
    }
}

fn address(text: &str, family: &str, path: &Path, at: usize, errors: &mut Errors) {
    let path_at = path.index(at);
    match (family, text.parse::<IpAddr>()) {
        ("IPv4" | "IPv6", Err(_)) => check::format(text, &path_at, names::ip, errors),
        ("IPv4" | "IPv6", Ok(ip)) => {
            if ip.is_ipv4() != (family == "IPv4") {
                let wanted = format!("must be an {family} address");
                errors.push(Error::invalid(path.clone(), text, wanted));
            }
            not_special(ip, text, &path_at, errors);
        }
        ("FQDN", _) => check::format(text.trim_end_matches('.'), &path_at, names::dns_subdomain, errors),
        _ => {}
    }
}

/// An address that endpoints and external IPs may have (upstream's ValidateEndpointIP).
pub fn not_special(ip: IpAddr, text: &str, path: &Path, errors: &mut Errors) {
    let (link_local, link_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
    };
    let range4 = |ip4: &str, ip6: &str| format!("({ip4}, {ip6})");
    let wrong = if ip.is_unspecified() {
        format!("may not be unspecified ({text})")
    } else if ip.is_loopback() {
        "may not be in the loopback range (127.0.0.0/8, ::1/128)".into()
    } else if link_local {
        format!("may not be in the link-local range {}", range4("169.254.0.0/16", "fe80::/10"))
    } else if link_multicast {
        format!("may not be in the link-local multicast range {}", range4("224.0.0.0/24", "ff02::/10"))
    } else {
        return;
    };
    errors.push(Error::invalid(path.clone(), text, wrong));
}

impl Rules for EndpointSlice {
    fn default(&self, _: &str, value: &mut Value) {
        if value.get("ports").is_none() {
            value.set(&["ports"], Value::Null);
        }
        each(value, &["ports"], |port| {
            default_pointer(port, "name", "");
            default_pointer(port, "protocol", "TCP");
        });
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        drop_topology(new, None);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        drop_topology(new, Some(old));
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let deprecated = old.is_none() && new.str_at(&["addressType"]) == "FQDN";
        deprecated.then(|| "spec.addressType: FQDN endpoints are deprecated".into()).into_iter().collect()
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let family = new.str_at(&["addressType"]);
        check::required_one_of(family, Path::new("addressType"), &["FQDN", "IPv4", "IPv6"], errors);
        ports(list(new, &["ports"]), errors);
        endpoints(list(new, &["endpoints"]), family, errors);
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        let before = errors.len();
        self.validate_create(context, new, errors);
        if same(new.get("endpoints"), old.get("endpoints")) {
            // Endpoints that are there are not judged again.
            let kept = |error: &Error| !error.path.to_string().starts_with("endpoints");
            let own = errors.split_off(before);
            errors.extend(own.into_iter().filter(kept));
        }
        let path = Path::new("addressType");
        meta::immutable(new.get("addressType"), old.get("addressType"), path, errors);
    }
    fn has_generation(&self) -> bool {
        true
    }
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        let labels = ["metadata", "labels"];
        spec_differs(new, old) || !same(new.at(&labels), old.at(&labels))
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let more = |mut texts: Vec<String>, total: usize, most: usize| {
            if total > most {
                texts.truncate(most);
                return format!("{} + {} more...", texts.join(","), total - most);
            }
            texts.join(",")
        };
        let ports = list(value, &["ports"]);
        let shown: Vec<String> = ports
            .iter()
            .map(|port| match int(port, &["port"]) {
                0 => "*".into(),
                number => number.to_string(),
            })
            .collect();
        let total = shown.len();
        let shown_ports = if total == 0 { "<unset>".into() } else { more(shown, total, 3) };
        let addresses: Vec<String> = list(value, &["endpoints"])
            .iter()
            .flat_map(|endpoint| list(endpoint, &["addresses"]))
            .filter_map(|text| text.as_str().map(String::from))
            .collect();
        let total = addresses.len();
        let shown = if total == 0 { "<unset>".into() } else { more(addresses, total, 3) };
        let family = value.str_at(&["addressType"]).into();
        Some(vec![cells::name(value), family, shown_ports.into(), shown.into(), age(value, now)])
    }
}
