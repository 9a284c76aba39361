//! `pods/binding` and `bindings`: the scheduler's one write (k8s.io/kubernetes/pkg/registry/core/pod/storage, `assignPod`).

use api::{Resource, Value, field};
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::admit::{self, Form, Operation};
use crate::codec::{self, Expected};
use crate::engine::update::Part;
use crate::engine::{Call, WriteOptions};
use crate::http::Body;
use crate::manage::How;
use crate::status::{Result, Status};

pub(super) async fn run(call: &Call, bytes: Bytes) -> Result<Response<Body>> {
    let options = call.write_options()?;
    let expected = Expected::named("", "v1", "Binding");
    let sent = codec::decode(&expected, call.content_type(), &bytes, options.strictness, &mut Vec::new())?;
    if sent.str_at(&["metadata", "name"]) != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    bind(call, &sent, &options).await
}

/// Binds the pod that `call` names.
pub(crate) async fn bind(call: &Call, sent: &Value, options: &WriteOptions) -> Result<Response<Body>> {
    let name = call.info.name.as_str();
    let node = sent.str_at(&["target", "name"]);
    let path = field::Path::new("target");
    let kind = sent.str_at(&["target", "kind"]);
    let error = match () {
        () if !kind.is_empty() && kind != "Node" => {
            Some(field::Error::not_supported(path.child("kind"), kind, &["Node", "<empty>"]))
        }
        () if node.is_empty() => Some(field::Error::required(path.child("name"), "")),
        () => None,
    };
    if let Some(error) = error {
        return Err(Status::invalid_kind("", "Binding", name, &[error]));
    }
    let conflict = |why: String| Status::conflict(&Resource::new("", "pods/binding"), name, why);
    let uid = sent.str_at(&["metadata", "uid"]);
    let now = call.inner.now();
    let make = |old: &Value| {
        if old.at(&["metadata", "deletionTimestamp"]).is_some() {
            return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let there = old.str_at(&["spec", "nodeName"]);
        if !there.is_empty() {
            return Err(conflict(format!("pod {name} is already assigned to node {there:?}")));
        }
        let gates = old.at(&["spec", "schedulingGates"]).and_then(Value::as_array).unwrap_or_default();
        if !gates.is_empty() {
            return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        let mut new = old.clone();
        if !uid.is_empty() {
            new.set(&["metadata", "uid"], uid);
        }
        new.remove(&["metadata", "resourceVersion"]);
        new.set(&["spec", "nodeName"], node);
        for place in ["annotations", "labels"] {
            for (key, value) in
                sent.at(&["metadata", place]).and_then(Value::as_map).into_iter().flat_map(|map| map.iter())
            {
                new.set(&["metadata", place, key.as_str()], value.clone());
            }
        }
        scheduled(&mut new, &now);
        Ok(new)
    };
    // As upstream: whoever binds comes to own nothing by it.
    let mut asked = sent.clone();
    let request = admit::Request::new(call, Operation::Create, "binding", admit::Options::Write(options));
    admit::pass(&request.of(Form::Other("", "v1", "Binding")), &mut asked).await?;
    let options = WriteOptions { applied: true, admitted: true, ..options.clone() };
    call.change(Part::Whole, &options, How::Patch, &make, None).await?;
    Ok(success(call, StatusCode::CREATED))
}

/// The condition `PodScheduled`, true.
fn scheduled(pod: &mut Value, now: &str) {
    let conditions = pod.make(&["status", "conditions"]);
    if conditions.as_array().is_none() {
        *conditions = Vec::new().into();
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    conditions.retain(|condition| condition.str_at(&["type"]) != "PodScheduled");
    let mut condition = Value::object();
    condition.set(&["type"], "PodScheduled");
    condition.set(&["status"], "True");
    condition.set(&["lastTransitionTime"], now);
    conditions.push(condition);
}

/// A Status that says nothing but that it is done.
pub(crate) fn success(call: &Call, code: StatusCode) -> Response<Body> {
    let mut value = Value::object();
    value.set(&["kind"], "Status");
    value.set(&["apiVersion"], "v1");
    value.set(&["metadata"], Value::object());
    value.set(&["status"], "Success");
    value.set(&["code"], i64::from(code.as_u16()));
    call.answer_value(code, &value)
}
