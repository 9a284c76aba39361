//! `patches`, `patchesStrategicMerge` and `patchesJson6902`: what a text is, and which resources it changes.

use std::collections::HashSet;

use api::{Map, Value};

use super::file::{Patch, Selector};
use super::resource::{self, Resource};
use super::select::Matcher;
use super::{Layer, json_patch, merge};
use crate::{Error, goyaml};

/// `patchesStrategicMerge`: each entry is a path or the patch itself.
pub(super) fn strategic(
    layer: &Layer<'_>,
    entries: &[String],
    inline: &str,
    field: &str,
    all: &mut Vec<Resource>,
) -> Result<(), Error> {
    let file = &layer.this.file;
    if entries.is_empty() && inline.is_empty() {
        return Err(Error::field(file, field, "empty file path and empty patch content"));
    }
    let mut patches = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match resource::parse(entry, file) {
            Ok(more) => patches.extend(more),
            Err(_) => patches.extend(resource::parse(&layer.load(entry, &field)?, entry)?),
        }
    }
    if !inline.is_empty() {
        patches.extend(resource::parse(inline, file)?);
    }
    if patches.is_empty() {
        let text = format!("patch appears to be empty; files={entries:?}, Patch={inline}");
        return Err(Error::field(file, field, text));
    }
    for patch in patches {
        let patch = Document { value: patch.value, name: false, kind: false };
        let fault = |text: String| Error::field(file, field, text);
        let at = target(all, &patch).map_err(fault)?;
        merge_selected(layer, all, &[at], &patch).map_err(fault)?;
        all.retain(|resource| !resource.is_gone());
    }
    Ok(())
}

/// One entry of `patches`, read.
pub(super) struct Prepared {
    content: Content,
    target: Option<Selector>,
    source: String,
}

enum Content {
    Merge(Vec<Document>),
    Json(Vec<Value>),
    Nothing,
}

/// A strategic merge patch and what it may change of an identity.
#[derive(Clone)]
struct Document {
    value: Value,
    name: bool,
    kind: bool,
}

/// Reads the entries of `patches`, all before the first is applied.
pub(super) fn prepare(layer: &Layer<'_>, list: &str, patches: &[Patch]) -> Result<Vec<Prepared>, Error> {
    let each = patches.iter().enumerate();
    each.map(|(index, patch)| prepare_one(layer, patch, &format!("{list}[{index}]"))).collect()
}

pub(super) fn prepare_one(layer: &Layer<'_>, patch: &Patch, field: &str) -> Result<Prepared, Error> {
    let fault = |text: String| Error::field(&layer.this.file, field, text);
    let inline = patch.patch.trim();
    let (text, source) = match (inline.is_empty(), patch.path.is_empty()) {
        (true, true) => return Err(fault("must specify one of patch and path in".into())),
        (false, false) => return Err(fault("patch and path can't be set at the same time".into())),
        (false, true) => (inline.to_string(), format!("[patch: {inline:?}]")),
        (true, false) => (layer.load(&patch.path, field)?, format!("[path: {:?}]", patch.path)),
    };
    let file =
        if patch.path.is_empty() { format!("{} {field}", layer.this.file) } else { patch.path.clone() };
    let merges = resource::parse(&text, &file);
    let operations = operations(&text);
    let content = match (merges, operations) {
        (Ok(merges), Ok(operations)) if !merges.is_empty() && !operations.is_empty() => {
            return Err(fault(format!("illegally qualifies as both an SM and JSON patch: {source}")));
        }
        (Err(reason), Err(_)) => {
            // A list is meant as a JSON patch, everything else as an object.
            return Err(fault(format!("unable to parse SM or JSON patch from {source}: {reason}")));
        }
        (Ok(merges), _) => Content::Merge(
            merges
                .into_iter()
                .map(|merge| Document {
                    value: merge.value,
                    name: patch.options.allow_name_change,
                    kind: patch.options.allow_kind_change,
                })
                .collect(),
        ),
        (Err(_), Ok(operations)) if operations.is_empty() => Content::Nothing,
        (Err(_), Ok(operations)) => Content::Json(operations),
    };
    Ok(Prepared { content, target: patch.target.clone(), source })
}

/// The operations of a JSON patch, in JSON or YAML (its first document).
fn operations(text: &str) -> Result<Vec<Value>, String> {
    if text.is_empty() {
        return Err("empty json patch operations".into());
    }
    match goyaml::first(text)? {
        Value::Array(items) if items.iter().all(|item| item.as_map().is_some()) => Ok(items),
        Value::Null => Ok(Vec::new()),
        _ => Err("a JSON patch is a list of op, path and value".into()),
    }
}

