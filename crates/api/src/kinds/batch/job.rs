//! Job: its selector is made of its uid; what may change after its creation is little.

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep};
use crate::kinds::Builtin;
use crate::kinds::core::pod::{defaults, validate};
use crate::kinds::edit::{default, default_pointer, each, entries, flag, has, inside, int, list, same};
use crate::pod::condition;
use crate::selector::Labels;
use crate::table::{age, cells, duration};
use crate::validation::check::{self, Errors};
use crate::validation::meta;

pub const KIND: Builtin = Builtin { group: "batch", plural: "jobs", storage: "v1", rules: || Box::new(Job) };

struct Job;

const UID: &str = "batch.kubernetes.io/controller-uid";

/// Labels of the job's pods, and the selector that finds them, unless the user manages them.
fn generate_selector(job: &mut Value) {
    let of = |field: &str| job.str_at(&["metadata", field]).to_string();
    let (name, uid) = (of("name"), of("uid"));
    let labels = job.make(&["spec", "template", "metadata", "labels"]);
    for (key, text) in
        [("job-name", &name), ("batch.kubernetes.io/job-name", &name), ("controller-uid", &uid), (UID, &uid)]
    {
        if !has(labels, &[key]) {
            labels.set(&[key], text.as_str());
        }
    }
    if !has(job, &["spec", "selector", "matchLabels", UID]) {
        job.set(&["spec", "selector", "matchLabels", UID], uid);
    }
}

/// The selector is what [`generate_selector`] makes, in its new or its old form.
fn is_generated(spec: &Value, uid: &str) -> bool {
    let labels: Vec<(&str, &Value)> = entries(spec, &["selector", "matchLabels"]).collect();
    let bare = list(spec, &["selector", "matchExpressions"]).is_empty();
    bare && matches!(labels[..], [(UID | "controller-uid", value)] if value.as_str() == Some(uid))
}

/// A job without labels has its template's.
fn label_from_template(job: &mut Value) {
    let labels = job.at(&["spec", "template", "metadata", "labels"]).cloned();
    let own = job.at(&["metadata", "labels"]).and_then(Value::as_map);
    if let Some(labels @ Value::Object(_)) = labels
        && own.is_none_or(|own| own.is_empty())
    {
        job.set(&["metadata", "labels"], labels);
    }
}

