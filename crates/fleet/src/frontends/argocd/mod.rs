//! Argo CD's `Application`: read, marked and shown as Argo CD v3 does it, so that either can take over from the other.
//! `AppProject` is enforced. Charts of a chart repository, plugins and other clusters are refused by name.

mod credentials;
mod definitions;
mod integrity;
mod options;
mod place;
mod project;
pub(crate) mod push;
pub(crate) mod read;
mod show;
pub(crate) mod spec;

use api::Value;

use super::{FrontEnd, Level};
use crate::health::Rules;
use crate::inventory::Id;

/// See the module.
pub static FRONT_END: FrontEnd = FrontEnd {
    name: "argocd",
    api_version: "argoproj.io/v1alpha1",
    kind: "Application",
    references: &[("argoproj.io/v1alpha1", "AppProject")],
    status_subresource: false,
    definitions: definitions::all,
    read: spec::read,
    place: place::place,
    mark: place::mark,
    marked_by: place::marked_by,
    instance: spec::instance,
    manager: "argocd-controller",
    left_alone: |_| false,
    tells_syncs: true,
    show: show::show,
    transitions,
    listed,
    standing: |object| {
        let at = |what: &str| object.str_at(&["status", what, "status"]).to_string();
        (at("sync"), at("health"))
    },
    inputs: credentials::find,
    rules: Rules::ArgoCd,
    force_hint: "argocd.argoproj.io/sync-options: Force=true,Replace=true",
    component: "argocd-application-controller",
};

fn transitions(old: &Value, new: &Value) -> Vec<(Level, &'static str, String)> {
    let mut all = Vec::new();
    for what in ["sync", "health"] {
        let at = |object: &Value| object.str_at(&["status", what, "status"]).to_string();
        let (from, to) = (at(old), at(new));
        if from != to {
            let from = if from.is_empty() { String::new() } else { format!(" {from}") };
            all.push((Level::Normal, "ResourceUpdated", format!("Updated {what} status:{from} -> {to}")));
        }
    }
    all
}

fn listed(object: &Value) -> Vec<(Id, String)> {
    let all = object.at(&["status", "resources"]).and_then(Value::as_array).unwrap_or_default();
    all.iter()
        .map(|one| {
            let text = |field: &str| one.str_at(&[field]).to_string();
            let id = Id::new(text("group"), text("kind"), text("namespace"), text("name"));
            (id, text("version"))
        })
        .collect()
}

#[cfg(test)]
mod tests;
