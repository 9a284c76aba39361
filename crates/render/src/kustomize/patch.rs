//! `patches`, `patchesStrategicMerge` and `patchesJson6902`: what a text is, and which resources it changes.

use api::Value;

use super::file::{Kustomization, Patch};
use super::resource::{self, Resource};
use super::select::Matcher;
use super::{json_patch, merge};
use crate::tree::Tree;
use crate::{Error, yaml};

/// `patchesStrategicMerge`: each entry is a path or the patch itself.
pub(super) fn strategic(tree: &Tree, this: &Kustomization, all: &mut Vec<Resource>) -> Result<(), Error> {
    for (index, entry) in this.patches_strategic_merge.iter().enumerate() {
        let field = format!("patchesStrategicMerge[{index}]");
        let patches = match resource::parse(entry, &this.file) {
            Ok(patches) if !patches.is_empty() => patches,
            _ => resource::parse(&this.load(tree, entry, &field)?, entry)?,
        };
        for patch in patches {
            one_target(all, patch).map_err(|text| Error::field(&this.file, &field, text))?;
        }
    }
    Ok(())
}

/// `patches` and `patchesJson6902`: told apart by what they hold.
pub(super) fn apply(
    tree: &Tree,
    this: &Kustomization,
    list: &str,
    patches: &[Patch],
    all: &mut Vec<Resource>,
) -> Result<(), Error> {
    for (index, patch) in patches.iter().enumerate() {
        let field = format!("{list}[{index}]");
        one(tree, this, patch, &field, all)?;
    }
    Ok(())
}

fn one(
    tree: &Tree,
    this: &Kustomization,
    patch: &Patch,
    field: &str,
    all: &mut Vec<Resource>,
) -> Result<(), Error> {
    let fault = |text: String| Error::field(&this.file, field, text);
    let inline = patch.patch.trim();
    let (text, file) = match (inline.is_empty(), patch.path.is_empty()) {
        (true, true) => return Err(fault("must specify one of patch and path".into())),
        (false, false) => return Err(fault("patch and path can't be set at the same time".into())),
        (false, true) => (inline.to_string(), format!("{} {field}", this.file)),
        (true, false) => (this.load(tree, &patch.path, field)?, patch.path.clone()),
    };
    let documents = yaml::parse(&text, yaml::Dialect::V3).map_err(Error::yaml(&file))?;
    let matcher = patch.target.as_ref().map(Matcher::new).transpose().map_err(fault)?;
    if let [Value::Array(operations)] = documents.as_slice()
        && json_patch::is_patch(&documents[0])
    {
        let matcher = matcher.ok_or_else(|| fault("must specify a target for JSON patch".into()))?;
        for resource in all.iter_mut().filter(|resource| matcher.selects(resource)) {
            resource.store_previous();
            json_patch::apply(&mut resource.value, operations)
                .map_err(|text| fault(format!("{}: {text}", resource.id())))?;
        }
        return Ok(());
    }
    let mut patches = resource::parse_patches(documents, &file, matcher.is_some())?;
    let Some(matcher) = matcher else {
        for document in patches {
            let document = with_options(document, patch);
            one_target(all, document).map_err(fault)?;
        }
        return Ok(());
    };
    if patches.len() > 1 {
        return Err(fault("Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field".into()));
    }
    let Some(document) = patches.pop() else { return Err(fault("the patch is empty".into())) };
    let document = with_options(document, patch);
    let chosen: Vec<usize> =
        all.iter().enumerate().filter(|(_, resource)| matcher.selects(resource)).map(|(at, _)| at).collect();
    for at in chosen.into_iter().rev() {
        merge_into(all, at, document.clone()).map_err(fault)?;
    }
    Ok(())
}

/// A strategic merge patch and what it may change of an identity.
#[derive(Clone)]
struct Document {
    value: Value,
    name: bool,
    kind: bool,
}

fn with_options(resource: Resource, patch: &Patch) -> Document {
    Document {
        value: resource.value,
        name: patch.options.allow_name_change,
        kind: patch.options.allow_kind_change,
    }
}

impl From<Resource> for Document {
    fn from(resource: Resource) -> Document {
        Document { value: resource.value, name: false, kind: false }
    }
}

/// A patch without a target changes the one resource that it names.
fn one_target(all: &mut Vec<Resource>, patch: impl Into<Document>) -> Result<(), String> {
    let patch = patch.into();
    let id = Resource::new(patch.value.clone()).id();
    let mut matching = all.iter().enumerate().filter(|(_, resource)| resource.any_id(|other| *other == id));
    let at = matching.next().map(|(at, _)| at);
    let Some(at) = at else {
        return Err(format!(
            "no resource matches strategic merge patch \"{id}\": no matches for Id {id}; correct apiVersion, kind, name or namespace of the patch"
        ));
    };
    if matching.next().is_some() {
        return Err(format!("multiple matches for Id {id}; give the patch a namespace or a target"));
    }
    merge_into(all, at, patch)
}

fn merge_into(all: &mut Vec<Resource>, at: usize, patch: Document) -> Result<(), String> {
    let resource = &mut all[at];
    let id = resource.id();
    let (name, namespace, kind) =
        (resource.name().to_string(), resource.namespace().to_string(), resource.kind().to_string());
    if patch.name || patch.kind {
        resource.store_previous();
    }
    let mut value = patch.value;
    // A target may name resources of other versions than the patch does.
    if let Some(version) = resource.value.get("apiVersion") {
        value.set(&["apiVersion"], version.clone());
    }
    if !patch.kind {
        value.set(&["kind"], kind.as_str());
    }
    let merged =
        merge::merge(std::mem::take(&mut resource.value), value).map_err(|text| format!("{id}: {text}"))?;
    let Some(mut value) = merged.filter(|value| value.as_map().is_some_and(|map| !map.is_empty())) else {
        all.remove(at);
        return Ok(());
    };
    if !patch.kind {
        value.set(&["kind"], kind);
    }
    if !patch.name {
        value.set(&["metadata", "name"], name);
    }
    if namespace.is_empty() {
        value.remove(&["metadata", "namespace"]);
    } else {
        value.set(&["metadata", "namespace"], namespace);
    }
    all[at].value = value;
    Ok(())
}
