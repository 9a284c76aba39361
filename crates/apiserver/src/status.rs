//! How a request fails: upstream's `metav1.Status` with the reasons, codes and texts of apimachinery's
//! `pkg/api/errors`, because clients match on them. The only place where an error becomes a Status.

use std::borrow::Cow;

use api::{Kind, Resource, Value, field};
use http::StatusCode;

/// A failure, boxed to keep results small.
#[derive(Debug)]
pub struct Status(Box<Failure>);

/// See [`Status`].
#[derive(Debug, Default)]
pub struct Failure {
    pub code: u16,
    pub reason: Cow<'static, str>,
    pub message: String,
    pub details: Option<Details>,
    /// `metadata.continue`: where a list whose token ran out may go on, though not consistently.
    pub resume: Option<String>,
}

#[derive(Debug, Default, Clone)]
pub struct Details {
    pub name: String,
    pub group: String,
    /// The resource's plural, or the kind for an invalid object.
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after: u32,
}

#[derive(Debug, Default, Clone)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

pub type Result<T> = std::result::Result<T, Status>;

/// What a conflict says when somebody else changed the object first.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Status {
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Status {
        let reason = reason.into();
        Status(Box::new(Failure { code, reason, message: message.into(), details: None, resume: None }))
    }
    fn of(resource: &Resource, name: &str, code: u16, reason: &'static str, message: String) -> Status {
        Status::new(code, reason, message).with(Details {
            name: name.into(),
            group: resource.group.to_string(),
            kind: resource.plural.to_string(),
            ..Details::default()
        })
    }
    pub fn with(mut self, details: Details) -> Status {
        self.0.details = Some(details);
        self
    }
    pub fn caused(mut self, reason: &str, message: impl Into<String>, field: &str) -> Status {
        let cause = Cause { reason: reason.into(), message: message.into(), field: field.into() };
        self.0.details.get_or_insert_default().causes.push(cause);
        self
    }
    /// Names the token of [`Failure::resume`].
    pub fn resumed_by(mut self, token: String) -> Status {
        self.0.resume = Some(token);
        self
    }
    /// Under another code and reason.
    pub fn recoded(mut self, code: u16, reason: impl Into<Cow<'static, str>>) -> Status {
        self.0.code = code;
        self.0.reason = reason.into();
        self
    }
    /// Says something before the message.
    pub fn prefixed(mut self, text: &str) -> Status {
        self.0.message.insert_str(0, text);
        self
    }
    pub fn retry_after(mut self, seconds: u32) -> Status {
        self.0.details.get_or_insert_default().retry_after = seconds;
        self
    }

    pub fn not_found(resource: &Resource, name: &str) -> Status {
        Status::of(resource, name, 404, "NotFound", format!("{resource} {name:?} not found"))
    }
    pub fn already_exists(resource: &Resource, name: &str) -> Status {
        Status::of(resource, name, 409, "AlreadyExists", format!("{resource} {name:?} already exists"))
    }
    pub fn conflict(resource: &Resource, name: &str, why: impl std::fmt::Display) -> Status {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Status::of(resource, name, 409, "Conflict", message)
    }
    pub fn forbidden(resource: &Resource, name: &str, why: impl std::fmt::Display) -> Status {
        let message = match (resource.plural.is_empty(), name) {
            (true, _) => format!("forbidden: {why}"),
            (false, "") => format!("{resource} is forbidden: {why}"),
            (false, name) => format!("{resource} {name:?} is forbidden: {why}"),
        };
        Status::of(resource, name, 403, "Forbidden", message)
    }
    pub fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }
    /// The path leads to nothing that is served.
    pub fn no_such_path() -> Status {
        let status = Status::new(404, "NotFound", "the server could not find the requested resource");
        status.with(Details::default())
    }
    /// The resource is there, the method is not.
    pub fn no_such_method() -> Status {
        let text = "the server does not allow this method on the requested resource";
        Status::new(405, "MethodNotAllowed", text).with(Details::default())
    }
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, "Expired", message)
    }
    pub fn too_old(asked: api::Revision, oldest: api::Revision) -> Status {
        Status::expired(format!("too old resource version: {asked} ({oldest})"))
    }
    pub fn too_large_version(asked: api::Revision, current: api::Revision) -> Status {
        Status::new(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        )
        .caused("ResourceVersionTooLarge", "Too large resource version", "")
        .retry_after(1)
    }
    pub fn internal(why: impl std::fmt::Display) -> Status {
        let status = Status::new(500, "InternalError", format!("Internal error occurred: {why}"));
        status.caused("", why.to_string(), "")
    }
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::new(503, "ServiceUnavailable", message)
    }
    pub fn timeout(message: &str) -> Status {
        Status::new(504, "Timeout", format!("Timeout: {message}"))
    }
    pub fn too_many_requests(message: &str, seconds: u32) -> Status {
        Status::new(429, "TooManyRequests", message).retry_after(seconds)
    }
    pub fn too_large(limit: usize) -> Status {
        let message = format!("Request entity too large: limit is {limit}");
        Status::new(413, "RequestEntityTooLarge", message)
    }
    pub fn unsupported_media(accepted: &str) -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Status::new(415, "UnsupportedMediaType", message)
    }
    pub fn not_acceptable(accepted: &str) -> Status {
        let message = format!("only the following media types are accepted: {accepted}");
        Status::new(406, "NotAcceptable", message)
    }
    /// The same of a route of built-in kinds, where upstream's router says it.
    pub fn no_representation(available: &str) -> Status {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {available}");
        Status::new(406, "NotAcceptable", message).with(Details::default())
    }
    /// An object that fails validation.
    pub fn invalid(kind: &Kind, name: &str, errors: &[field::Error]) -> Status {
        Status::invalid_kind(&kind.resource.group, &kind.kind, name, errors)
    }
    pub fn invalid_kind(group: &str, kind: &str, name: &str, errors: &[field::Error]) -> Status {
        let qualified = if group.is_empty() { kind.to_string() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = match texts.as_slice() {
            [] => "<nil>".to_string(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes = errors.iter().map(|error| Cause {
            reason: error.reason.as_str().into(),
            message: error.body(),
            field: error.path.to_string(),
        });
        Status::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {all}")).with(Details {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            causes: causes.collect(),
            ..Details::default()
        })
    }
    /// What the store says, where the caller has no better word for it.
    pub fn store(resource: &Resource, name: &str, error: store::Error) -> Status {
        match error {
            store::Error::Conflict { .. } => Status::conflict(resource, name, MODIFIED),
            store::Error::Raced(_) => Status::conflict(resource, name, error.to_string()),
            store::Error::Compacted { asked, oldest } => Status::too_old(asked, oldest),
            store::Error::Future { asked, current } => Status::too_large_version(asked, current),
            store::Error::Full(_) => Status::new(507, "InternalError", error.to_string()),
            // As upstream passes on what etcd says.
            store::Error::TooLarge(text) => Status::new(500, "", text),
            store::Error::Closed => Status::unavailable("the server is shutting down"),
            error => {
                let text = base::chain(&error).to_string();
                tracing::error!(%resource, name, error = text, "the store failed");
                Status::internal(text)
            }
        }
    }

    pub fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
    pub fn reason(&self) -> &str {
        &self.0.reason
    }
    pub fn message(&self) -> &str {
        &self.0.message
    }
    pub fn retry_seconds(&self) -> u32 {
        self.0.details.as_ref().map_or(0, |details| details.retry_after)
    }

    /// As upstream writes it.
    pub fn value(&self) -> Value {
        let mut value = head("Failure");
        if let Some(token) = &self.0.resume {
            value.set(&["metadata", "continue"], token.as_str());
        }
        value.set(&["message"], self.0.message.as_str());
        if !self.0.reason.is_empty() {
            value.set(&["reason"], &*self.0.reason);
        }
        if let Some(details) = &self.0.details {
            value.set(&["details"], details.value());
        }
        value.set(&["code"], i64::from(self.0.code));
        value
    }
}

