//! ServiceCIDR: addresses that Services may have.

use crate::Value;
use crate::kinds::edit::list;
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, meta, names};

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "servicecidrs",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            check: |cidr| spec(&cidr.get("spec")),
            update_alone: true,
            update: |cidr, old| {
                let (cidrs, olds) = (cidr.at(&["spec", "cidrs"]), old.at(&["spec", "cidrs"]).texts());
                let changed = |(cidr, old): (&Node<'_>, &&str)| {
                    if cidr.text() != *old {
                        cidr.invalid(meta::IMMUTABLE);
                    }
                };
                match (olds.len(), cidrs.len()) {
                    (was, is) if was == is => cidrs.items().iter().zip(&olds).for_each(changed),
                    // One family may become two.
                    (1, 2) => {
                        cidrs.items().iter().zip(&olds).for_each(changed);
                        spec(&cidr.get("spec"));
                    }
                    _ => cidrs.invalid(meta::IMMUTABLE),
                }
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn spec(spec: &Node<'_>) {
    let cidrs = spec.get("cidrs");
    if cidrs.is_empty() {
        return cidrs.missing("at least one CIDR required");
    }
    if cidrs.len() > 2 {
        return spec.named(cidrs.path().clone()).invalid("may only hold up to 2 values");
    }
    for cidr in cidrs.items() {
        cidr.is_even_empty(names::canonical_cidr);
    }
    let families: Vec<bool> =
        cidrs.texts().into_iter().filter_map(names::parse_cidr).map(|cidr| cidr.is_ipv4()).collect();
    if matches!(families[..], [first, second] if first == second) {
        cidrs.invalid(
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        );
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let cidrs: Vec<&str> = list(value, &["spec", "cidrs"]).iter().filter_map(Value::as_str).collect();
    vec![cells::name(value), cidrs.join(",").into(), age(value, now)]
}
