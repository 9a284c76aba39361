//! References to names that changed: `facts/name-references.tsv` says which fields of which kinds name which kinds.

use std::sync::LazyLock;

use api::{Map, Value};

use super::fields::Create;
use super::file::FieldSpec;
use super::resource::{Id, Resource};
use crate::Error;

struct Reference {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    field: FieldSpec,
}

static TABLE: LazyLock<Vec<Reference>> = LazyLock::new(|| {
    let rows = include_str!("../../facts/name-references.tsv").lines().skip(1);
    rows.filter_map(|row| {
        let mut cells = row.split('\t');
        let mut cell = || cells.next();
        let (group, version, kind) = (cell()?, cell()?, cell()?);
        let field = FieldSpec {
            group: cell()?.into(),
            version: cell()?.into(),
            kind: cell()?.into(),
            path: cell()?.into(),
            create: false,
        };
        Some(Reference { group, version, kind, field })
    })
    .collect()
});

/// What a candidate for a reference is known by.
struct Candidate {
    previous: Vec<Id>,
    now: Id,
    name: String,
    namespace: String,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

/// Rewrites every reference to an object whose name or namespace was changed.
pub(super) fn fix_references(all: &mut [Resource], file: &str) -> Result<(), Error> {
    for at in 0..all.len() {
        let original = all[at].original_id();
        let mut value = std::mem::take(&mut all[at].value);
        let referrer = Resource { value: value.clone(), ..all[at].clone() };
        // Only an object that ever had another identity can be meant by an old name.
        let candidates: Vec<Candidate> = all
            .iter()
            .enumerate()
            .filter(|(other, resource)| *other != at && !resource.previous.is_empty())
            .map(|(_, resource)| resource)
            .chain([&referrer].into_iter().filter(|resource| !resource.previous.is_empty()))
            .filter(|resource| could_be_referenced(&referrer, resource))
            .map(Candidate::of)
            .collect();
        let rows = TABLE.iter().filter(|row| {
            let field = &row.field;
            original.of_kind(&field.group, &field.version, &field.kind)
        });
        for row in rows.filter(|_| !candidates.is_empty()) {
            // The row was chosen by the first identity; the walk must not ask for the present one again.
            let field = FieldSpec { path: row.field.path.clone(), ..FieldSpec::default() };
            let search = Search { row, referrer: &referrer, candidates: &candidates };
            field
                .apply(&mut value, Create::Never, &mut |value| search.set(value))
                .map_err(|text| Error::field(file, format!("{}", referrer.id()), text))?;
        }
        all[at].value = value;
    }
    Ok(())
}

fn could_be_referenced(referrer: &Resource, target: &Resource) -> bool {
    if referrer.is_cluster_scoped() || target.is_cluster_scoped() {
        return true;
    }
    let (own, other) = (referrer.id(), target.id());
    own.namespace == other.namespace
        || (own.kind == "RoleBinding"
            && subject_namespaces(&referrer.value).any(|namespace| namespace == other.namespace))
}

fn subject_namespaces(binding: &Value) -> impl Iterator<Item = &str> {
    let subjects = binding.get("subjects").and_then(Value::as_array).unwrap_or_default();
    subjects
        .iter()
        .filter(|subject| subject.str_at(&["kind"]) == "ServiceAccount")
        .map(|subject| subject.str_at(&["namespace"]))
}

impl Candidate {
    fn of(resource: &Resource) -> Candidate {
        Candidate {
            previous: resource.previous_ids(),
            now: resource.id(),
            name: resource.name().into(),
            namespace: resource.namespace().into(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
        }
    }
}

struct Search<'a> {
    row: &'a Reference,
    referrer: &'a Resource,
    candidates: &'a [Candidate],
}

impl Search<'_> {
    fn set(&self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::Null => Ok(()),
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.set(item)),
            Value::Object(map) => self.set_map(map),
            Value::String(text) => {
                let all: Vec<&Candidate> = self.candidates.iter().collect();
                if let Some(found) = self.select(text, all, |a, b| a.name == b.name)? {
                    *value = Value::String(found.name.as_str().into());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn set_map(&self, map: &mut Map) -> Result<(), String> {
        let name = map.get("name").ok_or("path config error; no 'name' field in node")?;
        let old = name.as_str().unwrap_or_default().to_string();
        let candidates: Vec<&Candidate> = match map.get("namespace").and_then(Value::as_str) {
            None => self.candidates.iter().collect(),
            Some(namespace) => {
                let first = |one: &Candidate| one.previous.first().unwrap_or(&one.now).namespace.clone();
                let original: Vec<_> = self.candidates.iter().filter(|one| first(one) == namespace).collect();
                if original.is_empty() {
                    self.candidates.iter().filter(|one| one.now.namespace == namespace).collect()
                } else {
                    original
                }
            }
        };
        let same = |a: &Candidate, b: &Candidate| a.name == b.name && a.namespace == b.namespace;
        if let Some(found) = self.select(&old, candidates, same)? {
            map.insert("name", found.name.as_str());
            if !found.namespace.is_empty() {
                map.insert("namespace", found.namespace.as_str());
            }
        }
        Ok(())
    }

    fn select<'b>(
        &self,
        old: &str,
        mut candidates: Vec<&'b Candidate>,
        identical: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&'b Candidate>, String> {
        let row = self.row;
        candidates.retain(|one| one.previous.iter().any(|id| id.name == old));
        candidates.retain(|one| one.previous.iter().any(|id| id.of_kind(row.group, row.version, row.kind)));
        if row.field.path.ends_with("roleRef/name") {
            let group = self.referrer.value.str_at(&["roleRef", "apiGroup"]);
            let kind = self.referrer.value.str_at(&["roleRef", "kind"]);
            if !kind.is_empty() {
                candidates.retain(|one| one.previous.iter().any(|id| id.of_kind(group, "", kind)));
            }
        }
        let own = self.referrer.id();
        if !self.referrer.is_cluster_scoped() {
            candidates.retain(|one| {
                one.now.namespace == super::resource::NO_NAMESPACE
                    || one.now.kind == "ServiceAccount"
                    || one.now.namespace == own.namespace
            });
        }
        if candidates.len() > 1 {
            let context = self.referrer;
            let either =
                |own: &[String], other: &[String]| own.is_empty() || other.is_empty() || same_end(own, other);
            candidates.retain(|one| {
                either(&context.prefixes, &one.prefixes) && either(&context.suffixes, &one.suffixes)
            });
            if candidates.len() > 1 {
                candidates.retain(|one| {
                    same_end(&context.prefixes, &one.prefixes) && same_end(&context.suffixes, &one.suffixes)
                });
            }
        }
        match candidates.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [first, rest @ ..] if rest.iter().all(|other| identical(first, other)) => Ok(Some(first)),
            several => {
                let ids: Vec<String> = several.iter().map(|one| one.now.to_string()).collect();
                Err(format!("found multiple possible referrals: {}", ids.join(", ")))
            }
        }
    }
}

/// The shorter list is the end of the longer one; two empty lists are, one empty list is not.
fn same_end(a: &[String], b: &[String]) -> bool {
    let shorter = a.len().min(b.len());
    if a.len() != b.len() && shorter == 0 {
        return false;
    }
    a[a.len() - shorter..] == b[b.len() - shorter..]
}
