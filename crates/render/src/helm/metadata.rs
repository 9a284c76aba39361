//! Chart.yaml: decoded as upstream's struct, checked, and shown to templates as `.Chart`.

use std::rc::Rc;
use std::sync::LazyLock;

use api::Value as Tree;
use regex::Regex;

use crate::go::value::{Field, ListType, Struct, StructType};
use crate::go::{List, Map, MapType, Str, Value, path, quote, semver, text};

/// An entry of `dependencies`.
#[derive(Clone, Debug, Default)]
pub struct Dependency {
    pub name: String,
    pub version: String,
    pub repository: String,
    pub condition: String,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub import_values: Vec<Value>,
    pub alias: String,
}

#[derive(Clone, Debug, Default)]
pub struct Maintainer {
    pub name: String,
    pub email: String,
    pub url: String,
}

/// Chart.yaml.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    pub name: String,
    pub home: String,
    pub sources: Vec<String>,
    pub version: String,
    pub description: String,
    pub keywords: Vec<String>,
    pub maintainers: Vec<Option<Maintainer>>,
    pub icon: String,
    pub api_version: String,
    pub condition: String,
    pub tags: String,
    pub app_version: String,
    pub deprecated: bool,
    pub annotations: Option<Vec<(String, String)>>,
    pub kube_version: String,
    /// None is not the same as an empty list.
    pub dependencies: Option<Vec<Option<Dependency>>>,
    pub kind: String,
}

/// A reader of one struct; errors are `encoding/json`'s.
pub(super) struct Decoder<'a> {
    pub name: &'static str,
    pub map: &'a api::Map,
}

type Decoded<T> = Result<T, String>;

pub(super) fn json_kind(tree: &Tree) -> &'static str {
    match tree {
        Tree::Null => "null",
        Tree::Bool(_) => "bool",
        Tree::Int(_) | Tree::Float(_) => "number",
        Tree::String(_) => "string",
        Tree::Array(_) => "array",
        Tree::Object(_) => "object",
    }
}

impl<'a> Decoder<'a> {
    /// A field by its name, or by its name in other case.
    fn get(&self, key: &str) -> Option<&'a Tree> {
        let found = self.map.get(key);
        found.or_else(|| {
            self.map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
        })
    }

    fn wrong<T>(&self, tree: &Tree, key: &str, ty: &str) -> Decoded<T> {
        Err(format!(
            "json: cannot unmarshal {} into Go struct field {}.{key} of type {ty}",
            json_kind(tree),
            self.name
        ))
    }

    /// The YAML decoder makes a text of any scalar where a text is wanted.
    fn text_of(&self, tree: &Tree, key: &str) -> Decoded<String> {
        Ok(match tree {
            Tree::Null => String::new(),
            Tree::String(text) => text.to_string(),
            Tree::Bool(flag) => flag.to_string(),
            Tree::Int(number) => number.to_string(),
            Tree::Float(number) => crate::go::float::format(*number, b'g', -1),
            other => return self.wrong(other, key, "string"),
        })
    }

    pub fn text(&self, key: &str) -> Decoded<String> {
        self.get(key).map_or(Ok(String::new()), |tree| self.text_of(tree, key))
    }

    fn flag(&self, key: &str) -> Decoded<bool> {
        match self.get(key) {
            None | Some(Tree::Null) => Ok(false),
            Some(Tree::Bool(flag)) => Ok(*flag),
            Some(other) => self.wrong(other, key, "bool"),
        }
    }

    fn list(&self, key: &str, ty: &str) -> Decoded<Option<&'a [Tree]>> {
        match self.get(key) {
            None | Some(Tree::Null) => Ok(None),
            Some(Tree::Array(items)) => Ok(Some(items)),
            Some(other) => self.wrong(other, key, ty),
        }
    }

    fn texts(&self, key: &str) -> Decoded<Vec<String>> {
        let items = self.list(key, "[]string")?.unwrap_or_default();
        items.iter().map(|item| self.text_of(item, key)).collect()
    }

    pub fn map_of_texts(&self, key: &str) -> Decoded<Option<Vec<(String, String)>>> {
        match self.get(key) {
            None | Some(Tree::Null) => Ok(None),
            Some(Tree::Object(map)) => {
                let pairs = map.iter().map(|(name, value)| Ok((name.to_string(), self.text_of(value, key)?)));
                pairs.collect::<Decoded<Vec<_>>>().map(Some)
            }
            Some(other) => self.wrong(other, key, "map[string]string"),
        }
    }

    pub fn object(&self, key: &str, ty: &str) -> Decoded<Option<&'a api::Map>> {
        match self.get(key) {
            None | Some(Tree::Null) => Ok(None),
            Some(Tree::Object(map)) => Ok(Some(map)),
            Some(other) => self.wrong(other, key, ty),
        }
    }
}

