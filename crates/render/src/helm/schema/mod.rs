//! values.schema.json: JSON Schema, drafts 4 to 2020-12, with the error texts of santhosh-tekuri/jsonschema, which upstream uses.
//!
//! A schema is first checked against its draft's meta-schema, then every reference and pattern in it is looked at, then the values. A
//! reference to another document is an error (a rendering reaches no network), unless it is one of the meta-schemas.
//! Where upstream reports properties in any order, here it is by name.

mod check;
mod document;
mod format;
mod keywords;
mod literal;
mod problem;

use api::Value as Tree;

use super::chart::Chart;
use crate::go::{Map, Value, quote};
use crate::sprig::yaml;
use check::{Checker, Fault};
use document::Documents;

const URL: &str = "file:///values.schema.json";

/// Checks the values of a chart and of its subcharts.
pub(super) fn validate(chart: &Chart, values: &Map) -> Result<(), String> {
    let text = problems(chart, values);
    if text.is_empty() {
        return Ok(());
    }
    Err(format!("values don't meet the specifications of the schema(s) in the following chart(s):\n{text}"))
}

pub(super) fn problems(chart: &Chart, values: &Map) -> String {
    let mut out = String::new();
    if let Some(schema) = &chart.schema
        && let Err(error) = one(schema, values)
    {
        out.push_str(&format!("{}:\n{error}", chart.name()));
    }
    for child in &chart.charts {
        match values.get(child.name().as_bytes()) {
            None | Some(Value::Nil) => {}
            Some(Value::Map(values)) => out.push_str(&problems(child, &values)),
            Some(other) => out.push_str(&format!(
                "{}:\ninvalid type for values: expected object (map), got {}\n",
                child.name(),
                other.type_name()
            )),
        }
    }
    out
}

pub(super) fn one(text: &[u8], values: &Map) -> Result<(), String> {
    let read = serde_json::from_slice(text).or_else(|error| match literal::held(text) {
        Some(text) => serde_json::from_slice(&text),
        None => Err(error),
    });
    let schema: Tree = match read {
        Ok(schema) => schema,
        Err(error) => {
            return Err(crate::go::json::decode(text).err().unwrap_or_else(|| error.to_string()));
        }
    };
    let documents = Documents::new(URL, &schema, text)?;
    let sound = |part: &Tree| sound(&documents, part);
    sound(&schema)?;
    documents.prepare(&sound)?;
    let Some(instance) = yaml::to_tree(&Value::Map(values.clone())) else { return Ok(()) };
    match Checker::new(&documents).run(&schema, &instance) {
        Ok(()) => Ok(()),
        Err(Fault::Invalid(problem)) => {
            Err(format!("{}\n", problem.causes_text().strip_prefix('\n').unwrap_or_default()))
        }
        Err(Fault::Schema(text)) => Err(text),
    }
}

/// Checks a part of a schema against its draft's meta-schema.
fn sound(documents: &Documents<'_>, part: &Tree) -> Result<(), String> {
    let meta = document::meta();
    let url = document::meta_url(documents.resource_of(part).draft);
    Checker::new(meta).run(meta.root(url), part).map_err(|fault| match fault {
        Fault::Invalid(problem) => format!(
            "{} is not valid against metaschema: jsonschema validation failed with '{url}#'{}",
            quote::quote(documents.location(part).as_bytes()),
            problem.causes_text()
        ),
        Fault::Schema(text) => text,
    })
}

#[cfg(test)]
mod tests;
