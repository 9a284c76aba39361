//! From a request's bytes to a defaulted [`Value`] and back to the bytes of an answer: media types, field validation, versions.
//!
//! Texts of decoding errors are upstream's (k8s.io/apiserver/pkg/endpoints/handlers/rest.go, `transformDecodeError`).

use api::kind::Version;
use api::schema::{self, Type};
use api::{Kind, Value, decode, json, protobuf, text, yaml};

use crate::status::{Result, Status};

/// What becomes of unknown and doubled fields (KEP-2885).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    Ignore,
    Warn,
    Strict,
}

impl Strictness {
    /// `fieldValidation`.
    pub fn of(text: &str, errors: &mut Vec<api::field::Error>) -> Strictness {
        match text {
            "" | "Warn" => {}
            "Ignore" => return Strictness::Ignore,
            "Strict" => return Strictness::Strict,
            other => {
                let path = api::field::Path::new("fieldValidation");
                let valid = &["", "Ignore", "Strict", "Warn"];
                errors.push(api::field::Error::not_supported(path, other, valid));
            }
        }
        Strictness::Warn
    }
}

/// What a body is expected to hold.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    /// `None`: a custom resource.
    pub of: Option<&'static Type>,
}

impl<'a> Expected<'a> {
    pub fn kind(kind: &'a Kind, version: &'a Version) -> Expected<'a> {
        let of = schema::lookup(version.type_name);
        Expected { group: &kind.resource.group, version: &version.name, kind: &kind.kind, of }
    }
    /// A kind that is in the facts but may be no resource: `Scale`, `DeleteOptions`.
    pub fn named(group: &'a str, version: &'a str, kind: &'a str) -> Expected<'a> {
        Expected { group, version, kind, of: schema::of_kind(group, version, kind) }
    }
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.into(),
            group => format!("{group}/{}", self.version),
        }
    }
}

/// The media type of a body, without parameters; JSON if none is given.
pub fn media_of(content_type: &str) -> &str {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "" => "application/json",
        media => media,
    }
}

/// Decodes a body: a value in the version of `expected`, normalized, not defaulted. Strict errors go to `warnings`
/// or fail, as `strictness` says.
pub fn decode(
    expected: &Expected<'_>,
    content_type: &str,
    bytes: &[u8],
    strictness: Strictness,
    warnings: &mut Vec<String>,
) -> Result<Value> {
    let (value, doubled) = match media_of(content_type) {
        "application/json" => {
            let parsed = json::parse_all(bytes).map_err(|error| unrecognized(expected, &error, bytes))?;
            named(expected, &parsed.value, bytes)?;
            let doubled = match parsed.doubled && strictness != Strictness::Ignore {
                true => decode::duplicate_errors(expected.of, &json::duplicates(bytes).unwrap_or_default()),
                false => Vec::new(),
            };
            (parsed.value, doubled)
        }
        "application/yaml" => {
            let text = String::from_utf8_lossy(bytes);
            let value = from_yaml(&text).map_err(|error| unread(expected, &error, bytes))?;
            named(expected, &value, bytes)?;
            let doubled = match strictness {
                Strictness::Ignore => Vec::new(),
                _ => doubled_in_yaml(&text).into_iter().collect(),
            };
            return finish_all(expected, value, doubled, Vec::new(), strictness, warnings);
        }
        "application/vnd.kubernetes.protobuf" => (from_protobuf(expected, bytes)?, Vec::new()),
        _ => return Err(Status::unsupported_media(crate::http::accept::MEDIA)),
    };
    finish(expected, value, doubled, strictness, warnings)
}

