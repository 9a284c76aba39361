//! configMapGenerator and secretGenerator, and the hashes of what they made.

use api::{Map, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::file::{Generator, GeneratorOptions, Kustomization};
use super::resource::{Behavior, Resource};
use super::scalar::text;
use super::{Layer, go_json};
use crate::Error;
use crate::tree::Tree;

/// Runs one generator, and gives what it makes.
pub(super) fn one(
    layer: &Layer<'_>,
    kind: &str,
    from: &Generator,
    global: &GeneratorOptions,
    field: &str,
) -> Result<Resource, Error> {
    make(layer.tree, layer.this, from, kind, field, global)
}

fn make(
    tree: &Tree,
    this: &Kustomization,
    from: &Generator,
    kind: &str,
    field: &str,
    global: &GeneratorOptions,
) -> Result<Resource, Error> {
    let fault = |text: String| Error::field(&this.file, field, text);
    if from.name.is_empty() {
        return Err(fault("a configmap must have a name".into()));
    }
    let options = merge_options(from.options.clone(), global);
    let mut value = Value::object();
    value.set(&["apiVersion"], "v1");
    value.set(&["kind"], kind);
    value.set(&["metadata", "name"], from.name.as_str());
    if !from.namespace.is_empty() {
        value.set(&["metadata", "namespace"], from.namespace.as_str());
    }
    let secret = kind == "Secret";
    if secret {
        value.set(&["type"], if from.r#type.is_empty() { "Opaque" } else { &from.r#type });
        // Also where nothing is put into it.
        value.set(&["data"], Value::object());
    }
    for (key, bytes) in pairs(tree, this, from, field)? {
        let (place, text) = match String::from_utf8(bytes) {
            Ok(text) if !secret => ("data", text),
            Ok(text) => ("data", folded_base64(text.as_bytes())),
            Err(error) => (if secret { "data" } else { "binaryData" }, folded_base64(error.as_bytes())),
        };
        let repeated = ["data", "binaryData"].iter().any(|place| value.at(&[place, &key]).is_some());
        if repeated {
            return Err(fault(format!("configmap {} illegally repeats the key `{key}`", from.name)));
        }
        value.set(&[place, &key], text);
    }
    for (place, texts) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        for (key, text) in texts {
            value.set(&["metadata", place, key], text.as_str());
        }
    }
    if options.immutable {
        value.set(&["immutable"], true);
    }
    let behavior = match from.behavior.as_str() {
        "merge" => Behavior::Merge,
        "replace" => Behavior::Replace,
        _ => Behavior::Create,
    };
    Ok(Resource { value, hashed: !options.disable_name_suffix_hash, behavior, ..Resource::default() })
}

fn merge_options(own: Option<GeneratorOptions>, global: &GeneratorOptions) -> GeneratorOptions {
    let mut options = own.unwrap_or_default();
    // What the generator says itself goes first.
    for (own, more) in
        [(&mut options.labels, &global.labels), (&mut options.annotations, &global.annotations)]
    {
        for (key, text) in more {
            own.entry(key.clone()).or_insert_with(|| text.clone());
        }
    }
    options.disable_name_suffix_hash |= global.disable_name_suffix_hash;
    options.immutable |= global.immutable;
    options
}

/// Environment files first, then literals, then files, as upstream.
fn pairs(
    tree: &Tree,
    this: &Kustomization,
    from: &Generator,
    field: &str,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut all = Vec::new();
    for (at, path) in from.envs.iter().enumerate() {
        let field = format!("{field}.envs[{at}]");
        let text = this.load(tree, path, &field)?;
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim_start) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            if key.is_empty() {
                continue;
            }
            all.push((key.to_string(), value.as_bytes().to_vec()));
        }
    }
    for (at, literal) in from.literals.iter().enumerate() {
        let (key, value) = literal.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            let text = format!("invalid literal source {literal}, expected key=value");
            Error::field(&this.file, format!("{field}.literals[{at}]"), text)
        })?;
        let quoted = value.len() >= 2
            && [b'"', b'\''].contains(&value.as_bytes()[0])
            && value.as_bytes().first() == value.as_bytes().last();
        let value = if quoted { &value[1..value.len() - 1] } else { value };
        all.push((key.to_string(), value.as_bytes().to_vec()));
    }
    for (at, source) in from.files.iter().enumerate() {
        let field = format!("{field}.files[{at}]");
        let fault = |text: String| Error::field(&this.file, field.clone(), text);
        let (key, path) = match source.split_once('=') {
            None => (source.rsplit('/').next().unwrap_or_default(), source.as_str()),
            Some(("", path)) => return Err(fault(format!("missing key name for file path {path:?}"))),
            Some((key, "")) => return Err(fault(format!("missing file path for key name {key:?}"))),
            Some((_, path)) if path.contains('=') => {
                return Err(fault(format!("source {source:?} key name or file path contains '='")));
            }
            Some((key, path)) => (key, path),
        };
        all.push((key.to_string(), this.load_bytes(tree, path, &field)?));
    }
    Ok(all)
}

