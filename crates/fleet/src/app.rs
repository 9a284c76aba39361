//! An application as the engine sees it, whoever's front end read it, and the state that front ends show.

use std::sync::Arc;
use std::time::Duration;

use api::Value;
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::artifact::Artifact;
use crate::git::verify::Unsigned;
use crate::health::Health;
use crate::health::custom::Checks;
use crate::inventory::Id;
use crate::mask::Mask;
use crate::permits::Permits;
use crate::plan::{Kept, Standing};
use crate::policy::Policy;
use crate::source::Recipe;
use crate::step::Phase;

/// What its owner wants.
#[derive(Clone, Debug, Default)]
pub struct App {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// What its objects are marked with.
    pub instance: String,
    pub recipe: Recipe,
    /// Where objects without a namespace go.
    pub destination: String,
    pub policy: Policy,
    pub masks: Vec<Mask>,
    /// What its project lets it do; `None`: everything.
    pub permits: Option<Arc<Permits>>,
    pub refresh: Refresh,
    /// Sync by hand.
    pub operation: Option<Operation>,
    pub deletion: Option<Deletion>,
    /// Nothing is looked at or done, and the status is left as it is.
    pub suspended: bool,
    /// What is odd about what its owner wrote, and does not stop anything.
    pub warnings: Vec<Fault>,
    /// As whom its objects are read and written: a user name; `None`: as ourselves.
    pub user: Option<String>,
    /// Objects beside its own whose health counts: their api version and id.
    pub health_checks: Vec<Id>,
    /// The versions of [`App::health_checks`], in their order.
    pub health_versions: Vec<String>,
    /// Its own expressions of health.
    pub checks: Checks,
    /// Time of day matters (sync windows): look again after this.
    pub again: Option<Duration>,
    /// Where credentials and variables are kept.
    pub secrets: Secrets,
    /// What other sources' objects show of what they have, of the sources after the first.
    pub included: Vec<Value>,
    /// The revision in its owner's words, where that is more than the commit.
    pub shown_revision: Option<String>,
    /// A finalizer that the object must have before anything is made for it.
    pub finalizer: Option<&'static str>,
    /// A commit that does not come after the last one is refused.
    pub forward_only: bool,
    /// What does not become healthy gives way to what was healthy last.
    pub roll_back: bool,
    /// Nothing is changed before, unless somebody asks for it.
    pub not_before: Option<Timestamp>,
}

/// Where credentials and variables are kept, for front ends that name the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    pub namespace: String,
    pub credentials: Option<String>,
    pub proxy: Option<String>,
    pub variables: Vec<VariableSource>,
    /// A Secret with the public keys whose signatures count.
    pub keys: Option<String>,
    /// Of the sources after the first.
    pub more: Vec<Secrets>,
}

/// A ConfigMap or Secret whose texts are variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariableSource {
    pub kind: String,
    pub name: String,
    pub optional: bool,
}

/// Whether its owner asks to look at the source now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    #[default]
    No,
    /// Look at the source.
    Normal,
    /// Look, and render anew also if nothing changed.
    Hard,
}

/// A sync that somebody asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// Other revisions than the sources', once; in the order of the sources, empty: the source's own.
    pub revisions: Vec<String>,
    /// Other sources than the application's, once: a rollback.
    pub recipe: Option<Recipe>,
    pub prune: bool,
    /// Everything is asked of the API server, and nothing is changed.
    pub dry_run: bool,
    pub force: bool,
    pub replace: bool,
    pub apply_out_of_sync_only: bool,
    /// Just these objects; empty: all. Empty texts match everything.
    pub only: Vec<Id>,
    pub initiated_by: String,
    /// Why it cannot be carried out.
    pub refused: Option<String>,
}

impl Operation {
    /// Whether the operation is about an object.
    pub fn selects(&self, id: &Id) -> bool {
        let fits = |pattern: &str, text: &str| pattern.is_empty() || pattern == "*" || pattern == text;
        self.only.is_empty()
            || self.only.iter().any(|one| {
                one.group == id.group
                    && one.kind == id.kind
                    && one.name == id.name
                    && fits(&one.namespace, &id.namespace)
            })
    }
}

/// The application is going away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The finalizers that wait for us.
    pub finalizers: Vec<String>,
    /// `Foreground` or `Background`; `None`: its objects stay.
    pub cascade: Option<&'static str>,
    pub patience: Patience,
}

/// How long an application that goes away waits for its objects to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until they are gone.
    Gone,
    /// Until this long after its own deletion was asked for, at the most.
    Until(Duration),
    /// Until their deletion was asked for.
    Asked,
}

/// Something that is wrong, as a front end's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub text: String,
}

impl Fault {
    pub fn spec(text: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Spec, text: text.into() }
    }
    pub fn warning(text: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Odd, text: text.into() }
    }
}

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The object itself asks for what cannot be done.
    Spec,
    /// An expression in the object is wrong.
    Expression,
    /// Another object is not there or not ready yet; it is looked at again when that changes.
    Dependency,
    /// The source's object has nothing to give yet.
    Artifact,
    /// Not everything is known yet, just after a start: nothing is shown.
    Wait,
    /// A commit or tag is not signed as it must be; what was there is kept.
    Unsigned(Unsigned),
    /// The source is out of reach; what was there is kept.
    Offline,
    /// What is in the source cannot be rendered or compared.
    Compare,
    Sync,
    /// What is to be done waits: the site, or a guard of its owner, said so.
    Held,
    /// What was applied did not become healthy in time.
    Health,
    /// Objects that are there twice.
    Warning,
    /// The object asks for something that has no effect.
    Odd,
}

/// How one object stands.
#[derive(Clone, Debug)]
pub struct ObjectState {
    pub id: Id,
    pub version: SmolStr,
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
    pub version: SmolStr,
    pub outcome: ResultKind,
    pub message: String,
    pub hook: bool,
    pub phase: Phase,
}

/// See [`ObjectResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    Synced,
    Failed,
    Pruned,
    Kept,
}

/// An object whose health counts, and is not one of the application's own.
#[derive(Clone, Debug)]
pub struct Watched {
    pub id: Id,
    pub health: Option<Health>,
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
    /// Of each source.
    pub revisions: Vec<String>,
    pub digest: String,
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
    /// Health of objects that are not its own, asked for by [`App::health_checks`].
    pub watched: Vec<Watched>,
    /// What is applied is not healthy, and its time is up.
    pub overdue: bool,
    /// The inventory as (id, version).
    pub inventory: Vec<(Id, SmolStr)>,
}
