//! Event, of the core group and of events.k8s.io. Stored as core's; the other group's names are converted.

use crate::field::{Error, Path};
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::kinds::edit::{has, int, same};
use crate::table::{cells, since};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};
use crate::{Map, Value};

pub const KIND: Builtin =
    Builtin { group: "", plural: "events", storage: "v1", rules: || Box::new(Event { new: false }) };

/// The same objects as events.k8s.io shows them.
pub const EVENTS_KIND: Builtin = Builtin {
    group: "events.k8s.io",
    plural: "events",
    storage: "v1",
    rules: || Box::new(Event { new: true }),
};

/// `new`: of events.k8s.io, whose creates and updates are checked more strictly.
struct Event {
    new: bool,
}

/// Names in core, and in events.k8s.io.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(value: &mut Value, name: impl Fn(&str) -> Option<&'static str>) {
    let Value::Object(map) = std::mem::take(value) else { return };
    let renamed: Map = map
        .into_iter()
        .map(|(key, field)| (name(&key).map_or(key, smol_str::SmolStr::new_static), field))
        .collect();
    *value = Value::Object(renamed);
}

fn unset_time(event: &Value, field: &str) -> bool {
    event.str_at(&[field]).is_empty()
}

fn series(event: &Value, errors: &mut Errors) {
    if has(event, &["series"]) {
        if int(event, &["series", "count"]) < 2 {
            errors.push(Error::invalid(Path::new("series.count"), "", "should be at least 2"));
        }
        if event.str_at(&["series", "lastObservedTime"]).is_empty() {
            errors.push(Error::required(Path::new("series.lastObservedTime"), ""));
        }
    }
}

impl Event {
    /// What holds for events of both groups.
    fn common(&self, event: &Value, errors: &mut Errors) {
        let namespace = event.str_at(&["metadata", "namespace"]);
        let of = event.str_at(&["involvedObject", "namespace"]);
        let elsewhere = || {
            Error::invalid(
                Path::new("involvedObject").child("namespace"),
                of,
                "does not match event.namespace",
            )
        };
        if unset_time(event, "eventTime") {
            let fits =
                if of.is_empty() { namespace.is_empty() || namespace == "default" } else { of == namespace };
            if !fits {
                errors.push(elsewhere());
            }
        } else {
            if of.is_empty() && !matches!(namespace, "default" | "kube-system") {
                errors.push(elsewhere());
            }
            let controller = if self.new { "reportingController" } else { "reportingComponent" };
            let name = event.str_at(&["reportingComponent"]);
            if name.is_empty() {
                errors.push(Error::required(Path::new(controller), ""));
            }
            check::format(name, &Path::new(controller), names::qualified_name, errors);
            for field in ["reportingInstance", "action", "reason"] {
                let text = event.str_at(&[field]);
                if text.is_empty() {
                    errors.push(Error::required(Path::new(field), ""));
                }
                if text.len() > 128 {
                    errors.push(Error::invalid(Path::new(field), "", "can have at most 128 characters"));
                }
            }
            if event.str_at(&["message"]).len() > 1024 {
                errors.push(Error::invalid(Path::new("message"), "", "can have at most 1024 characters"));
            }
        }
        check::format(namespace, &Path::new("namespace"), names::dns_subdomain, errors);
    }
}

