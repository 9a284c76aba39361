//! What a Deployment should do next, as data. No I/O, no clock.
//!
//! [`next`] gives one step at a time. The order is upstream's: revision and annotations, then scaling events, then the
//! rollout, then the clean-up of history.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{Reference, Set, View};
use crate::share;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";
/// Annotations of a Deployment that its ReplicaSets do not inherit.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
];
/// Characters of revision history that a ReplicaSet keeps.
const HISTORY_LENGTH: usize = 2000;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make the ReplicaSet of the template.
    Create { replicas: i32, revision: i64 },
    /// Bring the new ReplicaSet's annotations (all of them given) and `minReadySeconds` up to date.
    Annotate { name: String, annotations: BTreeMap<String, String>, min_ready_seconds: i32 },
    /// Note the revision in the Deployment.
    Revision(String),
    /// Change a ReplicaSet's size, or only what its annotations say of it.
    Scale { name: String, from: i32, to: i32 },
    /// Delete a ReplicaSet of the history.
    Forget { name: String, uid: String },
}

/// The next step, or `None` when only the status is left. `old_pods` tells whether pods of old ReplicaSets run.
pub fn next(deployment: &View, sets: &[Set], deleting: bool, old_pods: &dyn Fn() -> bool) -> Option<Step> {
    if deleting {
        return None;
    }
    let mut sets: Vec<&Set> = sets.iter().collect();
    sets.sort_by_key(|set| by_creation(set));
    let new = sets.iter().copied().find(|set| same_template(&deployment.spec.template, &set.spec.template));
    let old: Vec<&Set> =
        sets.iter().copied().filter(|set| new.is_none_or(|new| new.name() != set.name())).collect();
    let rollout = Rollout { deployment, new, old, all: sets };
    let scaling = deployment.spec.paused || rollout.scaling_event();
    rollout.bookkeeping().or_else(|| {
        if scaling {
            rollout.scale().or_else(|| deployment.spec.paused.then(|| rollout.clean_up()).flatten())
        } else if deployment.rolling() {
            rollout.roll()
        } else {
            rollout.recreate(old_pods)
        }
    })
}

/// The ReplicaSet of the current template; of several, the oldest.
pub fn find_new<'a>(deployment: &View, sets: &'a [Set]) -> Option<&'a Set> {
    let same = sets.iter().filter(|set| same_template(&deployment.spec.template, &set.spec.template));
    same.min_by_key(|set| by_creation(set))
}

fn by_creation(set: &Set) -> (Option<Timestamp>, String) {
    (set.metadata.creation_timestamp.as_ref().map(|time| time.0), set.name().to_string())
}

struct Rollout<'a> {
    deployment: &'a View,
    new: Option<&'a Set>,
    /// Oldest first, as `all`.
    old: Vec<&'a Set>,
    all: Vec<&'a Set>,
}

fn total(sets: &[&Set]) -> i32 {
    sets.iter().map(|set| set.replicas()).sum()
}

fn scale(set: &Set, to: i32) -> Step {
    Step::Scale { name: set.name().into(), from: set.replicas(), to }
}

impl<'a> Rollout<'a> {
    /// Annotations, revision numbers and `minReadySeconds`: what has to be right before anything is scaled.
    fn bookkeeping(&self) -> Option<Step> {
        let new = self.new?;
        let newest = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
        let annotations = annotations(self.deployment, new, newest + 1);
        let min_ready_seconds = self.deployment.spec.min_ready_seconds;
        if annotations != new.metadata.annotations || new.spec.min_ready_seconds != min_ready_seconds {
            return Some(Step::Annotate { name: new.name().into(), annotations, min_ready_seconds });
        }
        let noted = self.deployment.metadata.annotations.get(REVISION).map(String::as_str);
        let is = new.annotation(REVISION)?;
        (noted != Some(is)).then(|| Step::Revision(is.into()))
    }

    fn create(&self) -> Step {
        let newest = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
        Step::Create { replicas: self.size_of_new(0), revision: newest + 1 }
    }

