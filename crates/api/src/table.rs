//! Server-side Tables (`meta.k8s.io/v1 Table`): columns and cells of a row.
//!
//! Cells of built-in kinds come from [`crate::Rules::cells`], of custom ones from their columns' JSONPaths; what has
//! neither gets its name and age. The envelope, `includeObject` and the Accept header are the server's.

use crate::kind::Column;
use crate::{Kind, Map, Value};

pub mod cells;
pub mod duration;
pub mod jsonpath;
pub mod volume;

/// The columns of a Table of `version`.
pub fn columns(kind: &Kind, version: &str) -> Vec<Column> {
    let columns = kind.version(version).map(|version| version.columns.clone()).unwrap_or_default();
    if !kind.custom {
        return if columns.is_empty() { vec![name_column(), age_column("string")] } else { columns };
    }
    let mut all = vec![name_column()];
    if columns.is_empty() {
        all.push(age_column("date"));
    }
    all.extend(columns);
    all
}

fn name_column() -> Column {
    Column {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        description: "Name must be unique within a namespace.".into(),
        priority: 0,
        path: None,
    }
}

fn age_column(kind: &'static str) -> Column {
    Column {
        name: "Age".into(),
        kind: kind.into(),
        format: "".into(),
        description: String::new(),
        priority: 0,
        path: Some(".metadata.creationTimestamp".into()),
    }
}

/// `columnDefinitions` of the Table.
pub fn definitions(columns: &[Column]) -> Value {
    let definition = |column: &Column| {
        let mut map = Map::new();
        map.insert("name", column.name.clone());
        map.insert("type", column.kind.clone());
        map.insert("format", column.format.clone());
        map.insert("description", column.description.as_str());
        map.insert("priority", column.priority);
        Value::Object(map)
    };
    Value::Array(columns.iter().map(definition).collect())
}

/// One row's cells, one for each of [`columns`] (an IPAddress' row has one more, upstream's mistake). `value` is in the storage version for built-in kinds and in `version`
/// for custom ones; `now` is in seconds since the epoch.
pub fn row(kind: &Kind, version: &str, value: &Value, now: i64) -> Vec<Value> {
    if !kind.custom {
        let count = kind.version(version).map_or(0, |version| version.columns.len());
        if let Some(cells) = kind.rules.cells(value, now)
            && cells.len() >= count
        {
            return cells;
        }
        return generic(kind, version, value, now);
    }
    let cells = columns(kind, version);
    cells.iter().map(|column| custom_cell(column, value, now)).collect()
}

/// Name in the column "Name", age in "Age", nothing in the others.
fn generic(kind: &Kind, version: &str, value: &Value, now: i64) -> Vec<Value> {
    let cell = |column: Column| match column.name.as_str() {
        "Name" => value.str_at(&["metadata", "name"]).into(),
        "Age" => age(value, now),
        _ if column.kind == "string" => "".into(),
        _ => Value::Null,
    };
    columns(kind, version).into_iter().map(cell).collect()
}

/// A cell of a CRD's additionalPrinterColumns, as upstream's tableconvertor makes it.
fn custom_cell(column: &Column, value: &Value, now: i64) -> Value {
    let Some(path) = &column.path else { return value.str_at(&["metadata", "name"]).into() };
    let found = jsonpath::find(path, value);
    if found.is_empty() {
        return Value::Null;
    }
    match (column.kind.as_str(), found[0]) {
        ("integer", Value::Int(number)) => Value::Int(*number),
        ("integer", Value::Float(number)) => Value::Int(*number as i64),
        ("number", Value::Int(number)) => Value::Float(*number as f64),
        ("number", Value::Float(number)) => Value::Float(*number),
        ("boolean", Value::Bool(flag)) => Value::Bool(*flag),
        ("string", first) => jsonpath::text(first).into(),
        ("date", Value::String(text)) => match crate::time::parse(text) {
            Ok(time) => duration::human(now - time.seconds).into(),
            Err(_) => "<invalid>".into(),
        },
        ("date", _) => "<invalid>".into(),
        _ => Value::Null,
    }
}

/// Age since `metadata.creationTimestamp`; `<unknown>` without one.
pub fn age(value: &Value, now: i64) -> Value {
    since(value.at(&["metadata", "creationTimestamp"]), now).into()
}

/// The time since an RFC 3339 text, short and human.
pub fn since(time: Option<&Value>, now: i64) -> String {
    match time.and_then(Value::as_str).map(crate::time::parse) {
        Some(Ok(time)) => duration::human(now - time.seconds),
        _ => "<unknown>".into(),
    }
}
