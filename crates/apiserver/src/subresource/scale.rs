//! `scale`: the number of replicas of anything that has one, as `autoscaling/v1 Scale`.

use api::kind::{ScalePaths, Subresource};
use api::selector::Labels;
use api::{Object, Value};
use bytes::Bytes;
use http::Response;

use crate::codec::{self, Expected};
use crate::engine::patch::{Way, parse_patch, patch_document};
use crate::engine::update::Part;
use crate::engine::{Call, WriteOptions};
use crate::http::Body;
use crate::manage::{self, How};
use crate::status::{Result, Status};

const SCALE: Expected<'static> = Expected { group: "autoscaling", version: "v1", kind: "Scale", of: None };

pub(super) async fn run(call: &Call, row: &Subresource, bytes: Bytes) -> Result<Response<Body>> {
    let expected = Expected::named(SCALE.group, SCALE.version, SCALE.kind);
    let paths = paths(row);
    if call.info.verb == "get" {
        let object = call.current().await?;
        return Ok(call.answer_value(http::StatusCode::OK, &scale(&object.value(), &paths)));
    }
    let mut options = call.write_options()?;
    let outcome = if call.info.verb == "update" {
        let sent =
            codec::decode(&expected, call.content_type(), &bytes, options.strictness, &mut Vec::new())?;
        let make = |old: &Value| scaled(old, &sent, &paths);
        call.change(Part::Main, &options, How::Update, &make, None).await?
    } else {
        let way = Way::of(call)?;
        if way == Way::Apply {
            options.applied = true;
            let outcome = apply(call, &bytes, &paths, &options).await?;
            return Ok(call.answer_value(outcome.code(), &of_object(&outcome.object, &paths)));
        }
        let patch = parse_patch(&bytes)?;
        let schema = crate::manage::built_in("io.k8s.api.autoscaling.v1.Scale");
        let make = |old: &Value| {
            let sent = patch_document(way, &patch, scale(old, &paths), schema)?;
            let sent = codec::finish(&expected, sent, Vec::new(), options.strictness, &mut Vec::new())?;
            scaled(old, &sent, &paths)
        };
        call.change(Part::Main, &options, How::Patch, &make, None).await?
    };
    Ok(call.answer_value(outcome.code(), &of_object(&outcome.object, &paths)))
}

/// An applied Scale owns the replicas of the object that it is of.
async fn apply(
    call: &Call,
    bytes: &Bytes,
    paths: &ScalePaths,
    options: &WriteOptions,
) -> Result<crate::engine::update::Outcome> {
    let config = call.configuration(bytes, "autoscaling/v1", SCALE.kind)?;
    let target = &call.target;
    let version = &target.version().name;
    let mut owned = Value::object();
    owned.set(&["kind"], target.kind.kind.as_str());
    owned.set(&["apiVersion"], target.kind.api_version(version));
    owned.set(&["metadata", "name"], call.info.name.as_str());
    if let Some(replicas) = config.at(&["spec", "replicas"]) {
        owned.set(&steps(&paths.spec_replicas), replicas.clone());
    }
    let now = call.inner.now();
    let make = |old: &Value| {
        let mut shown = old.clone();
        codec::from_storage(&target.kind, version, &mut shown)?;
        let mut merged = manage::applied(target, Some(&shown), &owned, options, "scale", &now)?;
        if target.kind.namespaced {
            merged.set(&["metadata", "namespace"], call.info.namespace.as_str());
        }
        call.completed(merged, options)
    };
    call.change(Part::Main, options, How::Apply, &make, None).await
}

/// What admission sees of a change through `scale`.
pub(crate) const SCALE_FORM: crate::admit::Form = crate::admit::Form::Other("autoscaling", "v1", "Scale");

/// The Scale of an object of the call's target.
pub(crate) fn show_scale(call: &Call, value: &Value) -> Value {
    match call.target.version().subresource("scale") {
        Some(row) => scale(value, &paths(row)),
        None => Value::Null,
    }
}

/// The object with the replicas of a Scale that admission may have changed.
pub(crate) fn take_scale(call: &Call, value: &Value, shown: &Value) -> Result<Value> {
    let row = call.target.version().subresource("scale").ok_or_else(Status::no_such_path)?;
    scaled(value, shown, &paths(row))
}

fn of_object(object: &Object, paths: &ScalePaths) -> Value {
    scale(&object.value(), paths)
}

fn paths(row: &Subresource) -> ScalePaths {
    row.paths.clone().unwrap_or_else(|| ScalePaths {
        spec_replicas: ".spec.replicas".into(),
        status_replicas: ".status.replicas".into(),
        selector: None,
    })
}

/// `.spec.replicas` as steps.
fn steps(path: &str) -> Vec<&str> {
    path.split('.').filter(|step| !step.is_empty()).collect()
}

fn scale(value: &Value, paths: &ScalePaths) -> Value {
    let mut scale = Value::object();
    scale.set(&["kind"], "Scale");
    scale.set(&["apiVersion"], "autoscaling/v1");
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(own) = value.at(&["metadata", field]) {
            scale.set(&["metadata", field], own.clone());
        }
    }
    let number = |path: &str| value.at(&steps(path)).and_then(Value::as_int);
    scale.set(&["spec"], Value::object());
    if let Some(replicas) = number(&paths.spec_replicas).filter(|replicas| *replicas != 0) {
        scale.set(&["spec", "replicas"], replicas);
    }
    scale.set(&["status", "replicas"], number(&paths.status_replicas).unwrap_or(0));
    let selector = match &paths.selector {
        Some(path) => value.at(&steps(path)).and_then(Value::as_str).map(String::from),
        None => value.at(&["spec", "selector"]).and_then(|selector| {
            let plain = selector.as_map()?.iter().all(|(_, value)| value.as_str().is_some());
            let labels = if plain { Labels::from_map(selector) } else { Labels::from_object(selector) };
            labels.ok().map(|labels| labels.to_string())
        }),
    };
    if let Some(selector) = selector.filter(|text| !text.is_empty()) {
        scale.set(&["status", "selector"], selector);
    }
    scale
}

/// The object with the replicas that `sent` asks for.
fn scaled(old: &Value, sent: &Value, paths: &ScalePaths) -> Result<Value> {
    let replicas = sent.at(&["spec", "replicas"]).and_then(Value::as_int).unwrap_or(0);
    if replicas < 0 {
        let path = api::field::Path::new("spec").child("replicas");
        let error = api::field::Error::invalid(path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid_kind(
            "autoscaling",
            "Scale",
            old.str_at(&["metadata", "name"]),
            &[error],
        ));
    }
    let mut new = old.clone();
    new.set(&steps(&paths.spec_replicas), replicas);
    match sent.at(&["metadata", "resourceVersion"]) {
        Some(version) => new.set(&["metadata", "resourceVersion"], version.clone()),
        None => drop(new.remove(&["metadata", "resourceVersion"])),
    }
    let uid = sent.str_at(&["metadata", "uid"]);
    if !uid.is_empty() {
        new.set(&["metadata", "uid"], uid);
    }
    Ok(new)
}
