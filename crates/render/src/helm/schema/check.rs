//! Walks a schema beside a value. What was evaluated is tracked by what was not: names and places that no keyword has looked at.

use std::collections::BTreeSet;

use api::{Map, Value as Tree};

use super::document::{Documents, escaped};
use super::format;
use super::problem::{Kind, Problem, display};
use crate::go::quote;

pub(super) enum Fault {
    Invalid(Problem),
    /// The schema itself cannot be used.
    Schema(String),
}

/// What no keyword has evaluated yet; empty where nobody asks.
#[derive(Default)]
pub(super) struct Rest {
    pub names: BTreeSet<String>,
    pub places: BTreeSet<usize>,
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.places.is_empty()
    }

    fn keep(&mut self, other: &Rest) {
        self.names.retain(|name| other.names.contains(name));
        self.places.retain(|place| other.places.contains(place));
    }
}

/// A schema that is being walked: how it was come to, and how deep its value lies.
struct Scope<'s> {
    node: &'s Tree,
    keyword: &'static str,
    depth: usize,
}

pub(super) struct Checker<'d, 's> {
    pub documents: &'d Documents<'s>,
    place: Vec<String>,
    scopes: Vec<Scope<'s>>,
    pub steps: usize,
}

/// Of one value under one schema, while its keywords are looked at.
pub(super) struct Look<'v> {
    pub draft: u32,
    pub value: &'v Tree,
    pub rest: Rest,
    pub faults: Vec<Problem>,
}

const STEPS: usize = 2_000_000;
const DEPTH: usize = 400;

impl<'d, 's> Checker<'d, 's> {
    pub fn new(documents: &'d Documents<'s>) -> Checker<'d, 's> {
        Checker { documents, place: Vec::new(), scopes: Vec::new(), steps: 0 }
    }

    pub fn run(&mut self, schema: &'s Tree, value: &Tree) -> Result<(), Fault> {
        self.scopes.push(Scope { node: schema, keyword: "", depth: 0 });
        let done = self.schema(schema, value, false);
        self.scopes.pop();
        done.map(drop)
    }

    pub fn problem(&self, text: impl Into<String>) -> Problem {
        self.with(Kind::Text(text.into()), Vec::new())
    }

    pub fn with(&self, kind: Kind, causes: Vec<Problem>) -> Problem {
        let place = self.place.iter().map(|name| format!("/{}", escaped(name))).collect();
        Problem { place, kind, causes }
    }