/// Decodes a body that may say any group and version: options are registered in all of them.
pub fn decode_options(expected: &Expected<'_>, content_type: &str, bytes: &[u8]) -> Result<Value> {
    let mut value = match (media_of(content_type), expected.of) {
        ("application/vnd.kubernetes.protobuf", Some(of)) => {
            let bad = |error: protobuf::Error| Status::bad_request(error.to_string());
            let envelope = protobuf::envelope(bytes).map_err(bad)?;
            protobuf::decode_message(of, envelope.raw).map_err(bad)?
        }
        ("application/json", _) => {
            let bad =
                |error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"));
            json::parse(bytes).map_err(bad)?
        }
        ("application/yaml", _) => {
            from_yaml(&String::from_utf8_lossy(bytes)).map_err(|error| Status::bad_request(plain(&error)))?
        }
        _ => return Err(Status::unsupported_media(crate::http::accept::MEDIA)),
    };
    let (kind, version) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
    if !kind.is_empty() && kind != expected.kind {
        return Err(Status::bad_request(unregistered(kind, version)));
    }
    if let Value::Object(map) = &mut value {
        map.remove("kind");
        map.remove("apiVersion");
    }
    finish(expected, value, Vec::new(), Strictness::Ignore, &mut Vec::new())
}

/// What follows parsing, also for the result of a patch.
pub fn finish(
    expected: &Expected<'_>,
    value: Value,
    doubled: Vec<String>,
    strictness: Strictness,
    warnings: &mut Vec<String>,
) -> Result<Value> {
    finish_all(expected, value, Vec::new(), doubled, strictness, warnings)
}

/// [`finish`] with strict errors that are told before those of the fields.
fn finish_all(
    expected: &Expected<'_>,
    mut value: Value,
    mut strict: Vec<String>,
    doubled: Vec<String>,
    strictness: Strictness,
    warnings: &mut Vec<String>,
) -> Result<Value> {
    let api_version = expected.api_version();
    {
        let (kind, version) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
        let kind = if kind.is_empty() { expected.kind } else { kind };
        let version = if version.is_empty() { &api_version } else { version };
        if expected.of.is_none() && kind != expected.kind {
            let (path, text) = (api::field::Path::new("kind"), format!("must be {}", expected.kind));
            let error = api::field::Error::invalid(path, kind, text);
            let name = value.str_at(&["metadata", "name"]);
            return Err(Status::invalid_kind(expected.group, kind, name, &[error]));
        }
        if kind != expected.kind || version != api_version {
            return Err(Status::bad_request(mismatch(expected, kind, version)));
        }
    }
    if value.is_null() {
        value = Value::object();
    }
    if !matches!(value, Value::Object(_)) {
        let shape = match value {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Null => "null",
            _ => "number",
        };
        let error = format!(
            "json: cannot unmarshal {shape} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        );
        return Err(unrecognized(expected, &error, &value.to_json()));
    }
    let cannot = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {error}",
            expected.version,
            kind = expected.kind
        ))
    };
    if let Some(of) = expected.of {
        strict.extend(decode::normalize(of, &mut value).map_err(|error| cannot(&error))?);
    }
    strict.extend(doubled);
    match strictness {
        Strictness::Ignore => {}
        Strictness::Warn => warnings.extend(strict),
        Strictness::Strict if strict.is_empty() => {}
        Strictness::Strict => return Err(cannot(&format!("strict decoding error: {}", strict.join(", ")))),
    }
    type_meta(&mut value, expected.kind, &api_version);
    Ok(value)
}

/// Puts `kind` and `apiVersion` first.
pub fn type_meta(value: &mut Value, kind: &str, api_version: &str) {
    if let Value::Object(map) = value {
        map.insert_first("apiVersion", api_version);
        map.insert_first("kind", kind);
    }
}

/// A custom resource's body says its kind: upstream has no type that would tell.
fn named(expected: &Expected<'_>, value: &Value, bytes: &[u8]) -> Result<()> {
    let is = matches!(value, Value::Object(_) | Value::Null) && value.str_at(&["kind"]).is_empty();
    if expected.of.is_some() || !is {
        return Ok(());
    }
    Err(Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{}' ({})",
        expected.kind,
        String::from_utf8_lossy(bytes),
        shown(bytes)
    )))
}

