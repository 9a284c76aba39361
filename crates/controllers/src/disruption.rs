//! Counts for each PodDisruptionBudget how many of its pods are healthy and how many may go, which evictions ask
//! (pkg/controller/disruption of upstream).
//!
//! If the count cannot be made, nothing may go: a budget that is wrong must not let a pod be evicted. The condition
//! `DisruptionTarget` is taken back from pods that were not deleted within two minutes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::object::Change;
use api::{Key, Object};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::{Regarding, second};
use client::{Action, Cache, Meta, OwnerReference, Patch, Reconciler, Watch, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Deserialize;
use serde_json::json;

use crate::context::whole;
use crate::{Context, Controller, pods, share};

pub const CONTROLLER: Controller = Controller {
    name: "disruption",
    account: "disruption-controller",
    workers: 2,
    make: |context| {
        let (budgets, pods) = (context.cache::<PodDisruptionBudget>()?, context.cache::<Pod>()?);
        let owners = [
            context.cache::<Deployment>()?,
            context.cache::<ReplicaSet>()?,
            context.cache::<StatefulSet>()?,
            context.cache::<ReplicationController>()?,
        ];
        Some(Arc::new(Disruption { budgets, pods, owners, context }))
    },
};

/// How long an evicted pod may take to be deleted before it counts again.
const DELETION: SignedDuration = SignedDuration::from_mins(2);

struct Disruption {
    budgets: Arc<Cache>,
    pods: Arc<Cache>,
    /// The kinds whose replicas are pods.
    owners: [Arc<Cache>; 4],
    context: Context,
}

/// What every kind with replicas has.
#[derive(Deserialize)]
struct Scaled {
    metadata: Meta,
    spec: Replicas,
}

#[derive(Deserialize)]
struct Replicas {
    replicas: Option<i32>,
}

/// What a budget expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    pods: i32,
    healthy: i32,
    /// A pod without a controller is among those selected.
    unmanaged: bool,
}

#[async_trait]
impl Reconciler for Disruption {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }

    fn watches(&self) -> Vec<Watch> {
        let budgets = self.budgets.clone();
        let of_pod = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let pod = change.object();
            let before = match change {
                Change::Put { before, .. } => before.as_ref().filter(|before| before.labels != pod.labels),
                Change::Delete { .. } => None,
            };
            for budget in budgets.snapshot().range(pod.key.namespace(), None) {
                let selected = |object: &Arc<Object>| selects(budget, object);
                if selected(pod) || before.is_some_and(selected) {
                    add(budget.key.clone());
                }
            }
            let gone = matches!(change, Change::Delete { .. });
            if !gone && contains(&pod.json, b"DisruptionTarget") {
                add(pod.key.clone());
            }
        };
        let mut all = vec![Watch::own(&self.budgets), Watch::by(&self.pods, of_pod)];
        for owner in &self.owners {
            let budgets = self.budgets.clone();
            // A new scale changes what is expected of every budget that counts by it.
            all.push(Watch::by(owner, move |change, add| {
                let Change::Put { object, before: Some(before) } = change else { return };
                let scale = |object| client::decode::<Scaled>(object).map(|scaled| scaled.spec.replicas);
                if scale(object) != scale(before) {
                    let namespace = object.key.namespace();
                    budgets.snapshot().range(namespace, None).for_each(|budget| add(budget.key.clone()));
                }
            }));
        }
        all
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        if key.resource() == *self.pods.resource() {
            return self.take_back(key).await;
        }
        let Some(object) = self.budgets.get_key(key) else { return Ok(Action::Done) };
        let Some(budget) = client::decode::<PodDisruptionBudget>(&object) else { return Ok(Action::Done) };
        let pods: Vec<Pod> = self
            .pods
            .snapshot()
            .range(key.namespace(), None)
            .filter(|pod| selects(&object, pod))
            .filter_map(client::decode)
            .collect();
        let regarding = Regarding::typed(&budget);
        if pods.is_empty() {
            self.context.recorder.normal(&regarding, "NoPods", "No matching pods found");
        }
        let now = self.context.clock.now();
        let old = budget.status.clone().unwrap_or_default();
        let (new, again) = match self.expected(&budget, &pods).await {
            Ok(expected) => {
                if expected.unmanaged {
                    self.context.recorder.warning(&regarding, "UnmanagedPods", UNMANAGED);
                }
                status(&budget, &pods, expected, now)
            }
            Err(text) => {
                let told = format!("Failed to calculate the number of expected pods: {text}");
                self.context.recorder.warning(&regarding, "CalculateExpectedPodCountFailed", told);
                let mut new = PodDisruptionBudgetStatus { disruptions_allowed: Some(0), ..old.clone() };
                let at = old.observed_generation;
                set_condition(&mut new, ("False", "SyncFailed", &text), at, now);
                (new, None)
            }
        };
        self.context.writer.status(&object, &old, &new).await?;
        Ok(again.map_or(Action::Done, Action::After))
    }
}