fn head(status: &str) -> Value {
    let mut value = Value::object();
    value.set(&["kind"], "Status");
    value.set(&["apiVersion"], "v1");
    value.set(&["metadata"], Value::object());
    value.set(&["status"], status);
    value
}

/// What a delete answers when the object is gone.
pub fn success(details: &Details) -> Value {
    let mut value = head("Success");
    value.set(&["details"], details.value());
    value
}

impl Details {
    /// What somebody else's Status says.
    pub fn of(details: &Value) -> Details {
        let text = |value: &Value, name: &str| value.str_at(&[name]).to_string();
        let causes = details.get("causes").and_then(Value::as_array).unwrap_or_default();
        Details {
            name: text(details, "name"),
            group: text(details, "group"),
            kind: text(details, "kind"),
            uid: text(details, "uid"),
            causes: causes
                .iter()
                .map(|cause| Cause {
                    reason: text(cause, "reason"),
                    message: text(cause, "message"),
                    field: text(cause, "field"),
                })
                .collect(),
            retry_after: details
                .get("retryAfterSeconds")
                .and_then(Value::as_int)
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or(0),
        }
    }
    fn value(&self) -> Value {
        let mut value = Value::object();
        for (field, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                value.set(&[field], text.as_str());
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|cause| {
                let mut value = Value::object();
                for (field, text) in
                    [("reason", &cause.reason), ("message", &cause.message), ("field", &cause.field)]
                {
                    if !text.is_empty() {
                        value.set(&[field], text.as_str());
                    }
                }
                value
            });
            value.set(&["causes"], causes.collect::<Vec<Value>>());
        }
        if self.retry_after > 0 {
            value.set(&["retryAfterSeconds"], i64::from(self.retry_after));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_upstream_writes_it() {
        let pods = Resource::new("", "pods");
        assert_eq!(
            Status::not_found(&pods, "web").value().to_string(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"web\" not found","reason":"NotFound","details":{"name":"web","kind":"pods"},"code":404}"#
        );
        let apps = Resource::new("apps", "deployments");
        assert_eq!(
            Status::conflict(&apps, "web", MODIFIED).message(),
            format!("Operation cannot be fulfilled on deployments.apps \"web\": {MODIFIED}")
        );
        let errors = [
            field::Error::required(field::Path::new("spec"), ""),
            field::Error::required(field::Path::new("x"), ""),
        ];
        assert_eq!(
            Status::invalid_kind("apps", "Deployment", "web", &errors).message(),
            r#"Deployment.apps "web" is invalid: [spec: Required value, x: Required value]"#
        );
    }
}
