//! HorizontalPodAutoscaler: stored as v2; v1 shows the one metric that it knows.

use crate::Value;
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, has, int, list};
use crate::table::{age, cells};
use crate::validation::check::Errors;
use crate::validation::node::{inspect, inspect_both};

mod v1;
mod validate;

use v1::cpu;

pub const KIND: Builtin = Builtin {
    group: "autoscaling",
    plural: "horizontalpodautoscalers",
    storage: "v2",
    rules: || Box::new(HorizontalPodAutoscaler),
};

struct HorizontalPodAutoscaler;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("because this text is JSON")
}

const SCALE_UP: &str = r#"{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[
    {"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]}"#;
const SCALE_DOWN: &str =
    r#"{"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]}"#;

/// Rules that `behavior` leaves open, if it is there at all.
fn default_behavior(spec: &mut Value) {
    if !has(spec, &["behavior"]) {
        return;
    }
    for (way, defaults) in [("scaleUp", SCALE_UP), ("scaleDown", SCALE_DOWN)] {
        let mut rules = json(defaults);
        let own = spec.at(&["behavior", way]).and_then(Value::as_map).cloned().unwrap_or_default();
        for (field, value) in own.into_iter().filter(|(_, value)| !value.is_null()) {
            rules.set(&[&field], value);
        }
        spec.set(&["behavior", way], rules);
    }
}

impl Rules for HorizontalPodAutoscaler {
    fn default(&self, version: &str, value: &mut Value) {
        let spec = value.make(&["spec"]);
        default_pointer(spec, "minReplicas", 1i64);
        if version != "v2" {
            return;
        }
        if list(spec, &["metrics"]).is_empty() {
            spec.set(&["metrics"], vec![cpu(80)]);
        }
        default_behavior(spec);
    }
    fn to_storage(&self, version: &str, value: &mut Value) {
        if version == "v1" {
            v1::to_storage(value);
            default_behavior(value.make(&["spec"]));
        }
    }
    fn from_storage(&self, version: &str, value: &mut Value) {
        if version == "v1" {
            v1::from_storage(value);
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        inspect(new, errors, |object| validate::spec(&object.get("spec"), None));
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, |object, old| {
            validate::spec(&object.get("spec"), Some(&old.get("spec")))
        });
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        inspect(new, errors, |object| {
            for field in ["currentReplicas", "desiredReplicas"] {
                object.get("status").get(field).nonnegative();
            }
        });
    }
    fn has_status(&self) -> bool {
        true
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let reference = value.at(&["spec", "scaleTargetRef"]).unwrap_or(&Value::Null);
        let target = format!("{}/{}", reference.str_at(&["kind"]), reference.str_at(&["name"]));
        let least = value.at(&["spec", "minReplicas"]).and_then(Value::as_int);
        Some(vec![
            cells::name(value),
            target.into(),
            metrics(value).into(),
            least.map_or("<unset>".into(), |least| least.to_string()).into(),
            Value::Int(int(value, &["spec", "maxReplicas"])),
            Value::Int(int(value, &["status", "currentReplicas"])),
            age(value, now),
        ])
    }
}

/// `cpu: 20%/80%, 5/10`: what each metric is and should be, two of them.
fn metrics(value: &Value) -> String {
    let specs = list(value, &["spec", "metrics"]);
    if specs.is_empty() {
        return "<none>".into();
    }
    let states = list(value, &["status", "currentMetrics"]);
    let text = |value: Option<&Value>, percent: bool| match value {
        Some(Value::Int(number)) if percent => Some(format!("{number}%")),
        Some(Value::String(text)) => Some(text.to_string()),
        _ => None,
    };
    let one = |(at, spec): (usize, &Value)| {
        let (field, named) = match spec.str_at(&["type"]) {
            "External" => ("external", false),
            "Pods" => ("pods", false),
            "Object" => ("object", false),
            "Resource" => ("resource", true),
            "ContainerResource" => ("containerResource", true),
            _ => return "<unknown type>".to_string(),
        };
        let unknown = || "<unknown>".to_string();
        let current = |part: &str| states.get(at).and_then(|state| state.at(&[field, "current", part]));
        let target = |part: &str| spec.at(&[field, "target", part]);
        let name = if named { format!("{}: ", spec.str_at(&[field, "name"])) } else { String::new() };
        if let Some(wanted) = text(target("averageValue"), false) {
            let mark = if named || field == "pods" { "" } else { " (avg)" };
            return format!(
                "{name}{}/{wanted}{mark}",
                text(current("averageValue"), false).unwrap_or_else(unknown)
            );
        }
        if named {
            let wanted = text(target("averageUtilization"), true).unwrap_or_else(|| "<auto>".into());
            return format!(
                "{name}{}/{wanted}",
                text(current("averageUtilization"), true).unwrap_or_else(unknown)
            );
        }
        let wanted = text(target("value"), false).unwrap_or_default();
        format!("{}/{wanted}", text(current("value"), false).unwrap_or_else(unknown))
    };
    let mut texts: Vec<String> = specs.iter().enumerate().map(one).collect();
    let total = texts.len();
    texts.truncate(2);
    match total {
        0..=2 => texts.join(", "),
        _ => format!("{} + {} more...", texts.join(", "), total - 2),
    }
}
