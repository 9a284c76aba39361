//! What to do, decided purely (D6): plan = f(site, artifact, live, overrides, policy, now). No I/O, no clock.
//!
//! The plan of what a plan did is empty, and prune names only what is in the inventory, is not wanted any more, still
//! is the object that was applied, still bears our mark and is nobody's child.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::inventory::{Id, Inventory};
use crate::policy::Policy;
use crate::step::{Phase, Place, kind_order};

/// A wanted object: where its manifest is and what it asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub id: Id,
    pub version: SmolStr,
    /// Place of the manifest in the artifact.
    pub offset: u64,
    /// Of the manifest as it would be applied.
    pub hash: SmolStr,
    pub place: Place,
    /// JSON pointers of fields that are left to others, found by the rendering.
    pub masked: Vec<String>,
    /// Why it may not be made at all.
    pub denied: Option<String>,
}

/// What is known of a live object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub uid: SmolStr,
    /// Digest of the fields that we own now.
    pub fields: SmolStr,
    /// It bears the mark of this application.
    pub marked: bool,
    /// It bears the mark of another one.
    pub marked_by_other: Option<SmolStr>,
    /// A controller owns it.
    pub owned: bool,
    pub deleting: bool,
    /// Whoever runs the cluster said on it that it is neither written nor pruned.
    pub left_alone: bool,
}

/// How a wanted object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    InSync,
    /// Not there.
    Missing,
    /// Git has something else than what was applied, or it was never applied by us.
    Changed,
    /// Somebody changed or took our fields.
    Drifted,
}

/// One step: these objects may be applied together, and the next step waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub phase: Phase,
    pub wave: i32,
    /// Indexes into the wanted objects, in order of kinds.
    pub apply: Vec<usize>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Later waves first.
    pub prune: Vec<Id>,
    /// In the inventory and not wanted any more, and not pruned, each with the reason.
    pub kept: Vec<(Id, Kept)>,
    pub standing: BTreeMap<Id, Standing>,
    /// Everything would go, and the policy does not allow that.
    pub refused_empty: bool,
    /// So many of so many objects would be deleted, and the policy does not allow that.
    pub refused_shrink: Option<(usize, usize)>,
}

/// Why an object that Git no longer has stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    PruneOff,
    AskedToStay,
    /// Another object has its name now, it lost our mark, or it has an owner: forgotten, never deleted.
    NotOurs,
}

/// What an owner asked for beyond the policy: an operation by hand.
#[derive(Clone, Copy, Default)]
pub struct Order<'a> {
    /// Apply, also what is in step.
    pub sync: bool,
    pub prune: bool,
    /// Leave alone what is in step.
    pub only_out_of_sync: bool,
    /// Just the objects that this says; `None`: all. Hooks do not run then.
    pub only: Option<&'a (dyn Fn(&Id) -> bool + Send + Sync)>,
}

impl Order<'_> {
    fn selects(&self, id: &Id) -> bool {
        self.only.is_none_or(|only| only(id))
    }
}

/// Decides. `deliberate_empty`: the source means it to be empty.
pub fn plan(
    wanted: &[Wanted],
    inventory: &Inventory,
    live: &BTreeMap<Id, Live>,
    policy: &Policy,
    order: Order<'_>,
    deliberate_empty: bool,
) -> Plan {
    let mut plan = Plan::default();
    let mut steps: BTreeMap<(Phase, i32), Vec<usize>> = BTreeMap::new();
    let mut any = order.sync && order.only.is_none();
    for (index, object) in wanted.iter().enumerate() {
        if object.place.hook.is_some() || object.place.skip {
            continue;
        }
        let found = live.get(&object.id);
        let left = object.place.leave || found.is_some_and(|found| found.left_alone);
        if left || (object.place.only_create && found.is_some()) {
            plan.standing.insert(object.id.clone(), Standing::InSync);
            continue;
        }
        let standing = standing(object, inventory, live);
        plan.standing.insert(object.id.clone(), standing);
        // Without healing, drift is told and left; a missing object counts as drift once it had been applied.
        let known = inventory.objects.get(&object.id);
        let same_manifest = known.is_some_and(|owned| owned.hash == object.hash);
        let act = match standing {
            _ if order.only.is_some() && !order.selects(&object.id) => false,
            Standing::InSync => order.sync && !(policy.only_out_of_sync || order.only_out_of_sync),
            Standing::Changed => policy.automated || order.sync,
            Standing::Drifted => (policy.automated && policy.heal) || order.sync,
            Standing::Missing => (policy.automated && (policy.heal || !same_manifest)) || order.sync,
        };
        if act {
            // Healing runs no hooks, as Argo CD's partial syncs: nothing new is rolled out.
            let news = standing == Standing::Changed || (standing == Standing::Missing && !same_manifest);
            any |= news && order.only.is_none();
            steps.entry((object.place.phase, object.place.wave)).or_default().push(index);
        }
    }
    if any {
        for (index, object) in wanted.iter().enumerate() {
            if object.place.hook.is_some() && !object.place.skip && object.place.phase <= Phase::After {
                steps.entry((object.place.phase, object.place.wave)).or_default().push(index);
            }
        }
    }
    for ((phase, wave), mut apply) in steps {
        apply.sort_by(|a, b| {
            let (a, b) = (&wanted[*a].id, &wanted[*b].id);
            (kind_order(&a.kind), &a.kind, &a.namespace, &a.name).cmp(&(
                kind_order(&b.kind),
                &b.kind,
                &b.namespace,
                &b.name,
            ))
        });
        plan.steps.push(Step { phase, wave, apply });
    }
    prune(&mut plan, wanted, inventory, live, policy, order, deliberate_empty);
    plan
}

