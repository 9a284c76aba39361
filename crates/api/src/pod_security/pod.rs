//! A pod as the checks read it, and the words that their details are made of.

use std::collections::BTreeSet;

use super::{Check, Violation};
use crate::Value;

/// What a check sees.
pub(super) struct Pod<'p> {
    pub metadata: &'p Value,
    pub spec: &'p Value,
}

impl<'p> Pod<'p> {
    pub fn containers(&self) -> impl Iterator<Item = &'p Value> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| spec.get(list).and_then(Value::as_array).unwrap_or_default())
    }
    /// Names of the containers that `bad` is true of.
    pub fn bad(&self, mut bad: impl FnMut(&'p Value) -> bool) -> Vec<String> {
        self.containers()
            .filter(|container| bad(container))
            .map(|container| container.str_at(&["name"]).to_string())
            .collect()
    }
    /// Names of the containers that have something `wrong`, and all that is wrong.
    pub fn wrong<I: IntoIterator<Item = String>>(
        &self,
        mut wrong: impl FnMut(&'p Value) -> I,
    ) -> (Vec<String>, BTreeSet<String>) {
        let mut all = BTreeSet::new();
        let bad = self.bad(|container| {
            let mut found = wrong(container).into_iter().peekable();
            let is = found.peek().is_some();
            all.extend(found);
            is
        });
        (bad, all)
    }
    pub fn context(&self, field: &str) -> Option<&'p Value> {
        set(self.spec, &["securityContext", field])
    }
    pub fn list(&self, name: &str) -> &'p [Value] {
        self.spec.get(name).and_then(Value::as_array).unwrap_or_default()
    }
    pub fn unless_windows(&self, check: Check) -> Option<Violation> {
        if self.spec.str_at(&["os", "name"]) == "windows" { None } else { check(self) }
    }
    /// A pod with users of its own is root of nothing outside.
    pub fn unless_own_users(&self, check: Check) -> Option<Violation> {
        if flag(self.spec, &["hostUsers"]) == Some(false) { None } else { check(self) }
    }
}

pub(super) fn set<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    value.at(path).filter(|value| !value.is_null())
}

pub(super) fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    value.at(path).and_then(Value::as_bool)
}

pub(super) fn violation(reason: impl Into<String>, detail: String) -> Option<Violation> {
    Some(Violation { reason: reason.into(), detail })
}

pub(super) fn quoted<'t>(texts: impl IntoIterator<Item = &'t String>) -> String {
    texts.into_iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn plural(one: &'static str, many: &'static str, count: usize) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn named(bad: &[String]) -> String {
    format!("{} {}", plural("container", "containers", bad.len()), quoted(bad))
}

/// The pod itself and its containers, as those who set something.
pub(super) fn setters(pod: bool, bad: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if pod {
        all.push("pod".to_string());
    }
    if !bad.is_empty() {
        all.push(named(bad));
    }
    all
}

/// `container "a" uses hostPort 80`, `volumes "a", "b" use restricted volume types "nfs"`: each thing in its singular and plural.
pub(super) fn uses(
    users: (&'static str, &'static str),
    names: &[String],
    things: (&'static str, &'static str),
    used: &BTreeSet<String>,
    list: &str,
) -> String {
    format!(
        "{} {} {} {} {list}",
        plural(users.0, users.1, names.len()),
        quoted(names),
        plural("uses", "use", names.len()),
        plural(things.0, things.1, used.len()),
    )
}
