//! Deployment: rollout defaults, an immutable selector, a generation that annotations move too.

use super::workload;
use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep, keep_all_but, spec_differs};
use crate::kinds::Builtin;
use crate::kinds::edit::{default, default_pointer, has, int, same};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::meta;

pub const KIND: Builtin =
    Builtin { group: "apps", plural: "deployments", storage: "v1", rules: || Box::new(Deployment) };

struct Deployment;

fn spec(value: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Value::object();
    let spec = value.get("spec").unwrap_or(&empty);
    check::nonnegative(spec, &path, "replicas", errors);
    workload::selector_and_template(value, errors);
    strategy(spec.get("strategy").unwrap_or(&empty), &path.child("strategy"), errors);
    for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        check::nonnegative(spec, &path, field, errors);
    }
    if let Some(deadline) = spec.get("progressDeadlineSeconds").and_then(Value::as_int)
        && deadline <= int(spec, &["minReadySeconds"])
    {
        let text = "must be greater than minReadySeconds";
        errors.push(Error::invalid(path.child("progressDeadlineSeconds"), deadline, text));
    }
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let inner = path.child("rollingUpdate");
    match strategy.str_at(&["type"]) {
        "Recreate" => {
            if has(strategy, &["rollingUpdate"]) {
                errors
                    .push(Error::forbidden(inner, "may not be specified when strategy `type` is 'Recreate'"));
            }
        }
        "RollingUpdate" => {
            let empty = Value::object();
            let rolling = strategy.get("rollingUpdate").unwrap_or(&empty);
            for field in ["maxUnavailable", "maxSurge"] {
                if let Some(value) = rolling.get(field) {
                    check::int_or_percent(value, &inner.child(field), errors);
                }
            }
            let unavailable = rolling.get("maxUnavailable");
            if workload::bound(unavailable) == 0 && workload::bound(rolling.get("maxSurge")) == 0 {
                let value = unavailable.cloned().unwrap_or_default();
                let text = "may not be 0 when `maxSurge` is 0";
                errors.push(Error::invalid(inner.child("maxUnavailable"), value, text));
            }
            if let Some(value) = unavailable {
                check::at_most_all(value, &inner.child("maxUnavailable"), errors);
            }
        }
        _ => {
            let supported = ["Recreate", "RollingUpdate"];
            errors.push(Error::not_supported(path.clone(), strategy.clone(), &supported));
        }
    }
}

impl Rules for Deployment {
    fn pod_spec(&self) -> &'static [&'static str] {
        &["spec", "template", "spec"]
    }
    fn default(&self, _: &str, value: &mut Value) {
        workload::default_template(value);
        let spec = value.make(&["spec"]);
        default_pointer(spec, "replicas", 1i64);
        let strategy = spec.make(&["strategy"]);
        if strategy.is_null() {
            *strategy = Value::object();
        }
        default(strategy, "type", "RollingUpdate");
        if strategy.str_at(&["type"]) == "RollingUpdate" {
            let rolling = strategy.make(&["rollingUpdate"]);
            default_pointer(rolling, "maxUnavailable", "25%");
            default_pointer(rolling, "maxSurge", "25%");
        }
        default_pointer(spec, "revisionHistoryLimit", 10i64);
        default_pointer(spec, "progressDeadlineSeconds", 600i64);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        workload::mirror_service_account(new);
    }
    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep_all_but(new, old, &["metadata", "status"]);
        match old.at(&["metadata", "labels"]) {
            Some(labels) => new.set(&["metadata", "labels"], labels.clone()),
            None => drop(new.remove(&["metadata", "labels"])),
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        spec(new, errors);
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        spec(new, errors);
        let (now, before) = (new.at(&["spec", "selector"]), old.at(&["spec", "selector"]));
        if !same(now, before) {
            meta::immutable(now, before, Path::new("spec").child("selector"), errors);
        }
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        let below = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        let others = ["unavailableReplicas", "terminatingReplicas", "collisionCount"];
        workload::status_counts(new, &below, &others, errors);
        let collisions = |value: &Value| int(value, &["status", "collisionCount"]);
        if collisions(new) < collisions(old) {
            let path = Path::new("status").child("collisionCount");
            errors.push(Error::invalid(path, collisions(new), "cannot be decremented"));
        }
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        workload::template_warnings(new, old)
    }
    fn has_status(&self) -> bool {
        true
    }
    fn has_generation(&self) -> bool {
        true
    }
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        let annotations = ["metadata", "annotations"];
        spec_differs(new, old) || !same(new.at(&annotations), old.at(&annotations))
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let status = |field: &str| int(value, &["status", field]);
        let template = value.at(&["spec", "template"]).unwrap_or(&Value::Null);
        let [names, images] = cells::containers(template);
        let selector = value.at(&["spec", "selector"]).unwrap_or(&Value::Null);
        let selector = crate::selector::Labels::from_object(selector);
        Some(vec![
            cells::name(value),
            format!("{}/{}", status("readyReplicas"), int(value, &["spec", "replicas"])).into(),
            Value::Int(status("updatedReplicas")),
            Value::Int(status("availableReplicas")),
            age(value, now),
            names,
            images,
            selector.map_or("<invalid>".into(), |selector| selector.to_string()).into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_upstreams() {
        let mut value: Value = serde_json::from_str(
            r#"{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
               "spec":{"containers":[{"name":"c","image":"nginx:1","readinessProbe":{"httpGet":{"port":80}}}]}}}}"#,
        )
        .unwrap();
        Deployment.default("v1", &mut value);
        let at = |path: &[&str]| value.at(path).unwrap().to_string();
        assert_eq!(
            at(&["spec", "strategy"]),
            r#"{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}}"#
        );
        assert_eq!(at(&["spec", "replicas"]), "1");
        assert_eq!(at(&["spec", "progressDeadlineSeconds"]), "600");
        let container =
            &value.at(&["spec", "template", "spec", "containers"]).unwrap().as_array().unwrap()[0];
        assert_eq!(container.str_at(&["imagePullPolicy"]), "IfNotPresent");
        assert_eq!(container.str_at(&["readinessProbe", "httpGet", "scheme"]), "HTTP");
        let mut errors = Vec::new();
        spec(&value, &mut errors);
        assert_eq!(errors, []);
    }

    #[test]
    fn says_what_is_wrong() {
        let mut value: Value = serde_json::from_str(
            r#"{"spec":{"replicas":-1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},
               "spec":{"containers":[{"name":"C","image":"nginx"}],"restartPolicy":"Never"}}}}"#,
        )
        .unwrap();
        Deployment.default("v1", &mut value);
        let mut errors = Vec::new();
        spec(&value, &mut errors);
        let texts: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
        assert_eq!(
            texts,
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`",
                "spec.template.spec.containers[0].name: Invalid value: \"C\": a lowercase RFC 1123 label must consist of \
                 lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. \
                 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ]
        );
    }
}
