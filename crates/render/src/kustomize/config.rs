//! Where transformers write and which fields name other objects: upstream's defaults (`facts/*.tsv`), and what
//! `configurations` and `crds` add to them on the way up from the bases.

use std::sync::LazyLock;

use api::Value;

use super::file::FieldSpec;

/// The field specs of each transformer, and the name references.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Config {
    pub name_prefix: Vec<FieldSpec>,
    pub name_suffix: Vec<FieldSpec>,
    pub namespace: Vec<FieldSpec>,
    pub common_labels: Vec<FieldSpec>,
    pub labels: Vec<FieldSpec>,
    pub template_labels: Vec<FieldSpec>,
    pub common_annotations: Vec<FieldSpec>,
    pub name_reference: Vec<Reference>,
    pub var_reference: Vec<FieldSpec>,
    pub images: Vec<FieldSpec>,
    pub replicas: Vec<FieldSpec>,
}

/// A kind that others name, and the fields in which they do.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Reference {
    pub group: String,
    pub version: String,
    pub kind: String,
    #[serde(rename = "fieldSpecs")]
    pub fields: Vec<FieldSpec>,
}

static DEFAULTS: LazyLock<Config> = LazyLock::new(|| {
    let mut all = Config::default();
    for row in include_str!("../../facts/fields.tsv").lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [name, group, version, kind, create, path] = cells[..] else { continue };
        let spec = FieldSpec {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            path: path.into(),
            create: create == "1",
        };
        if let Some((_, list)) = all.lists().into_iter().find(|(list, _)| *list == name) {
            list.push(spec);
        }
    }
    for row in include_str!("../../facts/name-references.tsv").lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [group, version, kind, of_group, of_version, of_kind, path] = cells[..] else { continue };
        let field = FieldSpec {
            group: of_group.into(),
            version: of_version.into(),
            kind: of_kind.into(),
            path: path.into(),
            create: false,
        };
        let same = |one: &&mut Reference| one.group == group && one.version == version && one.kind == kind;
        match all.name_reference.iter_mut().find(same) {
            Some(found) => found.fields.push(field),
            None => all.name_reference.push(Reference {
                group: group.into(),
                version: version.into(),
                kind: kind.into(),
                fields: vec![field],
            }),
        }
    }
    all.sort();
    all
});

