//! ResourceQuota: an object that uses more than its namespace has left is not made
//! (k8s.io/apiserver/pkg/admission/plugin/resourcequota).
//!
//! Invariant: `status.used` is never less than what is there and what is being made. A charge is a compare-and-swap of the
//! quota; until the write that it is for is over it is also in [`InFlight`], and whoever writes a quota's status gets the
//! server's own count, of the caches and the charges under way. A failed write has its quotas counted again.

use std::collections::HashMap;
use std::sync::Arc;

use api::quota::{self, Amounts};
use api::{Object, Resource, Value};
use parking_lot::Mutex;

use super::{Operation, Plugin, Request};
use crate::engine::update::Part;
use crate::server::Inner;
use crate::status::{Result, Status};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "ResourceQuota",
    default: true,
    handles: |request| {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let counted = matches!(request.subresource, "" | "resize");
        let status = request.is("", "resourcequotas") && request.subresource == "status";
        writes
            && request.form == super::Form::Own
            && (status || (counted && request.call.target.kind.namespaced))
    },
    mutate: Some(|request, value| {
        if request.is("", "resourcequotas") && request.subresource == "status" {
            recount(&request.call.inner, value, revision(request.old));
        }
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: Some(|request, value| {
        Box::pin(async move {
            match value {
                Some(value) if request.subresource != "status" => charge(request, value).await,
                _ => Ok(()),
            }
        })
    }),
};

/// Charges of writes that are under way, by namespace and name of the quota.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashMap<(String, String), Vec<Flight>>>);

struct Flight {
    id: u64,
    amounts: Amounts,
    taken: Taken,
}

/// Whether the quota has a charge in it.
#[derive(Clone, Copy)]
enum Taken {
    NotYet,
    /// It is being written over this revision of the quota. Over that revision it is not in; in a later one it may be.
    Over(u64),
    Yes,
}

impl InFlight {
    fn add(&self, key: &(String, String), amounts: Amounts) -> u64 {
        let mut all = self.0.lock();
        let list = all.entry(key.clone()).or_default();
        let id = list.iter().map(|flight| flight.id + 1).max().unwrap_or(0);
        list.push(Flight { id, amounts, taken: Taken::NotYet });
        id
    }
    fn set(&self, key: &(String, String), id: u64, taken: Taken) {
        let mut all = self.0.lock();
        let own = all.get_mut(key).into_iter().flatten().find(|flight| flight.id == id);
        own.into_iter().for_each(|flight| flight.taken = taken);
    }
    fn remove(&self, key: &(String, String), id: u64) {
        let mut all = self.0.lock();
        if let Some(list) = all.get_mut(key) {
            list.retain(|flight| flight.id != id);
            if list.is_empty() {
                all.remove(key);
            }
        }
    }
    /// Of what is in the quota at this revision, or may be. What is written over that revision is not: it is added to whatever is
    /// there when it comes, and would be counted twice.
    fn sum(&self, key: &(String, String), at: u64) -> Amounts {
        let mut sum = Amounts::new();
        for flight in self.0.lock().get(key).into_iter().flatten() {
            let counts = match flight.taken {
                Taken::NotYet => false,
                Taken::Over(revision) => revision < at,
                Taken::Yes => true,
            };
            if counts {
                quota::add(&mut sum, &flight.amounts);
            }
        }
        sum
    }
}

/// A charge until its write is over. Dropped without being kept, it has its quota counted again.
pub(crate) struct Charge {
    inner: Arc<Inner>,
    key: (String, String),
    id: u64,
    kept: bool,
}

impl Charge {
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.inner.admission.in_flight.remove(&self.key, self.id);
        if self.kept {
            return;
        }
        let (inner, key) = (self.inner.clone(), self.key.clone());
        let tasks = inner.tasks.clone();
        tasks.spawn("quota-recount", async move {
            let own = inner.clone();
            let make = move |old: &Value| {
                let mut new = old.clone();
                new.remove(&["metadata", "resourceVersion"]);
                recount(&own, &mut new, revision(Some(old)));
                Ok(new)
            };
            let place = ("", "v1", "resourcequotas", key.0.as_str(), key.1.as_str());
            match inner.change(place, Part::Status, &make).await {
                Err(status) if status.reason() != "NotFound" => {
                    tracing::warn!(
                        quota = key.1,
                        message = status.message(),
                        "a quota could not be counted again"
                    );
                }
                _ => {}
            }
        });
    }
}

