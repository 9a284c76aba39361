//! CronJob: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults::template;
use crate::kinds::edit::{default, default_pointer, inside, list};
use crate::table::{age, cells, since};

pub const KIND: Builtin = Builtin {
    group: "batch",
    plural: "cronjobs",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly { status: true, generation: true, defaults, row: Some(row), ..FactsOnly::new() })
    },
};

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["spec", "jobTemplate", "spec", "template"], template);
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
