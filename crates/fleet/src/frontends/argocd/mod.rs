//! Argo CD's `Application`: read, marked and shown as Argo CD v3 does it, so that either can take over from the other.
//!
//! `AppProject` exists and is not enforced yet. Helm, several sources, plugins and other clusters are refused by name.

mod credentials;
mod definitions;
mod show;
mod spec;

use super::FrontEnd;
use crate::health::Rules;

/// See the module.
pub static FRONT_END: FrontEnd = FrontEnd {
    name: "argocd",
    api_version: "argoproj.io/v1alpha1",
    kind: "Application",
    definitions: definitions::all,
    read: spec::read,
    place: spec::place,
    mark: spec::mark,
    marked_by: spec::marked_by,
    show: show::show,
    credentials: credentials::find,
    rules: Rules::ArgoCd,
    component: "argocd-application-controller",
};

#[cfg(test)]
mod tests;
