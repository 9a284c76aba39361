//! Tests of the plan, as data.

use super::*;
use crate::inventory::Owned;

fn id(kind: &str, name: &str) -> Id {
    Id { group: String::new(), kind: kind.into(), namespace: "a".into(), name: name.into() }
}

fn want(kind: &str, name: &str, wave: i32) -> Wanted {
    let place = Place { wave, ..Place::default() };
    Wanted { id: id(kind, name), version: "v1".into(), hash: "h".into(), place, ..Wanted::default() }
}

fn applied(wanted: &[Wanted]) -> (Inventory, BTreeMap<Id, Live>) {
    let owned = |one: &Wanted| Owned {
        version: "v1".into(),
        uid: one.id.name.clone(),
        hash: "h".into(),
        fields: "f".into(),
        wave: one.place.wave,
        ..Owned::default()
    };
    let live =
        |one: &Wanted| Live { uid: one.id.name.clone(), fields: "f".into(), marked: true, ..Live::default() };
    (
        Inventory { objects: wanted.iter().map(|one| (one.id.clone(), owned(one))).collect() },
        wanted.iter().map(|one| (one.id.clone(), live(one))).collect(),
    )
}

fn automated() -> Policy {
    Policy { automated: true, prune: true, heal: true, ..Policy::default() }
}

fn names(plan: &Plan, wanted: &[Wanted]) -> Vec<Vec<String>> {
    plan.steps.iter().map(|step| step.apply.iter().map(|at| wanted[*at].id.name.clone()).collect()).collect()
}

#[test]
fn steps_follow_waves_and_kinds() {
    let wanted = [
        want("Service", "s", 0),
        want("ConfigMap", "late", 1),
        want("Namespace", "n", 0),
        want("Thing", "t", 0),
    ];
    let plan = plan(&wanted, &Inventory::default(), &BTreeMap::new(), &automated(), Order::default(), false);
    assert_eq!(names(&plan, &wanted), [vec!["n", "s", "t"], vec!["late"]]);
}

#[test]
fn a_plan_that_was_carried_out_is_empty() {
    let wanted = [want("Service", "s", 0), want("ConfigMap", "c", 1)];
    let (inventory, live) = applied(&wanted);
    let plan = plan(&wanted, &inventory, &live, &automated(), Order::default(), false);
    assert!(plan.is_empty() && plan.is_synced());
}

#[test]
fn drift_is_healed_only_where_told() {
    let wanted = [want("ConfigMap", "c", 0), want("ConfigMap", "d", 0)];
    let (inventory, mut live) = applied(&wanted);
    live.get_mut(&wanted[0].id).unwrap().fields = "other".into();
    live.remove(&wanted[1].id);
    let run = |policy: &Policy| plan(&wanted, &inventory, &live, policy, Order::default(), false);
    assert_eq!(names(&run(&automated()), &wanted), [vec!["c", "d"]]);
    let without = run(&Policy { heal: false, ..automated() });
    assert!(without.is_empty() && !without.is_synced());
    assert!(run(&Policy::default()).is_empty());
}

#[test]
fn prune_touches_only_what_is_ours() {
    let all = [
        want("ConfigMap", "a", 0),
        want("ConfigMap", "b", 1),
        want("ConfigMap", "c", 0),
        want("Pod", "d", 0),
        want("Pod", "e", 0),
        want("Pod", "f", 0),
    ];
    let (mut inventory, mut live) = applied(&all);
    live.get_mut(&all[2].id).unwrap().uid = "new".into();
    live.get_mut(&all[3].id).unwrap().owned = true;
    live.get_mut(&all[4].id).unwrap().marked = false;
    inventory.objects.get_mut(&all[5].id).unwrap().keep = true;
    live.insert(id("ConfigMap", "stranger"), Live { uid: "x".into(), marked: true, ..Live::default() });
    let wanted = [want("Service", "s", 0)];
    let run = |policy: &Policy, order| plan(&wanted, &inventory, &live, policy, order, false);
    assert_eq!(run(&automated(), Order::default()).prune, [all[1].id.clone(), all[0].id.clone()]);
    assert!(run(&Policy { prune: false, ..automated() }, Order::default()).prune.is_empty());
    let by_hand = Order { sync: true, prune: true };
    assert_eq!(run(&Policy::default(), by_hand).prune.len(), 2);
}

#[test]
fn nothing_at_all_is_refused_unless_meant() {
    let all = [want("ConfigMap", "a", 0)];
    let (inventory, live) = applied(&all);
    let run =
        |policy: &Policy, deliberate| plan(&[], &inventory, &live, policy, Order::default(), deliberate);
    let refused = run(&automated(), false);
    assert!(refused.refused_empty && refused.prune.is_empty());
    assert_eq!(run(&automated(), true).prune.len(), 1);
    assert_eq!(run(&Policy { empty: true, ..automated() }, false).prune.len(), 1);
}

#[test]
fn hooks_run_with_a_sync_and_never_alone() {
    let mut hook = want("Job", "hook", 0);
    hook.place.hook = Some(crate::step::Hook::default());
    hook.place.phase = Phase::Before;
    let wanted = [want("ConfigMap", "c", 0), hook];
    let first = plan(&wanted, &Inventory::default(), &BTreeMap::new(), &automated(), Order::default(), false);
    assert_eq!(names(&first, &wanted), [vec!["hook"], vec!["c"]]);
    let (mut inventory, live) = applied(&wanted);
    inventory.objects.remove(&wanted[1].id);
    assert!(plan(&wanted, &inventory, &live, &automated(), Order::default(), false).is_empty());
}
