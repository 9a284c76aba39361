//! HorizontalPodAutoscaler: stored as v2; v1 shows the one metric that it knows. No validation of its own yet.

use crate::Value;
use crate::kind::Rules;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, has, int, list};
use crate::table::{age, cells};

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

/// A metric on the CPU of all containers, as `Utilization` of `percent`.
fn cpu(percent: i64) -> Value {
    let mut metric = json(r#"{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization"}}}"#);
    metric.set(&["resource", "target", "averageUtilization"], percent);
    metric
}

fn is_cpu(metric: &Value) -> bool {
    metric.str_at(&["type"]) == "Resource" && metric.str_at(&["resource", "name"]) == "cpu"
}

const SCALE_UP: &str = r#"{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[
    {"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]}"#;
const SCALE_DOWN: &str =
    r#"{"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]}"#;

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
        if has(spec, &["behavior"]) {
            for (way, defaults) in [("scaleUp", SCALE_UP), ("scaleDown", SCALE_DOWN)] {
                let mut rules = json(defaults);
                let own = spec.at(&["behavior", way]).and_then(Value::as_map).cloned().unwrap_or_default();
                for (field, value) in own.into_iter().filter(|(_, value)| !value.is_null()) {
                    rules.set(&[&field], value);
                }
                spec.set(&["behavior", way], rules);
            }
        }
    }
    fn to_storage(&self, version: &str, value: &mut Value) {
        if version != "v1" {
            return;
        }
        if let Some(percent) =
            value.remove(&["spec", "targetCPUUtilizationPercentage"]).and_then(|of| of.as_int())
        {
            value.set(&["spec", "metrics"], vec![cpu(percent)]);
        }
        if let Some(percent) =
            value.remove(&["status", "currentCPUUtilizationPercentage"]).and_then(|of| of.as_int())
        {
            let mut metric = json(r#"{"type":"Resource","resource":{"name":"cpu","current":{}}}"#);
            metric.set(&["resource", "current", "averageUtilization"], percent);
            value.set(&["status", "currentMetrics"], vec![metric]);
        }
    }
    fn from_storage(&self, version: &str, value: &mut Value) {
        if version != "v1" {
            return;
        }
        let metrics = value.remove(&["spec", "metrics"]).unwrap_or_default();
        let found = metrics.as_array().unwrap_or_default().iter().find(|metric| is_cpu(metric));
        let target = found.and_then(|metric| metric.at(&["resource", "target", "averageUtilization"]));
        if let Some(percent) = target.cloned() {
            value.set(&["spec", "targetCPUUtilizationPercentage"], percent);
        }
        let current = value.remove(&["status", "currentMetrics"]).unwrap_or_default();
        let found = current.as_array().unwrap_or_default().iter().find(|metric| is_cpu(metric));
        let current = found.and_then(|metric| metric.at(&["resource", "current", "averageUtilization"]));
        if let Some(percent) = current.cloned() {
            value.set(&["status", "currentCPUUtilizationPercentage"], percent);
        }
        value.remove(&["spec", "behavior"]);
        value.remove(&["status", "conditions"]);
    }
    fn has_status(&self) -> bool {
        true
    }
    fn complete(&self) -> bool {
        false
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
