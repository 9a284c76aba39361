//! Helm: what `helm template` prints, from a chart in memory.
//!
//! Invariant: a rendering reads its chart and its options only; chance, time and zones come from the [`World`] that it is given.
//! A chart's dependencies are those in its `charts` directory; none is fetched. `lookup` finds what the world has.

pub mod archive;
pub mod capabilities;
pub mod chart;
pub mod dependencies;
pub mod engine;
pub mod ignore;
pub mod load;
pub mod manifest;
pub mod metadata;
pub mod schema;
pub mod strvals;
pub mod values;

#[cfg(test)]
mod bombs;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upstream;

use api::Value;

use crate::Tree;
pub use crate::go::World;
pub use crate::go::world::Lookup;
use crate::template::{Bounds, STACK};
pub use load::{Chart, File};
pub use manifest::{Hook, Manifest};

/// Why a chart cannot be rendered. The texts of upstream are kept where a user reads them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tree(#[from] crate::tree::Error),
    /// As `helm` prints it behind `Error: `.
    #[error("{0}")]
    Helm(String),
    #[error("cannot start the thread that renders")]
    Thread(#[source] std::io::Error),
    #[error("the post-renderer failed")]
    PostRender(#[source] Box<crate::Error>),
}

impl From<String> for Error {
    fn from(text: String) -> Error {
        Error::Helm(text)
    }
}

/// A file of values, as `-f` gives it.
#[derive(Clone, Debug)]
pub struct ValuesFile {
    /// For errors.
    pub name: String,
    pub text: String,
}

/// The flags of `helm template`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The release's name.
    pub name: String,
    pub namespace: String,
    /// `--values`, later ones over earlier ones.
    pub values: Vec<ValuesFile>,
    /// Values as a tree, over the files and below `--set`: what Argo CD's `valuesObject` and Flux' `spec.values` hold.
    pub object: Option<Value>,
    pub set: Vec<String>,
    pub set_string: Vec<String>,
    pub set_json: Vec<String>,
    pub set_literal: Vec<String>,
    /// `--set-file`, and the texts of the files that these name.
    pub set_file: Vec<String>,
    pub set_file_texts: Vec<ValuesFile>,
    /// `--kube-version`; empty is [`capabilities::KUBE_VERSION`].
    pub kube_version: String,
    pub api_versions: Vec<String>,
    pub include_crds: bool,
    pub is_upgrade: bool,
    pub no_hooks: bool,
    pub skip_tests: bool,
    pub skip_schema_validation: bool,
    pub show_only: Vec<String>,
    /// Notes of subcharts too.
    pub render_subchart_notes: bool,
    pub bounds: Bounds,
}

impl Options {
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Options {
        Options {
            name: name.into(),
            namespace: namespace.into(),
            values: Vec::new(),
            object: None,
            set: Vec::new(),
            set_string: Vec::new(),
            set_json: Vec::new(),
            set_literal: Vec::new(),
            set_file: Vec::new(),
            set_file_texts: Vec::new(),
            kube_version: String::new(),
            api_versions: Vec::new(),
            include_crds: false,
            is_upgrade: false,
            no_hooks: false,
            skip_tests: false,
            skip_schema_validation: false,
            show_only: Vec::new(),
            render_subchart_notes: false,
            bounds: Bounds::default(),
        }
    }
}

/// A chart, rendered.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// What `helm template` prints.
    pub text: String,
    /// Objects in the order of installation; hooks and CRDs are not among them.
    pub manifests: Vec<Manifest>,
    pub hooks: Vec<Hook>,
    /// The files of `crds` directories, this chart's first, whether or not they are in `text`.
    pub crds: Vec<Manifest>,
    /// What NOTES.txt gave; those of subcharts, if asked for, in the order of their paths.
    pub notes: String,
    /// What upstream writes to its log.
    pub warnings: Vec<String>,
}

impl Rendered {
    /// The objects: CRDs if `crds`, then manifests, then hooks, as Argo CD takes them from `helm template`.
    pub fn documents(&self, crds: bool, hooks: bool) -> Result<Vec<Value>, Error> {
        let crds = self.crds.iter().filter(|_| crds).map(|crd| (&crd.path, &crd.text));
        let manifests = self.manifests.iter().map(|one| (&one.path, &one.text));
        let hooks = self.hooks.iter().filter(|_| hooks).map(|hook| (&hook.path, &hook.text));
        let mut all = Vec::new();
        for (path, text) in crds.chain(manifests).chain(hooks) {
            let documents =
                crate::goyaml::all(text).map_err(|error| format!("YAML parse error on {path}: {error}"))?;
            all.extend(documents.into_iter().filter(|document| !document.is_null()));
        }
        Ok(all)
    }
}

/// Renders a chart on a thread of its own, because templates nest deeper than a usual stack is.
pub fn template(chart: &Chart, options: &Options, world: &dyn World) -> Result<Rendered, Error> {
    template_then(chart, options, world, &Ok)
}

/// Like [`template`], with what changes the text of all objects before hooks are added: a post-renderer.
pub fn template_then(
    chart: &Chart,
    options: &Options,
    world: &dyn World,
    then: &dyn Fn(String) -> Result<String, crate::Error>,
) -> Result<Rendered, Error> {
    let mut rendered = deep(|| engine::render(chart, options, world)).map_err(Error::Thread)??;
    let objects =
        then(std::mem::take(&mut rendered.text)).map_err(|error| Error::PostRender(Box::new(error)))?;
    rendered.text = engine::print(objects, &rendered, options)?;
    Ok(rendered)
}

/// Runs on a thread of its own what nests deeper than a usual stack is.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("render-helm".into()).stack_size(STACK);
        match thread.spawn_scoped(scope, work)?.join() {
            Ok(done) => Ok(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The release's name that `--name-template` makes of a template.
pub fn name(template: &str, world: &dyn World) -> Result<String, String> {
    let values = || crate::go::Map::new(crate::go::MapType::Any);
    let named = deep(|| engine::render_values("name-template", template, values(), world));
    named.unwrap_or_else(|error| Err(error.to_string()))
}

/// The name under which a kustomization that is a post-renderer finds the chart's objects.
pub const POST_RENDER_INPUT: &str = "all.yaml";

/// A post-renderer: builds the kustomization at `path` of a tree, in whose directory [`POST_RENDER_INPUT`] holds the objects.
pub fn kustomized(tree: Tree, path: &str, objects: &str) -> Result<String, crate::Error> {
    let at = tree.resolve("", path)?;
    let tree = tree.with_file(crate::tree::join(&at, POST_RENDER_INPUT), objects.as_bytes().to_vec());
    Ok(crate::print(&crate::kustomize::build(&tree, &at)?))
}

/// The chart at a path of a tree, rendered.
pub fn template_at(tree: &Tree, path: &str, options: &Options, world: &dyn World) -> Result<Rendered, Error> {
    template(&Chart::load(tree, path)?, options, world)
}
