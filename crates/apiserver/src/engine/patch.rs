//! `patch`: the new object is made of the old one, in the version that was asked for, and made again when somebody else was
//! faster (k8s.io/apiserver/pkg/endpoints/handlers/patch.go).

use api::patch::{self, json_patch, merge_patch, strategic_merge};
use api::{Value, json};
use bytes::Bytes;
use http::Response;

use super::update::Part;
use super::{Call, WriteOptions};
use crate::codec::{self, Expected};
use crate::http::Body;
use crate::manage::{self, How};
use crate::status::{Result, Status};

/// The four ways, by their media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Json,
    Merge,
    Strategic,
    Apply,
}

const CUSTOM: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

impl Way {
    pub fn of(call: &Call) -> Result<Way> {
        let custom = call.target.kind.custom;
        match codec::media_of(call.content_type()) {
            "application/json-patch+json" => Ok(Way::Json),
            "application/merge-patch+json" => Ok(Way::Merge),
            "application/strategic-merge-patch+json" if !custom => Ok(Way::Strategic),
            "application/apply-patch+yaml" => Ok(Way::Apply),
            _ if custom => Err(Status::unsupported_media(CUSTOM)),
            _ => {
                let status = Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
                Err(status.with(Default::default()))
            }
        }
    }
}

impl Call {
    pub async fn patch(&self, bytes: Bytes) -> Result<Response<Body>> {
        let mut options = self.write_options()?;
        let way = Way::of(self)?;
        let part = match self.info.subresource.as_str() {
            "" => Part::Main,
            "status" => Part::Status,
            _ => Part::Whole,
        };
        let outcome = if way == Way::Apply {
            options.applied = true;
            self.apply(part, &bytes, &options).await?
        } else {
            let patch = parse_patch(&bytes)?;
            if way == Way::Json && options.strictness != codec::Strictness::Ignore {
                operations(&patch)?;
            }
            let make = |old: &Value| self.patched(way, &patch, old, &options);
            self.change(part, &options, How::Patch, &make, None).await?
        };
        self.answer(outcome.code(), &outcome.object)
    }

    /// The patched object, decoded and defaulted, in the storage version.
    fn patched(&self, way: Way, patch: &Value, old: &Value, options: &WriteOptions) -> Result<Value> {
        let target = &self.target;
        let mut document = old.clone();
        codec::from_storage(&target.kind, &target.version().name, &mut document)?;
        let schema = crate::custom::schema_of(target.version());
        let mut value = patch_document(way, patch, document, schema)?;
        let mut warnings = Vec::new();
        let expected = Expected::kind(&target.kind, target.version());
        let shown = value.to_string();
        if way == Way::Strategic {
            restore(&expected, &mut value).map_err(|why| unpatched(shown.clone(), why))?;
        }
        let mut value = codec::finish(&expected, value, Vec::new(), options.strictness, &mut warnings)
            .map_err(|error| misfit(error, shown, way))?;
        self.named_as_asked(value.str_at(&["metadata", "name"]))?;
        target.complete(&mut value, options, &self.inner.now(), &mut warnings)?;
        self.warn(warnings);
        Ok(value)
    }

    /// What is applied, which must be of this kind and version.
    pub(crate) fn configuration(&self, bytes: &Bytes, api_version: &str, kind: &str) -> Result<Value> {
        let text = std::str::from_utf8(bytes).map_err(|error| Status::bad_request(error.to_string()))?;
        let config = match text.trim_start().starts_with('{') {
            true => json::parse(bytes).map_err(|error| error.to_string()),
            false => codec::from_yaml(text),
        };
        let config = config.map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
        // No strict errors here: applying what the schema does not have fails whatever is asked.
        if self.target.kind.namespaced {
            self.placed_as_asked(config.str_at(&["metadata", "namespace"]))?;
        }
        if config.str_at(&["kind"]) != kind || config.str_at(&["apiVersion"]) != api_version {
            let version = config.str_at(&["apiVersion"]);
            let slash = if version.contains('/') { "" } else { "/" };
            let text = format!("invalid object type: {slash}{version}, Kind={}", config.str_at(&["kind"]));
            return Err(Status::bad_request(text));
        }
        Ok(config)
    }

