//! PodTemplate: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults::template;
use crate::kinds::edit::inside;
use crate::table::cells;

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "podtemplates",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["template"], template);
}

fn row(value: &Value, _: i64) -> Vec<Value> {
    let template = value.get("template").unwrap_or(&Value::Null);
    let [names, images] = cells::containers(template);
    vec![cells::name(value), names, images, cells::labels(template.at(&["metadata", "labels"])).into()]
}
