//! Lease: a node's heartbeat, a leader's claim.

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::kinds::edit::{has, int};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};

pub const KIND: Builtin =
    Builtin { group: "coordination.k8s.io", plural: "leases", storage: "v1", rules: || Box::new(Lease) };

struct Lease;

/// Off by default upstream (CoordinatedLeaderElection); what an old lease has stays.
fn drop_disabled(new: &mut Value, old: &Value) {
    for field in ["strategy", "preferredHolder"] {
        if !has(old, &["spec", field]) {
            new.remove(&["spec", field]);
        }
    }
}

impl Rules for Lease {
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        drop_disabled(new, &Value::Null);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        drop_disabled(new, old);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let (path, empty) = (Path::new("spec"), Value::object());
        let spec = new.get("spec").unwrap_or(&empty);
        if spec.get("leaseDurationSeconds").and_then(Value::as_int).is_some_and(|seconds| seconds <= 0) {
            let seconds = int(spec, &["leaseDurationSeconds"]);
            errors.push(Error::invalid(
                path.child("leaseDurationSeconds"),
                seconds,
                "must be greater than 0",
            ));
        }
        check::nonnegative(spec, &path, "leaseTransitions", errors);
        if !spec.str_at(&["preferredHolder"]).is_empty() && spec.str_at(&["strategy"]).is_empty() {
            let text = "may only be specified if `strategy` is defined";
            errors.push(Error::forbidden(path.child("preferredHolder"), text));
        }
    }
    fn create_on_update(&self) -> bool {
        true
    }
    fn unconditional_update(&self) -> bool {
        false
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(vec![cells::name(value), value.str_at(&["spec", "holderIdentity"]).into(), age(value, now)])
    }
}
