//! Objects on their way out: as they are, in another version or form, as rows of a Table.

use std::sync::Arc;

use api::{Object, Value, table};
use http::{Response, StatusCode};

use super::{Call, Target};
use crate::codec;
use crate::http::accept::As;
use crate::http::{Body, respond};
use crate::status::Result;

impl Call {
    /// An answer that is one object.
    pub fn answer(&self, code: StatusCode, object: &Arc<Object>) -> Result<Response<Body>> {
        if self.accept.is_plain() && self.target.is_storage() {
            return Ok(respond::bytes(code, "application/json", object.json.clone()));
        }
        let value = match self.accept.form {
            As::Object => self.target.in_version(object)?,
            As::Metadata => metadata_only(object, true),
            As::Table => {
                let rows = self.table_rows(std::slice::from_ref(object))?;
                self.target.table(rows, object.revision.0, self.table_headers())
            }
        };
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
            "None" => None,
            "Object" => Some(self.in_version(object)?),
            _ => Some(metadata_only(object, true)),
        };
        if let Some(shown) = shown {
            row.set(&["object"], shown);
        }
        Ok(row)
    }

    pub fn table(&self, rows: Vec<Value>, revision: u64, headers: bool) -> Value {
        let mut all = Value::object();
        all.set(&["kind"], "Table");
        all.set(&["apiVersion"], "meta.k8s.io/v1");
        all.set(&["metadata", "resourceVersion"], revision.to_string());
        let columns = match headers {
            true => table::definitions(&table::columns(&self.kind, &self.version().name)),
            false => Vec::new().into(),
        };
        all.set(&["columnDefinitions"], columns);
        all.set(&["rows"], rows);
        all
    }
}

/// PartialObjectMetadata of an object; `named` adds its own kind, as items of a list of it do not.
pub(crate) fn metadata_only(object: &Object, named: bool) -> Value {
    let mut partial = Value::object();
    if named {
        partial.set(&["kind"], "PartialObjectMetadata");
        partial.set(&["apiVersion"], "meta.k8s.io/v1");
    }
    let metadata = object.value().remove(&["metadata"]).unwrap_or_else(Value::object);
    partial.set(&["metadata"], metadata);
    partial
}