impl Prepared {
    pub fn apply(&self, layer: &Layer<'_>, all: &mut [Resource]) -> Result<(), String> {
        match &self.content {
            Content::Nothing => Ok(()),
            Content::Json(operations) => {
                let target = self.target.as_ref();
                let target =
                    target.ok_or_else(|| format!("must specify a target for JSON patch {}", self.source))?;
                let matcher = Matcher::new(target)?;
                for resource in all.iter_mut().filter(|resource| matcher.selects(resource)) {
                    resource.store_previous();
                    json_one(resource, operations)?;
                }
                Ok(())
            }
            Content::Merge(patches) => {
                let Some(selector) = &self.target else {
                    for patch in patches {
                        let at = target(all, patch).map_err(|text| {
                            format!(
                                "no resource matches strategic merge patch \"{}\": {text}",
                                resource::Id::of(&patch.value)
                            )
                        })?;
                        merge_into(layer, &mut all[at], patch, Marks::AsWritten)?;
                    }
                    return Ok(());
                };
                let [patch] = patches.as_slice() else {
                    if patches.is_empty() {
                        return Ok(());
                    }
                    return Err(format!(
                        "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field: {}",
                        self.source
                    ));
                };
                let matcher = Matcher::new(selector)?;
                let chosen: Vec<usize> = all
                    .iter()
                    .enumerate()
                    .filter(|(_, resource)| matcher.selects(resource))
                    .map(|(at, _)| at)
                    .collect();
                merge_selected(layer, all, &chosen, patch)
            }
        }
    }
}

/// One entry of `patchesJson6902`.
pub(super) fn json(layer: &Layer<'_>, patch: &Patch, field: &str, all: &mut [Resource]) -> Result<(), Error> {
    let fault = |text: String| Error::field(&layer.this.file, field, text);
    let target = patch.target.as_ref().filter(|target| !target.name.is_empty());
    let target = target.ok_or_else(|| fault("must specify the target name".into()))?;
    let text = match (patch.path.is_empty(), patch.patch.is_empty()) {
        (true, true) => return Err(fault("empty file path and empty jsonOp".into())),
        (false, false) => return Err(fault("must specify a file path or jsonOp, not both".into())),
        (false, true) => layer.load(&patch.path, field)?,
        (true, false) => patch.patch.clone(),
    };
    let operations = operations(&text).map_err(fault)?;
    if operations.is_empty() {
        return Err(fault(format!("patch appears to be empty; file={}, JsonOp={}", patch.path, patch.patch)));
    }
    let matcher = Matcher::new(target).map_err(fault)?;
    for resource in all.iter_mut().filter(|resource| matcher.selects(resource)) {
        json_one(resource, &operations).map_err(fault)?;
    }
    Ok(())
}

fn json_one(resource: &mut Resource, operations: &[Value]) -> Result<(), String> {
    // Upstream's own marks are annotations, so the map that a patch adds to exists.
    let lent = resource.has_marks() && resource.value.at(&["metadata", "annotations"]).is_none();
    if lent {
        resource.value.set(&["metadata", "annotations"], Value::Object(Map::new()));
    }
    json_patch::apply(&mut resource.value, operations)
        .map_err(|text| format!("{}: {text}", resource.id()))?;
    Ok(())
}

/// Where the one resource is that a patch without a target names.
fn target(all: &[Resource], patch: &Document) -> Result<usize, String> {
    let id = resource::Id::of(&patch.value);
    let mut matching = all
        .iter()
        .enumerate()
        .filter(|(_, resource)| !resource.is_gone() && resource.any_id(|other| *other == id));
    let found = matching.next().map(|(at, _)| at);
    match (found, matching.next()) {
        (Some(at), None) => Ok(at),
        (found, _) => {
            let what = if found.is_none() { "no" } else { "multiple" };
            Err(format!("{what} matches for Id {id}; failed to find unique target for patch {id}"))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    AsWritten,
    /// Labels and annotations of the patch become texts, as upstream copies them.
    Texts,
}

/// Merges into the resources at some places; two that become the same are a conflict.
fn merge_selected(
    layer: &Layer<'_>,
    all: &mut [Resource],
    chosen: &[usize],
    patch: &Document,
) -> Result<(), String> {
    for at in chosen {
        let mut copy = Resource::new(patch.value.clone());
        copy.value.set(&["apiVersion"], all[*at].value.get("apiVersion").cloned().unwrap_or_default());
        let copy = Document { value: copy.value, ..patch.clone() };
        merge_into(layer, &mut all[*at], &copy, Marks::Texts)?;
    }
    // Upstream adds all objects anew, so that two which became the same before are found here too.
    let mut seen = HashSet::new();
    for one in all.iter().filter(|one| !one.is_gone()) {
        if !seen.insert(one.key()) {
            return Err(format!("may not add resource with an already registered id: {}", one.id()));
        }
    }
    Ok(())
}

fn merge_into(
    layer: &Layer<'_>,
    resource: &mut Resource,
    patch: &Document,
    marks: Marks,
) -> Result<(), String> {
    let (name, namespace, kind) =
        (resource.name(), resource.namespace(), resource.value.get("kind").cloned().unwrap_or_default());
    if patch.name || patch.kind {
        resource.store_previous();
    }
    let mut from = Resource::new(patch.value.clone());
    if marks == Marks::Texts {
        for field in ["labels", "annotations"] {
            let texts = from.texts(field);
            from.set_texts(field, texts);
        }
    }
    match merge::merge(&resource.value, &resource.unwritten, &from.value, &layer.schema)? {
        Some(merged) => resource.value = merged,
        None => resource.value = Value::Null,
    }
    if resource.is_gone() {
        return Ok(());
    }
    if !patch.kind {
        resource.value.set(&["kind"], kind);
    }
    if !patch.name {
        resource.set_name(&name);
    }
    resource.set_namespace(&namespace);
    Ok(())
}
