//! NetworkPolicy.

use crate::Value;
use crate::field::Error;
use crate::kinds::edit::{default_pointer, each, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "networkpolicies",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            defaults,
            check: |policy| spec(&policy.get("spec"), &[]),
            update_alone: true,
            update: |policy, old| spec(&policy.get("spec"), &blocks(&old.get("spec"))),
            row: Some(row),
            ..Strategy::new()
        })
    },
};

const WAYS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// All address blocks of a policy: what was there before is taken again, however bad.
fn blocks<'a>(spec: &Node<'a>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (way, peers) in WAYS {
        for rule in spec.get(way).items() {
            for peer in rule.get(peers).items() {
                let block = peer.get("ipBlock");
                found.push(block.get("cidr").text());
                found.extend(block.get("except").texts());
            }
        }
    }
    found.retain(|text| !text.is_empty());
    found
}

fn spec(spec: &Node<'_>, known: &[&str]) {
    spec.get("podSelector").label_selector();
    for (way, peers) in WAYS {
        for rule in spec.get(way).items() {
            rule.get("ports").items().iter().for_each(port);
            rule.get(peers).items().iter().for_each(|peer| self::peer(peer, known));
        }
    }
    let types = spec.get("policyTypes");
    if types.len() > 2 {
        return types.invalid("may not specify more than two policyTypes");
    }
    for kind in types.items() {
        kind.one_of_even_empty(&["Ingress", "Egress"]);
    }
}

fn port(port: &Node<'_>) {
    port.get("protocol").one_of_set(&["TCP", "UDP", "SCTP"]);
    let (first, last) = (port.get("port"), port.get("endPort"));
    match first.value() {
        Value::Null if last.has() => last.invalid("may not be specified when `port` is not specified"),
        Value::Null => {}
        Value::String(_) => {
            if last.has() {
                last.invalid("may not be specified when `port` is non-numeric");
            }
            first.is_even_empty(names::port_name);
        }
        _ => {
            first.port_number();
            if last.has() {
                if last.int() < first.int() {
                    // Upstream shows the first port.
                    let text = "must be greater than or equal to `port`";
                    last.error(Error::invalid(last.path().clone(), first.int(), text));
                }
                last.port_number();
            }
        }
    }
}

fn peer(peer: &Node<'_>, known: &[&str]) {
    let selectors = [peer.get("podSelector"), peer.get("namespaceSelector")];
    for selector in selectors.iter().filter(|selector| selector.has()) {
        selector.label_selector();
    }
    let block = peer.get("ipBlock");
    if block.has() {
        ip_block(&block, known);
    }
    match (selectors.iter().any(Node::has), block.has()) {
        (false, false) => peer.missing("must specify a peer"),
        (true, true) => peer.forbidden("may not specify both ipBlock and another peer"),
        _ => {}
    }
}

fn ip_block(block: &Node<'_>, known: &[&str]) {
    let cidr = block.get("cidr");
    if cidr.text().is_empty() {
        return cidr.missing("");
    }
    let judge = |node: &Node<'_>| {
        if !known.contains(&node.text()) {
            node.is_even_empty(names::cidr);
        }
        names::parse_cidr(node.text())
    };
    let Some(outer) = judge(&cidr) else { return };
    for except in block.get("except").items() {
        let Some(inner) = judge(&except) else { continue };
        if !inner.lies_strictly_in(&outer) {
            except.invalid("must be a strict subset of `cidr`");
        }
    }
}

fn defaults(_: &str, value: &mut Value) {
    let spec = value.make(&["spec"]);
    for way in ["ingress", "egress"] {
        each(spec, &[way], |rule| {
            each(rule, &["ports"], |port| default_pointer(port, "protocol", "TCP"));
        });
    }
    if list(spec, &["policyTypes"]).is_empty() {
        let mut types = vec![Value::from("Ingress")];
        if !list(spec, &["egress"]).is_empty() {
            types.push("Egress".into());
        }
        spec.set(&["policyTypes"], types);
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let selector = value.at(&["spec", "podSelector"]).cloned().unwrap_or_else(Value::object);
    vec![cells::name(value), cells::selector(Some(&selector)).into(), age(value, now)]
}
