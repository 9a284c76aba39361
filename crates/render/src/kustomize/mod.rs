//! Kustomize: what `kustomize build DIR` (v5.8) prints, as documents.
//!
//! A kustomization is accumulated from its resources, generators and components, then changed by its transformers in
//! upstream's order; hashes, references to changed names and `vars` follow once, at the top, when all layers are through.
//! Not done, and refused by name: code (exec, functions, Go plugins), remote bases and charts that do not lie in the source.

mod accumulate;
mod chart;
mod config;
mod fields;
mod file;
mod generate;
mod go_json;
mod images;
mod json_patch;
mod merge;
mod names;
mod order;
mod origin;
mod patch;
mod path;
mod plugin;
mod replacement;
mod resource;
mod scalar;
mod schema;
mod select;
mod transform;
mod vars;

pub use file::{Edits, ImageEdit, PatchTarget};

use api::{Map, Value};

use crate::goyaml::kyaml::{self, Document};
use crate::helm::World;
use crate::tree::Tree;
use crate::{Error, Limits, goyaml};
use accumulate::Build;
use file::Kustomization;

const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Whether a directory holds a kustomization.
pub fn is_kustomization(tree: &Tree, at: &str) -> bool {
    FILES.iter().any(|name| tree.is_file(at, name))
}

/// In which order objects come if the kustomization does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By kind, as the command line of upstream does it.
    #[default]
    Legacy,
    /// As they were accumulated.
    Fifo,
}

/// What a command line can say beside the kustomization.
#[derive(Clone, Default)]
pub struct Options<'a> {
    pub edits: Edits,
    pub limits: Limits,
    pub order: Order,
    /// Files outside of a kustomization's directory may be named (`--load-restrictor LoadRestrictionsNone`).
    pub unrestricted: bool,
    /// Adds the label `app.kubernetes.io/managed-by` with this value.
    pub managed_by: Option<String>,
    /// The clock and the chance that `helmCharts` may use; without one they are refused.
    pub world: Option<&'a dyn World>,
}

/// The documents of the kustomization in the directory `at`.
pub fn build(tree: &Tree, at: &str) -> Result<Vec<Value>, Error> {
    build_options(tree, at, &Options::default())
}

/// As [`build`], with changes made to the kustomization file first, as `kustomize edit` makes them.
pub fn build_with(tree: &Tree, at: &str, edits: &Edits, limits: Limits) -> Result<Vec<Value>, Error> {
    build_options(tree, at, &Options { edits: edits.clone(), limits, ..Options::default() })
}

/// What upstream's program calls itself in `managed-by` labels.
const MANAGED_BY: &str = "kustomize-v5.8.1";

/// As [`build`], with everything that a command line can say.
pub fn build_options(tree: &Tree, at: &str, options: &Options<'_>) -> Result<Vec<Value>, Error> {
    built(tree, at, options).map_err(|error| error.placed(tree))
}

fn built(tree: &Tree, at: &str, options: &Options<'_>) -> Result<Vec<Value>, Error> {
    let root = tree.resolve("", at)?;
    let mut build = Build::new(tree, options);
    let mut top = build.load(&root)?;
    top.edit(&options.edits, tree);
    let (mut resources, config, variables) = build.top(&top)?;
    generate::add_hashes(&mut resources);
    names::fix_references(&mut resources, &config.name_reference, &top.file)?;
    vars::resolve(&variables, &config.var_reference, &mut resources)
        .map_err(|text| Error::field(&top.file, "vars", text))?;
    resources.retain(|resource| !resource.is_local());
    order::sort(&mut resources, &top, options.order)?;
    let managed_by = match &options.managed_by {
        Some(text) => Some(text.as_str()),
        None => top.build_metadata.iter().any(|option| option == "managedByLabel").then_some(MANAGED_BY),
    };
    if let Some(name) = managed_by {
        for resource in &mut resources {
            resource.value.set(&["metadata", "labels", "app.kubernetes.io/managed-by"], name);
        }
    }
    within(&resources, options.limits)?;
    for resource in &mut resources {
        origin::clean(resource, &top.build_metadata);
        if let Some(text) = scalar::misfit(&resource.value) {
            return Err(Error::field(&top.file, resource.id().to_string(), text));
        }
    }
    Ok(resources.into_iter().map(|resource| resource.value).collect())
}

/// What transformers made of objects may be as large as what comes out.
fn within(resources: &[resource::Resource], limits: Limits) -> Result<(), Error> {
    if resources.len() > limits.objects {
        return Err(Error::TooMany { limit: limits.objects });
    }
    if resources.iter().map(|resource| weight(&resource.value)).sum::<usize>() > limits.output {
        return Err(Error::TooLarge { limit: limits.output });
    }
    Ok(())
}

/// One kustomization while it is worked on.
pub(crate) struct Layer<'a> {
    tree: &'a Tree,
    this: &'a Kustomization,
    schema: schema::Source,
    world: Option<&'a dyn World>,
}

impl Layer<'_> {
    /// The text of a file that the kustomization names.
    fn load(&self, path: &str, field: &str) -> Result<String, Error> {
        self.this.load(self.tree, path, field)
    }
}

/// Bytes of one text, or of what one patch copies: where something could double again and again.
const GROWN: usize = 8 << 20;

/// About as many bytes as a value has as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(key, value)| key.len() + 3 + weight(value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 4,
    }
}

/// The first document of a text that is no resource: upstream reads it as Helm reads YAML.
fn first_document(text: &str, file: &str) -> Result<Value, Error> {
    goyaml::first(text).map_err(|text| Error::Text { file: file.into(), text })
}

/// Documents of a text, without the empty ones.
pub(crate) fn documents(text: &str, file: &str) -> Result<Vec<Document>, Error> {
    let read = kyaml::documents(text);
    let mut all = read.map_err(|text| {
        let text = text.strip_prefix("yaml: ").unwrap_or(&text).to_string();
        Error::Text { file: file.into(), text }
    })?;
    all.retain(|document| {
        let value = &document.value;
        let is_empty =
            value.as_map().is_some_and(Map::is_empty) || value.as_array().is_some_and(<[Value]>::is_empty);
        !value.is_null() && !is_empty
    });
    Ok(all)
}

#[cfg(test)]
mod tests;
