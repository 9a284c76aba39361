//! Gathering a kustomization's objects from its resources, generators and components, layer by layer.

use std::collections::HashSet;

use api::Value;

use super::config::{self, Config, Merged};
use super::file::{Kustomization, Variable};
use super::origin::Origin;
use super::resource::{self, Resource};
use super::schema::{self, Source};
use super::{FILES, Layer, Options, chart, generate, plugin, transform, vars};
use crate::Error;
use crate::tree::{Entry, Tree, join};

/// What came together so far.
#[derive(Default)]
struct Gathered {
    all: Vec<Resource>,
    config: Merged,
    variables: Vec<Variable>,
}

/// What is handed down from the kustomization above.
#[derive(Clone, Default)]
struct Above {
    /// Directories on the way here.
    chain: Vec<String>,
    /// Where objects of this layer come from, if that is recorded.
    origin: Option<String>,
    /// The namespace that charts below are rendered for.
    chart_namespace: String,
}

/// One build.
pub(super) struct Build<'a> {
    tree: &'a Tree,
    options: &'a Options<'a>,
    output: usize,
    schema: Source,
    schema_is_set: bool,
    /// A kind was met that the built-in schema does not know: upstream then reads that schema also beside a custom one
    /// that comes later.
    unknown_kind: bool,
}

