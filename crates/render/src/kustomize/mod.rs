//! Kustomize: what `kustomize build DIR` (v5.8) prints, as documents.
//!
//! A kustomization is accumulated from its resources, generators and components, then changed by its transformers in
//! upstream's order; hashes and references to changed names follow once, at the top, when all layers are through.
//! Not done, and refused by name: code (exec, functions), remote bases, Helm charts, `vars`, `crds`, `configurations`,
//! custom generators, transformers and validators, `openapi`, `buildMetadata`.

mod fields;
mod file;
mod generate;
mod images;
mod json_patch;
mod merge;
mod names;
mod order;
mod patch;
mod replacement;
mod resource;
mod select;
mod transform;

pub use file::{Edits, ImageEdit, PatchTarget};

use api::Value;

use crate::tree::{Tree, join};
use crate::{Error, Limits, yaml};
use file::Kustomization;
use resource::Resource;

const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Whether a directory holds a kustomization.
pub fn is_kustomization(tree: &Tree, at: &str) -> bool {
    FILES.iter().any(|name| tree.is_file(at, name))
}

/// The documents of the kustomization in the directory `at`.
pub fn build(tree: &Tree, at: &str) -> Result<Vec<Value>, Error> {
    build_with(tree, at, &Edits::default(), Limits::default())
}

/// As [`build`], with changes made to the kustomization file first, as `kustomize edit` makes them.
pub fn build_with(tree: &Tree, at: &str, edits: &Edits, limits: Limits) -> Result<Vec<Value>, Error> {
    let root = tree.resolve("", at)?;
    let mut build = Build { tree, limits, output: 0 };
    let mut top = build.load(&root)?;
    top.edit(edits);
    let mut resources = build.accumulate(&top, Vec::new(), &[])?;
    generate::add_hashes(&mut resources);
    names::fix_references(&mut resources, &top.file)?;
    resources.retain(|resource| !resource.is_local());
    order::sort(&mut resources, &top)?;
    Ok(resources.into_iter().map(|resource| resource.value).collect())
}

struct Build<'a> {
    tree: &'a Tree,
    limits: Limits,
    output: usize,
}

impl Build<'_> {
    fn load(&self, at: &str) -> Result<Kustomization, Error> {
        let shown = || if at.is_empty() { ".".to_string() } else { at.to_string() };
        let mut found = FILES.iter().filter(|name| self.tree.is_file(at, name));
        let name = found.next().ok_or_else(|| Error::NoKustomization { at: shown() })?;
        if found.next().is_some() {
            return Err(Error::ManyKustomizations { at: shown() });
        }
        Kustomization::parse(at, &join(at, name), &self.tree.text(at, name)?)
    }

    /// `inherited`: what a component works on; empty for a kustomization.
    fn accumulate(
        &mut self,
        this: &Kustomization,
        inherited: Vec<Resource>,
        above: &[String],
    ) -> Result<Vec<Resource>, Error> {
        if above.contains(&this.at) {
            let chain = above.iter().chain([&this.at]).map(String::as_str).collect::<Vec<_>>().join(" -> ");
            return Err(Error::Cycle { at: this.at.clone(), chain });
        }
        let mut above = above.to_vec();
        above.push(this.at.clone());
        let mut all = inherited;
        for (index, path) in this.resources.iter().enumerate() {
            let field = format!("resources[{index}]");
            let more = self.resource(this, path, &field, &above)?;
            append(&mut all, more, &this.file, &field)?;
        }
        generate::run(self.tree, this, &mut all)?;
        for (index, path) in this.components.iter().enumerate() {
            let field = format!("components[{index}]");
            let at = self.directory(this, path, &field)?;
            let component = self.load(&at)?;
            if !component.is_component {
                return Err(Error::field(
                    &component.file,
                    "kind",
                    "must be Component, because it is used as one",
                ));
            }
            all = self.accumulate(&component, all, &above)?;
        }
        transform::run(self.tree, this, &mut all)?;
        if all.len() > self.limits.objects {
            return Err(Error::TooMany { limit: self.limits.objects });
        }
        Ok(all)
    }

    fn directory(&self, this: &Kustomization, path: &str, field: &str) -> Result<String, Error> {
        if is_remote(path) {
            return Err(Error::field(
                &this.file,
                field,
                format!(
                    "{path} is in another repository, and nothing is fetched while rendering; copy it into this one"
                ),
            ));
        }
        if self.tree.entry(&this.at, path)? != Some(crate::tree::Entry::Directory) {
            return Err(Error::field(
                &this.file,
                field,
                format!("{path}: no such file or directory in the source"),
            ));
        }
        Ok(self.tree.resolve(&this.at, path)?)
    }

    fn resource(
        &mut self,
        this: &Kustomization,
        path: &str,
        field: &str,
        above: &[String],
    ) -> Result<Vec<Resource>, Error> {
        if !is_remote(path) && self.tree.is_file(&this.at, path) {
            let text = this.load(self.tree, path, field)?;
            let file = self.tree.resolve(&this.at, path)?;
            self.output += text.len();
            if self.output > self.limits.output {
                return Err(Error::TooLarge { limit: self.limits.output });
            }
            return resource::parse(&text, &file);
        }
        let at = self.directory(this, path, field)?;
        let base = self.load(&at)?;
        if base.is_component {
            let text = format!("{path} is a Component; list it under `components`");
            return Err(Error::field(&this.file, field, text));
        }
        self.accumulate(&base, Vec::new(), above)
    }
}

fn is_remote(path: &str) -> bool {
    path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/")
}

/// Adds resources whose identities must be new.
fn append(all: &mut Vec<Resource>, more: Vec<Resource>, file: &str, field: &str) -> Result<(), Error> {
    for resource in more {
        let id = resource.id();
        if all.iter().any(|other| other.id() == id) {
            let text = format!("may not add resource with an already registered id: {id}");
            return Err(Error::field(file, field, text));
        }
        all.push(resource);
    }
    Ok(())
}

/// Documents of a text, without the empty ones.
pub(crate) fn documents(text: &str, file: &str) -> Result<Vec<Value>, Error> {
    let mut all = yaml::parse(text, yaml::Dialect::V3).map_err(Error::yaml(file))?;
    all.retain(|document| !document.is_null());
    Ok(all)
}

#[cfg(test)]
mod tests;