fn standing(object: &Wanted, inventory: &Inventory, live: &BTreeMap<Id, Live>) -> Standing {
    let Some(found) = live.get(&object.id).filter(|found| !found.deleting) else { return Standing::Missing };
    if object.denied.is_some() {
        // What may not be there is never in step: the refusal is told at each try.
        return Standing::Changed;
    }
    match inventory.objects.get(&object.id) {
        Some(owned) if owned.hash != object.hash || owned.version != object.version => Standing::Changed,
        Some(owned) if owned.uid != found.uid || owned.fields != found.fields => Standing::Drifted,
        Some(_) => Standing::InSync,
        None => Standing::Changed,
    }
}

fn prune(
    plan: &mut Plan,
    wanted: &[Wanted],
    inventory: &Inventory,
    live: &BTreeMap<Id, Live>,
    policy: &Policy,
    order: Order<'_>,
    deliberate_empty: bool,
) {
    let ids: BTreeSet<&Id> = wanted.iter().filter(|one| !one.place.skip).map(|one| &one.id).collect();
    let mut gone: Vec<_> = inventory.objects.iter().filter(|(id, _)| !ids.contains(id)).collect();
    if gone.is_empty() {
        return;
    }
    let allowed = policy.empty || deliberate_empty || (order.sync && order.prune);
    plan.refused_empty = ids.is_empty() && !allowed;
    // What was made last goes first.
    gone.sort_by_key(|(id, owned)| std::cmp::Reverse((owned.wave, kind_order(&id.kind), (*id).clone())));
    let on = (policy.automated && policy.prune) || (order.sync && order.prune);
    for (id, owned) in gone {
        let kept = match live.get(id) {
            None => Some(Kept::NotOurs),
            Some(found) if found.uid != owned.uid || !found.marked || found.owned => Some(Kept::NotOurs),
            Some(found) if owned.keep || found.left_alone => Some(Kept::AskedToStay),
            Some(_) if !order.selects(id) => Some(Kept::PruneOff),
            Some(_) if !on || plan.refused_empty => Some(Kept::PruneOff),
            Some(_) => None,
        };
        match kept {
            Some(why) => plan.kept.push((id.clone(), why)),
            None => plan.prune.push(id.clone()),
        }
    }
    let (gone, all) = (plan.prune.len(), inventory.objects.len());
    let by_hand = order.sync && order.prune;
    if !by_hand && policy.shrink.is_some_and(|shrink| !shrink.allows(gone, all)) {
        plan.refused_shrink = Some((gone, all));
        plan.kept.extend(plan.prune.drain(..).map(|id| (id, Kept::PruneOff)));
    }
}

impl Plan {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.prune.is_empty()
    }
    pub fn is_synced(&self) -> bool {
        let waits = |why: &Kept| *why == Kept::PruneOff;
        self.standing.values().all(|one| *one == Standing::InSync)
            && self.prune.is_empty()
            && !self.kept.iter().any(|(_, why)| waits(why))
    }
}

#[cfg(test)]
mod tests;
