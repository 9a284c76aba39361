//! `serviceaccounts/token`: tokens that are bound to a pod, a node or a secret and run out (KEP-1205).

use api::{Value, field};
use bytes::Bytes;
use http::{Response, StatusCode};
use pki::{Bound, Claims, Ref};

use crate::admit::{self, Form, Operation};
use crate::codec::{self, Expected};
use crate::engine::Call;
use crate::http::Body;
use crate::status::{Result, Status};

const HOUR: i64 = 3600;
const LEAST: i64 = 600;
const MOST: i64 = 1 << 32;

pub(super) async fn run(call: &Call, bytes: Bytes) -> Result<Response<Body>> {
    let options = call.write_options()?;
    let expected = Expected::named("authentication.k8s.io", "v1", "TokenRequest");
    let mut value =
        codec::decode(&expected, call.content_type(), &bytes, options.strictness, &mut Vec::new())?;
    let account = call.current().await?;
    let inner = &call.inner;
    for (field, own) in [("name", &call.info.name), ("namespace", &call.info.namespace)] {
        let given = value.str_at(&["metadata", field]);
        if !given.is_empty() && given != own.as_str() {
            let path = field::Path::new("metadata").child(field);
            let what = if field == "name" { "name" } else { "namespace" };
            let text = format!("must match the service account {what} if specified");
            let error = field::Error::invalid(path, given, text);
            return Err(Status::invalid_kind(expected.group, expected.kind, &call.info.name, &[error]));
        }
    }
    let seconds = value.at(&["spec", "expirationSeconds"]).and_then(Value::as_int).unwrap_or(HOUR);
    let path = field::Path::new("spec").child("expirationSeconds");
    let error = match seconds {
        ..LEAST => {
            Some(field::Error::invalid(path, seconds, "may not specify a duration less than 10 minutes"))
        }
        seconds if seconds > MOST => {
            Some(field::Error::invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
        }
        _ => None,
    };
    if let Some(error) = error {
        return Err(Status::invalid_kind(expected.group, expected.kind, "", &[error]));
    }
    let given = value.at(&["spec", "audiences"]).and_then(Value::as_array).unwrap_or_default();
    let mut audiences: Vec<String> = given.iter().filter_map(Value::as_str).map(String::from).collect();
    if audiences.is_empty() {
        audiences.clone_from(&inner.config.audiences);
    }
    let request = admit::Request::new(call, Operation::Create, "token", admit::Options::Write(&options));
    let form = Form::Other("authentication.k8s.io", "v1", "TokenRequest");
    admit::pass(&request.of(form), &mut value).await?;
    let namespace = call.info.namespace.as_str();
    let mut bound = Bound {
        namespace: namespace.into(),
        serviceaccount: Ref { name: account.name().into(), uid: account.uid.to_string() },
        ..Bound::default()
    };
    if let Some(reference) = value.at(&["spec", "boundObjectRef"]).filter(|reference| !reference.is_null()) {
        bind(call, reference, &mut bound)?;
    }
    let now = inner.clock.now().as_second();
    let claims = Claims {
        aud: audiences.clone(),
        exp: now + seconds,
        iat: now,
        iss: inner.config.issuer.clone(),
        jti: uuid::Uuid::new_v4().to_string(),
        kubernetes: bound,
        nbf: now,
        sub: format!("system:serviceaccount:{namespace}:{}", account.name()),
    };
    value.set(&["metadata", "name"], account.name());
    value.set(&["metadata", "namespace"], namespace);
    value.set(&["metadata", "uid"], account.uid.to_string());
    value.set(&["metadata", "creationTimestamp"], inner.now());
    value.set(&["spec", "audiences"], audiences.into_iter().map(Value::from).collect::<Vec<_>>());
    value.set(&["spec", "expirationSeconds"], seconds);
    value.set(&["status", "token"], inner.config.service_account_key.sign(&claims));
    value.set(&["status", "expirationTimestamp"], api::time::format(claims.exp));
    Ok(call.answer_value(StatusCode::CREATED, &value))
}

/// What the token dies with.
fn bind(call: &Call, reference: &Value, bound: &mut Bound) -> Result<()> {
    let (kind, name, uid) =
        (reference.str_at(&["kind"]), reference.str_at(&["name"]), reference.str_at(&["uid"]));
    let namespace = call.info.namespace.as_str();
    let find = |plural: &str, namespace: &str| {
        let resource = api::Resource::new("", plural);
        let object = call.inner.peek("", plural, namespace, name);
        let object = object.ok_or_else(|| Status::not_found(&resource, name))?;
        if !uid.is_empty() && object.uid.0 != uid {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            // Upstream names the kind where the resource's name belongs.
            return Err(Status::conflict(&api::Resource::new("", kind), name, why));
        }
        Ok(object)
    };
    match kind {
        "Pod" => {
            let pod = find("pods", namespace)?;
            let value = pod.value();
            let account = value.str_at(&["spec", "serviceAccountName"]);
            if account != call.info.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    call.info.name
                )));
            }
            bound.pod = Some(Ref { name: name.into(), uid: pod.uid.to_string() });
            let node = value.str_at(&["spec", "nodeName"]);
            if !node.is_empty() {
                let uid = call.inner.peek("", "nodes", "", node).map(|node| node.uid.to_string());
                bound.node = Some(Ref { name: node.into(), uid: uid.unwrap_or_default() });
            }
        }
        "Secret" => {
            let secret = find("secrets", namespace)?;
            bound.secret = Some(Ref { name: name.into(), uid: secret.uid.to_string() });
        }
        "Node" => {
            let node = find("nodes", "")?;
            bound.node = Some(Ref { name: name.into(), uid: node.uid.to_string() });
        }
        other => {
            let version = reference.str_at(&["apiVersion"]);
            let slash = if version.contains('/') { "" } else { "/" };
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {slash}{version}, Kind={other}"
            )));
        }
    }
    Ok(())
}
