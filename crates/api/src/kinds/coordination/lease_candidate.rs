//! coordination.k8s.io LeaseCandidate: who would lead, and which version it has.

use std::cmp::Ordering;

use crate::Value;
use crate::cel::Semver;
use crate::field::Error;
use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;
use crate::table::{age, cells};
use crate::validation::{Node, names};

const OLDEST: &str = "OldestEmulationVersion";

pub const KIND: Builtin = Builtin {
    group: "coordination.k8s.io",
    plural: "leasecandidates",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            create_on_update: true,
            unconditional_update: false,
            name: names::config_key,
            row: Some(row),
            check: |candidate| spec(&candidate.get("spec")),
            update: |candidate, old| {
                let path = ["spec", "leaseName"];
                candidate.at(&path).immutable(&old.at(&path));
            },
            ..Strategy::new()
        })
    },
};

fn row(candidate: &Value, now: i64) -> Vec<Value> {
    let text = |field: &str| candidate.str_at(&["spec", field]).into();
    vec![
        cells::name(candidate),
        text("leaseName"),
        text("binaryVersion"),
        text("emulationVersion"),
        age(candidate, now),
    ]
}

/// The version of a field; of none and of a bad one upstream goes on with 0.0.0.
fn version(node: &Node<'_>) -> Option<Semver> {
    let version = Semver::parse(node.text(), false).ok();
    if version.is_none() && !node.text().is_empty() {
        node.invalid("must be a valid semantic version");
    }
    version
}

fn spec(spec: &Node<'_>) {
    spec.get("leaseName").required();
    let (emulation, binary, strategy) =
        (spec.get("emulationVersion"), spec.get("binaryVersion"), spec.get("strategy"));
    let emulated = version(&emulation);
    binary.required();
    let built = version(&binary);
    let zero = || Semver::parse("0.0.0", false).expect("because it is one");
    let behind = built.unwrap_or_else(zero).compare(&emulated.clone().unwrap_or_else(zero)) == Ordering::Less;
    if !binary.text().is_empty() && !emulation.text().is_empty() && behind {
        binary.invalid("must be greater than or equal to `emulationVersion`");
    }
    let path = strategy.path().child("strategy");
    match strategy.text() {
        "" => strategy.missing(""),
        OLDEST => {
            if emulated.is_none_or(|version| version.compare(&zero()) == Ordering::Equal) {
                emulation.missing("must be specified when `strategy` is 'OldestEmulationVersion'");
            }
        }
        // A name with a domain is somebody else's.
        own if own.contains('/') => {
            for text in names::qualified_name(own) {
                strategy.error(Error::invalid(path.clone(), own, text));
            }
        }
        other => strategy.error(Error::not_supported(path, other, &[OLDEST])),
    }
}
