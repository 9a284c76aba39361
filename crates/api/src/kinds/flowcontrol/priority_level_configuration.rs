//! PriorityLevelConfiguration: how much of the server a class of requests may have.

use super::flow_schema::conditions;
use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{default, default_pointer, inside};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "flowcontrol.apiserver.k8s.io",
    plural: "prioritylevelconfigurations",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            generation: true,
            defaults,
            check: |level| {
                if level.at(&["metadata", "annotations", ZERO]).has() {
                    let path = Path::new("metadata").child("annotations");
                    level.error(Error::forbidden(path, format!("annotation '{ZERO}' is forbidden")));
                }
                spec(&level.get("spec"), level.at(&["metadata", "name"]).text());
                conditions(&level.at(&["status", "conditions"]));
            },
            check_status: |level, _| conditions(&level.at(&["status", "conditions"])),
            row: Some(row),
            ..Strategy::new()
        })
    },
};

const ZERO: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

fn spec(spec: &Node<'_>, name: &str) {
    let (kind, exempt, limited) = (spec.get("type"), spec.get("exempt"), spec.get("limited"));
    if (name == "exempt") != (kind.text() == "Exempt") {
        let text = "must be 'Exempt' if and only if `name` is 'exempt'";
        kind.error(Error::invalid(kind.path().clone(), kind.text(), text));
    }
    match kind.text() {
        "Exempt" => {
            if limited.has() {
                limited.forbidden("must be nil if the type is not Limited");
            }
            if exempt.has() {
                shares(&exempt);
            }
        }
        "Limited" => {
            if exempt.has() {
                exempt.forbidden("must be nil if the type is Limited");
            }
            match limited.has() {
                true => self::limited(&limited),
                false => limited.missing("must not be empty when type is Limited"),
            }
        }
        _ => drop(kind.required_one_of(&["Exempt", "Limited"])),
    }
}

fn shares(level: &Node<'_>) {
    let shares = level.get("nominalConcurrencyShares");
    if shares.int() < 0 {
        shares.invalid("must be a non-negative integer");
    }
    percent(level);
}

fn percent(level: &Node<'_>) {
    level.get("lendablePercent").between(0, 100);
}

fn limited(level: &Node<'_>) {
    let shares = level.get("nominalConcurrencyShares");
    if shares.int() < 0 {
        shares.invalid("must be a non-negative integer");
    }
    let (response, queuing) = (level.at(&["limitResponse", "type"]), level.at(&["limitResponse", "queuing"]));
    match response.text() {
        "Reject" if queuing.has() => {
            queuing.forbidden("must be nil if limited.limitResponse.type is not Limited");
        }
        "Reject" => {}
        "Queue" if !queuing.has() => {
            queuing.missing("must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => self::queuing(&queuing),
        _ => drop(response.required_one_of(&["Queue", "Reject"])),
    }
    percent(level);
    let borrowing = level.get("borrowingLimitPercent");
    if borrowing.int() < 0 {
        borrowing.invalid("if specified, must be a non-negative integer");
    }
}

fn queuing(queuing: &Node<'_>) {
    let (length, queues, hand) =
        (queuing.get("queueLengthLimit"), queuing.get("queues"), queuing.get("handSize"));
    let positive = |node: &Node<'_>| {
        if node.int() <= 0 {
            node.error(Error::invalid(node.path().clone(), node.int(), "must be positive"));
        }
        node.int() > 0
    };
    positive(&length);
    if positive(&queues) && queues.int() > 10_000_000 {
        queues.invalid("must not be greater than 10000000");
    }
    if !positive(&hand) {
    } else if hand.int() > queues.int() {
        hand.invalid(format!("should not be greater than queues ({})", queues.int()));
    } else if entropy(queues.int(), hand.int()) > 60 {
        hand.invalid(format!(
            "required entropy bits of deckSize {} and handSize {} should not be greater than 60",
            queues.int(),
            hand.int()
        ));
    }
}

/// Bits that dealing a hand from a deck takes: log2 of deck! / (deck - hand)!.
fn entropy(deck: i64, hand: i64) -> i64 {
    let bits: f64 = (deck - hand + 1..=deck).map(|cards| (cards as f64).log2()).sum();
    bits.ceil() as i64
}

fn defaults(_: &str, value: &mut Value) {
    for (part, shares) in [("exempt", 0i64), ("limited", 30i64)] {
        inside(value, &["spec", part], |level| {
            default_pointer(level, "nominalConcurrencyShares", shares);
            default_pointer(level, "lendablePercent", 0i64);
        });
    }
    inside(value, &["spec", "limited", "limitResponse", "queuing"], |queuing| {
        default(queuing, "handSize", 8i64);
        default(queuing, "queues", 64i64);
        default(queuing, "queueLengthLimit", 50i64);
    });
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let of = |path: &[&str]| {
        value.at(path).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| "<none>".into())
    };
    let queuing = |field: &str| of(&["spec", "limited", "limitResponse", "queuing", field]);
    vec![
        cells::name(value),
        value.str_at(&["spec", "type"]).into(),
        of(&["spec", "limited", "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age(value, now),
    ]
}
