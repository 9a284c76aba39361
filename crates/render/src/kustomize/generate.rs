//! configMapGenerator and secretGenerator, and the hashes of what they made.

use api::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::file::{Generator, GeneratorOptions, Kustomization};
use super::resource::{Behavior, Resource};
use crate::Error;
use crate::tree::Tree;

/// Runs the generators of one kustomization into what its resources gave.
pub(super) fn run(tree: &Tree, this: &Kustomization, all: &mut Vec<Resource>) -> Result<(), Error> {
    let maps =
        this.config_maps.iter().enumerate().map(|(at, one)| ("ConfigMap", "configMapGenerator", at, one));
    let secrets = this.secrets.iter().enumerate().map(|(at, one)| ("Secret", "secretGenerator", at, one));
    for (kind, list, index, generator) in maps.chain(secrets) {
        let field = format!("{list}[{index}]");
        let made = make(tree, this, generator, kind, &field)?;
        absorb(all, made).map_err(|text| Error::field(&this.file, field, text))?;
    }
    Ok(())
}

fn make(
    tree: &Tree,
    this: &Kustomization,
    from: &Generator,
    kind: &str,
    field: &str,
) -> Result<Resource, Error> {
    let fault = |text: String| Error::field(&this.file, field, text);
    if from.name.is_empty() {
        return Err(fault("a configmap must have a name".into()));
    }
    let options = merge_options(from.options.clone(), &this.generator_options);
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
    }
    for (key, bytes) in pairs(tree, this, from, field)? {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(fault(format!("{key:?} is no valid key; use letters, digits, '-', '_' and '.'")));
        }
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
        "" | "create" | "unspecified" => Behavior::Create,
        "merge" => Behavior::Merge,
        "replace" => Behavior::Replace,
        other => return Err(fault(format!("behavior {other:?} is none of create, merge and replace"))),
    };
    Ok(Resource { value, hashed: !options.disable_name_suffix_hash, behavior, ..Resource::default() })
}

fn merge_options(own: Option<GeneratorOptions>, global: &GeneratorOptions) -> GeneratorOptions {
    let mut options = own.unwrap_or_default();
    options.labels.extend(global.labels.clone());
    options.annotations.extend(global.annotations.clone());
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

fn absorb(all: &mut Vec<Resource>, mut made: Resource) -> Result<(), String> {
    let id = made.id();
    let mut matching = all.iter().enumerate().filter(|(_, other)| other.any_id(|other| *other == id));
    let found = matching.next().map(|(at, _)| at);
    if matching.next().is_some() {
        return Err(format!("found multiple objects that could accept merge of {id}"));
    }
    let Some(at) = found else {
        if made.behavior != Behavior::Create {
            return Err(format!("id {id} does not exist; cannot merge or replace"));
        }
        all.push(made);
        return Ok(());
    };
    let old = &all[at];
    match made.behavior {
        Behavior::Create => {
            return Err(format!(
                "id {id} exists; can not use behavior: 'create', behavior must be merge or replace"
            ));
        }
        Behavior::Merge => {
            for place in ["data", "binaryData"] {
                overlay(&mut made.value, &old.value, &[place]);
            }
        }
        Behavior::Replace => {}
    }
    for place in ["labels", "annotations"] {
        overlay(&mut made.value, &old.value, &["metadata", place]);
    }
    made.set_name(old.name());
    if old.namespace().is_empty() {
        made.value.remove(&["metadata", "namespace"]);
    } else {
        made.value.set(&["metadata", "namespace"], old.namespace());
    }
    made.previous = old.previous.clone();
    made.prefixes = old.prefixes.clone();
    made.suffixes = old.suffixes.clone();
    made.behavior = old.behavior;
    all[at] = made;
    Ok(())
}

/// Adds the fields of `old` at `path` that `new` lacks.
fn overlay(new: &mut Value, old: &Value, path: &[&str]) {
    let Some(old) = old.at(path).and_then(Value::as_map) else { return };
    let mut merged = old.clone();
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
            go_json(&Value::String(field.into()), &mut text);
            text.push(':');
            go_json(&part, &mut text);
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

/// encoding/json: sorted keys; `<`, `>`, `&` and the line separators escaped.
fn go_json(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                go_json(&Value::String(key.clone()), out);
                out.push(':');
                go_json(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                go_json(item, out);
            }
            out.push(']');
        }
        Value::String(_) => {
            let text = String::from_utf8(value.to_json()).expect("because JSON is UTF-8");
            for char in text.chars() {
                match char {
                    '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                        out.push_str(&format!("\\u{:04x}", char as u32))
                    }
                    other => out.push(other),
                }
            }
        }
        other => out.push_str(&other.to_string()),
    }
}
