//! What Kustomize knows of kinds: which lists are merged by which keys, and which kinds have no namespace.
//!
//! Built in is what its own copy of Kubernetes v1.21.2 says (`facts/kyaml.tsv`), not what this program serves: the same
//! patch must give the same bytes. A kustomization's `openapi.path` replaces the lists, as upstream.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::LazyLock;

use api::Value;

struct Facts {
    /// By type and field.
    fields: HashMap<(&'static str, &'static str), Field>,
    kinds: HashMap<(&'static str, &'static str), &'static str>,
    scopes: HashMap<(&'static str, &'static str), bool>,
    types: HashSet<&'static str>,
}

struct Field {
    owner: &'static str,
    name: &'static str,
    /// `[]` and `{}` for each list and map around the type below.
    shape: &'static str,
    below: &'static str,
    merged: bool,
    keys: Vec<&'static str>,
}

static FACTS: LazyLock<Facts> = LazyLock::new(|| {
    let mut facts = Facts {
        fields: HashMap::new(),
        kinds: HashMap::new(),
        scopes: HashMap::new(),
        types: HashSet::new(),
    };
    for row in include_str!("../../facts/kyaml.tsv").lines() {
        let cells: Vec<&str> = row.split('\t').collect();
        match cells.as_slice() {
            ["field", owner, name, shape, below, strategy, keys] => {
                let keys = keys.split(',').filter(|key| !key.is_empty()).collect();
                facts.types.insert(owner);
                let merged = strategy.split(',').any(|one| one == "merge");
                facts.fields.insert((owner, name), Field { owner, name, shape, below, merged, keys });
            }
            ["kind", version, kind, of] => drop(facts.kinds.insert((version, kind), of)),
            ["scope", version, kind, namespaced] => {
                facts.scopes.insert((version, kind), *namespaced == "1");
            }
            _ => {}
        }
    }
    facts
});

/// Whether a kind is known to have no namespace; unknown kinds have one.
pub(super) fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    FACTS.scopes.get(&(api_version, kind)) == Some(&false)
}

/// Whether the built-in schema knows if a kind has a namespace.
pub(super) fn has_scope(api_version: &str, kind: &str) -> bool {
    FACTS.scopes.contains_key(&(api_version, kind))
}

/// Where the shapes of objects come from.
#[derive(Clone, Debug, Default)]
pub(super) enum Source {
    #[default]
    BuiltIn,
    Custom(Rc<Definitions>),
}

/// The definitions of an OpenAPI document, and which of them are kinds.
#[derive(Debug)]
pub(super) struct Definitions {
    by_name: BTreeMap<String, Value>,
    by_kind: BTreeMap<(String, String), String>,
    /// Types that are built in are taken from there.
    with_built_in: bool,
}

impl Source {
    /// From an OpenAPI v2 document, alone or before the built-in schema.
    pub fn custom(document: &Value, with_built_in: bool) -> Source {
        let mut all = Definitions { by_name: BTreeMap::new(), by_kind: BTreeMap::new(), with_built_in };
        for (name, definition) in
            document.get("definitions").and_then(Value::as_map).into_iter().flat_map(|map| map.iter())
        {
            let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            for kind in kinds.unwrap_or_default() {
                let (group, version) = (kind.str_at(&["group"]), kind.str_at(&["version"]));
                let version = if group.is_empty() { version.into() } else { format!("{group}/{version}") };
                all.by_kind.insert((version, kind.str_at(&["kind"]).into()), name.to_string());
            }
            all.by_name.insert(name.to_string(), definition.clone());
        }
        Source::Custom(Rc::new(all))
    }

    /// The shape of a kind; `None` if it is not known.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<Shape> {
        match self {
            Source::BuiltIn => FACTS.kinds.get(&(api_version, kind)).map(|of| Shape::Type(of)),
            Source::Custom(all) if all.with_built_in && FACTS.kinds.contains_key(&(api_version, kind)) => {
                Source::BuiltIn.kind(api_version, kind)
            }
            Source::Custom(all) => {
                let name = all.by_kind.get(&(api_version.to_string(), kind.to_string()))?;
                Some(Shape::Custom(Rc::clone(all), Rc::new(all.by_name.get(name)?.clone())))
            }
        }
    }
}

