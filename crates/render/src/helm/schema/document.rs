//! Where a part of a schema stands: which resource it belongs to, how references lead from one part to another.
//!
//! Parts are told apart by their address, which stays as long as the documents are borrowed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::LazyLock;

use api::{Map, Value as Tree};

use super::literal;
use super::problem::{display, quoted};
use crate::go::{quote, regexp};

/// A document, or a part of one with an id of its own.
#[derive(Debug)]
pub(super) struct Resource<'s> {
    /// Of the document; fragments of references to it start at its root.
    document: String,
    pub id: String,
    pub draft: u32,
    pub root: &'s Tree,
    /// Where the root is in the document.
    pointer: String,
    anchors: HashMap<String, &'s Tree>,
    dynamic: HashSet<String>,
}

impl<'s> Resource<'s> {
    pub fn dynamic(&self, name: &str) -> Option<&'s Tree> {
        self.dynamic.contains(name).then(|| self.anchors.get(name).copied()).flatten()
    }
}

#[derive(Debug)]
struct Place {
    resource: usize,
    pointer: String,
    /// It stands where its draft has schemas.
    schema: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Documents<'s> {
    resources: Vec<Resource<'s>>,
    places: HashMap<usize, Place>,
    /// What the document was read from; empty for the meta-schemas.
    text: &'s [u8],
    /// Whether `format` counts in drafts that leave it open.
    pub formats: bool,
}

/// What stands below a keyword.
#[derive(Clone, Copy, PartialEq)]
enum Below {
    Schema,
    Schemas,
    SchemaOrSchemas,
    Named,
}

/// Keywords with schemas below, and the first draft that has them.
const BELOW: &[(&str, u32, Below)] = &[
    ("definitions", 4, Below::Named),
    ("not", 4, Below::Schema),
    ("allOf", 4, Below::Schemas),
    ("anyOf", 4, Below::Schemas),
    ("oneOf", 4, Below::Schemas),
    ("properties", 4, Below::Named),
    ("additionalProperties", 4, Below::Schema),
    ("patternProperties", 4, Below::Named),
    ("items", 4, Below::SchemaOrSchemas),
    ("additionalItems", 4, Below::Schema),
    ("dependencies", 4, Below::Named),
    ("propertyNames", 6, Below::Schema),
    ("contains", 6, Below::Schema),
    ("if", 7, Below::Schema),
    ("then", 7, Below::Schema),
    ("else", 7, Below::Schema),
    ("$defs", 2019, Below::Named),
    ("dependentSchemas", 2019, Below::Named),
    ("unevaluatedProperties", 2019, Below::Schema),
    ("unevaluatedItems", 2019, Below::Schema),
    ("contentSchema", 2019, Below::Schema),
    ("prefixItems", 2020, Below::Schemas),
];

fn address(node: &Tree) -> usize {
    std::ptr::from_ref(node) as usize
}

fn text<'m>(map: &'m Map, key: &str) -> Option<&'m str> {
    map.get(key).and_then(Tree::as_str)
}

