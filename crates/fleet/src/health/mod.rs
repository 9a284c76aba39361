//! Health of an object: one function, a rule table for each school. Argo CD's and kstatus.

mod argocd;
pub mod custom;
mod kstatus;

use api::Value;
use serde::{Deserialize, Serialize};

/// Ordered from best to worst, as an application's health is the worst of its objects'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    Healthy,
    Suspended,
    Progressing,
    Missing,
    Degraded,
    Unknown,
}

impl std::fmt::Display for Status {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, out)
    }
}

/// A status and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub status: Status,
    pub message: String,
}

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    ArgoCd,
    /// sigs.k8s.io/cli-utils, as Flux uses it.
    Kstatus,
}

/// As [`of`], but by the application's own expressions where it has some for the kind.
pub fn judged(rules: Rules, checks: &custom::Checks, live: &Value) -> Option<Health> {
    checks.of(live).or_else(|| of(rules, live))
}

/// The health of a live object; `None`: its kind has no health.
pub fn of(rules: Rules, live: &Value) -> Option<Health> {
    if rules == Rules::Kstatus {
        return Some(kstatus::of(live));
    }
    let table = argocd::RULES;
    if live.at(&["metadata", "deletionTimestamp"]).is_some() {
        return Some(Health { status: Status::Progressing, message: "Pending deletion".into() });
    }
    let api_version = live.str_at(&["apiVersion"]);
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let kind = live.str_at(&["kind"]);
    let rule = table.iter().find(|rule| rule.0 == group && rule.1 == kind)?;
    Some((rule.2)(live))
}