impl Rules for Event {
    fn to_storage(&self, _: &str, value: &mut Value) {
        if self.new {
            rename(value, |key| NAMES.iter().find(|(_, new)| *new == key).map(|(core, _)| *core));
            value.make(&["involvedObject"]);
        }
    }
    fn from_storage(&self, _: &str, value: &mut Value) {
        if self.new {
            rename(value, |key| NAMES.iter().find(|(core, _)| *core == key).map(|(_, new)| *new));
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        self.common(new, errors);
        if !self.new {
            return;
        }
        let name = new.str_at(&["metadata", "name"]);
        let generated = new.str_at(&["metadata", "generateName"]);
        if !name.is_empty() && generated.is_empty() {
            check::format(name, &Path::new("metadata").child("name"), names::dns_subdomain, errors);
        }
        series(new, errors);
        if unset_time(new, "eventTime") {
            errors.push(Error::required(Path::new("eventTime"), ""));
        }
        let kind = new.str_at(&["type"]);
        if !matches!(kind, "Normal" | "Warning") {
            errors.push(Error::invalid(Path::new("type"), "", format!("has invalid value: {kind}")));
        }
        let sourced = ["component", "host"].iter().any(|field| !new.str_at(&["source", field]).is_empty());
        let set = [
            ("firstTimestamp", !unset_time(new, "firstTimestamp")),
            ("lastTimestamp", !unset_time(new, "lastTimestamp")),
            ("count", int(new, &["count"]) != 0),
            ("source", sourced),
        ];
        for (field, _) in set.into_iter().filter(|(_, set)| *set) {
            errors.push(Error::invalid(Path::new(field), "", "needs to be unset"));
        }
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.common(new, errors);
        if !self.new {
            return;
        }
        if !same(new.get("series"), old.get("series")) {
            series(new, errors);
        }
        for field in [
            "involvedObject",
            "reason",
            "message",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "type",
            "eventTime",
            "action",
            "related",
            "reportingInstance",
        ] {
            // A text that is not there is an empty one.
            let empty = Value::from("");
            let text = old.get(field).is_some_and(|old| old.as_str().is_some()) && !field.ends_with("amp");
            let is = new.get(field).or(text.then_some(&empty));
            if !same(new.get(field), old.get(field)) {
                meta::immutable(is, old.get(field), Path::new(field), errors);
            }
        }
        let component = "reportingComponent";
        meta::immutable(new.get(component), old.get(component), Path::new("reportingController"), errors);
    }
    fn create_on_update(&self) -> bool {
        true
    }
    fn bad_name(&self, _: &str, _: bool) -> Option<String> {
        None
    }
    fn has_dependents(&self) -> bool {
        false
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let of =
            |field: &str| value.get(field).filter(|time| time.as_str().is_some_and(|text| !text.is_empty()));
        let first = since(of("firstTimestamp").or(of("eventTime")), now);
        let mut last = of("lastTimestamp").map_or_else(|| first.clone(), |time| since(Some(time), now));
        let mut count = int(value, &["count"]).max(1);
        if has(value, &["series"]) {
            last = since(value.at(&["series", "lastObservedTime"]), now);
            count = int(value, &["series", "count"]);
        }
        let (kind, name) =
            (value.str_at(&["involvedObject", "kind"]), value.str_at(&["involvedObject", "name"]));
        let kind = kind.to_lowercase();
        let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
        let either = |old: &str, new: &str| {
            let text = value.str_at(&["source", old]);
            if text.is_empty() { value.str_at(&[new]) } else { text }.to_string()
        };
        let (component, instance) =
            (either("component", "reportingComponent"), either("host", "reportingInstance"));
        let source = if instance.is_empty() { component } else { format!("{component}, {instance}") };
        Some(vec![
            last.into(),
            value.str_at(&["type"]).into(),
            value.str_at(&["reason"]).into(),
            target.into(),
            value.str_at(&["involvedObject", "fieldPath"]).into(),
            source.into(),
            value.str_at(&["message"]).trim().into(),
            first.into(),
            Value::Int(count),
            cells::name(value),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_groups_hold_the_same() {
        let rules = Event { new: true };
        let text = r#"{"regarding":{"kind":"Pod"},"note":"hello","deprecatedCount":2,"reportingController":"x","reason":"r"}"#;
        let mut value: Value = serde_json::from_str(text).unwrap();
        rules.to_storage("v1", &mut value);
        assert_eq!(
            value.to_string(),
            r#"{"involvedObject":{"kind":"Pod"},"message":"hello","count":2,"reportingComponent":"x","reason":"r"}"#
        );
        rules.from_storage("v1", &mut value);
        assert_eq!(value.to_string(), text);
    }
}
