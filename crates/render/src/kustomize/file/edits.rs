//! Changes to a kustomization that the one who builds it makes.

use std::collections::BTreeMap;

use super::Texts;

/// Changes to the top kustomization, as `kustomize edit` makes them on behalf of Argo CD's or Flux' objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Edits {
    pub name_prefix: String,
    pub name_suffix: String,
    pub namespace: String,
    pub images: Vec<ImageEdit>,
    pub replicas: Vec<(String, i64)>,
    pub common_labels: Texts,
    /// Labels go to metadata only, not to selectors.
    pub labels_without_selector: bool,
    pub label_include_templates: bool,
    pub common_annotations: Texts,
    pub components: Vec<String>,
    /// Of [`Edits::components`], those that are not there are left out.
    pub ignore_missing_components: bool,
    /// In place of the kustomization's own.
    pub build_metadata: Vec<String>,
    /// An inline patch and, if it has one, its target.
    pub patches: Vec<(String, Option<PatchTarget>)>,
}

/// A patch's target: the fields of a selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PatchTarget(BTreeMap<String, String>);

impl PatchTarget {
    pub fn new(fields: BTreeMap<String, String>) -> PatchTarget {
        PatchTarget(fields)
    }
    pub(super) fn str_at(&self, path: &[&str]) -> &str {
        self.0.get(path[0]).map(String::as_str).unwrap_or_default()
    }
}

/// `kustomize edit set image`: `name=newName:newTag@digest`, `name:newTag` or `name@digest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageEdit {
    pub name: String,
    pub new_name: String,
    pub new_tag: String,
    pub digest: String,
}

impl ImageEdit {
    /// Reads the form of the command line; `None` if it says nothing to change.
    pub fn parse(text: &str) -> Option<ImageEdit> {
        let (name, image) = match text.split_once('=') {
            Some((name, image)) => (Some(name), image),
            None => (None, text),
        };
        let (found, tag, digest) = crate::kustomize::images::split(image);
        let name = name.map_or_else(|| found.to_string(), Into::into);
        let new_name = if found == name { String::new() } else { found.to_string() };
        let edit = ImageEdit { name, new_name, new_tag: tag.into(), digest: digest.into() };
        let says = !(edit.new_name.is_empty() && edit.new_tag.is_empty() && edit.digest.is_empty());
        (!edit.name.is_empty() && says).then_some(edit)
    }
}