impl<'a> Build<'a> {
    pub fn new(tree: &'a Tree, options: &'a Options<'a>) -> Build<'a> {
        Build { tree, options, output: 0, schema: Source::BuiltIn, schema_is_set: false, unknown_kind: false }
    }

    pub fn load(&self, at: &str) -> Result<Kustomization, Error> {
        let shown = || if at.is_empty() { ".".to_string() } else { at.to_string() };
        let mut found = FILES.iter().filter(|name| self.tree.is_file(at, name));
        let name = found.next().ok_or_else(|| Error::NoKustomization { at: shown() })?;
        if found.next().is_some() {
            return Err(Error::ManyKustomizations { at: shown() });
        }
        let mut this = Kustomization::parse(at, &join(at, name), &self.tree.text(at, name)?)?;
        this.unrestricted = self.options.unrestricted;
        Ok(this)
    }

    /// The top kustomization: its objects, the configuration and the variables of all layers.
    pub fn top(&mut self, this: &Kustomization) -> Result<(Vec<Resource>, Config, Vec<Variable>), Error> {
        self.set_schema(this)?;
        let origin = (!this.build_metadata.is_empty()).then(String::new);
        let above = Above { origin, ..Above::default() };
        let gathered = self.accumulate(this, Gathered::default(), &above)?;
        Ok((gathered.all, gathered.config.config().clone(), gathered.variables))
    }

    /// The first kustomization that says what the schema is decides for all.
    fn set_schema(&mut self, this: &Kustomization) -> Result<(), Error> {
        let fault = |text: &str| Error::field(&this.file, "openapi", text);
        let version = this.openapi.get("version");
        let Some(path) = this.openapi.get("path") else {
            return match version.map(String::as_str) {
                None | Some("" | "v1.21.2") => {
                    self.schema_is_set |= version.is_some_and(|version| !version.is_empty());
                    Ok(())
                }
                Some(_) if self.schema_is_set => Ok(()),
                Some(_) => Err(fault("the specified OpenAPI version is not built in")),
            };
        };
        let text = this.load(self.tree, path, "openapi")?;
        if self.schema_is_set {
            return Ok(());
        }
        if version.is_some() {
            return Err(fault("builtin version and custom schema provided, cannot use both"));
        }
        self.schema = Source::custom(&super::first_document(&text, path)?, self.unknown_kind);
        self.schema_is_set = true;
        Ok(())
    }

    fn accumulate(
        &mut self,
        this: &Kustomization,
        inherited: Gathered,
        above: &Above,
    ) -> Result<Gathered, Error> {
        if above.chain.contains(&this.at) {
            let chain = above.chain.iter().chain([&this.at]).map(String::as_str).collect::<Vec<_>>();
            return Err(Error::Cycle { at: this.at.clone(), chain: chain.join(" -> ") });
        }
        let mut below = above.clone();
        below.chain.push(this.at.clone());
        if !this.namespace.is_empty() {
            below.chart_namespace.clone_from(&this.namespace);
        }
        let fault = |field: &str, text: String| Error::field(&this.file, field, text);
        let mut gathered = inherited;
        self.resources(this, &this.resources, "resources", &mut gathered, &below)?;
        self.configure(this, &mut gathered)?;
        let layer = Layer { tree: self.tree, this, schema: self.schema.clone(), world: self.options.world };
        self.generators(&layer, &mut gathered, &below)?;
        for (index, path) in this.components.iter().enumerate() {
            let field = format!("components[{index}]");
            let at = self.directory(this, path, &field)?;
            let component = self.load_below(&at, this)?;
            self.set_schema(&component)?;
            if !component.is_component {
                let text = format!("expected kind 'Component' for path '{at}' but got 'Kustomization'");
                return Err(Error::field(&component.file, "kind", text));
            }
            gathered = self.accumulate(&component, gathered, &below.at_directory(path))?;
            let together = std::mem::take(&mut gathered.all);
            append(&mut gathered.all, together, &this.file, &field)?;
        }
        let layer = Layer { tree: self.tree, this, schema: self.schema.clone(), world: self.options.world };
        let config = gathered.config.config().clone();
        let file = below.origin.as_ref().map(|path| join_clean(path, file_name(&this.file)));
        transform::run(&layer, &config, &mut gathered.all, &mut |kind, all| {
            all.retain(|resource| !resource.is_gone());
            if let Some(file) = &file {
                Origin::built_in(file, kind).transformed(all);
            }
        })?;
        for custom in self.configs(this, &this.transformers, "transformers", &below)? {
            plugin::transform(&layer, &custom, "transformers", &mut gathered.all)?;
            gathered.all.retain(|resource| !resource.is_gone());
            if below.origin.is_some() {
                Origin::custom(&custom).transformed(&mut gathered.all);
            }
        }
        for custom in self.configs(this, &this.validators, "validators", &below)? {
            let mut copy = gathered.all.clone();
            plugin::transform(&layer, &custom, "validators", &mut copy)?;
            for resource in &mut copy {
                resource.value.remove(&["metadata", "labels", "validated-by"]);
            }
            let same = copy.len() == gathered.all.len()
                && copy.iter().zip(&gathered.all).all(|(new, old)| new.value == old.value);
            if !same {
                return Err(fault("validators", "validator shouldn't modify the resource map".into()));
            }
        }
        vars::accumulate(&this.vars, &mut gathered.variables, &mut gathered.all)
            .map_err(|text| fault("vars", format!("merging vars: {text}")))?;
        super::within(&gathered.all, self.options.limits)?;
        Ok(gathered)
    }

    /// Adds what `configurations` and `crds` say.
    fn configure(&self, this: &Kustomization, gathered: &mut Gathered) -> Result<(), Error> {
        let fault = |field: &'static str| move |text: String| Error::field(&this.file, field, text);
        let first = |path: &str, field: &str| -> Result<Value, Error> {
            super::first_document(&this.load(self.tree, path, field)?, path)
        };
        let mut own = (!this.configurations.is_empty()).then(Config::default);
        for path in &this.configurations {
            let read = Config::read(first(path, "configurations")?)
                .map_err(|text| fault("configurations")(format!("{path}: {text}")))?;
            own.get_or_insert_default().merge(read).map_err(fault("configurations"))?;
        }
        gathered.config.add_own(own).map_err(fault("configurations"))?;
        for path in &this.crds {
            let read = config::from_definitions(&first(path, "crds")?).map_err(fault("crds"))?;
            gathered.config.add(Merged::Own(Box::new(read))).map_err(fault("crds"))?;
        }
        Ok(())
    }

    fn generators(&mut self, layer: &Layer<'_>, gathered: &mut Gathered, above: &Above) -> Result<(), Error> {
        let this = layer.this;
        let file = above.origin.as_ref().map(|path| join_clean(path, file_name(&this.file)));
        let maps = this.config_maps.iter().map(|one| ("ConfigMap", "configMapGenerator", one));
        let secrets = this.secrets.iter().map(|one| ("Secret", "secretGenerator", one));
        let mut made = Vec::new();
        for (at, (kind, list, generator)) in maps.chain(secrets).enumerate() {
            let index = if kind == "Secret" { at - this.config_maps.len() } else { at };
            let field = format!("{list}[{index}]");
            let resource = generate::one(layer, kind, generator, &this.generator_options, &field)?;
            let origin = file.as_ref().map(|file| Origin::built_in(file, &format!("{kind}Generator")));
            made.push((field, vec![resource], origin));
        }
        for (index, chart) in this.helm_charts.iter().enumerate() {
            let field = format!("helmCharts[{index}]");
            let mut chart = chart.clone();
            if chart.namespace.is_empty() {
                chart.namespace.clone_from(&above.chart_namespace);
            }
            let resources = chart::inflate(layer, &this.helm_globals, &chart, &field)?;
            let origin = file.as_ref().map(|file| Origin::built_in(file, "HelmChartInflationGenerator"));
            made.push((field, resources, origin));
        }
        for custom in self.configs(this, &this.generators, "generators", above)? {
            let resources = plugin::generate(layer, &custom, "generators")?;
            let origin = above.origin.as_ref().map(|_| Origin::custom(&custom));
            made.push(("generators".to_string(), resources, origin));
        }
        for (field, mut resources, origin) in made {
            if let Some(origin) = origin {
                origin.mark(&mut resources);
            }
            for resource in resources {
                generate::absorb(&mut gathered.all, resource)
                    .map_err(|text| Error::field(&this.file, &field, text))?;
            }
        }
        Ok(())
    }

    /// The configuration objects that `generators`, `transformers` or `validators` name: inline, in files, or in a
    /// kustomization of their own.
    fn configs(
        &mut self,
        this: &Kustomization,
        entries: &[String],
        field: &str,
        above: &Above,
    ) -> Result<Vec<Resource>, Error> {
        let mut gathered = Gathered::default();
        let mut paths = Vec::new();
        for entry in entries {
            match resource::parse(entry, &this.file) {
                Ok(mut inline) => {
                    if let Some(path) = &above.origin {
                        let file = join_clean(path, file_name(&this.file));
                        for resource in &mut inline {
                            resource.value.remove(&["metadata", "annotations", super::origin::ORIGIN]);
                        }
                        Origin::file(&file).mark(&mut inline);
                    }
                    append(&mut gathered.all, inline, &this.file, field)?;
                }
                Err(_) => paths.push(entry.clone()),
            }
        }
        self.resources(this, &paths, field, &mut gathered, above)?;
        Ok(gathered.all)
    }

    fn load_below(&self, at: &str, this: &Kustomization) -> Result<Kustomization, Error> {
        let mut below = self.load(at)?;
        below.build_metadata.clone_from(&this.build_metadata);
        Ok(below)
    }

    fn directory(&self, this: &Kustomization, path: &str, field: &str) -> Result<String, Error> {
        let fault = |text: String| Error::field(&this.file, field, text);
        if is_remote(path) {
            return Err(fault(format!(
                "{path} is in another repository, and nothing is fetched while rendering; copy it into this one"
            )));
        }
        let outside = |error: crate::tree::Error| fault(error.to_string());
        match self.tree.entry(&this.at, path).map_err(outside)? {
            Some(Entry::Directory) => self.tree.resolve(&this.at, path).map_err(outside),
            Some(_) => Err(fault(format!("{path}: file is not directory"))),
            None => Err(fault(format!("{path}: no such file or directory in the source"))),
        }
    }

    fn resources(
        &mut self,
        this: &Kustomization,
        paths: &[String],
        list: &str,
        gathered: &mut Gathered,
        above: &Above,
    ) -> Result<(), Error> {
        for (index, path) in paths.iter().enumerate() {
            let field = format!("{list}[{index}]");
            if !is_remote(path) && self.tree.is_file(&this.at, path) {
                let text = this.load(self.tree, path, &field)?;
                let file = self.tree.resolve(&this.at, path)?;
                self.output += text.len();
                if self.output > self.options.limits.output {
                    return Err(Error::TooLarge { limit: self.options.limits.output });
                }
                let mut more = resource::parse(&text, &file)?;
                self.unknown_kind |=
                    more.iter().any(|one| !schema::has_scope(one.value.str_at(&["apiVersion"]), one.kind()));
                if let Some(origin) = &above.origin {
                    for resource in &mut more {
                        resource.value.remove(&["metadata", "annotations", super::origin::ORIGIN]);
                    }
                    Origin::file(&join_clean(origin, path)).mark(&mut more);
                }
                append(&mut gathered.all, more, &this.file, &field)?;
                continue;
            }
            let at = self.directory(this, path, &field)?;
            let base = self.load_below(&at, this)?;
            self.set_schema(&base)?;
            if base.is_component {
                let text =
                    format!("expected kind != 'Component' for path '{path}'; list it under `components`");
                return Err(Error::field(&this.file, field, text));
            }
            let below = self.accumulate(&base, Gathered::default(), &above.at_directory(path))?;
            append(&mut gathered.all, below.all, &this.file, &field)?;
            gathered.config.add(below.config).map_err(|text| Error::field(&this.file, &field, text))?;
            vars::join(below.variables, &mut gathered.variables)
                .map_err(|text| Error::field(&this.file, &field, text))?;
        }
        Ok(())
    }
}

impl Above {
    fn at_directory(&self, path: &str) -> Above {
        Above { origin: self.origin.as_ref().map(|origin| join_clean(origin, path)), ..self.clone() }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// `a` and `b` as one path without `.` and, where it can be, `..`.
fn join_clean(a: &str, b: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in a.split('/').chain(b.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn is_remote(path: &str) -> bool {
    path.contains("://")
        || path.starts_with("git@")
        || path.starts_with("git::")
        || path.starts_with("github.com/")
}

/// Adds resources whose identities must be new.
fn append(all: &mut Vec<Resource>, more: Vec<Resource>, file: &str, field: &str) -> Result<(), Error> {
    let mut known: HashSet<_> = all.iter().map(Resource::key).collect();
    for resource in more {
        if !known.insert(resource.key()) {
            let text = format!("may not add resource with an already registered id: {}", resource.id());
            return Err(Error::field(file, field, text));
        }
        all.push(resource);
    }
    Ok(())
}