    /// The size that the new set may grow to now.
    fn size_of_new(&self, is: i32) -> i32 {
        let wanted = self.deployment.replicas();
        if !self.deployment.rolling() {
            return wanted;
        }
        let room = wanted + max_surge(self.deployment) - total(&self.all);
        if room <= 0 { is } else { is + room.min(wanted - is) }
    }

    fn active(&self) -> Vec<&'a Set> {
        self.all.iter().copied().filter(|set| set.replicas() > 0).collect()
    }

    /// Somebody changed `spec.replicas` since the sets were last sized.
    fn scaling_event(&self) -> bool {
        let desired = |set: &&Set| set.annotation(DESIRED).and_then(|text| text.parse::<i32>().ok());
        self.active().iter().filter_map(desired).any(|desired| desired != self.deployment.replicas())
    }

    /// Resizes without rolling: everything in proportion.
    fn scale(&self) -> Option<Step> {
        let wanted = self.deployment.replicas();
        let active = self.active();
        if active.len() <= 1 {
            let set = active.first().copied().or(self.new).or(self.old.last().copied())?;
            return (set.replicas() != wanted).then(|| scale(set, wanted)).or_else(|| self.sized(set));
        }
        if self.new.is_some_and(|new| self.saturated(new)) {
            return self.old.iter().find(|set| set.replicas() > 0).map(|set| scale(set, 0));
        }
        if !self.deployment.rolling() {
            return None;
        }
        let sizes = self.proportional(active);
        let differs = |(set, to): &(&Set, i32)| set.replicas() != *to || self.sized(set).is_some();
        sizes.into_iter().find(differs).map(|(set, to)| scale(set, to))
    }

    /// Brings what a set's annotations say of its size up to date, so that a scaling event ends.
    fn sized(&self, set: &Set) -> Option<Step> {
        let wanted = size_annotations(self.deployment);
        let right = wanted.iter().all(|(name, value)| set.annotation(name) == Some(value));
        (!right && set.replicas() > 0).then(|| scale(set, set.replicas()))
    }

    fn saturated(&self, new: &Set) -> bool {
        let wanted = self.deployment.replicas();
        let desired = new.annotation(DESIRED).and_then(|text| text.parse::<i32>().ok());
        new.replicas() == wanted && desired == Some(wanted) && new.available() == wanted
    }

    fn proportional(&self, mut sets: Vec<&'a Set>) -> Vec<(&'a Set, i32)> {
        let wanted = self.deployment.replicas();
        let allowed = if wanted > 0 { wanted + max_surge(self.deployment) } else { 0 };
        // Sets sized for the new number already took their part.
        let to_add = allowed - total(&sets);
        // Largest first; of equals the newer grows first and the older shrinks first. `sets` is oldest first.
        if to_add > 0 {
            sets.reverse();
        }
        sets.sort_by_key(|set| std::cmp::Reverse(set.replicas()));
        let mut added = 0;
        let mut sizes = Vec::new();
        for set in sets {
            let part = self.part(set, to_add, added);
            added += part;
            sizes.push((set, set.replicas() + part));
        }
        if let Some((_, size)) = sizes.first_mut() {
            *size = (*size + to_add - added).max(0);
        }
        sizes
    }

    fn part(&self, set: &Set, to_add: i32, added: i32) -> i32 {
        if to_add == added {
            return 0;
        }
        let wanted = self.deployment.replicas();
        let fraction = if wanted == 0 {
            -set.replicas()
        } else {
            let noted = set.annotation(MAXIMUM).and_then(|text| text.parse::<i32>().ok());
            let before = noted.filter(|is| *is != 0).or(self.deployment.status.replicas).unwrap_or(0);
            if before == 0 {
                return 0;
            }
            let after = f64::from(set.replicas()) * f64::from(wanted + max_surge(self.deployment));
            (after / f64::from(before)).round() as i32 - set.replicas()
        };
        let left = to_add - added;
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    fn roll(&self) -> Option<Step> {
        let Some(new) = self.new else { return Some(self.create()) };
        let wanted = self.deployment.replicas();
        if new.replicas() != wanted {
            let to = if new.replicas() > wanted { wanted } else { self.size_of_new(new.replicas()) };
            if to != new.replicas() {
                return Some(scale(new, to));
            }
        }
        self.shrink_old(new).or_else(|| self.clean_up_when_complete())
    }

    /// Takes old replicas down as far as enough pods stay available; those that are not, first.
    fn shrink_old(&self, new: &Set) -> Option<Step> {
        if total(&self.old) == 0 {
            return None;
        }
        let enough = self.deployment.replicas() - max_unavailable(self.deployment);
        let unavailable = new.replicas() - new.available();
        let may_go = total(&self.all) - enough - unavailable;
        if may_go <= 0 {
            return None;
        }
        for set in self.old.iter().filter(|set| set.replicas() > 0) {
            let unhealthy = set.replicas() - set.available();
            if unhealthy > 0 {
                return Some(scale(set, set.replicas() - may_go.min(unhealthy)));
            }
        }
        let available: i32 = self.all.iter().map(|set| set.available()).sum();
        if available <= enough {
            return None;
        }
        let set = self.old.iter().find(|set| set.replicas() > 0)?;
        Some(scale(set, set.replicas() - set.replicas().min(available - enough)))
    }

    fn recreate(&self, old_pods: &dyn Fn() -> bool) -> Option<Step> {
        if let Some(set) = self.old.iter().find(|set| set.replicas() > 0) {
            return Some(scale(set, 0));
        }
        let left: i32 = self.old.iter().map(|set| set.status.replicas).sum();
        if left > 0 || old_pods() {
            return None;
        }
        let Some(new) = self.new else { return Some(self.create()) };
        let wanted = self.deployment.replicas();
        if new.replicas() != wanted {
            return Some(scale(new, wanted));
        }
        self.clean_up_when_complete()
    }

    fn clean_up_when_complete(&self) -> Option<Step> {
        let status = super::progress::counts(self.deployment, &self.all, self.new);
        super::progress::complete(self.deployment, &status).then(|| self.clean_up()).flatten()
    }

    /// Forgets the oldest sets beyond `revisionHistoryLimit`.
    fn clean_up(&self) -> Option<Step> {
        let limit = self.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX)?;
        let alive: Vec<&Set> =
            self.old.iter().copied().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
        let excess = alive.len().checked_sub(usize::try_from(limit).ok()?)?;
        let mut oldest = alive;
        oldest.sort_by_key(|set| revision(set));
        let empty = |set: &&&Set| {
            let observed = set.status.observed_generation.unwrap_or(0);
            set.status.replicas == 0 && set.replicas() == 0 && set.metadata.generation <= observed
        };
        let set = oldest.iter().take(excess).find(empty)?;
        Some(Step::Forget { name: set.name().into(), uid: set.metadata.uid.clone() })
    }
}