    async fn apply(
        &self,
        part: Part,
        bytes: &Bytes,
        options: &WriteOptions,
    ) -> Result<super::update::Outcome> {
        let target = &self.target;
        let expected = Expected::kind(&target.kind, target.version());
        let config = self.configuration(bytes, &expected.api_version(), &target.kind.kind)?;
        let now = self.inner.now();
        let make = |old: Option<&Value>| {
            let mut old = old.cloned();
            if let Some(shown) = &mut old {
                codec::from_storage(&target.kind, &target.version().name, shown)?;
            }
            let mut merged =
                manage::applied(target, old.as_ref(), &config, options, &self.info.subresource, &now)?;
            if target.kind.namespaced {
                merged.set(&["metadata", "namespace"], self.info.namespace.as_str());
            }
            // A configuration without a name has that of the object that is there.
            self.named_as_asked(merged.str_at(&["metadata", "name"]))?;
            restore(&expected, &mut merged).map_err(|why| unconverted(&config, why))?;
            self.completed(merged, options).map_err(|error| match reason_of(&error) {
                Some(why) => unconverted(&config, restored(why)),
                None => error,
            })
        };
        let cache = target.cache()?;
        self.inner.catch_up(cache).await?;
        let there = cache.get_key(&target.key(self.namespace(), &self.info.name)).is_some();
        let change = |old: &Value| make(Some(old));
        let new = match part {
            Part::Main if !there => Some(make(None)?),
            _ => None,
        };
        match self.change(part, options, How::Apply, &change, new.as_ref()).await {
            // Somebody deleted it in between.
            Err(status) if there && part == Part::Main && status.reason() == "NotFound" => {
                let new = make(None)?;
                self.change(part, options, How::Apply, &change, Some(&new)).await
            }
            done => done,
        }
    }

    /// A merged object in the storage version, with its form and defaults.
    pub(crate) fn completed(&self, value: Value, options: &WriteOptions) -> Result<Value> {
        let target = &self.target;
        let expected = Expected::kind(&target.kind, target.version());
        let ignore = codec::Strictness::Ignore;
        let mut value = codec::finish(&expected, value, Vec::new(), ignore, &mut Vec::new())?;
        let options = WriteOptions { strictness: ignore, ..options.clone() };
        target.complete(&mut value, &options, &self.inner.now(), &mut Vec::new())?;
        Ok(value)
    }
}

/// The patched document has not the form of its kind: upstream blames the field `patch`, and shows all of it.
fn misfit(error: Status, document: String, way: Way) -> Status {
    match reason_of(&error) {
        Some(why) if way == Way::Strategic => unpatched(document, restored(why)),
        Some(why) => unpatched(document, why.to_string()),
        None => error,
    }
}

fn unpatched(document: String, why: String) -> Status {
    let path = api::field::Path::new("patch");
    Status::invalid_kind("", "", "", &[api::field::Error::invalid(path, document, why)])
}

/// Why a document has not the form of its kind.
fn reason_of(error: &Status) -> Option<&str> {
    let (_, rest) = error.message().split_once(" cannot be handled as a ")?;
    (error.code().as_u16() == 400).then_some(rest.split_once(": ")?.1)
}

/// What was applied has not the form of its kind.
fn unconverted(config: &Value, why: String) -> Status {
    let text = |path: &[&str]| config.str_at(path).to_string();
    let (version, kind) = (text(&["apiVersion"]), text(&["kind"]));
    let slash = if version.contains('/') { "" } else { "/" };
    let (namespace, name) = (text(&["metadata", "namespace"]), text(&["metadata", "name"]));
    let message = format!(
        "failed to convert new object ({namespace}/{name}; {slash}{version}, Kind={kind}) to proper version: unable to convert \
         unstructured object to {slash}{version}, Kind={kind}: {why}"
    );
    Status::new(500, "", message)
}