pub(super) fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// A pointer as it stands in a URL.
fn encoded(pointer: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+:=@/".contains(&byte);
    pointer.bytes().fold(String::new(), |mut out, byte| {
        if keeps(byte) {
            out.push(byte as char)
        } else {
            out.push_str(&format!("%{byte:02X}"))
        }
        out
    })
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A reference without its fragment, seen from a base (RFC 3986, as far as schemas have it).
fn join(base: &str, reference: &str) -> String {
    let scheme = reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|char: char| char.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    if reference.is_empty() {
        return base.into();
    }
    if scheme {
        return reference.into();
    }
    let (scheme, rest) = base.split_once(':').unwrap_or(("", base));
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => return reference.into(),
    };
    let path = match reference.strip_prefix('/') {
        Some(_) => reference.to_string(),
        None => format!("{}/{reference}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("{scheme}://{host}/{}", parts.join("/"))
}

/// The draft that a `$schema` names.
fn draft_of(url: &str) -> Option<u32> {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let url = url.strip_prefix("http://").or(url.strip_prefix("https://")).unwrap_or(url);
    Some(match url {
        "json-schema.org/schema" | "json-schema.org/draft/2020-12/schema" => 2020,
        "json-schema.org/draft/2019-09/schema" => 2019,
        "json-schema.org/draft-07/schema" => 7,
        "json-schema.org/draft-06/schema" => 6,
        "json-schema.org/draft-04/schema" => 4,
        _ => return None,
    })
}

pub(super) fn meta_url(draft: u32) -> &'static str {
    match draft {
        4 => "http://json-schema.org/draft-04/schema",
        6 => "http://json-schema.org/draft-06/schema",
        7 => "http://json-schema.org/draft-07/schema",
        2019 => "https://json-schema.org/draft/2019-09/schema",
        _ => "https://json-schema.org/draft/2020-12/schema",
    }
}

/// The meta-schemas of all drafts (`facts/metaschemas.jsonl`, without their annotations).
pub(super) fn meta() -> &'static Documents<'static> {
    static TEXTS: LazyLock<Vec<(String, Tree)>> = LazyLock::new(|| {
        let lines = include_str!("../../../facts/metaschemas.jsonl").lines();
        let read = |line| -> (String, Tree) {
            let mut row: Tree = serde_json::from_str(line).expect("because the facts are JSON");
            let schema = row.remove(&["schema"]).expect("because each line has a schema");
            (row.str_at(&["url"]).to_string(), schema)
        };
        lines.map(read).collect()
    });
    static META: LazyLock<Documents<'static>> = LazyLock::new(|| {
        let mut all = Documents { resources: Vec::new(), places: HashMap::new(), text: b"", formats: true };
        for (url, schema) in TEXTS.iter() {
            all.add(url, schema).expect("because the meta-schemas are sound");
        }
        all
    });
    &META
}

