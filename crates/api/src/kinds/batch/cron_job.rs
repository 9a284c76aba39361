//! CronJob.

use crate::Value;
use crate::cron::{self, Schedule};
use crate::kinds::batch::job::{self, validate};
use crate::kinds::core::pod::defaults::template;
use crate::kinds::core::pod::warnings;
use crate::kinds::edit::{default, default_pointer, inside, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells, since};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "batch",
    plural: "cronjobs",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            generation: true,
            defaults,
            pod_spec: &["spec", "jobTemplate", "spec", "template", "spec"],
            check: |cron| {
                spec(&cron.get("spec"), None);
                let name = cron.at(&["metadata", "name"]);
                if name.text().len() > 52 {
                    name.invalid("must be no more than 52 characters");
                }
            },
            update_alone: true,
            update: |cron, old| spec(&cron.get("spec"), Some(&old.get("spec"))),
            warnings: cron_warnings,
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn spec(spec: &Node<'_>, old: Option<&Node<'_>>) {
    let (schedule, zone) = (spec.get("schedule"), spec.get("timeZone"));
    schedule.required();
    if !schedule.text().is_empty() {
        if let Err(error) = Schedule::parse(schedule.text(), None) {
            schedule.invalid(error.to_string());
        }
        let zoned = old.is_some_and(|old| old.get("schedule").text().contains("TZ"));
        match (schedule.text().contains("TZ"), zoned) {
            (true, true) if zone.has() => {
                schedule.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule");
            }
            (true, false) => {
                schedule.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
            }
            _ => {}
        }
    }
    spec.get("startingDeadlineSeconds").nonnegative();
    if zone.has() && old.is_none_or(|old| !zone.is_same(&old.get("timeZone"))) {
        time_zone(&zone);
    }
    spec.get("concurrencyPolicy").required_one_of(&["Allow", "Forbid", "Replace"]);
    let template = spec.at(&["jobTemplate", "spec"]);
    validate::common(&template);
    let selector = template.get("selector");
    if selector.has() {
        selector.invalid("`selector` will be auto-generated");
    }
    let manual = template.get("manualSelector");
    if manual.flag() {
        manual.error(crate::field::Error::not_supported(manual.path().clone(), true, &["nil", "false"]));
    }
    spec.get("successfulJobsHistoryLimit").nonnegative();
    spec.get("failedJobsHistoryLimit").nonnegative();
}

/// A name of the IANA's database.
fn time_zone(zone: &Node<'_>) {
    let text = zone.text();
    if text.is_empty() {
        return zone.invalid("timeZone must be nil or non-empty string");
    }
    let good = |part: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
        !matches!(part, "" | "." | "..")
            && !part.starts_with('-')
            && part.len() <= 14
            && part.bytes().all(letter)
    };
    if !text.split('/').all(good) {
        return zone.invalid(format!("unknown time zone {text}"));
    }
    if text.eq_ignore_ascii_case("local") {
        zone.invalid("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    } else if !cron::knows_zone(text) {
        zone.invalid(format!("unknown time zone {text}"));
    }
}

fn cron_warnings(cron: &Value, old: Option<&Value>) -> Vec<String> {
    let mut texts = if old.is_none() { job::name_warnings(cron) } else { Vec::new() };
    let path = ["spec", "jobTemplate", "spec"];
    let spec = |cron: &Value| cron.at(&path).cloned().unwrap_or_default();
    if old.is_none_or(|old| spec(old) != spec(cron)) {
        job::spec_warnings(&spec(cron), "spec.jobTemplate.spec", &mut texts);
        let template = spec(cron).get("template").cloned().unwrap_or_default();
        if old.is_none_or(|old| spec(old).get("template") != Some(&template)) {
            warnings::spec(&template, "spec.jobTemplate.spec.template", &mut texts);
        }
    }
    if old.is_some() && cron.str_at(&["spec", "schedule"]).contains("TZ") {
        texts.push(
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                .into(),
        );
    }
    texts
}

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["spec", "jobTemplate", "spec", "template"], template);
    inside(value, &["spec", "jobTemplate", "spec"], job::failure_policy);
    let spec = value.make(&["spec"]);
    default(spec, "concurrencyPolicy", "Allow");
    default_pointer(spec, "suspend", false);
    default_pointer(spec, "successfulJobsHistoryLimit", 3i64);
    default_pointer(spec, "failedJobsHistoryLimit", 1i64);
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let template = value.at(&["spec", "jobTemplate", "spec"]).unwrap_or(&Value::Null);
    let [names, images] = cells::containers(template.get("template").unwrap_or(&Value::Null));
    let last = value.at(&["status", "lastScheduleTime"]).filter(|time| !time.is_null());
    let suspend = match value.at(&["spec", "suspend"]).and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    vec![
        cells::name(value),
        value.str_at(&["spec", "schedule"]).into(),
        cells::or(value.str_at(&["spec", "timeZone"]), "<none>"),
        suspend.into(),
        Value::Int(list(value, &["status", "active"]).len() as i64),
        last.map_or("<none>".into(), |time| since(Some(time), now)).into(),
        age(value, now),
        names,
        images,
        cells::selector(template.get("selector")).into(),
    ]
}