const UNMANAGED: &str = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status \
    of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please \
    set \".spec.minAvailable\" field of the PDB to an integer value.";

impl Disruption {
    /// How many pods there should be, and how many of them healthy; or why that cannot be told.
    async fn expected(&self, budget: &PodDisruptionBudget, pods: &[Pod]) -> Result<Expected, String> {
        use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
        let Some(spec) = &budget.spec else { return Ok(Expected::default()) };
        let no_share =
            || "invalid value for IntOrString: invalid type: string is not a percentage".to_string();
        match (&spec.max_unavailable, &spec.min_available) {
            (Some(limit), _) => {
                let (total, unmanaged) = self.scale(pods).await?;
                let unavailable = share::of(limit, total, true).ok_or_else(no_share)?;
                Ok(Expected { pods: total, healthy: total.saturating_sub(unavailable).max(0), unmanaged })
            }
            (None, Some(IntOrString::Int(healthy))) => {
                let total = i32::try_from(pods.len()).unwrap_or(i32::MAX);
                Ok(Expected { pods: total, healthy: *healthy, unmanaged: false })
            }
            (None, Some(limit)) => {
                let (total, unmanaged) = self.scale(pods).await?;
                let healthy = share::of(limit, total, true).ok_or_else(no_share)?;
                Ok(Expected { pods: total, healthy, unmanaged })
            }
            (None, None) => Ok(Expected::default()),
        }
    }

    /// The replicas that the controllers of `pods` are to have in sum; whether a pod has no controller.
    async fn scale(&self, pods: &[Pod]) -> Result<(i32, bool), String> {
        let (mut scales, mut unmanaged) = (HashMap::new(), false);
        for pod in pods {
            let metadata = &pod.metadata;
            let namespace = metadata.namespace.as_deref().unwrap_or_default();
            let owner =
                metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
            let Some(owner) = owner else {
                unmanaged = true;
                continue;
            };
            if scales.contains_key(&owner.uid) {
                continue;
            }
            let reference = OwnerReference {
                api_version: owner.api_version.as_str().into(),
                kind: owner.kind.as_str().into(),
                name: owner.name.as_str().into(),
                uid: owner.uid.as_str().into(),
                ..OwnerReference::default()
            };
            let none =
                || format!("found no controllers for pod {:?}", metadata.name.as_deref().unwrap_or_default());
            let (uid, replicas) = self.owner(namespace, &reference).await.ok_or_else(none)?;
            scales.insert(owner.uid.clone(), (uid, replicas));
        }
        // Several ReplicaSets of one Deployment count once.
        let distinct: HashMap<String, i32> = scales.into_values().collect();
        Ok((distinct.into_values().fold(0, i32::saturating_add), unmanaged))
    }

    /// Uid and replicas of what scales the pods of `reference`: a ReplicaSet's Deployment in its place.
    async fn owner(&self, namespace: &str, reference: &OwnerReference) -> Option<(String, i32)> {
        let cached = self.owners.iter().find(|cache| {
            cache.about().kind == reference.kind && cache.resource().group.as_str() == reference.group()
        });
        let Some(cache) = cached else { return self.by_scale(namespace, reference).await };
        let object = cache.get(namespace, &reference.name)?;
        let scaled =
            client::decode::<Scaled>(&object).filter(|one| one.metadata.uid == reference.uid.as_str())?;
        if cache.about().kind == "ReplicaSet"
            && let Some(above) =
                client::informer::controller(&object).filter(|above| above.kind == "Deployment")
        {
            let object = self.owners[0].get(namespace, &above.name)?;
            let deployment = client::decode::<Scaled>(&object)?;
            return Some((deployment.metadata.uid, deployment.spec.replicas.unwrap_or(1)));
        }
        Some((scaled.metadata.uid, scaled.spec.replicas.unwrap_or(1)))
    }

    /// Any other kind is asked by its subresource `scale`.
    async fn by_scale(&self, namespace: &str, reference: &OwnerReference) -> Option<(String, i32)> {
        let cache = self.context.caches.kind(reference.group(), &reference.kind)?;
        let path = format!("{}/scale", cache.about().path(namespace, &reference.name));
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        let scaled: Scaled = self.context.writer.client().request(request).await.ok()?;
        let same = scaled.metadata.uid == reference.uid.as_str();
        same.then(|| (scaled.metadata.uid, scaled.spec.replicas.unwrap_or(0)))
    }

    /// Takes the condition back from a pod that was to go and did not.
    async fn take_back(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.pods.get_key(key).filter(|pod| !pod.deleting) else {
            return Ok(Action::Done);
        };
        let Some(pod) = client::decode::<Pod>(&object) else { return Ok(Action::Done) };
        // kubelet takes as long as it takes; a finished pod is left as it is.
        let told = pods::condition(&pod, "DisruptionTarget").filter(|condition| {
            condition.status == "True" && condition.reason.as_deref() != Some("TerminationByKubelet")
        });
        let Some(told) = told.filter(|_| !pods::finished(&pod)) else { return Ok(Action::Done) };
        let since = told.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let now = self.context.clock.now();
        if let Some(left) = left(since, now) {
            return Ok(Action::After(left));
        }
        let body = json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [{
            "type": "DisruptionTarget", "status": "False", "reason": null, "message": null,
            "lastTransitionTime": second(now) }] } });
        let patched = self.context.writer.patch(key, "status", Patch::Strategic(&body)).await;
        client::writer::gone_is_fine(patched)?;
        Ok(Action::Done)
    }
}

