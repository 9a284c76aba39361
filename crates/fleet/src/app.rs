//! An application as the engine sees it, whoever's front end read it, and the state that front ends show.

use jiff::Timestamp;

use crate::artifact::Artifact;
use crate::health::Health;
use crate::inventory::Id;
use crate::mask::Mask;
use crate::plan::{Kept, Standing};
use crate::policy::Policy;
use crate::source::Source;

/// What its owner wants.
#[derive(Clone, Debug, Default)]
pub struct App {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// What its objects are marked with.
    pub instance: String,
    pub source: Source,
    /// Where objects without a namespace go.
    pub destination: String,
    pub policy: Policy,
    pub masks: Vec<Mask>,
    /// Look at the source now.
    pub refresh: bool,
    /// Sync by hand.
    pub operation: Option<Operation>,
    pub deletion: Option<Deletion>,
}

/// A sync that somebody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// Another revision than the source's, once.
    pub revision: Option<String>,
    pub prune: bool,
    pub dry_run: bool,
    pub initiated_by: String,
}

/// The application is going away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The finalizers that wait for us.
    pub finalizers: Vec<String>,
    /// `Foreground` or `Background`; `None`: its objects stay.
    pub cascade: Option<&'static str>,
}

/// Something that is wrong, as a front end's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub text: String,
}

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The object itself asks for what cannot be done.
    Spec,
    /// The source is out of reach; what was there is kept.
    Offline,
    /// What is in the source cannot be rendered or compared.
    Compare,
    Sync,
    /// Objects that others claim, or that stay behind.
    Warning,
}

/// How one object stands.
#[derive(Clone, Debug)]
pub struct ObjectState {
    pub id: Id,
    pub version: String,
    pub wave: i32,
    pub standing: Option<Standing>,
    pub kept: Option<Kept>,
    pub health: Option<Health>,
    pub keep: bool,
}

/// What became of one object in a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectResult {
    pub id: Id,
    pub version: String,
    pub outcome: ResultKind,
    pub message: String,
    pub hook: bool,
}

/// See [`ObjectResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    Synced,
    Failed,
    Pruned,
    Kept,
}

/// How a sync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPhase {
    Running,
    Succeeded,
    Failed,
}

/// The last sync.
#[derive(Clone, Debug)]
pub struct SyncState {
    pub phase: SyncPhase,
    pub message: String,
    pub revision: String,
    pub started: Timestamp,
    pub finished: Option<Timestamp>,
    pub results: Vec<ObjectResult>,
    pub by_hand: Option<Operation>,
    pub retries: u32,
}

/// All that a status shows.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub artifact: Option<Artifact>,
    pub synced: bool,
    /// Objects could be compared.
    pub compared: bool,
    pub objects: Vec<ObjectState>,
    pub faults: Vec<Fault>,
    pub sync: Option<SyncState>,
    pub images: Vec<String>,
}