/// Fields as Go's conversion of trees leaves them.
fn restore(expected: &Expected<'_>, value: &mut Value) -> std::result::Result<(), String> {
    expected.of.map_or(Ok(()), |of| api::decode::restore(of, value))
}

/// A strategic patch is made on trees, which upstream turns into structs by another code with texts of its own.
fn restored(why: &str) -> String {
    let parse = || -> Option<String> {
        let rest = why.strip_prefix("json: cannot unmarshal ")?;
        let (found, wanted) = (rest.split(' ').next()?, rest.rsplit_once(" of type ")?.1);
        let number = if rest.starts_with("number ") && rest.split(' ').nth(1)?.contains('.') {
            "float64"
        } else {
            "int64"
        };
        let kind = match found {
            "number" => number,
            "object" => "map",
            "array" => "slice",
            other => other,
        };
        let scalar = scalar_of(wanted);
        Some(if wanted.starts_with("[]") {
            format!("cannot restore slice from {kind}")
        } else if wanted.starts_with("map[") || wanted == "v1.ResourceList" {
            format!("cannot restore map from {kind}")
        } else if scalar.is_empty() {
            format!("cannot restore struct from: {kind}")
        } else if matches!((kind, scalar), ("int64", "string") | ("int64" | "float64", "int32" | "int64")) {
            format!("cannot convert {kind} to {wanted}")
        } else {
            format!("unrecognized type: {scalar}")
        })
    };
    match why.starts_with("illegal base64") {
        true => format!("error decoding from json: {why}"),
        false => parse().unwrap_or_else(|| why.to_string()),
    }
}

/// What a named scalar is made of; empty for a struct.
fn scalar_of(wanted: &str) -> &str {
    match wanted {
        "string" | "bool" | "int32" | "int64" | "float64" => wanted,
        _ if api::schema::is_go_text(wanted) => "string",
        _ => "",
    }
}

/// A JSON patch is a list: said by the reader that looks for unknown fields in it.
fn operations(patch: &Value) -> Result<()> {
    let found = match patch {
        Value::Array(_) | Value::Null => return Ok(()),
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
    };
    let text = format!(
        "error decoding patch: json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
    );
    Err(Status::bad_request(text))
}

/// JSON, or YAML as people write patches by hand.
pub(crate) fn parse_patch(bytes: &Bytes) -> Result<Value> {
    json::parse(bytes).map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
}

/// One of the three patches that change a tree.
pub(crate) fn patch_document(
    way: Way,
    patch: &Value,
    document: Value,
    schema: api::schema::Schema<'_>,
) -> Result<Value> {
    let result = match way {
        Way::Json => json_patch(document, patch),
        Way::Strategic => strategic_merge(document, patch.clone(), schema),
        Way::Merge | Way::Apply if patch.is_null() => Err(patch::Error::Bad("Invalid JSON Patch".into())),
        Way::Merge | Way::Apply if !matches!(patch, Value::Object(_)) => {
            let shape = match patch {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            Err(patch::Error::Bad(format!(
                "error decoding patch: json: cannot unmarshal {shape} into Go value of type map[string]interface {{}}"
            )))
        }
        Way::Merge | Way::Apply => Ok(merge_patch(document, patch.clone())),
    };
    result.map_err(|error| match error {
        patch::Error::Bad(text) => Status::bad_request(text),
        patch::Error::Apply(text) if way == Way::Json => {
            let status =
                Status::new(422, "Invalid", "the server rejected our request due to an error in our request");
            tracing::debug!(text, "a JSON patch does not fit");
            status.with(Default::default())
        }
        patch::Error::Apply(text) if way == Way::Strategic => Status::new(500, "", text),
        patch::Error::Apply(text) => Status::bad_request(text),
        error @ patch::Error::TooMany { .. } => Status::new(413, "RequestEntityTooLarge", error.to_string()),
    })
}
