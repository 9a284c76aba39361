//! The object of a request in the version that a webhook or policy asked for, and back.

use api::Value;

use super::matching::Fit;
use crate::admit::{Form, Request};
use crate::codec::{self, Expected, Strictness};
use crate::engine::Target;
use crate::status::Result;

/// Where a fit leads to: like the request's own target, in the fit's version.
fn target(request: &Request<'_>, fit: &Fit) -> Target {
    let own = &request.call.target;
    let version = fit.row.versions.iter().position(|version| version.name == fit.version);
    Target {
        kind: fit.row.clone(),
        version: version.unwrap_or_default(),
        storage: own.storage.clone(),
        cache: own.cache.clone(),
    }
}

/// `value` as `fit` has it.
pub(crate) fn show(request: &Request<'_>, fit: &Fit, value: &Value) -> Result<Value> {
    let mut shown = value.clone();
    if request.form == Form::Own && !shown.is_null() {
        codec::from_storage(&fit.row, &fit.version, &mut shown)?;
    }
    Ok(shown)
}

/// The storage version of what [`show`] gave and somebody changed: decoded, pruned and defaulted anew.
pub(crate) fn take(request: &Request<'_>, fit: &Fit, value: Value) -> Result<Value> {
    if request.form != Form::Own {
        return Ok(value);
    }
    let target = target(request, fit);
    let expected = Expected::kind(&target.kind, target.version());
    let ignore = Strictness::Ignore;
    let mut value = codec::finish(&expected, value, Vec::new(), ignore, &mut Vec::new())?;
    target.complete(&mut value, &crate::internal::options(), &request.call.inner.now(), &mut Vec::new())?;
    Ok(value)
}
