//! `replacements`: copies a value from one resource into fields of others, also into JSON or YAML within a text.
//!
//! Not done: comments and quotes of YAML within a text are not kept.

use api::Value;

use super::file::{FieldOptions, ReplacementEntry, Source, Target};
use super::path::{self, Create};
use super::resource::Resource;
use super::scalar::{over, text, untagged};
use super::select::Matcher;
use super::{GROWN, Layer, go_json};
use crate::goyaml::kyaml;
use crate::{Error, yaml};

/// Runs all replacements of one list.
pub(super) fn run(
    layer: &Layer<'_>,
    entries: &[ReplacementEntry],
    list: &str,
    all: &mut [Resource],
) -> Result<(), Error> {
    let file = &layer.this.file;
    let mut loaded = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let field = format!("{list}[{index}]");
        if entry.path.is_empty() {
            loaded.push((field, entry.clone()));
        } else if entry.source.is_some() || entry.targets.as_ref().is_some_and(|all| !all.is_empty()) {
            return Err(Error::field(file, field, "cannot specify both path and inline replacement"));
        } else {
            loaded.extend(load(layer, entry, &field)?.into_iter().map(|entry| (field.clone(), entry)));
        }
    }
    for (field, entry) in loaded {
        one(&entry, all).map_err(|text| Error::field(file, &field, text))?;
    }
    Ok(())
}

fn load(layer: &Layer<'_>, entry: &ReplacementEntry, field: &str) -> Result<Vec<ReplacementEntry>, Error> {
    let text = layer.load(&entry.path, field)?;
    let items = match super::first_document(&text, &entry.path)? {
        Value::Array(items) => items,
        one @ Value::Object(_) => vec![one],
        _ => {
            let text = "unsupported replacement type encountered within replacement path";
            return Err(Error::field(&entry.path, ".", text));
        }
    };
    let decode = |item| super::file::decode(item).map_err(|text| Error::field(&entry.path, ".", text));
    items.into_iter().map(decode).collect()
}

fn one(entry: &ReplacementEntry, all: &mut [Resource]) -> Result<(), String> {
    let missing = || "replacements must specify a source and at least one target".to_string();
    let targets = entry.targets.as_ref().ok_or_else(missing)?;
    let mut given = match (&entry.source, &entry.source_value) {
        (Some(_), Some(_)) => return Err("value and resource selectors are mutually exclusive".into()),
        (None, None) => return Err(missing()),
        (None, Some(text)) => Given { value: untagged(text), spelled: Some(text.clone()), from: None },
        (Some(source), None) => taken(source, all)?,
    };
    targets.iter().try_for_each(|target| put(target, &mut given, all))
}

/// The value to write.
struct Given {
    value: Value,
    /// The text of a scalar; a given one keeps its spelling where it goes into texts.
    spelled: Option<String>,
    /// Where it was taken from whole: upstream holds that place itself, so that a replacement that changes it changes what
    /// is written from then on.
    from: Option<(usize, Vec<String>)>,
}

impl Given {
    fn refresh(&mut self, changed: usize, all: &[Resource]) {
        let Some((at, path)) = &self.from else { return };
        if *at == changed
            && let Ok(Some(value)) = path::lookup(&all[*at].value, path)
        {
            self.value = value.clone();
            self.spelled = text(value);
        }
    }
}

fn taken(source: &Source, all: &[Resource]) -> Result<Given, String> {
    let effective =
        |namespace: &str| if namespace.is_empty() { "default".into() } else { namespace.to_string() };
    let fits = |id: &super::resource::Id| {
        id.of_kind(&source.group, &source.version, &source.kind)
            && (source.name.is_empty() || source.name == id.name)
            && (source.namespace.is_empty() || effective(&source.namespace) == effective(&id.namespace))
    };
    let matching: Vec<(usize, &Resource)> =
        all.iter().enumerate().filter(|(_, resource)| resource.any_id(fits)).collect();
    let or = |text: &str, none: &str| if text.is_empty() { none.to_string() } else { text.to_string() };
    let shown = format!(
        "{}.{}.{}/{}.{}",
        or(&source.kind, "[noKind]"),
        or(&source.version, "[noVer]"),
        or(&source.group, "[noGrp]"),
        or(&source.name, "[noName]"),
        or(&source.namespace, "[noNs]")
    );
    let full =
        if source.field_path.is_empty() { shown.clone() } else { format!("{shown}:{}", source.field_path) };
    let [(place, resource)] = matching.as_slice() else {
        let text = if matching.is_empty() { "nothing selected by" } else { "multiple matches for selector" };
        return Err(format!("{text} {full}"));
    };
    let field = if source.field_path.is_empty() { "metadata.name" } else { &source.field_path };
    let parts = path::split(field);
    let found = path::lookup(&resource.value, &parts)
        .map_err(|text| format!("error looking up replacement source: {text}"))?;
    let is_empty = |value: &&Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    let value = found
        .filter(|value| !is_empty(value))
        .ok_or_else(|| format!("fieldPath `{field}` is missing for replacement source {shown}"))?;
    if source.options.delimiter.is_empty() {
        return Ok(Given { value: value.clone(), spelled: text(value), from: Some((*place, parts)) });
    }
    let whole = text(value).ok_or("delimiter option can only be used with scalar nodes")?;
    let part = usize::try_from(source.options.index)
        .ok()
        .and_then(|at| whole.split(&source.options.delimiter).nth(at));
    let part = part.ok_or_else(|| {
        format!("options.index {} is out of bounds for value {whole}", source.options.index)
    })?;
    Ok(Given { value: over(value, part)?, spelled: Some(part.to_string()), from: None })
}