/// The shape of one value.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Type(&'static str),
    /// A field of a type, behind so many lists or maps of its shape.
    Field(&'static str, &'static str, usize),
    /// Known, and without any list that is merged.
    Plain,
    Custom(Rc<Definitions>, Rc<Value>),
}

impl Shape {
    /// `None`: nothing is known of the field.
    pub fn field(&self, name: &str) -> Option<Shape> {
        match self {
            Shape::Type(of) => {
                let Some(field) = FACTS.fields.get(&(*of, name)) else {
                    return Some(Shape::Plain);
                };
                Some(if field.shape.is_empty() {
                    Shape::type_or_plain(field.below)
                } else {
                    Shape::Field(field.owner, field.name, 0)
                })
            }
            Shape::Field(..) => Some(self.inside("{}")),
            Shape::Plain => Some(Shape::Plain),
            Shape::Custom(all, node) => {
                let found = node
                    .at(&["properties", name])
                    .or_else(|| node.get("additionalProperties").filter(|more| more.as_map().is_some()))?;
                Some(Shape::resolved(all, found))
            }
        }
    }

    /// What the elements of a list are.
    pub fn elements(&self) -> Option<Shape> {
        match self {
            Shape::Type(_) | Shape::Plain => Some(Shape::Plain),
            Shape::Field(..) => Some(self.inside("[]")),
            Shape::Custom(all, node) => (node.str_at(&["type"]) == "array")
                .then(|| node.get("items"))?
                .map(|items| Shape::resolved(all, items)),
        }
    }

    fn type_or_plain(of: &'static str) -> Shape {
        if of.is_empty() { Shape::Plain } else { Shape::Type(of) }
    }

    fn inside(&self, mark: &str) -> Shape {
        let Shape::Field(owner, name, depth) = self else { return Shape::Plain };
        let field = &FACTS.fields[&(*owner, *name)];
        match field.shape.get(depth * 2..) {
            Some(rest) if rest == mark => Shape::type_or_plain(field.below),
            Some(rest) if rest.starts_with(mark) => Shape::Field(owner, name, depth + 1),
            _ => Shape::Plain,
        }
    }

    fn resolved(all: &Rc<Definitions>, node: &Value) -> Shape {
        let mut node = node;
        // A reference to a reference ends somewhere, or it is a cycle that says nothing.
        for _ in 0..32 {
            let Some(name) = node.get("$ref").and_then(Value::as_str) else { break };
            let name = name.trim_start_matches("#/definitions/");
            if all.with_built_in {
                let short =
                    name.trim_start_matches("io.k8s.api.").trim_start_matches("io.k8s.apimachinery.pkg.");
                if let Some(of) = FACTS.types.get(short) {
                    return Shape::Type(of);
                }
            }
            match all.by_name.get(name) {
                Some(found) => node = found,
                None => break,
            }
        }
        Shape::Custom(Rc::clone(all), Rc::new(node.clone()))
    }

    /// Whether a list is merged, and by which keys (none: as a set of scalars).
    pub fn merged_by(&self) -> Option<Vec<String>> {
        match self {
            Shape::Field(owner, name, 0) => {
                let field = &FACTS.fields[&(*owner, *name)];
                field.merged.then(|| field.keys.iter().map(ToString::to_string).collect())
            }
            Shape::Custom(_, node) => {
                let strategy = node.str_at(&["x-kubernetes-patch-strategy"]);
                if !strategy.split(',').any(|one| one == "merge") {
                    return None;
                }
                let text = |value: &Value| value.as_str().map(ToString::to_string);
                if let Some(keys) = node.get("x-kubernetes-list-map-keys").and_then(Value::as_array) {
                    return Some(keys.iter().filter_map(text).collect());
                }
                Some(node.get("x-kubernetes-patch-merge-key").and_then(text).into_iter().collect())
            }
            _ => None,
        }
    }
}
