//! Choosing resources: by anchored patterns of group, version, kind, namespace and name, and by label selectors.

use regex::Regex;

use super::file::Selector;
use super::resource::Resource;

/// A compiled [`Selector`].
pub(super) struct Matcher {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

fn pattern(text: &str) -> Result<Option<Regex>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    Regex::new(&format!("^(?:{text})$")).map(Some).map_err(|error| format!("{text:?} is no pattern: {error}"))
}

fn matches(pattern: &Option<Regex>, text: &str) -> bool {
    pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
}

impl Matcher {
    pub fn new(selector: &Selector) -> Result<Matcher, String> {
        Ok(Matcher {
            group: pattern(&selector.group)?,
            version: pattern(&selector.version)?,
            kind: pattern(&selector.kind)?,
            name: pattern(&selector.name)?,
            namespace: pattern(&selector.namespace)?,
            labels: requirements(&selector.label_selector)?,
            annotations: requirements(&selector.annotation_selector)?,
        })
    }

    /// Nothing but labels or annotations is asked.
    pub fn names_nothing(&self) -> bool {
        [&self.group, &self.version, &self.kind, &self.name, &self.namespace]
            .iter()
            .all(|part| part.is_none())
    }

    /// Names and namespaces are looked for among the first and the present ones.
    pub fn selects(&self, resource: &Resource) -> bool {
        let (original, now) = (resource.original_id(), resource.id());
        (matches(&self.namespace, original.effective()) || matches(&self.namespace, now.effective()))
            && (matches(&self.name, &original.name) || matches(&self.name, &now.name))
            && matches(&self.group, &now.group)
            && matches(&self.version, &now.version)
            && matches(&self.kind, &now.kind)
            && self.marks(resource)
    }

    /// One of the identities fits, present or past.
    pub fn any_id(&self, resource: &Resource) -> bool {
        resource.any_id(|id| {
            matches(&self.group, &id.group)
                && matches(&self.version, &id.version)
                && matches(&self.kind, &id.kind)
                && matches(&self.name, &id.name)
                && matches(&self.namespace, &id.namespace)
        })
    }

    pub fn marks(&self, resource: &Resource) -> bool {
        let fits = |requirements: &[Requirement], field: &str| {
            requirements.is_empty() || {
                let texts = resource.texts(field);
                requirements.iter().all(|requirement| requirement.fits(&texts))
            }
        };
        fits(&self.labels, "labels") && fits(&self.annotations, "annotations")
    }

    pub fn has_marks(&self) -> bool {
        !self.labels.is_empty() || !self.annotations.is_empty()
    }
}

#[derive(Debug, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Requirement {
    fn fits(&self, texts: &[(String, String)]) -> bool {
        let get = |key: &str| texts.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        match self {
            Requirement::In(key, values) => get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::Missing(key) => get(key).is_none(),
        }
    }
}

/// `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut all = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    let mut parts = Vec::new();
    for (at, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        all.push(requirement(part)?);
    }
    Ok(all)
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let set = |rest: &str| -> Result<Vec<String>, String> {
        let inside = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let inside = inside.ok_or_else(|| format!("{part:?} needs a list in parentheses"))?;
        Ok(inside.split(',').map(|value| value.trim().to_string()).collect())
    };
    if let Some((key, rest)) = part.split_once(" notin ") {
        return Ok(Requirement::NotIn(key.trim().into(), set(rest)?));
    }
    if let Some((key, rest)) = part.split_once(" in ") {
        return Ok(Requirement::In(key.trim().into(), set(rest)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key.trim().into(), vec![value.trim().into()]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key.trim().into(), vec![value.trim().into()]));
    }
    Ok(match part.strip_prefix('!') {
        Some(key) => Requirement::Missing(key.trim().into()),
        None => Requirement::Exists(part.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_kubernetes_reads_them() {
        let texts = [("a".to_string(), "1".to_string()), ("b".to_string(), "2".to_string())];
        let fits = |text: &str| requirements(text).unwrap().iter().all(|one| one.fits(&texts));
        assert!(fits("a=1,b==2") && fits("a in (1, 3),b") && fits("c!=1,!c") && fits("b notin (1)"));
        assert!(!fits("a=2") && !fits("!a") && !fits("a notin (1,2)") && !fits("c"));
    }
}