impl Metadata {
    /// Reads Chart.yaml, or requirements.yaml over it. The error is the YAML decoder's text.
    pub(super) fn read(&mut self, text: &str) -> Decoded<()> {
        let document = crate::goyaml::first(text)?;
        let map = match &document {
            Tree::Null => return Ok(()),
            Tree::Object(map) => map,
            other => {
                return Err(format!(
                    "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type chart.Metadata",
                    json_kind(other)
                ));
            }
        };
        self.decode(map).map_err(|error| format!("error unmarshaling JSON: while decoding JSON: {error}"))
    }

    fn decode(&mut self, map: &api::Map) -> Decoded<()> {
        let decoder = Decoder { name: "Metadata", map };
        macro_rules! texts {
            ($($field:ident $key:literal),*) => {
                $(if decoder.get($key).is_some() { self.$field = decoder.text($key)?; })*
            };
        }
        texts!(
            name "name", home "home", version "version", description "description", icon "icon",
            api_version "apiVersion", condition "condition", tags "tags", app_version "appVersion",
            kube_version "kubeVersion", kind "type"
        );
        if decoder.get("sources").is_some() {
            self.sources = decoder.texts("sources")?;
        }
        if decoder.get("keywords").is_some() {
            self.keywords = decoder.texts("keywords")?;
        }
        if decoder.get("deprecated").is_some() {
            self.deprecated = decoder.flag("deprecated")?;
        }
        if decoder.get("annotations").is_some() {
            self.annotations = decoder.map_of_texts("annotations")?;
        }
        if let Some(items) = decoder.list("maintainers", "[]*chart.Maintainer")? {
            self.maintainers = items.iter().map(maintainer).collect::<Decoded<_>>()?;
        }
        if let Some(items) = decoder.list("dependencies", "[]*chart.Dependency")? {
            self.dependencies = Some(items.iter().map(dependency).collect::<Decoded<_>>()?);
        }
        Ok(())
    }