    /// Adds what is wrong to a list; what is wrong with the schema ends everything.
    pub fn gather<T>(done: Result<T, Fault>, faults: &mut Vec<Problem>) -> Result<Option<T>, Fault> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(Fault::Invalid(problem)) => {
                faults.push(problem);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Another schema for the same value; what it evaluates counts here too.
    pub fn own(&mut self, node: &'s Tree, keyword: &'static str, look: &mut Look<'_>) -> Result<(), Fault> {
        let depth = self.scopes.last().map_or(0, |scope| scope.depth);
        self.scopes.push(Scope { node, keyword, depth });
        let done = self.schema(node, look.value, !look.rest.is_empty());
        self.scopes.pop();
        look.rest.keep(&done?);
        Ok(())
    }

    /// A schema for a part of the value.
    pub fn below(&mut self, name: &str, node: &'s Tree, value: &Tree) -> Result<(), Fault> {
        let depth = self.scopes.last().map_or(0, |scope| scope.depth + 1);
        self.place.push(name.into());
        self.scopes.push(Scope { node, keyword: "", depth });
        let done = self.schema(node, value, false);
        self.scopes.pop();
        self.place.pop();
        done.map(drop)
    }

    /// The name of a property, which stands nowhere.
    pub fn name(&mut self, node: &'s Tree, name: &str) -> Result<(), Fault> {
        let place = std::mem::take(&mut self.place);
        let scopes = std::mem::take(&mut self.scopes);
        let done = self.run(node, &Tree::String(name.into()));
        (self.place, self.scopes) = (place, scopes);
        done
    }

    fn schema(&mut self, schema: &'s Tree, value: &Tree, asked: bool) -> Result<Rest, Fault> {
        self.steps += 1;
        if self.steps > STEPS || self.scopes.len() > DEPTH {
            return Err(Fault::Schema("the schema needs too many steps; make it smaller".into()));
        }
        let fail = |problem: Problem| Err(Fault::Invalid(problem));
        let map = match schema {
            Tree::Bool(false) => return fail(self.problem("false schema")),
            Tree::Object(map) if !map.is_empty() => map,
            _ => return Ok(rest_of(value, asked, &Map::default(), 2020)),
        };
        if let Some(problem) = self.cycle() {
            return fail(problem);
        }
        let draft = self.documents.resource_of(schema).draft;
        let mut look = Look { draft, value, rest: rest_of(value, asked, map, draft), faults: Vec::new() };
        let reference = map.get("$ref").and_then(Tree::as_str);
        if let (Some(target), true) = (reference, draft < 2019) {
            // Nothing beside a reference counts in these drafts; upstream heeds this one all the same.
            if let Some(problem) = self.constant(map, &look) {
                return fail(problem);
            }
            let target = self.documents.resolve(schema, target).map_err(Fault::Schema)?;
            self.reference(target, "$ref", &mut look)?;
            return Ok(look.rest);
        }
        if let Some(problem) = self.whole(map, &look) {
            return fail(problem);
        }
        if let Some(target) = reference {
            let target = self.documents.resolve(schema, target).map_err(Fault::Schema)?;
            let done = self.reference(target, "$ref", &mut look);
            Self::gather(done, &mut look.faults)?;
        }
        match value {
            Tree::Object(object) => self.object(map, object, &mut look)?,
            Tree::Array(items) => self.array(map, items, &mut look)?,
            Tree::String(text) => self.text(map, text, &mut look)?,
            Tree::Int(_) | Tree::Float(_) => self.number(map, &mut look),
            _ => {}
        }
        if draft >= 2019 {
            self.dynamic(schema, map, &mut look)?;
        }
        self.conditions(map, &mut look)?;
        if draft >= 2019 {
            self.unevaluated(map, &mut look)?;
        }
        match look.faults.len() {
            0 => Ok(look.rest),
            1 => Err(Fault::Invalid(look.faults.remove(0))),
            _ => fail(self.with(Kind::Group, look.faults)),
        }
    }

    /// A schema that leads back to itself without going into the value.
    fn cycle(&self) -> Option<Problem> {
        let (here, above) = self.scopes.split_last()?;
        let first = above
            .iter()
            .rposition(|scope| scope.depth != here.depth || std::ptr::eq(scope.node, here.node))?;
        if above[first].depth != here.depth {
            return None;
        }
        let way = |to: usize| -> String {
            let mut out = String::new();
            for at in (1..=to).rev() {
                let scope = &self.scopes[at];
                let step = if scope.keyword.is_empty() {
                    let own = self.documents.location(scope.node);
                    let above = self.documents.location(self.scopes[at - 1].node);
                    own.get(above.len()..).unwrap_or_default().to_string()
                } else {
                    format!("/{}", escaped(scope.keyword))
                };
                out.insert_str(0, &step);
            }
            out
        };
        let url = quote::quote(self.documents.location(here.node).as_bytes());
        Some(self.problem(format!(
            "both {} and {} resolve to {url} causing reference cycle",
            way(self.scopes.len() - 1),
            way(first)
        )))
    }

    /// Type, constants and format: the first that is wrong is all that is told.
    fn whole(&self, map: &Map, look: &Look<'_>) -> Option<Problem> {
        let value = look.value;
        let wanted: Vec<&str> = match map.get("type") {
            Some(Tree::Array(items)) => items.iter().filter_map(Tree::as_str).collect(),
            other => other.and_then(Tree::as_str).into_iter().collect(),
        };
        // Types are told in this order, whatever that of the schema is.
        let order = ["null", "boolean", "number", "integer", "string", "array", "object"];
        let wanted: Vec<&str> = order.into_iter().filter(|one| wanted.contains(one)).collect();
        let got = type_of(value);
        if !wanted.is_empty() && !wanted.iter().any(|one| *one == got || *one == "integer" && is_whole(value))
        {
            return Some(self.problem(format!("got {got}, want {}", wanted.join(" or "))));
        }
        if let Some(problem) = self.constant(map, look) {
            return Some(problem);
        }
        if let Some(Tree::Array(wanted)) = map.get("enum")
            && !wanted.iter().any(|one| equal(one, value))
        {
            let plain = !wanted.iter().any(|one| matches!(one, Tree::Array(_) | Tree::Object(_)));
            let shown: Vec<String> = wanted.iter().map(|one| self.documents.shown(one)).collect();
            return Some(self.problem(match shown.as_slice() {
                _ if !plain => "'enum' failed".to_string(),
                [only] => format!("value must be {only}"),
                all => format!("value must be one of {}", all.join(", ")),
            }));
        }
        if let (Some(name), Tree::String(text)) = (map.get("format").and_then(Tree::as_str), value)
            && (look.draft < 2019 || self.documents.formats)
            && let Err(reason) = format::check(name, text)
        {
            return Some(self.problem(format!("{} is not valid {name}: {reason}", display(value))));
        }
        None
    }

    fn constant(&self, map: &Map, look: &Look<'_>) -> Option<Problem> {
        let wanted = map.get("const").filter(|wanted| look.draft > 4 && !equal(wanted, look.value))?;
        Some(self.problem(match wanted {
            Tree::Array(_) | Tree::Object(_) => "'const' failed".to_string(),
            wanted => format!("value must be {}", self.documents.shown(wanted)),
        }))
    }

    pub fn reference(
        &mut self,
        target: &'s Tree,
        keyword: &'static str,
        look: &mut Look<'_>,
    ) -> Result<(), Fault> {
        self.own(target, keyword, look).map_err(|fault| match fault {
            Fault::Invalid(problem) => Fault::Invalid(self.with(Kind::Reference, problem.causes())),
            other => other,
        })
    }

    /// References whose target depends on how the schema was come to.
    fn dynamic(&mut self, schema: &'s Tree, map: &'s Map, look: &mut Look<'_>) -> Result<(), Fault> {
        if let Some(target) = map.get("$recursiveRef").and_then(Tree::as_str).filter(|_| look.draft == 2019) {
            let mut target = self.documents.resolve(schema, target).map_err(Fault::Schema)?;
            let recursive = |node: &Tree| node.get("$recursiveAnchor").and_then(Tree::as_bool) == Some(true);
            if recursive(target) {
                let outer = self.scopes.iter().map(|scope| self.documents.resource_of(scope.node).root);
                target = outer.into_iter().find(|root| recursive(root)).unwrap_or(target);
            }
            let done = self.reference(target, "$recursiveRef", look);
            Self::gather(done, &mut look.faults)?;
        }
        if let Some(reference) = map.get("$dynamicRef").and_then(Tree::as_str).filter(|_| look.draft >= 2020)
        {
            let mut target = self.documents.resolve(schema, reference).map_err(Fault::Schema)?;
            let name = reference.split_once('#').map_or("", |(_, name)| name);
            if target.get("$dynamicAnchor").and_then(Tree::as_str) == Some(name) {
                let outer = self.scopes.iter();
                let found = outer.filter_map(|scope| self.documents.resource_of(scope.node).dynamic(name));
                target = found.into_iter().next().unwrap_or(target);
            }
            let done = self.reference(target, "$dynamicRef", look);
            Self::gather(done, &mut look.faults)?;
        }
        Ok(())
    }

    fn unevaluated(&mut self, map: &'s Map, look: &mut Look<'_>) -> Result<(), Fault> {
        match (look.value, map.get("unevaluatedProperties"), map.get("unevaluatedItems")) {
            (Tree::Object(object), Some(schema), _) => {
                for name in std::mem::take(&mut look.rest.names) {
                    let Some(value) = object.get(&name) else { continue };
                    let done = self.below(&name, schema, value);
                    Self::gather(done, &mut look.faults)?;
                }
            }
            (Tree::Array(items), _, Some(schema)) => {
                for at in std::mem::take(&mut look.rest.places) {
                    let done = self.below(&at.to_string(), schema, &items[at]);
                    Self::gather(done, &mut look.faults)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn rest_of(value: &Tree, asked: bool, map: &Map, draft: u32) -> Rest {
    let mut rest = Rest::default();
    match value {
        Tree::Object(object) => {
            let all = map.get("additionalProperties").is_some();
            if !all && (asked || map.get("unevaluatedProperties").is_some()) {
                rest.names = object.keys().map(ToString::to_string).collect();
            }
        }
        Tree::Array(items) => {
            let modern = draft >= 2020;
            let prefix = map.get(if modern { "prefixItems" } else { "items" }).and_then(Tree::as_array);
            let all = match map.get("items") {
                Some(Tree::Array(_)) if !modern => map.get("additionalItems").is_some(),
                other => other.is_some(),
            };
            if !all && (asked || map.get("unevaluatedItems").is_some()) {
                rest.places = (prefix.map_or(0, <[Tree]>::len)..items.len()).collect();
            }
        }
        _ => {}
    }
    rest
}

fn type_of(value: &Tree) -> &'static str {
    match crate::helm::metadata::json_kind(value) {
        "bool" => "boolean",
        other => other,
    }
}

fn is_whole(value: &Tree) -> bool {
    match value {
        Tree::Int(_) => true,
        Tree::Float(number) => number.fract() == 0.0,
        _ => false,
    }
}

pub(super) fn equal(a: &Tree, b: &Tree) -> bool {
    match (a, b) {
        (Tree::Array(a), Tree::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Tree::Object(a), Tree::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        (Tree::Int(whole), Tree::Float(float)) | (Tree::Float(float), Tree::Int(whole)) => {
            *whole as f64 == *float
        }
        (a, b) => a == b,
    }
}
