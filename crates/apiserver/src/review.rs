//! Kinds that are answered and not stored: reviews of tokens and rights, `bindings`, `componentstatuses`.

use std::sync::Arc;

use api::Value;
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::authz::selectors::{self, Reads};
use crate::authz::{self, Attributes};
use crate::codec::{self, Expected};
use crate::engine::Call;
use crate::http::Body;
use crate::identity::Identity;
use crate::status::{Result, Status};
use crate::{authn, subresource};

pub(crate) async fn run(call: &Call, bytes: Bytes) -> Result<Response<Body>> {
    call.allows(call.info.verb)?;
    let plural = call.target.kind.resource.plural.as_str();
    if plural == "componentstatuses" {
        return components(call);
    }
    let options = call.write_options()?;
    let expected = Expected::kind(&call.target.kind, call.target.version());
    let mut warnings = Vec::new();
    let mut value = codec::decode(&expected, call.content_type(), &bytes, options.strictness, &mut warnings)?;
    call.warn(warnings);
    if call.target.kind.namespaced {
        call.check_names(&mut value)?;
    }
    if plural != "bindings" {
        crate::manage::created(&call.target, &mut value, &options, "", &call.inner.now());
    }
    let mut errors = Vec::new();
    let key = call.target.key(call.namespace(), "");
    let now = call.inner.now();
    let context =
        api::kind::Context { key: &key, now: &now, user: &call.identity.name, who: call.identity.who() };
    call.target.kind.rules.validate_create(&context, &value, &mut errors);
    if !errors.is_empty() && plural.ends_with("accessreviews") {
        // Upstream names no kind here.
        return Err(Status::invalid_kind(&call.target.kind.resource.group, "", "", &errors));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&call.target.kind, value.str_at(&["metadata", "name"]), &errors));
    }
    match plural {
        "bindings" => {
            let name = value.str_at(&["metadata", "name"]).to_string();
            let place = ("", "v1", "pods", call.info.namespace.as_str(), name.as_str());
            let pods = call.inner.call_as(call.identity.clone(), place, "create")?;
            return subresource::bind(&pods, &value, &options).await;
        }
        "tokenreviews" if value.str_at(&["spec", "token"]).is_empty() => {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        "tokenreviews" => token(call, &mut value).await,
        "selfsubjectreviews" => {
            value = anew(&value);
            value.set(&["metadata", "creationTimestamp"], call.inner.now());
            value.set(&["status", "userInfo"], user_info(&call.identity));
        }
        "selfsubjectaccessreviews" => access(call, &call.identity.clone(), &mut value).await?,
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            let identity = subject(&value);
            access(call, &identity, &mut value).await?;
        }
        "selfsubjectrulesreviews" if value.str_at(&["spec", "namespace"]).is_empty() => {
            return Err(Status::bad_request("no namespace on request"));
        }
        "selfsubjectrulesreviews" => rules(call, &mut value),
        _ => return Err(Status::no_such_path()),
    }
    Ok(call.answer_value(StatusCode::CREATED, &value))
}

/// The parts of a control plane that were asked for once; this one is whole or gone.
fn components(call: &Call) -> Result<Response<Body>> {
    if call.info.verb == "get" {
        return Err(Status::not_found(&call.target.kind.resource, &call.info.name));
    }
    call.warn(["v1 ComponentStatus is deprecated in v1.19+".to_string()]);
    let mut list = Value::object();
    list.set(&["kind"], "ComponentStatusList");
    list.set(&["apiVersion"], "v1");
    list.set(&["metadata"], Value::object());
    list.set(&["items"], Vec::new());
    Ok(call.answer_value(StatusCode::OK, &list))
}

/// An object of the same kind without what was asked, as some of upstream's reviews answer.
fn anew(asked: &Value) -> Value {
    let mut value = Value::object();
    for field in ["kind", "apiVersion"] {
        value.set(&[field], asked.get(field).cloned().unwrap_or_default());
    }
    value.set(&["metadata"], Value::object());
    value
}

fn texts(list: &[String]) -> Vec<Value> {
    list.iter().map(|text| Value::from(text.as_str())).collect()
}

fn strings(value: &Value, path: &[&str]) -> Vec<String> {
    let list = value.at(path).and_then(Value::as_array).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(String::from).collect()
}

pub(crate) fn user_info(identity: &Identity) -> Value {
    let mut value = Value::object();
    value.set(&["username"], identity.name.as_str());
    if !identity.uid.is_empty() {
        value.set(&["uid"], identity.uid.as_str());
    }
    value.set(&["groups"], texts(&identity.groups));
    for (name, values) in &identity.extra {
        value.set(&["extra", name.as_str()], texts(values));
    }
    value
}

