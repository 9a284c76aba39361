//! Admission: what may be written beside what is valid, and what the cluster adds to it. One plugin a file, upstream's
//! default set (k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go), in upstream's order.

mod lifecycle;

use api::Value;

use crate::engine::update::Part;
use crate::engine::{Call, WriteOptions};
use crate::status::Result;

/// Before a new object is validated.
pub(crate) async fn create(call: &Call, value: &mut Value, _options: &WriteOptions) -> Result<()> {
    lifecycle::create(call, value).await
}

/// Before a changed object is validated.
pub(crate) async fn update(_call: &Call, _part: Part, _old: &Value, _new: &mut Value) -> Result<()> {
    Ok(())
}

pub(crate) async fn delete(call: &Call, name: &str, _old: &Value) -> Result<()> {
    lifecycle::delete(call, name)
}

/// After validation; changes nothing.
pub(crate) async fn validate(_call: &Call, _new: &Value, _old: Option<&Value>) -> Result<()> {
    Ok(())
}

/// Addresses and ports of a Service, held until the write is over.
pub(crate) fn allocate(
    _call: &Call,
    _old: Option<&Value>,
    _new: &mut Value,
    _options: &WriteOptions,
) -> Result<()> {
    Ok(())
}
