//! Steps: what is done in which order. Front ends compile their annotations into (phase, wave); kinds do the rest.

use render::helm::manifest::INSTALL;
use serde::{Deserialize, Serialize};

/// Before, during and after the sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    Before,
    #[default]
    Sync,
    After,
    /// Only when something failed.
    Failed,
    /// Only when the application and its objects are gone.
    Gone,
}

/// Where an object stands in the order, and what else its annotations ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub phase: Phase,
    pub wave: i32,
    /// Run at each sync and not part of the inventory.
    pub hook: Option<Hook>,
    /// Rendered, and never applied.
    pub skip: bool,
    /// There, and never written or pruned.
    pub leave: bool,
    /// Stays when Git no longer has it.
    pub keep: bool,
    /// Stays when the application goes.
    pub survives: bool,
    pub replace: bool,
    pub force: bool,
    /// Made when it is not there, and left alone then.
    pub only_create: bool,
    /// Its health does not count.
    pub no_health: bool,
    pub no_validation: bool,
    /// A kind that is not known is no failure.
    pub skip_unknown_kind: bool,
}

/// When a hook's object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    pub before_creation: bool,
    pub on_success: bool,
    pub on_failure: bool,
}

/// The place of a kind in the order of a sync, which is Argo CD's: Helm's of before that had PriorityClass. All
/// others come last: custom resources need their definitions.
pub fn kind_order(kind: &str) -> usize {
    let known = INSTALL.iter().position(|known| *known == kind);
    known.filter(|_| kind != "PriorityClass").unwrap_or(INSTALL.len())
}
