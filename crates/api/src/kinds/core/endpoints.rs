//! Endpoints: what EndpointSlices took the place of.

use crate::Value;
use crate::field::Error;
use crate::kinds::discovery::endpoint_slice::not_special;
use crate::kinds::edit::{default, each, int, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "endpoints",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            create_on_update: true,
            defaults,
            check: |endpoints| subsets(&endpoints.get("subsets")),
            update_alone: true,
            // What was there before stands, however bad.
            update: |endpoints, old| {
                if !endpoints.get("subsets").is_same(&old.get("subsets")) {
                    subsets(&endpoints.get("subsets"));
                }
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn subsets(subsets: &Node<'_>) {
    for subset in subsets.items() {
        if subset.get("addresses").is_empty() && subset.get("notReadyAddresses").is_empty() {
            subset.missing("must specify `addresses` or `notReadyAddresses`");
        }
        for list in ["addresses", "notReadyAddresses"] {
            subset.get(list).items().iter().for_each(address);
        }
        let ports = subset.get("ports").items();
        for port in &ports {
            let name = port.get("name");
            if ports.len() > 1 {
                name.required();
            }
            name.is(names::dns_label);
            port.get("port").port_number();
            port.get("protocol").required_one_of(&["SCTP", "TCP", "UDP"]);
            let protocol = port.get("appProtocol");
            if protocol.has() {
                protocol.is_even_empty(names::qualified_name);
            }
        }
    }
}

fn address(address: &Node<'_>) {
    let ip = address.get("ip");
    for text in names::ip(ip.text()) {
        ip.error(Error::invalid(ip.path().clone(), ip.text(), text));
    }
    address.get("hostname").is(names::dns_label);
    let node = address.get("nodeName");
    if node.has() {
        node.is_even_empty(names::dns_subdomain);
    }
    match ip.text().parse() {
        Ok(parsed) => drop(ip.by(|_, path, errors| not_special(parsed, ip.text(), path, errors))),
        Err(_) => ip.error(Error::invalid(ip.path().clone(), ip.text(), "must be a valid IP address")),
    }
}

fn defaults(_: &str, value: &mut Value) {
    each(value, &["subsets"], |subset| {
        each(subset, &["ports"], |port| default(port, "protocol", "TCP"));
    });
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let mut shown: Vec<String> = Vec::new();
    for subset in list(value, &["subsets"]) {
        let addresses = || list(subset, &["addresses"]).iter().map(|address| address.str_at(&["ip"]));
        let ports = list(subset, &["ports"]);
        if ports.is_empty() {
            shown.extend(addresses().map(String::from));
        }
        for port in ports {
            let number = int(port, &["port"]);
            shown.extend(addresses().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{number}"),
                false => format!("{ip}:{number}"),
            }));
        }
    }
    let text = match shown.len() {
        0 if list(value, &["subsets"]).is_empty() => "<none>".into(),
        total if total > 3 => format!("{} + {} more...", shown[..3].join(","), total - 3),
        _ => shown.join(","),
    };
    vec![cells::name(value), text.into(), age(value, now)]
}
