//! References to names that changed: the configuration says which fields of which kinds name which kinds.

use std::collections::HashMap;

use api::{Map, Value};

use super::config::Reference;
use super::fields::Create;
use super::file::FieldSpec;
use super::resource::{Id, Resource};
use super::scalar::{restyled, text};
use crate::Error;

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
pub(super) fn fix_references(
    all: &mut [Resource],
    references: &[Reference],
    file: &str,
) -> Result<(), Error> {
    let candidates: Vec<Candidate> = all.iter().map(Candidate::of).collect();
    // Only an object that ever had another identity can be meant by an old name.
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        for id in &candidate.previous {
            let places = by_name.entry(&id.name).or_default();
            if places.last() != Some(&at) {
                places.push(at);
            }
        }
    }
    for (at, resource) in all.iter_mut().enumerate() {
        let own = &candidates[at];
        let original = own.previous.first().unwrap_or(&own.now);
        let fault = |text: String| Error::field(file, own.now.to_string(), text);
        let bound = bound_namespaces(&resource.value, &own.now).map_err(fault)?;
        let role = (
            resource.value.str_at(&["roleRef", "apiGroup"]).to_string(),
            resource.value.str_at(&["roleRef", "kind"]).to_string(),
        );
        for reference in references {
            for spec in reference
                .fields
                .iter()
                .filter(|spec| original.of_kind(&spec.group, &spec.version, &spec.kind))
            {
                // The field was chosen by the first identity; the walk must not ask for the present one again.
                let field = FieldSpec { path: spec.path.clone(), ..FieldSpec::default() };
                let search = Search {
                    reference,
                    role: spec.path.ends_with("roleRef/name").then_some(&role),
                    own,
                    bound: &bound,
                    candidates: &candidates,
                    by_name: &by_name,
                };
                field.apply(&mut resource.value, Create::Never, &mut |value| search.set(value)).map_err(
                    |text| {
                        fault(format!(
                            "updating name reference in '{}' field of '{}': {text}",
                            spec.path, own.now
                        ))
                    },
                )?;
            }
        }
    }
    Ok(())
}

/// The other namespaces that a RoleBinding's subjects are in.
fn bound_namespaces(binding: &Value, id: &Id) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    if id.kind != "RoleBinding" {
        return Ok(all);
    }
    for subject in binding.get("subjects").and_then(Value::as_array).unwrap_or_default() {
        match subject.get("namespace") {
            Some(namespace) if subject.str_at(&["kind"]) == "ServiceAccount" => match namespace.as_str() {
                Some(namespace) => all.push(namespace.to_string()),
                None => return Err(format!("Invalid Input: namespace is blank for resource \"{id}\"\n")),
            },
            _ => {}
        }
    }
    Ok(all)
}

impl Candidate {
    fn of(resource: &Resource) -> Candidate {
        Candidate {
            previous: resource.previous_ids(),
            now: resource.id(),
            name: resource.name(),
            namespace: resource.namespace(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
        }
    }
}

struct Search<'a> {
    reference: &'a Reference,
    /// Group and kind of the role, if it is the name of one.
    role: Option<&'a (String, String)>,
    own: &'a Candidate,
    bound: &'a [String],
    candidates: &'a [Candidate],
    by_name: &'a HashMap<&'a str, Vec<usize>>,
}

impl Search<'_> {
    fn set(&self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::Null => Ok(()),
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.set(item)),
            Value::Object(map) => self.set_map(map),
            scalar => {
                let old = text(scalar).unwrap_or_default();
                let same = |a: &Candidate, b: &Candidate| a.name == b.name;
                if let Some(found) = self.select(&old, |_| true, same)?
                    && found.name != old
                {
                    *scalar = restyled(scalar, &found.name);
                }
                Ok(())
            }
        }
    }

    fn set_map(&self, map: &mut Map) -> Result<(), String> {
        let name = map.get("name").ok_or("path config error; no 'name' field in node")?.clone();
        let old = text(&name).unwrap_or_default();
        let namespace = map.get("namespace").map(|value| text(value).unwrap_or_default());
        let first = |one: &Candidate| one.previous.first().unwrap_or(&one.now).effective().to_string();
        let by_first = namespace.as_deref().is_some_and(|namespace| {
            self.candidates.iter().any(|one| self.could_mean(one) && first(one) == namespace)
        });
        let in_namespace = |one: &Candidate| match namespace.as_deref() {
            None => true,
            Some(namespace) if by_first => first(one) == namespace,
            Some(namespace) => one.now.effective() == namespace,
        };
        let same = |a: &Candidate, b: &Candidate| a.name == b.name && a.namespace == b.namespace;
        if let Some(found) = self.select(&old, in_namespace, same)?
            && !(found.name == old && found.namespace.is_empty())
        {
            map.insert("name", restyled(&name, &found.name));
            if !found.namespace.is_empty() {
                let before = map.get("namespace").cloned().unwrap_or_default();
                map.insert("namespace", restyled(&before, &found.namespace));
            }
        }
        Ok(())
    }

    fn could_mean(&self, target: &Candidate) -> bool {
        self.own.now.cluster_scoped
            || target.now.cluster_scoped
            || self.own.now.effective() == target.now.effective()
            || self.bound.contains(&target.namespace)
    }

    fn select(
        &self,
        old: &str,
        in_namespace: impl Fn(&Candidate) -> bool,
        identical: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&Candidate>, String> {
        let Some(places) = self.by_name.get(old) else { return Ok(None) };
        let mut candidates: Vec<&Candidate> = places.iter().map(|at| &self.candidates[*at]).collect();
        candidates.retain(|one| self.could_mean(one) && in_namespace(one));
        let target = self.reference;
        candidates.retain(|one| {
            one.previous.iter().any(|id| id.of_kind(&target.group, &target.version, &target.kind))
        });
        if let Some((group, kind)) = self.role
            && !(group.is_empty() || kind.is_empty())
        {
            candidates.retain(|one| one.previous.iter().any(|id| id.of_kind(group, "", kind)));
        }
        if !self.own.now.cluster_scoped {
            candidates.retain(|one| {
                one.now.cluster_scoped
                    || one.now.kind == "ServiceAccount"
                    || one.now.effective() == self.own.now.effective()
            });
        }
        if candidates.len() != 1 {
            let own = self.own;
            let either =
                |own: &[String], other: &[String]| own.is_empty() || other.is_empty() || same_end(own, other);
            candidates
                .retain(|one| either(&own.prefixes, &one.prefixes) && either(&own.suffixes, &one.suffixes));
            if candidates.len() > 1 {
                candidates.retain(|one| {
                    same_end(&own.prefixes, &one.prefixes) && same_end(&own.suffixes, &one.suffixes)
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
