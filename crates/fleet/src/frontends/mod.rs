//! Front ends: whose objects drive the engine. Each is one file (or folder) and one line here.

pub mod argocd;

use api::Value;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::app::{App, Fault, State};
use crate::cluster::{Cluster, Metadata};
use crate::health::Rules;
use crate::source::Credentials;
use crate::step::Place;

/// What a front end is: pure functions, and one that reads its owner's credentials.
pub struct FrontEnd {
    pub name: &'static str,
    pub api_version: &'static str,
    pub kind: &'static str,
    /// The CustomResourceDefinitions, and what must exist beside them, installed where they are missing.
    pub definitions: fn() -> Vec<Value>,
    pub read: fn(&Value, &Settings) -> Result<App, Fault>,
    /// Where an object stands in the order, from its annotations.
    pub place: fn(&Value) -> Place,
    pub mark: fn(&App, &mut Value),
    pub marked_by: fn(&Metadata) -> Option<String>,
    /// The patch that makes the object show the state; `None`: it does already.
    pub show: fn(&App, &Value, &State, Timestamp) -> Option<Value>,
    pub credentials:
        for<'a> fn(&'a Cluster, &'a Settings, &'a App) -> BoxFuture<'a, Result<Credentials, String>>,
    pub rules: Rules,
    /// The component that events come from.
    pub component: &'static str,
}

/// What the configuration says to front ends.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Argo CD's own objects lie.
    pub argocd_namespace: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { argocd_namespace: "argocd".into() }
    }
}

/// All front ends.
pub static ALL: &[&FrontEnd] = &[&argocd::FRONT_END];
