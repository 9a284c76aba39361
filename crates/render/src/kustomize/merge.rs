//! Strategic merge as kyaml's merge2 does it: a walk over object and patch at once, also where the patch says nothing.
//!
//! The nodes lie in an arena because upstream's walk changes elements in place while it also holds them in other lists,
//! and what comes out depends on that. Not done: schemas in comments (`# {"$ref": …}`).

use std::collections::HashSet;

use api::{Map, Value};
use smol_str::SmolStr;

use super::scalar::text;
use super::schema::{Shape, Source};

type Id = usize;

#[derive(Clone, Debug)]
enum Node {
    Scalar(Value),
    Map(Vec<(SmolStr, Id)>),
    List(Vec<Id>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    None,
    Scalar,
    Map,
    List,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Merges `patch` into `object`; `None`: the patch deletes it. Of `unwritten` are the object's fields without any value.
pub(super) fn merge(
    object: &Value,
    unwritten: &[Vec<String>],
    patch: &Value,
    source: &Source,
) -> Result<Option<Value>, String> {
    let mut walk = Walk { nodes: Vec::new(), unwritten: HashSet::new(), source };
    let (to, from) = (walk.load(object), walk.load(patch));
    for place in unwritten {
        let found = place.iter().try_fold(to, |id, name| walk.child(id, name));
        walk.unwritten.extend(found.filter(|id| walk.is_null(*id)));
    }
    let merged = walk.walk([Some(to), Some(from)], None)?;
    Ok(merged.map(|id| walk.unload(id)))
}

const DIRECTIVE: &str = "$patch";

struct Walk<'a> {
    nodes: Vec<Node>,
    /// Nulls of the object that are no text at all.
    unwritten: HashSet<Id>,
    source: &'a Source,
}

impl Walk<'_> {
    fn load(&mut self, value: &Value) -> Id {
        let node = match value {
            Value::Object(map) => {
                Node::Map(map.iter().map(|(key, value)| (key.clone(), self.load(value))).collect())
            }
            Value::Array(items) => Node::List(items.iter().map(|item| self.load(item)).collect()),
            scalar => Node::Scalar(scalar.clone()),
        };
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn unload(&self, id: Id) -> Value {
        match &self.nodes[id] {
            Node::Scalar(value) => value.clone(),
            Node::Map(fields) => {
                let mut map = Map::with_capacity(fields.len());
                for (key, value) in fields {
                    map.push_unchecked(key.clone(), self.unload(*value));
                }
                Value::Object(map)
            }
            Node::List(items) => Value::Array(items.iter().map(|item| self.unload(*item)).collect()),
        }
    }

    fn is_null(&self, id: Id) -> bool {
        matches!(self.nodes[id], Node::Scalar(Value::Null))
    }

    /// Missing, or null.
    fn is_nothing(&self, id: Option<Id>) -> bool {
        id.is_none_or(|id| self.is_null(id))
    }

    fn form(&self, id: Option<Id>) -> Form {
        match id.filter(|id| !self.is_null(*id)).map(|id| &self.nodes[id]) {
            None => Form::None,
            Some(Node::Scalar(_)) => Form::Scalar,
            Some(Node::Map(_)) => Form::Map,
            Some(Node::List(_)) => Form::List,
        }
    }

    fn field(&self, id: Id, key: &str) -> Option<Id> {
        match &self.nodes[id] {
            Node::Map(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| *value),
            _ => None,
        }
    }

    fn child(&self, id: Id, name: &str) -> Option<Id> {
        match &self.nodes[id] {
            Node::List(items) => items.get(name.parse::<usize>().ok()?).copied(),
            _ => self.field(id, name),
        }
    }

    /// A scalar's text; "" for everything else.
    fn text(&self, id: Option<Id>) -> String {
        match id.map(|id| &self.nodes[id]) {
            Some(Node::Scalar(value)) => text(value).unwrap_or_default(),
            _ => String::new(),
        }
    }

    fn walk(&mut self, both: [Option<Id>; 2], shape: Option<Shape>) -> Result<Option<Id>, String> {
        let shape = shape.or_else(|| self.shape_of(both));
        let form = match self.form(both[0]) {
            Form::None => self.form(both[1]),
            form => form,
        };
        for id in both {
            let other = self.form(id);
            if other != Form::None && other != form {
                let wanted = match form {
                    Form::Map => "MappingNode",
                    Form::List => "SequenceNode",
                    _ => "ScalarNode",
                };
                let shown = id.map(|id| self.unload(id).to_string()).unwrap_or_default();
                return Err(format!(
                    "wrong node kind: expected {wanted} but got {}: node contents:\n{shown}\n",
                    kind_name(other)
                ));
            }
        }
        match form {
            Form::Map | Form::None => self.map(both, shape),
            Form::Scalar => Ok(both[1].or(both[0])),
            Form::List => match shape.as_ref().and_then(Shape::merged_by) {
                Some(keys) => self.list(both, shape.as_ref(), &keys),
                None => Ok(both[1].or(both[0])),
            },
        }
    }

    /// An object within an object is known by its own kind.
    fn shape_of(&self, both: [Option<Id>; 2]) -> Option<Shape> {
        both.into_iter().flatten().find_map(|id| {
            let (version, kind) =
                (self.text(self.field(id, "apiVersion")), self.text(self.field(id, "kind")));
            self.source.kind(&version, &kind)
        })
    }

    fn map(&mut self, both: [Option<Id>; 2], shape: Option<Shape>) -> Result<Option<Id>, String> {
        let [to, from] = both;
        let chosen = if self.is_nothing(to) {
            match from {
                Some(from) if self.form(Some(from)) == Form::Map => {
                    if self.directive(from).is_ok_and(|found| found == Directive::Delete) {
                        return Ok(None);
                    }
                    from
                }
                // A null that was written in the object stays, if the patch does not speak of it.
                None => return Ok(to.filter(|to| !self.unwritten.contains(to))),
                Some(_) => return Ok(None),
            }
        } else {
            match self.chosen(to.expect("because it is something"), from)? {
                Some(chosen) => chosen,
                None => return Ok(None),
            }
        };
        let sources = [Some(chosen), from];
        let mut names: Vec<SmolStr> = Vec::new();
        for id in sources.into_iter().flatten() {
            if let Node::Map(fields) = &self.nodes[id] {
                names.extend(fields.iter().map(|(name, _)| name.clone()));
            }
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            let below = shape.as_ref().and_then(|shape| shape.field(&name));
            let values = sources.map(|id| id.and_then(|id| self.field(id, &name)));
            let kept = self.is_nothing(values[0]) && values[0].is_some() && values[1].is_none();
            let value = self.walk(values, below)?;
            let value = value.filter(|value| kept || !self.is_null(*value));
            self.set(chosen, &name, value);
        }
        Ok(Some(chosen))
    }

    fn set(&mut self, map: Id, name: &str, value: Option<Id>) {
        if let Some(value) = value
            && let Some(old) = self.field(map, name)
        {
            // Upstream writes into the field's node, which other lists may hold too.
            if old != value {
                self.nodes[old] = self.nodes[value].clone();
            }
            return;
        }
        if let Node::Map(fields) = &mut self.nodes[map] {
            match value {
                Some(value) => fields.push((name.into(), value)),
                None => fields.retain(|(key, _)| key != name),
            }
        }
    }

    /// Which of an object's value and its patch is gone on with; `None`: the value goes.
    fn chosen(&mut self, to: Id, from: Option<Id>) -> Result<Option<Id>, String> {
        let Some(from) = from else { return Ok(Some(to)) };
        if self.is_null(from) {
            return Ok(None);
        }
        Ok(match self.directive(from)? {
            Directive::Delete => None,
            Directive::Replace => Some(from),
            Directive::Merge => Some(to),
        })
    }

    /// What a patch says of itself, which is taken out of it.
    fn directive(&mut self, patch: Id) -> Result<Directive, String> {
        let found = match &self.nodes[patch] {
            Node::Map(_) => match self.field(patch, DIRECTIVE) {
                Some(value) => self.text(Some(value)),
                None => return Ok(Directive::Merge),
            },
            Node::List(items) => {
                let found = items.iter().find_map(|item| Some((*item, self.field(*item, DIRECTIVE)?)));
                match found {
                    Some((item, value)) if matches!(&self.nodes[item], Node::Map(fields) if fields.len() == 1) => {
                        self.text(Some(value))
                    }
                    _ => return Ok(Directive::Merge),
                }
            }
            Node::Scalar(value) => {
                return Err(format!("no implemented strategic merge patch strategy for '{value}'"));
            }
        };
        let directive = match found.as_str() {
            "merge" => Directive::Merge,
            "replace" => Directive::Replace,
            "delete" => Directive::Delete,
            _ => return Err(format!("unknown patch strategy '{found}'")),
        };
        if let Node::Map(fields) = &mut self.nodes[patch] {
            fields.retain(|(key, _)| key != DIRECTIVE);
        } else {
            self.put(patch, &[DIRECTIVE.to_string()], &[found], None);
        }
        Ok(directive)
    }

    fn list(
        &mut self,
        both: [Option<Id>; 2],
        shape: Option<&Shape>,
        keys: &[String],
    ) -> Result<Option<Id>, String> {
        let [to, from] = both;
        let chosen = if self.is_nothing(to) {
            match from {
                Some(from) if !self.is_null(from) => from,
                _ => return Ok(None),
            }
        } else {
            match self.chosen(to.expect("because it is something"), from)? {
                Some(chosen) => chosen,
                None => return Ok(None),
            }
        };
        let sources = [Some(chosen), from];
        let scalars = keys.is_empty();
        let keys: Vec<String> = if scalars { vec![String::new()] } else { keys.to_vec() };
        // The patch's elements go first.
        let mut values: Vec<Vec<String>> = Vec::new();
        for id in [sources[1], sources[0]].into_iter().flatten() {
            for item in self.items(id) {
                let value: Vec<String> = if scalars {
                    vec![self.text(Some(item))]
                } else {
                    keys.iter().map(|key| self.text(self.field(item, key))).collect()
                };
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        self.elements(sources, values, &keys, chosen, shape.and_then(Shape::elements))
    }

    fn items(&self, id: Id) -> Vec<Id> {
        match &self.nodes[id] {
            Node::List(items) => items.clone(),
            _ => Vec::new(),
        }
    }

    fn elements(
        &mut self,
        sources: [Option<Id>; 2],
        mut values: Vec<Vec<String>>,
        keys: &[String],
        to: Id,
        shape: Option<Shape>,
    ) -> Result<Option<Id>, String> {
        let added = self.add(Node::List(Vec::new()));
        if keys.len() > 1 {
            fill_in(&mut values);
        }
        let mut used: Vec<String> = Vec::new();
        for value in &values {
            let (valid, wanted) = valid_keys(&values, value, keys);
            used.clone_from(&valid);
            let (own, own_values) = valid_keys(std::slice::from_ref(&wanted), &wanted, &valid);
            let elements = sources.map(|id| id.and_then(|id| self.element(id, &own, &own_values)));
            let merged = self.walk(elements, shape.clone())?;
            let empty =
                |walk: &Self, id: Id| matches!(&walk.nodes[id], Node::Map(fields) if fields.is_empty());
            let Some(merged) = merged.filter(|id| !self.is_null(*id) && !empty(self, *id)) else {
                for _ in &valid {
                    self.put(to, &valid, &wanted, None);
                }
                continue;
            };
            for (key, text) in valid.iter().zip(&wanted) {
                if !key.is_empty() && self.field(merged, key).is_none() && !text.is_empty() {
                    let node = self.add(Node::Scalar(super::scalar::untagged(text)));
                    self.set(merged, key, Some(node));
                }
            }
            self.put(added, &valid, &wanted, Some(merged));
        }
        if !values.is_empty() {
            self.append(added, to, &used);
            return Ok(Some(added).filter(|id| !self.is_null(*id)));
        }
        Ok(Some(to))
    }

    /// Puts the elements of `from` behind those of `to`, over the ones with the same keys.
    fn append(&mut self, to: Id, from: Id, keys: &[String]) {
        for item in self.items(from) {
            if keys.first().is_none_or(String::is_empty) {
                let text = self.text(Some(item));
                self.put(to, &[String::new()], &[text], Some(item));
                continue;
            }
            let mut values = Vec::new();
            for key in keys {
                match self.field(item, key) {
                    Some(value) => values.push(self.text(Some(value))),
                    // Without the key it is an element of its own.
                    None => {
                        if let Node::List(items) = &mut self.nodes[to] {
                            items.push(item);
                        }
                    }
                }
            }
            if keys.len() > 1 {
                self.put(to, keys, &values, None);
            }
            self.put(to, keys, &values, Some(item));
        }
    }

    fn matches(&self, item: Id, key: &str, value: &str) -> bool {
        if key.is_empty() {
            return matches!(self.nodes[item], Node::Scalar(_)) && self.text(Some(item)) == value;
        }
        match self.field(item, key) {
            // An empty text asks for the field alone.
            Some(found) => value.is_empty() || self.text(Some(found)) == value,
            None => false,
        }
    }

    fn element(&self, list: Id, keys: &[String], values: &[String]) -> Option<Id> {
        let first = keys.first().map(String::as_str).unwrap_or_default();
        self.items(list).into_iter().find(|item| {
            if first.is_empty() {
                return self.text(Some(*item)) == values.first().map(String::as_str).unwrap_or_default();
            }
            self.form(Some(*item)) == Form::Map
                && keys.len() == values.len()
                && keys.iter().zip(values).all(|(key, value)| {
                    self.field(*item, key).is_some_and(|found| self.text(Some(found)) == *value)
                })
        })
    }

    /// kyaml's ElementSetter: replaces what the keys choose, or appends; without an element it removes.
    fn put(&mut self, list: Id, keys: &[String], values: &[String], element: Option<Id>) {
        let by_field = keys.first().is_some_and(|key| !key.is_empty())
            && values.first().is_some_and(|value| !value.is_empty());
        let mut next = Vec::new();
        let mut found = false;
        for item in self.items(list) {
            let empty = matches!(&self.nodes[item], Node::Map(fields) if fields.is_empty());
            if self.is_null(item) || empty {
                continue;
            }
            let is_map = matches!(self.nodes[item], Node::Map(_));
            if by_field && !is_map {
                next.push(item);
                continue;
            }
            let fits = !values.is_empty()
                && keys.iter().zip(values).all(|(key, value)| self.matches(item, key, value));
            if !fits {
                if !values.is_empty() {
                    next.push(item);
                }
                continue;
            }
            found = true;
            next.extend(element);
        }
        if let Some(element) = element
            && !found
            && !self.is_null(element)
        {
            next.push(element);
        }
        self.nodes[list] = Node::List(next);
    }
}

fn kind_name(form: Form) -> &'static str {
    match form {
        Form::Map => "MappingNode",
        Form::List => "SequenceNode",
        _ => "ScalarNode",
    }
}

/// Elements that agree in the keys that both have are the same one: a port without a protocol is the one with that number.
fn fill_in(values: &mut [Vec<String>]) {
    for left in 0..values.len() {
        for right in 0..values.len() {
            if let Some(both) = agree(&values[left], &values[right]) {
                values[left].clone_from(&both);
                values[right] = both;
            }
        }
    }
}

fn agree(a: &[String], b: &[String]) -> Option<Vec<String>> {
    if a.len() != b.len() {
        return None;
    }
    let mut common = false;
    let mut both = Vec::new();
    for (a, b) in a.iter().zip(b) {
        if a == b {
            common = true;
            both.push(a.clone());
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        } else {
            both.push(if a.is_empty() { b.clone() } else { a.clone() });
        }
    }
    common.then_some(both)
}

/// The keys that any element has a value for, and this element's values for them.
fn valid_keys(all: &[Vec<String>], values: &[String], keys: &[String]) -> (Vec<String>, Vec<String>) {
    let valid: Vec<bool> = (0..keys.len())
        .map(|at| all.iter().any(|one| one.get(at).is_some_and(|text| !text.is_empty())))
        .collect();
    if !valid.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let kept = |list: &[String]| -> Vec<String> {
        list.iter().zip(&valid).filter(|(_, valid)| **valid).map(|(text, _)| text.clone()).collect()
    };
    (kept(keys), kept(values))
}