/// What a body is that says to be another kind than its path's.
fn mismatch(expected: &Expected<'_>, kind: &str, api_version: &str) -> String {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let shown = text::quote(version);
    // Kinds of definitions are in no scheme: only their own name is known.
    if expected.of.is_none() {
        return format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version()
        );
    }
    let why = match schema::of_kind(group, version, kind) {
        Some(_) => {
            let package = match expected.group.split('.').next().unwrap_or_default() {
                "" => "core",
                "internal" => "apiserverinternal",
                package => package,
            };
            format!("converting ({version}.{kind}) to ({package}.{}): unknown conversion", expected.kind)
        }
        None => unregistered(kind, api_version),
    };
    format!("{kind} in version {shown} cannot be handled as a {}: {why}", expected.kind)
}

/// A kind that upstream's scheme does not have.
fn unregistered(kind: &str, api_version: &str) -> String {
    let (kind, version) = (text::quote(kind), text::quote(api_version));
    format!("no kind {kind} is registered for version {version} in scheme \"pkg/runtime/scheme.go:111\"")
}

/// What is wrong with YAML, of which upstream tells the reader's words alone.
fn plain(error: &str) -> String {
    error.strip_prefix("error converting YAML to JSON: ").unwrap_or(error).to_string()
}

/// YAML that cannot be read.
fn unread(expected: &Expected<'_>, error: &str, bytes: &[u8]) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {} ({})",
        expected.kind,
        plain(error),
        shown(bytes)
    ))
}

/// The beginning of a body: text if it looks like JSON, else in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(64)];
    let dots = if bytes.len() > 64 { " ..." } else { "" };
    let shown: String = match cut.first() {
        None => "<empty>".into(),
        Some(b'{') => String::from_utf8_lossy(cut).into_owned(),
        Some(_) => cut.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    format!("{shown}{dots}")
}

fn unrecognized(expected: &Expected<'_>, error: &dyn std::fmt::Display, bytes: &[u8]) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error} ({})",
        expected.kind,
        shown(bytes)
    ))
}

/// Fills in the defaults of a value in `version`.
pub fn default(kind: &Kind, version: &Version, value: &mut Value) {
    if let Some(of) = schema::lookup(version.type_name) {
        decode::default_facts(of, value);
    }
    kind.rules.default(&version.name, value);
}

/// From `version` of `kind` to what `storage` stores, in place.
pub fn to_storage(kind: &Kind, storage: &Kind, version: &str, value: &mut Value) -> Result<()> {
    if kind.converter.is_some() {
        return convert(kind, &storage.storage().name, value);
    }
    if !kind.is_storage(version) {
        kind.rules.to_storage(version, value);
        type_meta(value, &storage.kind, &storage.api_version(&storage.storage().name));
    }
    Ok(())
}

/// From what is stored to `version` of `kind`, in place.
pub fn from_storage(kind: &Kind, version: &str, value: &mut Value) -> Result<()> {
    if kind.converter.is_some() {
        return convert(kind, version, value);
    }
    if !kind.is_storage(version) {
        kind.rules.from_storage(version, value);
        type_meta(value, &kind.kind, &kind.api_version(version));
        if let Some(of) = kind.version(version).and_then(|version| schema::lookup(version.type_name)) {
            // Conversion leaves fields where it put them; their order is the version's.
            let _ = decode::normalize(of, value);
        }
    }
    Ok(())
}

/// Asks the kind's converter, unless the object is in this version.
fn convert(kind: &Kind, version: &str, value: &mut Value) -> Result<()> {
    let mut all = vec![std::mem::take(value)];
    let result = convert_all(kind, version, &mut all);
    *value = all.pop().unwrap_or_default();
    result
}

