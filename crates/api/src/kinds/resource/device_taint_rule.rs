//! DeviceTaintRule: a taint on all devices that match.

use super::device::taint;
use super::resource_slice::pool_name;
use crate::Value;
use crate::kinds::core::persistent_volume::driver_name;
use crate::kinds::edit::{default_pointer, inside};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells, since};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "devicetaintrules",
    storage: "v1alpha3",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            generation: true,
            default_moments: |now, rule| {
                inside(rule, &["spec", "taint"], |taint| default_pointer(taint, "timeAdded", now));
            },
            row: Some(row),
            check: |rule| spec(&rule.get("spec"), None),
            update_alone: true,
            update: |rule, old| spec(&rule.get("spec"), Some(&old.get("spec"))),
            check_status: |rule, _| {
                let conditions = rule.at(&["status", "conditions"]);
                conditions.conditions();
                conditions.at_most_items(8);
            },
            ..Strategy::new()
        })
    },
};

fn row(rule: &Value, now: i64) -> Vec<Value> {
    let text = |field: &str| rule.str_at(&["spec", "taint", field]).into();
    let added = rule.at(&["spec", "taint", "timeAdded"]).filter(|time| !time.is_null());
    let added = added.map(|time| since(Some(time), now)).unwrap_or_default();
    vec![cells::name(rule), text("key"), text("value"), text("effect"), added.into(), age(rule, now)]
}

fn spec(spec: &Node<'_>, old: Option<&Node<'_>>) {
    let selector = spec.get("deviceSelector");
    let (driver, pool, device) = (selector.get("driver"), selector.get("pool"), selector.get("device"));
    if driver.has() {
        driver_name(&driver);
    }
    if pool.has() {
        pool_name(&pool);
    }
    if device.has() {
        device.is_even_empty(names::dns_label);
    }
    taint(&spec.get("taint"), old.map(|old| old.get("taint")).as_ref());
}