fn revision(set: &Set) -> i64 {
    set.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether two templates differ in nothing but the hash label.
pub fn same_template(a: &Value, b: &Value) -> bool {
    let plain = |template: &Value| {
        let mut template = template.clone();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.shift_remove(HASH);
        }
        without_nothing(&mut template);
        template
    };
    plain(a) == plain(b)
}

/// Takes out nulls and empty lists and maps, which mean the same as absence; but not those that select a variant, as
/// `emptyDir: {}` does.
fn without_nothing(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_nothing);
            fields.retain(|name, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(inner) => {
                    !inner.is_empty()
                        || !matches!(
                            name.as_str(),
                            "labels"
                                | "annotations"
                                | "metadata"
                                | "securityContext"
                                | "resources"
                                | "nodeSelector"
                        )
                }
                Value::String(text) => !text.is_empty() || name != "creationTimestamp",
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(without_nothing),
        _ => {}
    }
}

/// What the new set's annotations should be: the Deployment's, and the revision with its history.
fn annotations(deployment: &View, new: &Set, next: i64) -> BTreeMap<String, String> {
    let mut all = new.metadata.annotations.clone();
    let inherited = deployment.metadata.annotations.iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
    all.extend(inherited.map(|(name, value)| (name.clone(), value.clone())));
    let is = all.get(REVISION).cloned();
    let number = match is.as_deref().unwrap_or("0").parse::<i64>() {
        Ok(number) => number,
        Err(_) => return all,
    };
    if number < next {
        all.insert(REVISION.into(), next.to_string());
        if let Some(is) = is {
            let history = all.entry(HISTORY.into()).or_default();
            let mut numbers: Vec<&str> = history.split(',').filter(|number| !number.is_empty()).collect();
            numbers.push(&is);
            let length = |numbers: &[&str]| numbers.iter().map(|number| number.len() + 1).sum::<usize>();
            while length(&numbers) > HISTORY_LENGTH && numbers.len() > 1 {
                numbers.remove(0);
            }
            *history = numbers.join(",");
        }
    }
    all
}

