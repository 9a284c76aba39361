//! CSIDriver: what a storage driver asks of Kubernetes.

use crate::Value;
use crate::kinds::edit::{default_pointer, flag, has, int, list, same};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csidrivers",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            unconditional_update: false,
            defaults,
            // Off by default upstream (VolumeLimitScaling).
            created: |driver| drop(driver.remove(&["spec", "preventPodSchedulingIfMissing"])),
            // It counts from the first change on, not from its creation.
            updated: |driver, old| {
                driver.remove(&["spec", "preventPodSchedulingIfMissing"]);
                if crate::kind::spec_differs(driver, old) {
                    let generation = int(old, &["metadata", "generation"]);
                    driver.set(&["metadata", "generation"], generation + 1);
                }
            },
            check: |driver| spec(&driver.get("spec")),
            update: |driver, old| {
                let (spec, old) = (driver.get("spec"), old.get("spec"));
                let attach = spec.get("attachRequired").named(spec.path().child("attachedRequired"));
                attach.immutable(&old.get("attachRequired"));
                spec.get("volumeLifecycleModes").immutable(&old.get("volumeLifecycleModes"));
            },
            warnings,
            row: Some(row),
            ..Strategy::new()
        })
    },
};

const TOKENS: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to \
                      prevent possible logging of tokens in volume attributes";

fn spec(spec: &Node<'_>) {
    spec.get("attachRequired").named(spec.path().child("attachedRequired")).set("");
    spec.get("podInfoOnMount").set("");
    spec.get("storageCapacity").set("");
    let policy = spec.get("fsGroupPolicy");
    if policy.has() {
        policy.one_of_even_empty(&["File", "None", "ReadWriteOnceWithFSType"]);
    }
    tokens(&spec.get("tokenRequests"));
    let modes = spec.get("volumeLifecycleModes");
    for mode in modes.items() {
        mode.named(modes.path().clone()).one_of_even_empty(&["Persistent", "Ephemeral"]);
    }
    spec.get("seLinuxMount").set("");
    let period = spec.get("nodeAllocatableUpdatePeriodSeconds");
    if period.has() && period.int() < 10 {
        period.invalid("must be greater than or equal to 10 seconds");
    }
    let secrets = spec.get("serviceAccountTokenInSecrets");
    if secrets.has() && spec.get("tokenRequests").is_empty() {
        secrets.invalid("serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
}

fn tokens(requests: &Node<'_>) {
    let requests = requests.items();
    for (at, request) in requests.iter().enumerate() {
        let audience = request.get("audience");
        if requests[..at].iter().any(|other| other.get("audience").text() == audience.text()) {
            audience.error(crate::field::Error::duplicate(audience.path().clone(), audience.text()));
            continue;
        }
        let seconds = request.get("expirationSeconds");
        if seconds.has() && seconds.int() < 600 {
            seconds.invalid("may not specify a duration less than 10 minutes");
        }
        if seconds.int() > 1 << 32 {
            seconds.invalid("may not specify a duration larger than 2^32 seconds");
        }
    }
}

fn warnings(driver: &Value, old: Option<&Value>) -> Vec<String> {
    let requests = |driver: &Value| driver.at(&["spec", "tokenRequests"]).cloned();
    let changed = old.is_none_or(|old| !same(requests(old).as_ref(), requests(driver).as_ref()));
    let asks = changed && !list(driver, &["spec", "tokenRequests"]).is_empty();
    if asks && !has(driver, &["spec", "serviceAccountTokenInSecrets"]) {
        return vec![TOKENS.into()];
    }
    Vec::new()
}

fn defaults(_: &str, value: &mut Value) {
    let spec = value.make(&["spec"]);
    default_pointer(spec, "attachRequired", true);
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish"] {
        default_pointer(spec, field, false);
    }
    default_pointer(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if list(spec, &["volumeLifecycleModes"]).is_empty() {
        spec.set(&["volumeLifecycleModes"], vec![Value::from("Persistent")]);
    }
    default_pointer(spec, "seLinuxMount", false);
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let of = |field: &str| flag(value, &["spec", field]).into();
    let join = |field: &str, name: &[&str]| {
        let items = list(value, &["spec", field]).iter();
        items.filter_map(|item| item.at(name)?.as_str()).collect::<Vec<_>>().join(",")
    };
    let audiences = match has(value, &["spec", "tokenRequests"]) {
        true => join("tokenRequests", &["audience"]),
        false => "<unset>".into(),
    };
    vec![
        cells::name(value),
        of("attachRequired"),
        of("podInfoOnMount"),
        of("storageCapacity"),
        audiences.into(),
        of("requiresRepublish"),
        cells::or(&join("volumeLifecycleModes", &[]), "<none>"),
        age(value, now),
    ]
}
