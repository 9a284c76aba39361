//! Tests of the plan, as data.

use super::*;
use crate::inventory::Owned;

fn id(kind: &str, name: &str) -> Id {
    Id::new("", kind, "a", name)
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
    plan.steps
        .iter()
        .map(|step| step.apply.iter().map(|at| wanted[*at].id.name.to_string()).collect())
        .collect()
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
    let by_hand = Order { sync: true, prune: true, ..Order::default() };
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

mod properties {
    //! Whatever is wanted, owned and there: a plan that was carried out leaves nothing to do, the order of inputs does
    //! not matter, and prune never names what is not ours.

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn any_live() -> impl Strategy<Value = Live> {
        (0..3u8, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(uid, marked, owned, deleting, left_alone)| Live {
                uid: uid.to_string().into(),
                fields: "f".into(),
                marked,
                marked_by_other: None,
                owned,
                deleting,
                left_alone,
            },
        )
    }

    fn any_owned() -> impl Strategy<Value = Owned> {
        (0..3u8, 0..2u8, any::<bool>(), -2..3i32).prop_map(|(uid, hash, keep, wave)| Owned {
            version: "v1".into(),
            uid: uid.to_string().into(),
            hash: hash.to_string().into(),
            fields: "f".into(),
            keep,
            survives: false,
            wave,
        })
    }

    fn any_id() -> impl Strategy<Value = Id> {
        (0..6u8, prop::sample::select(vec!["ConfigMap", "Service", "Thing"]))
            .prop_map(|(name, kind)| id(kind, &name.to_string()))
    }

    fn any_wanted() -> impl Strategy<Value = Vec<Wanted>> {
        vec((any_id(), 0..2u8, -1..2i32, any::<bool>()), 0..8).prop_map(|all| {
            let mut seen = BTreeSet::new();
            all.into_iter()
                .filter(|(id, ..)| seen.insert(id.clone()))
                .map(|(id, hash, wave, only_create)| Wanted {
                    id,
                    version: "v1".into(),
                    hash: hash.to_string().into(),
                    place: Place { wave, only_create, ..Place::default() },
                    ..Wanted::default()
                })
                .collect()
        })
    }

    /// What the executor does, on data: applied objects are there, ours and marked; pruned ones are gone.
    fn carry_out(plan: &Plan, wanted: &[Wanted], inventory: &mut Inventory, live: &mut BTreeMap<Id, Live>) {
        for at in plan.steps.iter().flat_map(|step| &step.apply) {
            let one = &wanted[*at];
            let found = live.entry(one.id.clone()).or_default();
            if found.deleting || found.uid.is_empty() {
                *found = Live { uid: "new".into(), ..Live::default() };
            }
            (found.marked, found.fields) = (true, "applied".into());
            let owned = Owned {
                version: "v1".into(),
                uid: found.uid.clone(),
                hash: one.hash.clone(),
                fields: "applied".into(),
                keep: false,
                survives: false,
                wave: one.place.wave,
            };
            inventory.objects.insert(one.id.clone(), owned);
        }
        for id in &plan.prune {
            inventory.objects.remove(id);
            live.remove(id);
        }
        for (id, why) in &plan.kept {
            if *why == Kept::NotOurs {
                inventory.objects.remove(id);
            }
        }
    }

    proptest! {
        #[test]
        fn carried_out_is_done(
            wanted in any_wanted(),
            owned in btree_map(any_id(), any_owned(), 0..8),
            mut live in btree_map(any_id(), any_live(), 0..8),
            empty in any::<bool>(),
        ) {
            let mut inventory = Inventory { objects: owned };
            let policy = Policy { empty, ..automated() };
            let (before, there) = (inventory.clone(), live.clone());
            let first = plan(&wanted, &inventory, &live, &policy, Order::default(), false);
            for id in &first.prune {
                let (owned, found) = (&before.objects[id], &there[id]);
                prop_assert!(found.uid == owned.uid && found.marked && !found.owned && !found.left_alone && !owned.keep);
                prop_assert!(!wanted.iter().any(|one| one.id == *id));
            }
            let mut turned = wanted.clone();
            turned.reverse();
            let other = plan(&turned, &inventory, &live, &policy, Order::default(), false);
            prop_assert_eq!(names(&first, &wanted), names(&other, &turned));
            prop_assert_eq!(&first.prune, &other.prune);
            carry_out(&first, &wanted, &mut inventory, &mut live);
            let second = plan(&wanted, &inventory, &live, &policy, Order::default(), false);
            prop_assert!(second.is_empty(), "{second:?} after {first:?}");
        }
    }
}

#[test]
fn more_deletions_than_the_threshold_are_none() {
    let all = ["a", "b", "c", "d"].map(|name| want("ConfigMap", name, 0));
    let (inventory, live) = applied(&all);
    let guarded = Policy { shrink: Some(crate::wish::Shrink::Percent(50)), ..automated() };
    let mut new = want("ConfigMap", "new", 0);
    new.hash = "other".into();
    let left = [all[0].clone(), new];
    let plan_ = plan(&left, &inventory, &live, &guarded, Order::default(), false);
    assert_eq!(plan_.refused_shrink, Some((3, 4)));
    assert!(plan_.prune.is_empty() && plan_.kept.len() == 3 && !plan_.is_synced());
    assert_eq!(names(&plan_, &left), [["new"]]);
    // As many as it allows go, and by hand all do.
    let plan_ = plan(&all[..2], &inventory, &live, &guarded, Order::default(), false);
    assert_eq!((plan_.prune.len(), plan_.refused_shrink), (2, None));
    let by_hand = Order { sync: true, prune: true, ..Order::default() };
    assert_eq!(plan(&left, &inventory, &live, &guarded, by_hand, false).prune.len(), 3);
}