async fn token(call: &Call, value: &mut Value) {
    let mut audiences = strings(value, &["spec", "audiences"]);
    if audiences.is_empty() {
        audiences.clone_from(&call.inner.config.audiences);
    }
    let token = value.str_at(&["spec", "token"]).to_string();
    match authn::of_any_token(&call.inner, &token, &audiences).await {
        Ok((identity, good)) => {
            value.set(&["status", "authenticated"], true);
            value.set(&["status", "user"], user_info(&identity));
            value.set(&["status", "audiences"], texts(&good));
        }
        Err(reasons) => {
            // What else the client said of the answer stands: upstream only adds to it.
            value.remove(&["status", "authenticated"]);
            if value.at(&["status", "user"]).is_none() {
                value.set(&["status", "user"], Value::object());
            }
            // As Go's aggregate of errors reads.
            let text = match reasons.as_slice() {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            value.set(&["status", "error"], text);
        }
    }
}

/// Whom a SubjectAccessReview is about.
fn subject(value: &Value) -> Identity {
    let spec = value.get("spec").unwrap_or(&Value::Null);
    let extra = spec.get("extra").and_then(Value::as_map).into_iter().flat_map(|map| map.iter());
    Identity {
        name: spec.str_at(&["user"]).into(),
        uid: spec.str_at(&["uid"]).into(),
        groups: strings(spec, &["groups"]),
        extra: extra.map(|(name, _)| (name.to_string(), strings(spec, &["extra", name.as_str()]))).collect(),
    }
}

async fn access(call: &Call, identity: &Identity, value: &mut Value) -> Result<()> {
    let selector = |name: &str| {
        let selector = value.at(&["spec", "resourceAttributes", name]).filter(|part| !part.is_null());
        selector
            .map_or((String::new(), Reads::Whole), |part| selectors::of_review(part, name == "labelSelector"))
    };
    let (fields, labels) = (selector("fieldSelector"), selector("labelSelector"));
    let decision = {
        let of = |field: &str| value.at(&["spec", field]).filter(|part| !part.is_null());
        let attributes = match (of("resourceAttributes"), of("nonResourceAttributes")) {
            (Some(part), None) => Attributes {
                version: part.str_at(&["version"]),
                verb: part.str_at(&["verb"]),
                group: part.str_at(&["group"]),
                resource: part.str_at(&["resource"]),
                subresource: part.str_at(&["subresource"]),
                namespace: part.str_at(&["namespace"]),
                name: part.str_at(&["name"]),
                fields: &fields.0,
                labels: &labels.0,
                ..Attributes::default()
            },
            (None, Some(part)) => Attributes {
                verb: part.str_at(&["verb"]),
                path: part.str_at(&["path"]),
                is_resource: false,
                ..Attributes::default()
            },
            _ => {
                let path = api::field::Path::new("spec.resourceAttributes");
                let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                let error = api::field::Error::invalid(path, Value::Null, text);
                return Err(Status::invalid(&call.target.kind, "", &[error]));
            }
        };
        authz::judge(&call.inner, identity, &attributes).await
    };
    let (allowed, reason) = match decision {
        Ok(reason) => (true, reason),
        Err(reason) => (false, reason),
    };
    value.remove(&["status"]);
    value.set(&["status", "allowed"], allowed);
    if !reason.is_empty() {
        value.set(&["status", "reason"], reason);
    }
    let unread: Vec<String> = [("fieldSelector", fields.1), ("labelSelector", labels.1)]
        .into_iter()
        .filter_map(|(name, reads)| {
            let how = match reads {
                Reads::Whole => return None,
                Reads::Part => "partially ignored",
                Reads::Nothing => "ignored",
            };
            Some(format!("spec.resourceAttributes.{name} {how} due to parse error"))
        })
        .collect();
    if !unread.is_empty() {
        value.set(&["status", "evaluationError"], unread.join("; "));
    }
    Ok(())
}

fn rules(call: &Call, value: &mut Value) {
    let namespace = value.str_at(&["spec", "namespace"]).to_string();
    let identity: &Arc<Identity> = &call.identity;
    let (mut resources, mut urls) = (Vec::new(), Vec::new());
    for rule in call.inner.rbac.rules(identity, &namespace) {
        let mut row = Value::object();
        row.set(&["verbs"], texts(&rule.verbs));
        if !rule.resources.is_empty() {
            row.set(&["apiGroups"], texts(&rule.groups));
            row.set(&["resources"], texts(&rule.resources));
            if !rule.names.is_empty() {
                row.set(&["resourceNames"], texts(&rule.names));
            }
            resources.push(row);
        } else if !rule.urls.is_empty() {
            row.set(&["nonResourceURLs"], texts(&rule.urls));
            urls.push(row);
        }
    }
    *value = anew(value);
    value.set(&["spec"], Value::object());
    value.set(&["status", "resourceRules"], resources);
    value.set(&["status", "nonResourceRules"], urls);
    let incomplete = call.inner.authorizers.load().wait();
    value.set(&["status", "incomplete"], incomplete);
    if incomplete {
        value.set(&["status", "evaluationError"], "webhook authorizer does not support user rule resolution");
    }
}
