//! Objects on their way out: as they are, in another version or form, as rows of a Table.

use std::sync::Arc;

use api::{Object, Value, table};
use http::{Response, StatusCode};

use super::{Call, Target};
use crate::codec;
use crate::http::accept::As;
use crate::http::{Body, respond};
use crate::status::{Result, Status};

impl Call {
    /// An answer that is one object.
    pub fn answer(&self, code: StatusCode, object: &Arc<Object>) -> Result<Response<Body>> {
        if self.accept.is_plain() && self.target.is_storage() {
            return Ok(respond::bytes(code, "application/json", object.json.clone()));
        }
        if self.info.verb == "get" {
            self.accept.fits(&self.target.kind, false)?;
            self.includes()?;
        }
        let mut value = match self.accept.form {
            As::Object => self.target.in_version(object)?,
            As::Metadata => metadata_only(object, true),
            As::Table => {
                let rows = self.table_rows(std::slice::from_ref(object))?;
                self.target.table(rows, object.revision.0, self.table_headers())
            }
        };
        self.accept.dated(&mut value);
        Ok(respond::value(&self.accept, code, &value))
    }

    /// An answer that is a value in the requested version (a dry run, a virtual kind).
    pub fn answer_value(&self, code: StatusCode, value: &Value) -> Response<Body> {
        respond::value(&self.accept, code, value)
    }

    /// The first Table of an answer names its columns.
    pub fn table_headers(&self) -> bool {
        true
    }

    pub fn table_rows(&self, objects: &[Arc<Object>]) -> Result<Vec<Value>> {
        let now = self.inner.clock.now().as_second();
        let include = self.query.get("includeObject");
        objects.iter().map(|object| self.target.table_row(object, now, include)).collect()
    }
}

impl Call {
    /// Judges `includeObject` of who wants a Table.
    pub fn includes(&self) -> Result<()> {
        let asked = self.query.get("includeObject");
        if self.accept.form != As::Table || matches!(asked, "" | "None" | "Metadata" | "Object") {
            return Ok(());
        }
        Err(Status::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or \
             empty",
            api::text::quote(asked)
        )))
    }
}

impl Target {
    /// The object as a tree in the version that was asked for.
    pub fn in_version(&self, object: &Object) -> Result<Value> {
        let mut value = object.value();
        codec::from_storage(&self.kind, &self.version().name, &mut value)?;
        Ok(value)
    }

    /// Converts many objects in one call, so that each finds its answer known.
    pub fn converted(&self, objects: &[Arc<Object>]) -> Result<()> {
        if self.kind.converter.is_none() {
            return Ok(());
        }
        let mut values: Vec<Value> = objects.iter().map(|object| object.value()).collect();
        codec::convert_all(&self.kind, &self.version().name, &mut values)
    }

    /// One row: cells, and what `includeObject` asks for of the object.
    pub fn table_row(&self, object: &Object, now: i64, include: &str) -> Result<Value> {
        let value = object.value();
        let cells = match self.storage.custom {
            true => table::row(&self.kind, &self.version().name, &self.in_version(object)?, now),
            false => table::row(&self.storage, &self.storage.storage().name, &value, now),
        };
        let mut row = Value::object();
        row.set(&["cells"], cells);
        let shown = match include {
            "None" => Value::Null,
            "Object" => self.in_version(object)?,
            _ => metadata_only(object, true),
        };
        row.set(&["object"], shown);
        Ok(row)
    }

    /// The row of an object that says no more than a revision.
    pub fn bookmark_row(&self, value: Value, now: i64, include: &str) -> Value {
        let (kind, version) = match self.storage.custom {
            true => (&self.kind, &self.version().name),
            false => (&self.storage, &self.storage.storage().name),
        };
        let mut row = Value::object();
        row.set(&["cells"], table::row(kind, version, &value, now));
        let shown = match include {
            "None" => Value::Null,
            "Object" => value,
            _ => partial(value, true),
        };
        row.set(&["object"], shown);
        row
    }

    pub fn table(&self, rows: Vec<Value>, revision: u64, headers: bool) -> Value {
        let mut all = Value::object();
        all.set(&["kind"], "Table");
        all.set(&["apiVersion"], "meta.k8s.io/v1");
        all.set(&["metadata", "resourceVersion"], revision.to_string());
        let columns = match headers {
            true => table::definitions(&table::columns(&self.kind, &self.version().name)),
            false => Value::Null,
        };
        all.set(&["columnDefinitions"], columns);
        all.set(&["rows"], rows);
        all
    }
}

/// PartialObjectMetadata of an object; `named` adds its own kind, as items of a list of it do not.
pub(crate) fn metadata_only(object: &Object, named: bool) -> Value {
    partial(object.value(), named)
}

fn partial(mut value: Value, named: bool) -> Value {
    let mut partial = Value::object();
    if named {
        partial.set(&["kind"], "PartialObjectMetadata");
        partial.set(&["apiVersion"], "meta.k8s.io/v1");
    }
    let metadata = value.remove(&["metadata"]).unwrap_or_else(Value::object);
    partial.set(&["metadata"], metadata);
    partial
}