impl<'s> Documents<'s> {
    /// One document and all that is below it.
    pub fn new(url: &str, root: &'s Tree, text: &'s [u8]) -> Result<Documents<'s>, String> {
        let mut all = Documents { resources: Vec::new(), places: HashMap::new(), text, formats: false };
        all.add(url, root)?;
        Ok(all)
    }

    /// The root of the document at a URL.
    pub fn root(&self, url: &str) -> &'s Tree {
        let found = self.resources.iter().find(|resource| resource.document == url);
        found.expect("because the caller added it").root
    }

    fn add(&mut self, url: &str, root: &'s Tree) -> Result<(), String> {
        let own = root.as_map();
        let draft = match own.and_then(|map| text(map, "$schema")) {
            None => 2020,
            Some(schema) => draft_of(schema).ok_or_else(|| outside(schema))?,
        };
        let first = self.resources.len();
        self.resource(url, url, draft, root, "");
        if let Some(id) = own.and_then(|map| id_of(map, draft)) {
            self.resources[first].id = join(url, id);
        }
        self.collect(root, first, String::new(), true)
    }

    fn resource(&mut self, document: &str, id: &str, draft: u32, root: &'s Tree, pointer: &str) {
        self.resources.push(Resource {
            document: document.into(),
            id: id.into(),
            draft,
            root,
            pointer: pointer.into(),
            anchors: HashMap::new(),
            dynamic: HashSet::new(),
        });
    }

    fn collect(
        &mut self,
        node: &'s Tree,
        mut resource: usize,
        pointer: String,
        schema: bool,
    ) -> Result<(), String> {
        if let (Tree::Object(map), true) = (node, schema) {
            if !pointer.is_empty() {
                let here = &self.resources[resource];
                let own = text(map, "$schema").and_then(draft_of).unwrap_or(here.draft);
                if let Some(id) = id_of(map, own) {
                    let (document, id) = (here.document.clone(), join(&here.id, id));
                    if let Some(other) = self.resources.iter().find(|one| one.id == id) {
                        return Err(format!(
                            "duplicate id {} in {} at {} and {}",
                            shown(&id),
                            shown(&document),
                            shown(&pointer),
                            shown(&other.pointer)
                        ));
                    }
                    self.resource(&document, &id, own, node, &pointer);
                    resource = self.resources.len() - 1;
                }
            }
            self.anchors(map, node, resource);
        }
        let draft = self.resources[resource].draft;
        match node {
            Tree::Object(map) => {
                for (key, child) in map.iter() {
                    let below =
                        BELOW.iter().find(|(name, since, _)| name == key && draft >= *since && schema);
                    let at = format!("{pointer}/{}", escaped(key));
                    match (below.map(|(_, _, below)| *below), child) {
                        (Some(Below::Schema), _) => self.collect(child, resource, at, true)?,
                        (Some(Below::SchemaOrSchemas), Tree::Object(_) | Tree::Bool(_)) => {
                            self.collect(child, resource, at, true)?;
                        }
                        (Some(Below::Schemas | Below::SchemaOrSchemas), Tree::Array(items)) => {
                            for (number, item) in items.iter().enumerate() {
                                self.collect(item, resource, format!("{at}/{number}"), true)?;
                            }
                        }
                        (Some(Below::Named), Tree::Object(named)) => {
                            for (name, item) in named.iter() {
                                self.collect(item, resource, format!("{at}/{}", escaped(name)), true)?;
                            }
                        }
                        _ => self.collect(child, resource, at, false)?,
                    }
                }
            }
            Tree::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.collect(item, resource, format!("{pointer}/{number}"), false)?;
                }
            }
            _ => {}
        }
        self.places.insert(address(node), Place { resource, pointer, schema });
        Ok(())
    }

    fn anchors(&mut self, map: &Map, node: &'s Tree, resource: usize) {
        let here = &mut self.resources[resource];
        let mut add = |name: &str| {
            here.anchors.entry(name.into()).or_insert(node);
        };
        if here.draft < 2019 {
            if map.get("$ref").is_none()
                && let Some(id) = text(map, if here.draft == 4 { "id" } else { "$id" })
                && let Some((_, name)) = id.split_once('#')
                && !name.is_empty()
                && !name.starts_with('/')
            {
                add(&decoded(name));
            }
            return;
        }
        if let Some(name) = text(map, "$anchor") {
            add(name);
        }
        if here.draft >= 2020
            && let Some(name) = text(map, "$dynamicAnchor")
        {
            here.anchors.entry(name.into()).or_insert(node);
            here.dynamic.insert(name.into());
        }
    }

    fn place(&self, node: &Tree) -> (&Resource<'s>, &str) {
        match self.places.get(&address(node)) {
            Some(place) => (&self.resources[place.resource], &place.pointer),
            None => {
                let all = meta();
                let place = all.places.get(&address(node)).expect("because every part was collected");
                (&all.resources[place.resource], &place.pointer)
            }
        }
    }

    /// The resource that a part belongs to.
    pub fn resource_of(&self, node: &Tree) -> &Resource<'s> {
        self.place(node).0
    }

    /// A constant of a schema as errors repeat it: numbers as they are written.
    pub fn shown(&self, constant: &Tree) -> String {
        let written = match (constant, self.places.get(&address(constant))) {
            (Tree::Int(_) | Tree::Float(_), Some(place)) => literal::at(self.text, &place.pointer),
            _ => None,
        };
        written.map_or_else(|| display(constant), Into::into)
    }

    /// The part's URL.
    pub fn location(&self, node: &Tree) -> String {
        let (resource, pointer) = self.place(node);
        format!("{}#{}", resource.document, encoded(pointer))
    }

    /// What a reference in a part leads to.
    pub fn resolve(&self, from: &Tree, reference: &str) -> Result<&'s Tree, String> {
        static ANYTHING: Tree = Tree::Bool(true);
        let (before, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let url = join(&self.resource_of(from).id, before);
        let fragment = decoded(fragment);
        let named = |all: &'_ [Resource<'s>]| -> Option<usize> {
            let document = all.iter().position(|one| one.document == url && one.pointer.is_empty());
            document.or_else(|| all.iter().position(|one| one.id == url))
        };
        let resource: &Resource<'s> = match named(&self.resources) {
            Some(at) => &self.resources[at],
            None => match meta().resources.iter().find(|one| one.document == url) {
                Some(found) => found,
                None if url.starts_with("urn:") => return Ok(&ANYTHING),
                None => return Err(outside(&url)),
            },
        };
        let here =
            |fragment: &str| format!("{}#{}{}", resource.document, resource.pointer, encoded(fragment));
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return resource.anchors.get(&fragment).copied().ok_or_else(|| {
                format!(
                    "anchor in {} not found in schema {}",
                    shown(&format!("{}#{}", resource.id, encoded(&fragment))),
                    shown(&resource.document)
                )
            });
        }
        fragment.split('/').skip(1).try_fold(resource.root, |node, token| {
            let name = token.replace("~1", "/").replace("~0", "~");
            let found = match node {
                Tree::Object(map) => map.get(&name),
                Tree::Array(items) => name.parse::<usize>().ok().and_then(|at| items.get(at)),
                _ => None,
            };
            found.ok_or_else(|| format!("json-pointer in {} not found", shown(&here(&fragment))))
        })
    }

    /// Follows every reference that is reached from the first document and reads every pattern. `check` is given what a
    /// reference finds in a place that is no schema's.
    pub fn prepare(&self, check: &dyn Fn(&'s Tree) -> Result<(), String>) -> Result<(), String> {
        let Some(first) = self.resources.first() else { return Ok(()) };
        let mut seen = HashSet::new();
        let mut queue = VecDeque::from([first.root]);
        while let Some(node) = queue.pop_front() {
            // The meta-schemas are sound.
            let Some(place) = self.places.get(&address(node)) else { continue };
            if !seen.insert(address(node)) {
                continue;
            }
            if !place.schema {
                check(node)?;
            }
            let Tree::Object(map) = node else { continue };
            let draft = self.resource_of(node).draft;
            // Beside a reference, early drafts have no other keyword; upstream leaves out only those of draft 4.
            let mut first_draft = 0;
            if let Some(reference) = text(map, "$ref") {
                queue.push_back(self.resolve(node, reference)?);
                if draft < 2019 {
                    first_draft = 6;
                }
            }
            for (key, since) in [("$recursiveRef", 2019), ("$dynamicRef", 2020)] {
                if let Some(reference) = text(map, key).filter(|_| draft >= since) {
                    queue.push_back(self.resolve(node, reference)?);
                }
            }
            let pattern = text(map, "pattern").map(|pattern| ("pattern", pattern));
            let named = map.get("patternProperties").and_then(Tree::as_map);
            let named =
                named.into_iter().flat_map(Map::keys).map(|name| ("patternProperties", name.as_str()));
            for (key, pattern) in pattern.into_iter().chain(named).filter(|_| first_draft == 0) {
                if let Err(error) = regexp::compile(pattern) {
                    let at = format!("{}/{key}", self.location(node));
                    return Err(format!("invalid regex {} at {}: {error}", shown(pattern), shown(&at)));
                }
            }
            for (key, since, below) in BELOW {
                let walked =
                    (first_draft..=draft).contains(since) && !matches!(*key, "definitions" | "$defs");
                let Some(child) = map.get(key).filter(|_| walked) else { continue };
                match (below, child) {
                    (Below::Named, Tree::Object(named)) => queue.extend(named.iter().map(|(_, item)| item)),
                    (Below::Schemas | Below::SchemaOrSchemas, Tree::Array(items)) => {
                        queue.extend(items.iter())
                    }
                    (Below::Schema | Below::SchemaOrSchemas, child) => queue.push_back(child),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    quote::quote(text.as_bytes())
}

/// The part of an id before its fragment, where it makes a resource.
fn id_of(map: &Map, draft: u32) -> Option<&str> {
    if draft < 2019 && map.get("$ref").is_some() {
        return None;
    }
    let id = text(map, if draft == 4 { "id" } else { "$id" })?;
    let id = id.split_once('#').map_or(id, |(id, _)| id);
    (!id.is_empty()).then_some(id)
}

fn outside(url: &str) -> String {
    match url.strip_prefix("file://") {
        Some(path) => format!("failing loading {}: open {path}: no such file or directory", shown(url)),
        None => format!(
            "failing loading {}: nothing is fetched while rendering; put it into values.schema.json, or skip the check of {}",
            shown(url),
            quoted("values.schema.json")
        ),
    }
}
