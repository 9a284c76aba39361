//! coordination.k8s.io LeaseCandidate: who would lead, and which version it has. Not here: whether a version is a semantic one.

use crate::field::Error;
use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

const OLDEST: &str = "OldestEmulationVersion";

pub const KIND: Builtin = Builtin {
    group: "coordination.k8s.io",
    plural: "leasecandidates",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            create_on_update: true,
            check: |candidate| {
                let spec = candidate.get("spec");
                spec.get("leaseName").required();
                spec.get("binaryVersion").required();
                let strategy = spec.get("strategy");
                match strategy.text() {
                    "" => strategy.missing(""),
                    OLDEST if spec.get("emulationVersion").text().is_empty() => spec
                        .get("emulationVersion")
                        .missing("must be specified when `strategy` is 'OldestEmulationVersion'"),
                    OLDEST => {}
                    // A name with a domain is somebody else's.
                    own if own.contains('/') => {}
                    other => {
                        let path = strategy.path().child("strategy");
                        strategy.error(Error::not_supported(path, other, &[OLDEST]));
                    }
                }
            },
            update: |candidate, old| {
                let path = ["spec", "leaseName"];
                candidate.at(&path).immutable(&old.at(&path));
            },
            ..Strategy::incomplete()
        })
    },
};