/// [`from_storage`] of many objects of a kind with a converter, in one call for each version that they are in.
pub fn convert_all(kind: &Kind, version: &str, values: &mut [Value]) -> Result<()> {
    let Some(converter) = &kind.converter else { return Ok(()) };
    let to = kind.api_version(version);
    loop {
        let Some(from) = values.iter().map(|value| value.str_at(&["apiVersion"])).find(|own| *own != to)
        else {
            return Ok(());
        };
        let from = from.to_string();
        let places: Vec<usize> =
            (0..values.len()).filter(|at| values[*at].str_at(&["apiVersion"]) == from).collect();
        let asked = places.iter().map(|at| values[*at].clone()).collect();
        let made = converter.convert(asked, &to).map_err(|why| Status::new(500, "", why))?;
        for (at, mut new) in places.into_iter().zip(made) {
            kind.rules.default(version, &mut new);
            type_meta(&mut new, &kind.kind, &to);
            values[at] = new;
        }
    }
}

/// Field order and zero values as upstream stores them. Called last, on a value in the storage version.
pub fn canonical(storage: &Kind, value: &mut Value) -> Result<()> {
    let version = storage.storage();
    let kind_name = storage.kind.clone();
    let api_version = storage.api_version(&version.name);
    match schema::lookup(version.type_name) {
        Some(of) => {
            decode::canonical(of, value).map_err(Status::internal)?;
        }
        None => {
            if let (Some(of), Some(metadata)) = (object_meta(), value.get_mut("metadata")) {
                decode::normalize(of, metadata).map_err(Status::internal)?;
            }
        }
    }
    type_meta(value, &kind_name, &api_version);
    Ok(())
}

/// The type of `metadata`.
pub fn object_meta() -> Option<&'static Type> {
    schema::lookup("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
}

/// YAML as sigs.k8s.io/yaml reads it; of several documents the first, of none a null. A later key wins over an earlier one.
pub fn from_yaml(text: &str) -> std::result::Result<Value, String> {
    render::goyaml::first(text)
}

/// What the strict reader of YAML says of keys that stand twice.
fn doubled_in_yaml(text: &str) -> Option<String> {
    let doubled = yaml::duplicates(text);
    let line = |(line, key): &(usize, String)| {
        format!("\n  line {line}: key {} already set in map", text::quote(key))
    };
    let lines: String = doubled.iter().map(line).collect();
    (!doubled.is_empty()).then(|| format!("yaml: unmarshal errors:{lines}"))
}

pub fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    yaml::emit(value, &mut text);
    text
}

/// A value with its envelope in protobuf; `None`: its type has no protobuf form.
pub fn to_protobuf(value: &Value) -> Option<Vec<u8>> {
    let api_version = value.str_at(&["apiVersion"]);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let kind = value.str_at(&["kind"]);
    // Two documents of discovery say no version, being older than it.
    let version = if matches!(kind, "APIVersions" | "APIResourceList") { "v1" } else { version };
    let of = schema::of_kind(group, version, kind)?;
    (!of.proto().is_empty()).then(|| protobuf::encode(of, value))
}

/// The value of a protobuf body. What its envelope says it is may be left out; then it is what is expected.
fn from_protobuf(expected: &Expected<'_>, bytes: &[u8]) -> Result<Value> {
    let of = expected.of.filter(|of| !of.proto().is_empty());
    let Some(of) = of else { return Err(Status::unsupported_media("application/json, application/yaml")) };
    let cannot = |error: protobuf::Error| {
        Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {error}",
            expected.version,
            kind = expected.kind
        ))
    };
    let envelope = protobuf::envelope(bytes).map_err(cannot)?;
    if envelope.kind.is_empty() || envelope.kind == expected.kind {
        let mut value = protobuf::decode_message(of, envelope.raw).map_err(cannot)?;
        if !envelope.api_version.is_empty() {
            type_meta(&mut value, expected.kind, &envelope.api_version);
        }
        return Ok(value);
    }
    protobuf::decode(bytes).map_err(cannot)
}

/// One event of a protobuf watch.
pub fn watch_frame(kind: &str, object: &[u8]) -> bytes::Bytes {
    protobuf::watch_frame(kind, object).into()
}