/// What a set's annotations say of the size that it was given.
pub fn size_annotations(deployment: &View) -> BTreeMap<&'static str, String> {
    let wanted = deployment.replicas();
    let most = wanted + max_surge(deployment);
    BTreeMap::from([(DESIRED, wanted.to_string()), (MAXIMUM, most.to_string())])
}

/// The ReplicaSet of the Deployment's template.
pub fn new_set(deployment: &View, owner: Reference, replicas: i32, revision: i64) -> Value {
    let hash = hash(&deployment.spec.template, deployment.status.collision_count);
    let name = format!("{}-{hash}", deployment.metadata.name);
    let mut template = deployment.spec.template.clone();
    template["metadata"]["labels"][HASH] = hash.clone().into();
    let mut selector = json!(deployment.spec.selector);
    selector["matchLabels"][HASH] = hash.into();
    let mut annotations: BTreeMap<String, String> = deployment.metadata.annotations.clone();
    annotations.retain(|name, _| !OWN.contains(&name.as_str()));
    annotations.insert(REVISION.into(), revision.to_string());
    annotations.extend(size_annotations(deployment).into_iter().map(|(name, value)| (name.into(), value)));
    json!({
        "kind": "ReplicaSet", "apiVersion": "apps/v1",
        "metadata": {
            "name": name, "labels": template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": replicas, "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": selector, "template": template,
        },
    })
}

/// Names a template: FNV-1a of its canonical JSON and the collisions so far, in the letters that upstream's names have.
/// Not the number that upstream computes (it hashes Go's memory layout); sets are found by template, not by hash.
pub fn hash(template: &Value, collisions: Option<i32>) -> String {
    let mut plain = template.clone();
    without_nothing(&mut plain);
    sort(&mut plain);
    let mut hash: u32 = 0x811c_9dc5;
    let mut add = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    plain.to_string().bytes().for_each(&mut add);
    if let Some(collisions) = collisions {
        collisions.to_le_bytes().into_iter().for_each(&mut add);
    }
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digits = hash.to_string();
    digits.bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.sort_keys();
            fields.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// Of `total`: a number, or a percentage rounded `up` or down.
fn part_of(value: Option<&IntOrString>, total: i32, up: bool) -> i32 {
    value.and_then(|value| share::of(value, total, up)).unwrap_or(0)
}

/// `maxSurge` and `maxUnavailable` in pods; never both zero, or nothing could ever roll.
fn fences(deployment: &View) -> (i32, i32) {
    let rolling = deployment.spec.strategy.rolling_update.as_ref();
    let wanted = deployment.replicas();
    let surge = part_of(rolling.and_then(|rolling| rolling.max_surge.as_ref()), wanted, true);
    let unavailable = part_of(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), wanted, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

pub fn max_surge(deployment: &View) -> i32 {
    if deployment.rolling() { fences(deployment).0 } else { 0 }
}

pub fn max_unavailable(deployment: &View) -> i32 {
    if !deployment.rolling() || deployment.replicas() == 0 {
        return 0;
    }
    fences(deployment).1.min(deployment.replicas())
}
