//! The box that this agent runs on, as templates and reports see it (D15). Filled in from the configuration.

use std::collections::BTreeMap;

/// Name and labels of a site: region, store, model, ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Site {
    pub name: String,
    pub uid: String,
    pub labels: BTreeMap<String, String>,
}