    /// Checks and cleans, as upstream does when it loads a chart.
    pub(super) fn validate(&mut self) -> Decoded<()> {
        let fault = |text: String| Err(format!("validation: {text}"));
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            sanitize(text);
        }
        self.sources.iter_mut().chain(&mut self.keywords).for_each(sanitize);
        let shown = |text: &str| quote::quote(text.as_bytes());
        if self.api_version.is_empty() {
            return fault("chart.metadata.apiVersion is required".into());
        }
        if self.name.is_empty() {
            return fault("chart.metadata.name is required".into());
        }
        if self.name == "." || self.name == ".." {
            return fault(format!("chart.metadata.name {} is not allowed", shown(&self.name)));
        }
        if path::base(&self.name) != self.name {
            return fault(format!("chart.metadata.name {} is invalid", shown(&self.name)));
        }
        if self.version.is_empty() {
            return fault("chart.metadata.version is required".into());
        }
        if semver::parse(&self.version).is_err() {
            return fault(format!("chart.metadata.version {} is invalid", shown(&self.version)));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return fault("chart.metadata.type must be application or library".into());
        }
        for maintainer in &mut self.maintainers {
            let Some(maintainer) = maintainer else {
                return fault("maintainers must not contain empty or null nodes".into());
            };
            [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url].into_iter().for_each(sanitize);
        }
        static ALIAS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new("^[a-zA-Z0-9_-]+$").expect("because the pattern is constant"));
        let mut names: Vec<String> = Vec::new();
        for dependency in self.dependencies.iter_mut().flatten() {
            let Some(dependency) = dependency else {
                return fault("dependencies must not contain empty or null nodes".into());
            };
            for text in [
                &mut dependency.name,
                &mut dependency.version,
                &mut dependency.repository,
                &mut dependency.condition,
            ] {
                sanitize(text);
            }
            dependency.tags.iter_mut().for_each(sanitize);
            if !dependency.alias.is_empty() && !ALIAS.is_match(&dependency.alias) {
                return fault(format!(
                    "dependency {} has disallowed characters in the alias",
                    shown(&dependency.name)
                ));
            }
            let key = if dependency.alias.is_empty() { &dependency.name } else { &dependency.alias };
            if names.contains(key) {
                return fault(format!("more than one dependency with name or alias {}", shown(key)));
            }
            names.push(key.clone());
        }
        Ok(())
    }

    pub(super) fn dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().flatten().flatten()
    }

    /// `.Chart`.
    pub(super) fn value(&self, root: bool) -> Value {
        let texts = |items: &[String]| {
            if items.is_empty() {
                Value::List(List { ty: ListType::Strings, items: None })
            } else {
                Value::strings(items.iter().map(String::as_str))
            }
        };
        let pointers = |name: &'static str, items: Option<Vec<Value>>| match items {
            Some(items) => Value::List(List::new(ListType::Pointers(name), items)),
            None => Value::List(List { ty: ListType::Pointers(name), items: None }),
        };
        let maintainers = self.maintainers.iter().flatten().map(|one| {
            pointer(
                &MAINTAINER,
                vec![one.name.as_str().into(), one.email.as_str().into(), one.url.as_str().into()],
            )
        });
        let maintainers: Vec<Value> = maintainers.collect();
        let dependencies = self.dependencies.as_ref().map(|_| {
            let values = self.dependencies().map(|one| {
                let imports = if one.import_values.is_empty() {
                    Value::nil_list()
                } else {
                    Value::list(one.import_values.clone())
                };
                let fields = vec![
                    one.name.as_str().into(),
                    one.version.as_str().into(),
                    one.repository.as_str().into(),
                    one.condition.as_str().into(),
                    texts(&one.tags),
                    Value::Bool(one.enabled),
                    imports,
                    one.alias.as_str().into(),
                ];
                pointer(&DEPENDENCY, fields)
            });
            values.collect()
        });
        let annotations = match &self.annotations {
            None => Map::nil(MapType::Strings),
            Some(pairs) => Map::of(
                MapType::Strings,
                pairs.iter().map(|(key, value)| (Str::from(key.as_str()), value.as_str().into())).collect(),
            ),
        };
        let fields = vec![
            self.name.as_str().into(),
            self.home.as_str().into(),
            texts(&self.sources),
            self.version.as_str().into(),
            self.description.as_str().into(),
            texts(&self.keywords),
            pointers("chart.Maintainer", (!maintainers.is_empty()).then_some(maintainers)),
            self.icon.as_str().into(),
            self.api_version.as_str().into(),
            self.condition.as_str().into(),
            self.tags.as_str().into(),
            self.app_version.as_str().into(),
            Value::Bool(self.deprecated),
            Value::Map(annotations),
            self.kube_version.as_str().into(),
            pointers("chart.Dependency", dependencies),
            self.kind.as_str().into(),
        ];
        let inner = Value::Struct(Rc::new(Struct { ty: &METADATA, pointer: false, fields }));
        let fields = vec![inner, Value::Bool(root)];
        Value::Struct(Rc::new(Struct { ty: &CHART, pointer: false, fields }))
    }
}

