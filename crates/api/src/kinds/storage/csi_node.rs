//! CSINode: the drivers of a node.

use crate::Value;
use crate::field::Error;
use crate::kinds::core::persistent_volume::driver_name;
use crate::kinds::edit::list;
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, meta, names};

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csinodes",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            unconditional_update: false,
            check: |node| {
                let drivers = node.at(&["spec", "drivers"]).items();
                for (at, driver) in drivers.iter().enumerate() {
                    check(driver);
                    if drivers[..at].iter().any(|other| other.get("name").text() == driver.get("name").text())
                    {
                        driver.get("name").duplicate();
                    }
                    topology(driver);
                }
            },
            update,
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn check(driver: &Node<'_>) {
    driver_name(&driver.get("name"));
    let id = driver.get("nodeID");
    id.required();
    if id.text().len() > 256 {
        id.invalid("must be 256 characters or less");
    }
    driver.at(&["allocatable", "count"]).nonnegative();
}

/// Keys have no path of their own upstream.
fn topology(driver: &Node<'_>) {
    let keys = driver.get("topologyKeys").texts();
    for (at, key) in keys.iter().enumerate() {
        if key.is_empty() {
            driver.missing("");
        }
        if keys[..at].contains(key) {
            driver.error(Error::duplicate(driver.path().clone(), *key));
        }
        for text in names::qualified_name(key) {
            driver.error(Error::invalid(driver.path().clone(), *key, text));
        }
    }
}

/// A driver that stays may change its allocatable count only.
fn update(node: &Node<'_>, old: &Node<'_>) {
    let drivers = node.at(&["spec", "drivers"]);
    for was in old.at(&["spec", "drivers"]).items() {
        for is in drivers.items().iter().filter(|is| is.get("name").text() == was.get("name").text()) {
            let plain = |driver: &Node<'_>| {
                let mut driver = driver.value().clone();
                driver.remove(&["allocatable"]);
                driver
            };
            if !crate::kinds::edit::same(Some(&plain(is)), Some(&plain(&was))) {
                drivers.error(Error::invalid(drivers.path().clone(), plain(is), meta::IMMUTABLE));
            }
        }
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    vec![cells::name(value), Value::Int(list(value, &["spec", "drivers"]).len() as i64), age(value, now)]
}