impl Config {
    pub fn defaults() -> &'static Config {
        &DEFAULTS
    }

    fn lists(&mut self) -> [(&'static str, &mut Vec<FieldSpec>); 10] {
        [
            ("namePrefix", &mut self.name_prefix),
            ("nameSuffix", &mut self.name_suffix),
            ("namespace", &mut self.namespace),
            ("commonLabels", &mut self.common_labels),
            ("labels", &mut self.labels),
            ("templateLabels", &mut self.template_labels),
            ("commonAnnotations", &mut self.common_annotations),
            ("varReference", &mut self.var_reference),
            ("images", &mut self.images),
            ("replicas", &mut self.replicas),
        ]
    }

    /// From the value of a file of `configurations`.
    pub fn read(value: Value) -> Result<Config, String> {
        match value {
            Value::Null => Ok(Config::default()),
            value => super::file::decode(value),
        }
    }

    /// Adds what is new; the same field with another `create` is a conflict. Sorted by kind afterwards, as upstream:
    /// the order decides which of two overlapping field specs is left out by a later merge.
    pub fn merge(&mut self, mut other: Config) -> Result<(), String> {
        for ((name, own), (_, more)) in self.lists().into_iter().zip(other.lists()) {
            merge_all(own, std::mem::take(more))
                .map_err(|text| format!("failed to merge {name} fieldSpec: {text}"))?;
        }
        for reference in other.name_reference {
            let same = |one: &&mut Reference| {
                one.group == reference.group && one.version == reference.version && one.kind == reference.kind
            };
            match self.name_reference.iter_mut().find(same) {
                Some(found) => merge_all(&mut found.fields, reference.fields)?,
                None => self.name_reference.push(reference),
            }
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        for (_, list) in self.lists() {
            list.sort_by_cached_key(|spec| rank(&spec.group, &spec.version, &spec.kind));
        }
        self.name_reference.sort_by_cached_key(|one| rank(&one.group, &one.version, &one.kind));
    }
}

/// Upstream's order of kinds.
fn rank(group: &str, version: &str, kind: &str) -> (i64, String) {
    let or = |text: &str, none: &str| if text.is_empty() { none.to_string() } else { text.to_string() };
    (super::order::rank(kind), format!("{}_{}_{}", or(group, "~G"), or(version, "~V"), or(kind, "~K")))
}

/// The configuration of one layer while it comes together.
#[derive(Clone, Debug, Default)]
pub(super) enum Merged {
    #[default]
    Empty,
    /// Upstream's defaults, once merged into nothing.
    Defaults,
    Own(Box<Config>),
}

impl Merged {
    /// Adds the defaults and what this layer says itself (`None`: nothing).
    pub fn add_own(&mut self, own: Option<Config>) -> Result<(), String> {
        let Some(own) = own else { return self.add(Merged::Defaults) };
        let mut config = Config::defaults().clone();
        config.merge(own)?;
        self.add(Merged::Own(Box::new(config)))
    }

    pub fn add(&mut self, other: Merged) -> Result<(), String> {
        *self = match (std::mem::take(self), other) {
            (Merged::Empty, Merged::Own(config)) => {
                let mut all = Config::default();
                all.merge(*config)?;
                Merged::Own(Box::new(all))
            }
            (Merged::Empty, other) => other,
            (own, Merged::Empty) | (own @ Merged::Defaults, Merged::Defaults) => own,
            (own, other) => {
                let mut all = own.config().clone();
                all.merge(other.config().clone())?;
                Merged::Own(Box::new(all))
            }
        };
        Ok(())
    }

    pub fn config(&self) -> &Config {
        match self {
            Merged::Own(config) => config,
            _ => Config::defaults(),
        }
    }
}

/// Adds field specs; one that is there already, or is covered by a wider one, is left out.
pub(super) fn merge_all(own: &mut Vec<FieldSpec>, more: Vec<FieldSpec>) -> Result<(), String> {
    more.into_iter().try_for_each(|spec| merge_one(own, spec))
}

pub(super) fn merge_one(own: &mut Vec<FieldSpec>, spec: FieldSpec) -> Result<(), String> {
    let covers = |one: &&FieldSpec| {
        let selected = |text: &str, by: &str| by.is_empty() || text == by;
        one.path == spec.path
            && selected(&one.group, &spec.group)
            && selected(&one.version, &spec.version)
            && selected(&one.kind, &spec.kind)
    };
    match own.iter().find(covers) {
        Some(found) if found.create != spec.create => Err("conflicting fieldspecs".into()),
        Some(_) => Ok(()),
        None => {
            own.push(spec);
            Ok(())
        }
    }
}

/// What the OpenAPI definitions of a file of `crds` say: their `x-kubernetes-*` marks on the way from each kind.
pub(super) fn from_definitions(definitions: &Value) -> Result<Config, String> {
    let mut config = Config::default();
    let Some(map) = definitions.as_map() else { return Ok(config) };
    for (name, definition) in map.iter() {
        let is_kind = ["kind", "apiVersion", "metadata"].iter().all(|field| {
            definition
                .at(&["Schema", "properties", field])
                .or(definition.at(&["schema", "properties", field]))
                .is_some()
        });
        if is_kind {
            let kind = name.rsplit('.').next().unwrap_or_default();
            follow(&mut config, kind, definitions, name, &mut Vec::new(), 0)?;
        }
    }
    Ok(config)
}

fn follow(
    config: &mut Config,
    kind: &str,
    all: &Value,
    name: &str,
    path: &mut Vec<String>,
    depth: usize,
) -> Result<(), String> {
    const DEPTH: usize = 32;
    let schema = all.get(name).and_then(|one| one.get("Schema").or(one.get("schema")));
    let Some(properties) = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_map) else {
        return Ok(());
    };
    if depth > DEPTH {
        return Err(format!("the definition {name} refers to itself"));
    }
    for (field, property) in properties.iter() {
        path.push(field.to_string());
        let spec =
            |path: &[String]| FieldSpec { kind: kind.into(), path: path.join("/"), ..FieldSpec::default() };
        let mark = |mark: &str| property.get(mark).and_then(Value::as_str);
        if mark("x-kubernetes-annotation").is_some() {
            merge_one(&mut config.common_annotations, spec(path))?;
        }
        if mark("x-kubernetes-label-selector").is_some() {
            merge_one(&mut config.common_labels, spec(path))?;
        }
        if mark("x-kubernetes-identity").is_some() {
            merge_one(&mut config.name_prefix, spec(path))?;
        }
        if let (Some(version), Some(target)) =
            (mark("x-kubernetes-object-ref-api-version"), mark("x-kubernetes-object-ref-kind"))
        {
            path.push(mark("x-kubernetes-object-ref-name-key").unwrap_or("name").into());
            let reference = Reference {
                version: version.into(),
                kind: target.into(),
                fields: vec![spec(path)],
                ..Reference::default()
            };
            path.pop();
            config.merge(Config { name_reference: vec![reference], ..Config::default() })?;
        }
        if let Some(below) = mark("$ref") {
            follow(config, kind, all, below, path, depth + 1)?;
        }
        path.pop();
    }
    Ok(())
}