fn revision(quota: Option<&Value>) -> u64 {
    let text = quota.map(|quota| quota.str_at(&["metadata", "resourceVersion"]));
    // Without one nothing is known of what is in it: all of it counts.
    text.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// What is used of a quota's limits: all objects that count for it, and what is being made. `over`: the revision that is replaced.
fn recount(inner: &Inner, value: &mut Value, over: u64) {
    let hard = quota::amounts(value.at(&["spec", "hard"]));
    if hard.is_empty() {
        return;
    }
    let (namespace, name) = (
        value.str_at(&["metadata", "namespace"]).to_string(),
        value.str_at(&["metadata", "name"]).to_string(),
    );
    // Before the objects: what ends in between is counted twice rather than never.
    let mut used = inner.admission.in_flight.sum(&(namespace.clone(), name), over);
    let now = inner.clock.now().as_second();
    let mut resources: Vec<Resource> = hard.keys().filter_map(|name| quota::counted(name)).collect();
    resources.sort();
    resources.dedup();
    for resource in resources {
        let Some(cache) = inner.caches.get(&resource) else { continue };
        for object in cache.snapshot().range(&namespace, None) {
            let object = object.value();
            if quota::in_scopes(value, &resource, &object) {
                quota::add(&mut used, &quota::usage(&resource, &object, now));
            }
        }
    }
    let names = hard.keys().cloned().collect();
    let mut used = quota::mask(&used, &names);
    for (name, limit) in &hard {
        used.entry(name.clone()).or_insert_with(|| api::quantity::Quantity::from_int(0, limit.format()));
    }
    // The limits in the status are whoever wrote them's, as upstream's; the controller puts them right.
    value.set(&["status", "used"], quota::to_value(&used));
}

async fn charge(request: &Request<'_>, value: &Value) -> Result<()> {
    let inner = &request.call.inner;
    let Some(cache) = inner.caches.named("", "resourcequotas") else { return Ok(()) };
    let snapshot = cache.snapshot();
    let quotas: Vec<Arc<Object>> = snapshot.range(request.namespace(), None).cloned().collect();
    drop(snapshot);
    if quotas.is_empty() {
        return Ok(());
    }
    let resource = request.call.target.storage.resource.clone();
    let now = inner.clock.now().as_second();
    let whole = quota::usage(&resource, value, now);
    let before = request.old.map(|old| quota::usage(&resource, old, now));
    for object in quotas {
        let own = object.value();
        if !quota::matches(&own, &resource, value) {
            continue;
        }
        let mut delta = whole.clone();
        if let (Some(old), Some(before)) = (request.old, &before)
            && quota::matches(&own, &resource, old)
        {
            quota::subtract(&mut delta, before);
        }
        delta.retain(|_, amount| amount.sign() > 0);
        if request.old.is_some() && delta.is_empty() {
            continue;
        }
        let refuse = |why: String| request.forbidden(Some(value), why);
        let take = |quota: &Value| fit(quota, &resource, value, &delta, &refuse);
        if request.dry_run() {
            take(&own)?;
            continue;
        }
        let key = (object.namespace().to_string(), object.name().to_string());
        let amounts = quota::mask(&delta, &quota::amounts(own.at(&["spec", "hard"])).into_keys().collect());
        if amounts.is_empty() {
            continue;
        }
        // First in flight, so that nobody counts it out again.
        let id = inner.admission.in_flight.add(&key, amounts);
        let charge = Charge { inner: inner.clone(), key: key.clone(), id, kept: false };
        let place = ("", "v1", "resourcequotas", key.0.as_str(), key.1.as_str());
        let make = |old: &Value| {
            inner.admission.in_flight.set(&key, id, Taken::Over(revision(Some(old))));
            take(old)
        };
        let changed = inner.change(place, Part::Status, &make).await;
        inner.admission.in_flight.set(&key, id, Taken::Yes);
        match changed {
            Ok(_) => request.charges.lock().push(charge),
            Err(status) => {
                // Nothing was taken, so nothing has to be counted again.
                let mut charge = charge;
                charge.keep();
                match status.reason() {
                    "NotFound" => {}
                    _ => return Err(status),
                }
            }
        }
    }
    Ok(())
}

/// The quota with `delta` taken from it, if there is enough.
fn fit(
    quota: &Value,
    resource: &Resource,
    value: &Value,
    delta: &Amounts,
    refuse: &dyn Fn(String) -> Status,
) -> Result<Value> {
    let name = quota.str_at(&["metadata", "name"]);
    let hard = quota::amounts(quota.at(&["status", "hard"]));
    let mut used = quota::amounts(quota.at(&["status", "used"]));
    let names = quota::relevant(resource, hard.keys().cloned());
    if resource.group.is_empty()
        && resource.plural == "pods"
        && let Some(why) = value.get("spec").and_then(|spec| quota::missing(&names, spec))
    {
        return Err(refuse(format!("failed quota: {name}: {why}")));
    }
    let spec = quota::amounts(quota.at(&["spec", "hard"]));
    let wanted = quota::relevant(resource, spec.keys().cloned());
    if wanted.iter().any(|name| !used.contains_key(name)) {
        let list: Vec<&str> = wanted.iter().map(|name| name.as_str()).collect();
        return Err(refuse(format!("status unknown for quota: {name}, resources: {}", list.join(","))));
    }
    let asked = quota::mask(delta, &hard.keys().cloned().collect());
    let mut over: Amounts = Amounts::new();
    for (resource, amount) in &asked {
        let mut sum = used.get(resource).cloned().unwrap_or_default();
        sum.add(amount);
        if hard.get(resource).is_some_and(|limit| sum > *limit) {
            over.insert(resource.clone(), amount.clone());
        }
    }
    if !over.is_empty() {
        let names = over.keys().cloned().collect();
        return Err(refuse(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            quota::show(&over),
            quota::show(&quota::mask(&used, &names)),
            quota::show(&quota::mask(&hard, &names))
        )));
    }
    quota::add(&mut used, &asked);
    let mut new = quota.clone();
    new.remove(&["metadata", "resourceVersion"]);
    new.set(&["status", "used"], quota::to_value(&used));
    Ok(new)
}