/// kyaml's base64: lines of 70 characters as soon as there is more than one.
fn folded_base64(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    if text.len() < 70 {
        return text;
    }
    let mut folded = String::with_capacity(text.len() + text.len() / 70 + 1);
    for line in text.as_bytes().chunks(70) {
        folded.push_str(std::str::from_utf8(line).expect("because base64 is ASCII"));
        folded.push('\n');
    }
    folded
}

/// Adds what a generator made: as new, or over what is there, as its behavior says.
pub(super) fn absorb(all: &mut Vec<Resource>, mut made: Resource) -> Result<(), String> {
    let id = made.id();
    let mut matching = all.iter().enumerate().filter(|(_, other)| other.any_id(|other| *other == id));
    let found = matching.next().map(|(at, _)| at);
    if matching.next().is_some() {
        return Err(format!("found multiple objects that could accept merge of {id}"));
    }
    let Some(at) = found else {
        if [Behavior::Merge, Behavior::Replace].contains(&made.behavior) {
            return Err(format!("id {id} does not exist; cannot merge or replace"));
        }
        all.push(made);
        return Ok(());
    };
    let old = &all[at];
    match made.behavior {
        Behavior::Create | Behavior::None => {
            return Err(format!(
                "id {id} exists; can not use behavior: 'unspecified', behavior must be merge or replace"
            ));
        }
        Behavior::Merge => {
            for place in ["data", "binaryData"] {
                overlay(&mut made.value, &old.value, &[place]);
            }
            if let Some(origin) = old.annotation(super::origin::ORIGIN) {
                made.annotate(super::origin::ORIGIN, origin.into());
            }
        }
        Behavior::Replace => {}
    }
    for place in ["labels", "annotations"] {
        overlay(&mut made.value, &old.value, &["metadata", place]);
    }
    made.set_name(&old.name());
    made.set_namespace(&old.namespace());
    made.previous = old.previous.clone();
    made.prefixes = old.prefixes.clone();
    made.suffixes = old.suffixes.clone();
    made.behavior = old.behavior;
    // Only what is generated in both places gets a hash.
    made.hashed &= old.hashed;
    made.variables.clone_from(&old.variables);
    all[at] = made;
    Ok(())
}

/// Adds the fields of `old` at `path` that `new` lacks.
fn overlay(new: &mut Value, old: &Value, path: &[&str]) {
    let Some(old) = old.at(path).and_then(Value::as_map) else { return };
    let mut merged: Map =
        old.iter().map(|(key, value)| (key.clone(), text(value).unwrap_or_default())).collect();
    if let Some(new) = new.at(path).and_then(Value::as_map) {
        for (key, value) in new.iter() {
            merged.insert(key.clone(), value.clone());
        }
    }
    *new.make(path) = Value::Object(merged);
}

/// Appends the hash of its content to the name of each generated object.
pub(super) fn add_hashes(all: &mut [Resource]) {
    for resource in all.iter_mut().filter(|resource| resource.hashed) {
        let hash = hash(&resource.value);
        resource.store_previous();
        let name = format!("{}-{hash}", resource.name());
        resource.set_name(&name);
    }
}

fn hash(value: &Value) -> String {
    let secret = value.str_at(&["kind"]) == "Secret";
    let mut text = String::from("{");
    let optional = if secret { "stringData" } else { "binaryData" };
    // Keys in the order in which Go's encoder sorts them.
    let mut fields = vec!["data", "kind", "name", optional, "type"];
    fields.sort_unstable();
    for field in fields {
        let part = match field {
            "kind" => value.get("kind").cloned(),
            // Upstream looks for a field called "metadata/name", which no object has; the hash is what it is.
            "name" => Some(Value::String("".into())),
            "type" if !secret => None,
            field if field == optional => value.get(field).filter(|part| part.as_map().is_some()).cloned(),
            field => Some(value.get(field).cloned().unwrap_or(Value::String("".into()))),
        };
        if let Some(part) = part {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&go_json::text(&Value::String(field.into()), go_json::Layout::Compact));
            text.push(':');
            text.push_str(&go_json::text(&part, go_json::Layout::Compact));
        }
    }
    text.push('}');
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    // As upstream's kubectl: no vowels, no digits that look like letters.
    digest[..10]
        .chars()
        .map(|char| match char {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect()
}