/// How much of [`DELETION`] is left; `None` if nothing.
fn left(since: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = DELETION.checked_sub(now.duration_since(since))?;
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn selects(budget: &Arc<Object>, pod: &Arc<Object>) -> bool {
    let spec = client::decode::<PodDisruptionBudget>(budget).and_then(|budget| budget.spec);
    let selector = spec.and_then(|spec| spec.selector);
    selector.is_some_and(|selector| labels::selects(&selector, &**pod))
}

/// The budget's status, and when to look again because an evicted pod should be gone by then.
fn status(
    budget: &PodDisruptionBudget,
    pods: &[Pod],
    expected: Expected,
    now: Timestamp,
) -> (PodDisruptionBudgetStatus, Option<Duration>) {
    let old = budget.status.clone().unwrap_or_default();
    let evicted = old.disrupted_pods.clone().unwrap_or_default();
    let (mut disrupted, mut again): (BTreeMap<String, Time>, Option<Duration>) = Default::default();
    let mut healthy = 0;
    for pod in pods.iter().filter(|pod| !pods::terminating(pod)) {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let going = evicted.get(&name).and_then(|since| left(since.0, now).map(|left| (since, left)));
        if let Some((since, left)) = going {
            disrupted.insert(name, since.clone());
            again = Some(again.map_or(left, |other| other.min(left)));
        } else if pods::ready(pod) {
            healthy += 1;
        }
    }
    let spare = if expected.pods > 0 { (healthy - expected.healthy).max(0) } else { 0 };
    let generation = budget.metadata.generation;
    let mut new = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(expected.healthy),
        expected_pods: Some(expected.pods),
        disruptions_allowed: Some(spare),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: generation,
        conditions: old.conditions,
    };
    let told = if spare > 0 { ("True", "SufficientPods", "") } else { ("False", "InsufficientPods", "") };
    set_condition(&mut new, told, generation, now);
    (new, again)
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    (value, reason, message): (&str, &str, &str),
    generation: Option<i64>,
    now: Timestamp,
) {
    let all = status.conditions.get_or_insert_default();
    let old = all.iter().find(|one| one.type_ == "DisruptionAllowed").filter(|one| one.status == value);
    let since = old.map_or_else(|| whole(now), |old| old.last_transition_time.clone());
    all.retain(|one| one.type_ != "DisruptionAllowed");
    all.push(Condition {
        type_: "DisruptionAllowed".into(),
        status: value.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: since,
    });
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pod(name: &str, ready: &str) -> Pod {
        let pod = json!({ "metadata": { "name": name }, "status": { "conditions": [
            { "type": "Ready", "status": ready } ] } });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn what_may_go() {
        let budget = |status: Value| -> PodDisruptionBudget {
            serde_json::from_value(json!({ "metadata": { "generation": 2 }, "status": status })).unwrap()
        };
        let pods = [pod("a", "True"), pod("b", "True"), pod("c", "False"), pod("d", "True")];
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let allowed = |wanted: Expected, old: Value| {
            let (new, again) = status(&budget(old), &pods, wanted, now);
            (
                new.current_healthy.unwrap(),
                new.disruptions_allowed.unwrap(),
                again.map(|again| again.as_secs()),
            )
        };
        let empty =
            json!({ "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0 });
        let of = |pods, healthy| Expected { pods, healthy, unmanaged: false };
        assert_eq!(allowed(of(4, 2), empty.clone()), (3, 1, None));
        assert_eq!(allowed(of(4, 4), empty.clone()), (3, 0, None));
        assert_eq!(allowed(of(0, 0), empty.clone()), (3, 0, None));
        let mut evicted = empty;
        evicted["disruptedPods"] = json!({ "a": "2026-01-01T00:00:00Z", "b": "2025-12-31T23:00:00Z" });
        // One is still going; the other should be gone and is not: it counts again.
        assert_eq!(allowed(of(4, 1), evicted), (2, 1, Some(60)));
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_change() {
        let mut status = PodDisruptionBudgetStatus::default();
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        set_condition(&mut status, ("True", "SufficientPods", ""), Some(1), at("2026-01-01T00:00:00Z"));
        set_condition(&mut status, ("True", "SufficientPods", ""), Some(2), at("2026-01-01T00:01:00Z"));
        let conditions = status.conditions.unwrap();
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].last_transition_time.0, at("2026-01-01T00:00:00Z"));
        assert_eq!(conditions[0].observed_generation, Some(2));
    }
}