fn put(target: &Target, given: &mut Given, all: &mut [Resource]) -> Result<(), String> {
    let select = target.select.as_ref().ok_or("target must specify resources to select")?;
    let select = Matcher::new(select)?;
    let reject: Vec<Matcher> = target.reject.iter().map(Matcher::new).collect::<Result<_, _>>()?;
    let default = ["metadata.name".to_string()];
    let paths = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
    for at in 0..all.len() {
        let resource = &all[at];
        let rejected = reject.iter().any(|matcher| {
            (matcher.has_marks() && matcher.marks(resource))
                || (!matcher.names_nothing() && matcher.any_id(resource))
        });
        if rejected || !select.marks(resource) || !select.any_id(resource) {
            continue;
        }
        for field in paths {
            field_of(&mut all[at], field, target, &given.value, given.spelled.as_deref())?;
            given.refresh(at, all);
        }
    }
    Ok(())
}

fn field_of(
    resource: &mut Resource,
    field: &str,
    target: &Target,
    value: &Value,
    spelled: Option<&str>,
) -> Result<(), String> {
    let parts = path::split(field);
    let create = if target.options.create { Create::like(value) } else { Create::Never };
    if within_text(&mut resource.value, &parts, value, spelled, create).is_ok() {
        return Ok(());
    }
    let or = if target.options.create { "find or create" } else { "find" };
    let missing = format!("unable to {or} field {field:?} in replacement target");
    let mut hits = 0;
    let mut fault = None;
    let visited = path::visit(&mut resource.value, &parts, create, false, &mut |place| {
        hits += 1;
        if fault.is_none() {
            fault = set(&target.options, place, value, spelled).err();
        }
        Ok(())
    });
    visited.map_err(|text| format!("{missing}: {text}"))?;
    match fault {
        Some(text) => Err(text),
        None if hits == 0 => Err(missing),
        None => Ok(()),
    }
}

fn set(
    options: &FieldOptions,
    place: path::Place<'_>,
    value: &Value,
    spelled: Option<&str>,
) -> Result<(), String> {
    let only = "delimiter option can only be used with scalar nodes";
    let mut new = spelled.map(ToString::to_string);
    if !options.delimiter.is_empty() {
        let old = if place.value.is_null() { String::new() } else { text(place.value).ok_or(only)? };
        let inserted = new.unwrap_or_default();
        let mut parts: Vec<&str> = old.split(&options.delimiter).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &inserted),
            Ok(at) if at >= parts.len() => parts.push(&inserted),
            Ok(at) => parts[at] = &inserted,
        }
        if old.len() + inserted.len() > GROWN {
            return Err(format!("the text would be longer than {GROWN} bytes"));
        }
        new = Some(parts.join(&options.delimiter));
    }
    let is_scalar = text(place.value).is_some();
    *place.value = match new {
        // Only the value of a scalar is written, so that a text stays a text and a number a number.
        Some(new) if is_scalar && place.made => untagged(&new),
        Some(new) if is_scalar => over(place.value, &new)?,
        Some(new) => over(value, &new)?,
        None if is_scalar => over(place.value, "")?,
        None => value.clone(),
    };
    Ok(())
}

/// The path goes on inside of a text that is YAML or JSON: changes it there.
fn within_text(
    object: &mut Value,
    parts: &[String],
    value: &Value,
    spelled: Option<&str>,
    create: Create,
) -> Result<(), String> {
    for at in 1..parts.len() {
        let Ok(Some(found)) = path::lookup(object, &parts[..at]) else { continue };
        let Some(inner) = text(found) else { continue };
        let Ok(mut data) = kyaml::first(&inner) else { continue };
        let mut hits = 0;
        path::visit(&mut data, &parts[at..], create, false, &mut |place| {
            hits += 1;
            set(&FieldOptions::default(), place, value, spelled)
        })?;
        if hits == 0 {
            return Err("unable to find field in structured data".into());
        }
        let new = if inner.trim_start().starts_with(['{', '[']) {
            let pretty = inner.contains('\n') && inner.contains("  ");
            go_json::text(&data, if pretty { go_json::Layout::Pretty } else { go_json::Layout::Compact })
        } else {
            let mut out = String::new();
            yaml::emit_in_order(&data, &mut out);
            out.trim().to_string()
        };
        // The place is found again, now to be changed.
        let mut written = Ok(());
        path::visit(object, &parts[..at], Create::Never, false, &mut |place| {
            written = over(place.value, &new).map(|new| *place.value = new);
            Ok(())
        })?;
        return written;
    }
    Err("no structured data found in path".into())
}