impl Rules for Job {
    fn default(&self, _: &str, value: &mut Value) {
        inside(value, &["spec", "template"], defaults::template);
        let spec = value.make(&["spec"]);
        if !has(spec, &["completions"]) && !has(spec, &["parallelism"]) {
            spec.set(&["completions"], 1i64);
        }
        default_pointer(spec, "parallelism", 1i64);
        let limit = if has(spec, &["backoffLimitPerIndex"]) { i64::from(i32::MAX) } else { 6 };
        default_pointer(spec, "backoffLimit", limit);
        default_pointer(spec, "completionMode", "NonIndexed");
        default_pointer(spec, "suspend", false);
        let policy = if has(spec, &["podFailurePolicy"]) { "Failed" } else { "TerminatingOrFailed" };
        default_pointer(spec, "podReplacementPolicy", policy);
        default_pointer(spec, "manualSelector", false);
        each(spec, &["podFailurePolicy", "rules"], |rule| {
            each(rule, &["onPodConditions"], |pattern| default(pattern, "status", "True"));
        });
        label_from_template(value);
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        if !flag(new, &["spec", "manualSelector"]) {
            generate_selector(new);
        }
        label_from_template(new);
        inside(new, &["spec", "template", "spec"], defaults::mirror_service_account);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        inside(new, &["spec", "template", "spec"], defaults::mirror_service_account);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let (path, empty) = (Path::new("spec"), Value::object());
        let spec = new.get("spec").unwrap_or(&empty);
        match spec.get("selector").filter(|selector| !selector.is_null()) {
            None => errors.push(Error::required(path.child("selector"), "")),
            Some(selector) => {
                check::label_selector(Some(selector), &path.child("selector"), errors);
                let labels = spec.at(&["template", "metadata", "labels"]);
                if Labels::from_object(selector).is_ok_and(|selector| !selector.matches_value(labels)) {
                    let path = path.child("template").child("metadata").child("labels");
                    let text = "`selector` does not match template `labels`";
                    errors.push(Error::invalid(path, labels.cloned().unwrap_or_default(), text));
                }
            }
        }
        let uid = new.str_at(&["metadata", "uid"]);
        if !flag(spec, &["manualSelector"]) && !uid.is_empty() && !is_generated(spec, uid) {
            let selector = spec.get("selector").cloned().unwrap_or_default();
            errors.push(Error::invalid(path.child("selector"), selector, "`selector` not auto-generated"));
        }
        for field in [
            "parallelism",
            "completions",
            "activeDeadlineSeconds",
            "backoffLimit",
            "ttlSecondsAfterFinished",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
        ] {
            check::nonnegative(spec, &path, field, errors);
        }
        check::optional_one_of(spec, &path, "completionMode", &["Indexed", "NonIndexed"], errors);
        if spec.str_at(&["completionMode"]) == "Indexed" && !has(spec, &["completions"]) {
            let text = "when completion mode is Indexed";
            errors.push(Error::required(path.child("completions"), text));
        }
        let inner = path.child("template");
        let template = spec.get("template").unwrap_or(&empty);
        validate::template(template, &inner, errors);
        let policy = template.str_at(&["spec", "restartPolicy"]);
        if policy == "Always" {
            let path = inner.child("spec").child("restartPolicy");
            errors.push(Error::required(path, "valid values: \"OnFailure\", \"Never\""));
        }
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        let path = Path::new("spec");
        // A suspended job that never started may have its template's placement changed (KEP-2926).
        let frozen = !flag(old, &["spec", "suspend"]) || has(old, &["status", "startTime"]);
        let fields: &[&str] = if frozen {
            &["selector", "completionMode", "template"]
        } else {
            &["selector", "completionMode"]
        };
        for field in fields {
            let (now, was) = (new.at(&["spec", field]), old.at(&["spec", field]));
            if !same(now, was) {
                meta::immutable(now, was, path.child(field), errors);
            }
        }
        let count = |job: &Value| job.at(&["spec", "completions"]).and_then(Value::as_int);
        let elastic = new.str_at(&["spec", "completionMode"]) == "Indexed"
            && count(new) == new.at(&["spec", "parallelism"]).and_then(Value::as_int);
        if count(new) != count(old) && !elastic {
            meta::immutable(
                new.at(&["spec", "completions"]),
                old.at(&["spec", "completions"]),
                path.child("completions"),
                errors,
            );
        }
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        crate::kinds::apps::workload::template_warnings(new, old)
    }
    fn has_status(&self) -> bool {
        true
    }
    fn has_generation(&self) -> bool {
        true
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let done = int(value, &["status", "succeeded"]);
        let parallel = int(value, &["spec", "parallelism"]);
        let completions = match value.at(&["spec", "completions"]).and_then(Value::as_int) {
            Some(wanted) => format!("{done}/{wanted}"),
            None if parallel > 1 => format!("{done}/1 of {parallel}"),
            None => format!("{done}/1"),
        };
        let time =
            |field: &str| crate::time::parse(value.str_at(&["status", field])).ok().map(|time| time.seconds);
        let took =
            time("startTime").map(|start| duration::human(time("completionTime").unwrap_or(now) - start));
        let is = |kind: &str| condition(value, kind).is_some_and(|found| found.str_at(&["status"]) == "True");
        let state = if is("Complete") {
            "Complete"
        } else if is("Failed") {
            "Failed"
        } else if has(value, &["metadata", "deletionTimestamp"]) {
            "Terminating"
        } else {
            let rest = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
            rest.into_iter().find(|kind| is(kind)).unwrap_or("Running")
        };
        let [names, images] = cells::containers(value.at(&["spec", "template"]).unwrap_or(&Value::Null));
        Some(vec![
            cells::name(value),
            state.into(),
            completions.into(),
            took.unwrap_or_default().into(),
            age(value, now),
            names,
            images,
            cells::selector(value.at(&["spec", "selector"])).into(),
        ])
    }
}
