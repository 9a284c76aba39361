//! PodTemplate.

use crate::Value;
use crate::kinds::core::pod::defaults::template;
use crate::kinds::core::pod::{validate, warnings};
use crate::kinds::edit::inside;
use crate::kinds::{Builtin, Strategy};
use crate::table::cells;

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "podtemplates",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            defaults,
            pod_spec: &["template", "spec"],
            check: |object| {
                object.get("template").by(validate::template);
            },
            warnings: |object, old| {
                let mut texts = Vec::new();
                let of = |object: &Value| object.get("template").cloned();
                if let Some(template) =
                    of(object).filter(|template| old.and_then(of).as_ref() != Some(template))
                {
                    warnings::spec(&template, "template", &mut texts);
                }
                texts
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["template"], template);
}

fn row(value: &Value, _: i64) -> Vec<Value> {
    let template = value.get("template").unwrap_or(&Value::Null);
    let [names, images] = cells::containers(template);
    vec![cells::name(value), names, images, cells::labels(template.at(&["metadata", "labels"])).into()]
}