fn pointer(ty: &'static StructType, fields: Vec<Value>) -> Value {
    Value::Struct(Rc::new(Struct { ty, pointer: true, fields }))
}

fn maintainer(tree: &Tree) -> Decoded<Option<Maintainer>> {
    let map = match tree {
        Tree::Null => return Ok(None),
        Tree::Object(map) => map,
        other => {
            return Err(format!(
                "json: cannot unmarshal {} into Go struct field Metadata.maintainers of type chart.Maintainer",
                json_kind(other)
            ));
        }
    };
    let decoder = Decoder { name: "Maintainer", map };
    Ok(Some(Maintainer {
        name: decoder.text("name")?,
        email: decoder.text("email")?,
        url: decoder.text("url")?,
    }))
}

fn dependency(tree: &Tree) -> Decoded<Option<Dependency>> {
    let map = match tree {
        Tree::Null => return Ok(None),
        Tree::Object(map) => map,
        other => {
            return Err(format!(
                "json: cannot unmarshal {} into Go struct field Metadata.dependencies of type chart.Dependency",
                json_kind(other)
            ));
        }
    };
    let decoder = Decoder { name: "Dependency", map };
    let imports = decoder.list("import-values", "[]interface {}")?.unwrap_or_default();
    Ok(Some(Dependency {
        name: decoder.text("name")?,
        version: decoder.text("version")?,
        repository: decoder.text("repository")?,
        condition: decoder.text("condition")?,
        tags: decoder.texts("tags")?,
        enabled: decoder.flag("enabled")?,
        import_values: imports.iter().map(crate::sprig::yaml::from_tree).collect(),
        alias: decoder.text("alias")?,
    }))
}

/// Every space a blank, and nothing that cannot be printed.
fn sanitize(value: &mut String) {
    let clean = value.chars().filter_map(|char| {
        if text::is_space(char) {
            return Some(' ');
        }
        text::is_print(char).then_some(char)
    });
    *value = clean.collect();
}

const fn field(go: &'static str, json: &'static str) -> Field {
    Field { go, json, omit: true }
}

static MAINTAINER: StructType = StructType {
    name: "chart.Maintainer",
    embeds: false,
    fields: &[field("Name", "name"), field("Email", "email"), field("URL", "url")],
};

static DEPENDENCY: StructType = StructType {
    name: "chart.Dependency",
    embeds: false,
    fields: &[
        Field { go: "Name", json: "name", omit: false },
        field("Version", "version"),
        Field { go: "Repository", json: "repository", omit: false },
        field("Condition", "condition"),
        field("Tags", "tags"),
        field("Enabled", "enabled"),
        field("ImportValues", "import-values"),
        field("Alias", "alias"),
    ],
};

static METADATA: StructType = StructType {
    name: "chart.Metadata",
    embeds: false,
    fields: &[
        field("Name", "name"),
        field("Home", "home"),
        field("Sources", "sources"),
        field("Version", "version"),
        field("Description", "description"),
        field("Keywords", "keywords"),
        field("Maintainers", "maintainers"),
        field("Icon", "icon"),
        field("APIVersion", "apiVersion"),
        field("Condition", "condition"),
        field("Tags", "tags"),
        field("AppVersion", "appVersion"),
        field("Deprecated", "deprecated"),
        field("Annotations", "annotations"),
        field("KubeVersion", "kubeVersion"),
        field("Dependencies", "dependencies"),
        field("Type", "type"),
    ],
};

static CHART: StructType = StructType {
    name: "struct { chart.Metadata; IsRoot bool }",
    embeds: true,
    fields: &[
        Field { go: "Metadata", json: "Metadata", omit: false },
        Field { go: "IsRoot", json: "IsRoot", omit: false },
    ],
};
