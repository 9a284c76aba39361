//! LimitRange.

use crate::Value;
use crate::field::Error;
use crate::kinds::core::pod::container_resource_name;
use crate::kinds::core::pod::defaults::round;
use crate::kinds::core::pod::validate::resources::{is_overcommit_allowed, known_name};
use crate::kinds::edit::{each, has};
use crate::kinds::{Builtin, Strategy};
use crate::quantity::Quantity;
use crate::table::cells;
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "limitranges",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            create_on_update: true,
            defaults,
            check: |range| {
                let limits = range.at(&["spec", "limits"]).items();
                for (at, limit) in limits.iter().enumerate() {
                    kind(
                        &limit.get("type"),
                        limits[..at].iter().any(|one| one.get("type").text() == limit.get("type").text()),
                    );
                    check(limit);
                }
            },
            created: |range| {
                // Upstream makes up a name where none is asked for.
                if range.str_at(&["metadata", "name"]).is_empty() {
                    let uid = range.str_at(&["metadata", "uid"]).to_string();
                    range.set(&["metadata", "name"], uid);
                }
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn kind(kind: &Node<'_>, twice: bool) {
    let before = kind.count();
    for text in names::qualified_name(kind.text()) {
        kind.error(Error::invalid(kind.path().clone(), kind.text(), text));
    }
    let standard = matches!(kind.text(), "Pod" | "Container" | "PersistentVolumeClaim");
    if kind.count() == before && !kind.text().contains('/') && !standard {
        kind.invalid("must be a standard limit type or fully qualified");
    }
    if twice {
        kind.error(Error::duplicate(kind.path().clone(), kind.text()));
    }
}

fn check(limit: &Node<'_>) {
    let kind = limit.get("type").text();
    let names_of = |field: &str| {
        for (name, amount) in limit.get(field).entries() {
            amount.by(|_, path, errors| {
                if matches!(kind, "Pod" | "Container") {
                    container_resource_name(&name.into(), path, errors);
                } else {
                    known_name(name, path, errors);
                }
            });
        }
    };
    names_of("max");
    names_of("min");
    if kind == "Pod" {
        for field in ["default", "defaultRequest"] {
            limit.get(field).unset("may not be specified when `type` is 'Pod'");
        }
    } else {
        names_of("default");
        names_of("defaultRequest");
    }
    if kind == "PersistentVolumeClaim"
        && !limit.at(&["min", "storage"]).has()
        && !limit.at(&["max", "storage"]).has()
    {
        limit
            .get("limits")
            .missing("either minimum or maximum storage value is required, but neither was provided");
    }
    names_of("maxLimitRequestRatio");
    let mut keys: Vec<&str> = Vec::new();
    let fields: &[&str] = match kind {
        "Pod" => &["max", "min", "maxLimitRequestRatio"],
        _ => &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"],
    };
    for field in fields {
        keys.extend(limit.get(field).entries().iter().map(|(key, _)| *key));
    }
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        amounts(limit, key, kind == "Pod");
    }
}

/// How the amounts of one resource must stand to each other.
fn amounts(limit: &Node<'_>, key: &str, pod: bool) {
    let of = |field: &str| {
        let node = limit.get(field).get(key).named(limit.path().child(field).key(key));
        (node.has() && !(pod && field.starts_with("default"))).then_some(node)
    };
    let (least, most, ratio) = (of("min"), of("max"), of("maxLimitRequestRatio"));
    let (default, request) = (of("default"), of("defaultRequest"));
    // The second is not more than the first: at, what the first is called, what the second is called.
    let above = |low: &Option<Node<'_>>,
                 high: &Option<Node<'_>>,
                 at: &Option<Node<'_>>,
                 shown: &Option<Node<'_>>,
                 words: (&str, &str)| {
        if let (Some(low), Some(high), Some(at), Some(shown)) = (low, high, at, shown)
            && low.compare(high).is_gt()
        {
            let text =
                format!("{} {} is greater than {} {}", words.0, low.quantity(), words.1, high.quantity());
            at.error(Error::invalid(at.path().clone(), shown.value().clone(), text));
        }
    };
    above(&least, &most, &least, &least, ("min value", "max value"));
    above(&least, &request, &request, &request, ("min value", "default request value"));
    above(&request, &most, &request, &request, ("default request value", "max value"));
    above(&request, &default, &request, &request, ("default request value", "default limit value"));
    above(&least, &default, &default, &least, ("min value", "default value"));
    above(&default, &most, &default, &most, ("default value", "max value"));
    if let Some(ratio) = &ratio {
        if ratio.quantity() < Quantity::from_int(1, crate::quantity::Format::DecimalSI) {
            ratio.invalid(format!("ratio {} is less than 1", ratio.quantity()));
        }
        if let (Some(least), Some(most)) = (&least, &most) {
            // Thousandths, and whole numbers where one is too large for that.
            let (asked, least, most) = (ratio.quantity(), least.quantity(), most.quantity());
            let whole = [&asked, &least, &most].iter().any(|amount| amount.value() >= i64::MAX / 1000);
            let (value, real) = match whole {
                true => (asked.value() as f64, most.value() as f64 / least.value() as f64),
                false => (
                    asked.milli_value() as f64 / 1000.0,
                    most.milli_value() as f64 / least.milli_value() as f64,
                ),
            };
            if value > real {
                ratio.invalid(format!("ratio {} is greater than max/min = {real:.6}", ratio.quantity()));
            }
        }
    }
    if let (Some(default), Some(request)) = (&default, &request)
        && !is_overcommit_allowed(key)
        && !default.compare(request).is_eq()
    {
        request.invalid(format!(
            "default value {} must equal to defaultRequest value {} in {key}",
            default.quantity(),
            request.quantity()
        ));
    }
}

/// Of limits for containers: the default limit follows the most, the default request the limit, then the least.
fn defaults(_: &str, value: &mut Value) {
    each(value, &["spec", "limits"], |limit| {
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            round(limit.get_mut(field));
        }
        if limit.str_at(&["type"]) != "Container" {
            return;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let Some(amounts) = limit.get(from).and_then(Value::as_map).cloned() else { continue };
            for (name, amount) in amounts {
                if !has(limit, &[to, &name]) {
                    limit.set(&[to, &name], amount);
                }
            }
        }
    });
}

fn row(value: &Value, _: i64) -> Vec<Value> {
    vec![cells::name(value), value.str_at(&["metadata", "creationTimestamp"]).into()]
}
