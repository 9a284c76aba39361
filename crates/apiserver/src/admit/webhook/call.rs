//! One call of one webhook: the AdmissionReview that goes, and what of the answer is believed.

use api::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Hook;
use super::matching::Fit;
use super::versions;
use crate::admit::{Form, Operation, Request};
use crate::status::{Details, Status};

/// Why a hook let nothing through.
pub(super) enum Refused {
    /// It could not be asked, or its answer was none: its failure policy decides.
    Failed(String),
    /// It said no, or the request cannot be put to it at all.
    Denied(Status),
}

/// The patch of a hook that allowed; `None`: no change.
pub(super) async fn ask(
    request: &Request<'_>,
    hook: &Hook,
    fit: &Fit,
    value: Option<&Value>,
    mutating: bool,
) -> Result<Option<Value>, Refused> {
    if request.dry_run() && !hook.is_dry() {
        let text = format!("admission webhook {:?} does not support dry run", hook.name);
        return Err(Refused::Denied(Status::bad_request(text)));
    }
    let Some(version) = hook.review_versions.iter().find(|name| matches!(name.as_str(), "v1" | "v1beta1"))
    else {
        let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        return Err(Refused::Failed(why.into()));
    };
    let client = hook
        .client
        .as_ref()
        .map_err(|error| Refused::Failed(format!("could not get REST client: {error}")))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let review = review(request, fit, value, version, &uid).map_err(Refused::Denied)?;
    let query = format!("timeout={}s", hook.timeout.as_secs());
    let answer = request.call.inner.post_json(client, &query, &review, hook.timeout).await;
    let answer = answer.map_err(|error| Refused::Failed(format!("failed to call webhook: {error}")))?;
    let response = verify(&answer, version, &uid, mutating)
        .map_err(|why| Refused::Failed(format!("received invalid webhook response: {why}")))?;
    if let Some(notes) = response.get("auditAnnotations").and_then(Value::as_map) {
        for (key, text) in notes.iter() {
            request.call.annotate(format!("{}/{key}", hook.name), text.as_str().unwrap_or_default().into());
        }
    }
    let warnings = response.get("warnings").and_then(Value::as_array).unwrap_or_default();
    request.call.warn(warnings.iter().filter_map(Value::as_str).map(String::from));
    if response.get("allowed").and_then(Value::as_bool) != Some(true) {
        let by = format!("admission webhook {:?} denied the request", hook.name);
        return Err(Refused::Denied(denial(&by, response.get("status"))));
    }
    let patch = response.str_at(&["patch"]);
    if !mutating || patch.is_empty() {
        return Ok(None);
    }
    let kind = response.str_at(&["patchType"]);
    if version == "v1" && kind != "JSONPatch" {
        return Err(Refused::Failed(format!("unsupported patch type {kind:?}")));
    }
    let undecodable =
        |why: String| Refused::Failed(format!("received undecodable patch in webhook response: {why}"));
    let bytes = STANDARD.decode(patch).map_err(|error| undecodable(error.to_string()))?;
    let patch = api::json::parse(&bytes).map_err(|error| undecodable(error.to_string()))?;
    match &patch {
        Value::Array(operations) if operations.is_empty() => Ok(None),
        Value::Null => Ok(None),
        Value::Array(_) => Ok(Some(patch)),
        _ => Err(undecodable("json: cannot unmarshal object into Go value of type jsonpatch.Patch".into())),
    }
}

/// What refuses, with the words of who refused (`ToStatusErr`).
pub(super) fn denial(by: &str, status: Option<&Value>) -> Status {
    let empty = Value::object();
    let status = status.filter(|status| !status.is_null()).unwrap_or(&empty);
    let code =
        status.get("code").and_then(Value::as_int).filter(|code| (400..600).contains(code)).unwrap_or(400);
    let (message, reason) = (status.str_at(&["message"]), status.str_at(&["reason"]));
    let text = match (message, reason) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let denied = Status::new(code as u16, reason.to_string(), text);
    match status.get("details").filter(|details| !details.is_null()) {
        Some(details) => denied.with(Details::of(details)),
        None => denied,
    }
}

