//! Job: its selector is made of its uid; what may change after its creation is little.

use crate::Value;
use crate::field::Error;
use crate::kind::{Context, Rules, keep};
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults;
use crate::kinds::edit::{default, default_pointer, each, flag, has, inside, int, same};
use crate::pod::condition;
use crate::selector::Labels;
use crate::table::{age, cells, duration};
use crate::validation::check::Errors;
use crate::validation::node::{inspect, inspect_both};
use crate::validation::{Node, names};

mod status;
pub mod validate;

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

/// The template's labels and the selector are what [`generate_selector`] makes.
/// `prefixed`: also the labels with a prefix, which jobs of long ago have not.
fn generated(job: &Node<'_>, prefixed: bool) {
    let spec = job.get("spec");
    if spec.get("manualSelector").flag() || !spec.get("selector").has() {
        return;
    }
    let (name, uid) = (job.at(&["metadata", "name"]).text(), job.at(&["metadata", "uid"]).text());
    let labels = spec.at(&["template", "metadata", "labels"]);
    let expected =
        [("controller-uid", uid), ("job-name", name), (UID, uid), ("batch.kubernetes.io/job-name", name)];
    let expected = if prefixed { &expected[..] } else { &expected[..2] };
    for &(key, value) in expected {
        let path = spec.path().child("template").child("metadata").child("labels");
        let found = labels.get(key);
        if !found.has() {
            job.error(Error::required(path.key(key), format!("must be '{value}'")));
        } else if found.text() != value {
            job.error(Error::invalid(path.key(key), labels.value().clone(), format!("must be '{value}'")));
        }
    }
    let expected = Value::Object(expected.iter().map(|(key, value)| (*key, *value)).collect());
    let selector = spec.get("selector");
    if Labels::from_object(selector.value()).is_ok_and(|found| !found.matches_value(Some(&expected))) {
        selector.invalid("`selector` not auto-generated");
    }
}

/// `prefixed`: see [`generated`].
fn judge(new: &Value, prefixed: bool, errors: &mut Errors) {
    inspect(new, errors, |job| {
        generated(job, prefixed);
        validate::job_spec(&job.get("spec"));
        let (name, last) = (job.at(&["metadata", "name"]), job.at(&["spec", "completions"]).int() - 1);
        if job.at(&["spec", "completionMode"]).text() == "Indexed" && last >= 0 {
            let host = format!("{}-{last}", name.text());
            if !names::dns_label(&host).is_empty() {
                let text = format!("will not able to create pod with invalid DNS label: {host}");
                name.error(Error::invalid(name.path().clone(), name.text(), text));
            }
        }
    });
}

/// Also of CronJobs: names that make poor host names.
pub fn name_warnings(value: &Value) -> Vec<String> {
    let wrong = names::dns_label(value.str_at(&["metadata", "name"]));
    match wrong.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS \
             label is recommended: [{}]",
            wrong.join(" ")
        )],
    }
}

/// Also of CronJobs' templates.
pub fn spec_warnings(spec: &Value, path: &str, texts: &mut Vec<String>) {
    let many = int(spec, &["completions"]) > 100_000 && int(spec, &["parallelism"]) > 10_000;
    if spec.str_at(&["completionMode"]) == "Indexed" && many {
        texts.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
             10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
}

/// Defaults of a policy in the spec of a Job or of a CronJob's template.
pub(super) fn failure_policy(spec: &mut Value) {
    each(spec, &["podFailurePolicy", "rules"], |rule| {
        each(rule, &["onPodConditions"], |pattern| default(pattern, "status", "True"));
    });
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
    fn pod_spec(&self) -> &'static [&'static str] {
        &["spec", "template", "spec"]
    }
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
        failure_policy(spec);
        label_from_template(value);
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        if !flag(new, &["spec", "manualSelector"]) {
            // Upstream's defaults make both one map in memory, so what the template gets then the job has as well.
            let labels = ["spec", "template", "metadata", "labels"];
            if same(new.at(&["metadata", "labels"]), new.at(&labels)) {
                new.remove(&["metadata", "labels"]);
            }
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
        judge(new, true, errors);
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        let labels = ["spec", "template", "metadata", "labels"];
        let had = |key: &str| old.at(&labels).is_some_and(|labels| labels.get(key).is_some());
        judge(new, had(UID) && had("batch.kubernetes.io/job-name"), errors);
        // Upstream judges the spec twice.
        inspect_both(new, old, errors, |job, old| {
            validate::job_spec(&job.get("spec"));
            validate::update(job, old);
        });
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, status::check);
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut texts = if old.is_none() { name_warnings(new) } else { Vec::new() };
        spec_warnings(new.get("spec").unwrap_or(&Value::Null), "spec", &mut texts);
        texts.extend(crate::kinds::apps::workload::template_warnings(new, old));
        texts
    }
    fn orphans_by_default(&self) -> bool {
        true
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