fn group_version(group: &str, version: &str, name: &str, what: &str) -> Value {
    let mut value = Value::object();
    value.set(&["group"], group);
    value.set(&["version"], version);
    value.set(&[name], what);
    value
}

/// `AdmissionRequest`, which is also what CEL knows as `request`.
pub(crate) fn admission_request(request: &Request<'_>, fit: &Fit, value: Option<&Value>, uid: &str) -> Value {
    let target = &request.call.target;
    let own = target.version();
    let sub = own.subresource(request.subresource);
    // Asked as it came, and as the hook wants it.
    let (kind, asked) = match (request.form, sub) {
        (Form::Other(group, version, kind), _) => {
            (group_version(group, version, "kind", kind), group_version(group, version, "kind", kind))
        }
        (Form::Own, _) => (
            group_version(&fit.row.resource.group, &fit.version, "kind", &fit.row.kind),
            group_version(&target.kind.resource.group, &own.name, "kind", &target.kind.kind),
        ),
    };
    let mut out = Value::object();
    if !uid.is_empty() {
        out.set(&["uid"], uid);
    }
    out.set(&["kind"], kind);
    out.set(
        &["resource"],
        group_version(&fit.resource.group, &fit.version, "resource", &fit.resource.plural),
    );
    if !request.subresource.is_empty() {
        out.set(&["subResource"], request.subresource);
    }
    out.set(&["requestKind"], asked);
    let resource = &target.kind.resource;
    out.set(&["requestResource"], group_version(&resource.group, &own.name, "resource", &resource.plural));
    if !request.subresource.is_empty() {
        out.set(&["requestSubResource"], request.subresource);
    }
    let name = request.name(value);
    if !name.is_empty() {
        out.set(&["name"], name);
    }
    if !request.namespace().is_empty() {
        out.set(&["namespace"], request.namespace());
    }
    out.set(&["operation"], request.operation.as_str());
    out.set(&["userInfo"], crate::review::user_info(&request.call.identity));
    out
}

fn review(
    request: &Request<'_>,
    fit: &Fit,
    value: Option<&Value>,
    version: &str,
    uid: &str,
) -> Result<Value, Status> {
    let mut out = admission_request(request, fit, value, uid);
    let object = match value {
        Some(value) if request.operation != Operation::Delete => versions::show(request, fit, value)?,
        _ => Value::Null,
    };
    let old = match request.old {
        Some(old) => versions::show(request, fit, old)?,
        None => Value::Null,
    };
    out.set(&["object"], object);
    out.set(&["oldObject"], old);
    out.set(&["dryRun"], request.dry_run());
    out.set(&["options"], request.options_value());
    let mut review = Value::object();
    review.set(&["kind"], "AdmissionReview");
    review.set(&["apiVersion"], format!("admission.k8s.io/{version}"));
    review.set(&["request"], out);
    Ok(review)
}

/// The response, if it is one to this request (`VerifyAdmissionResponse`).
fn verify<'a>(answer: &'a Value, version: &str, uid: &str, mutating: bool) -> Result<&'a Value, String> {
    let response = answer.get("response").filter(|response| !response.is_null());
    let response = response.ok_or("webhook response was absent")?;
    if version != "v1" {
        return Ok(response);
    }
    let given = response.str_at(&["uid"]);
    if given != uid {
        return Err(format!("expected response.uid={uid:?}, got {given:?}"));
    }
    let (api_version, kind) = (answer.str_at(&["apiVersion"]), answer.str_at(&["kind"]));
    if api_version != "admission.k8s.io/v1" || kind != "AdmissionReview" {
        return Err(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api_version}, Kind={kind}"
        ));
    }
    let patch = !response.str_at(&["patch"]).is_empty();
    let typed = response.get("patchType").is_some_and(|kind| !kind.is_null());
    match (mutating, patch, typed) {
        (true, true, false) => Err("webhook returned response.patch but not response.patchType".into()),
        (true, false, true) => Err("webhook returned response.patchType but not response.patch".into()),
        (false, true, _) => Err("validating webhook may not return response.patch".into()),
        (false, _, true) => Err("validating webhook may not return response.patchType".into()),
        _ => Ok(response),
    }
}
