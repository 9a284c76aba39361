//! Counts what namespaces use of their ResourceQuotas when something goes or changes by itself. The sum is the server's own:
//! it knows what is being made (see `apiserver`'s admission), so that a count never gives away what was just taken.

use std::sync::Arc;

use api::object::Change;
use api::{Key, Object, Value, quota};
use async_trait::async_trait;
use client::reconcile::{Error, Map};
use client::writer::gone_is_fine;
use client::{Action, Cache, Caches, Reconciler, Watch};
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::json;

use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "resourcequota",
    account: "resourcequota-controller",
    workers: 2,
    make: |context| Some(Arc::new(Quotas { quotas: context.cache::<ResourceQuota>()?, context })),
};

struct Quotas {
    quotas: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Quotas {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.quotas)]
    }
    /// Whatever a quota limits may be of any kind.
    fn watches_all(&self) -> Option<(Caches, Arc<Map>)> {
        let quotas = self.quotas.clone();
        let map = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let object = change.object();
            if object.namespace().is_empty() || quotas.is_empty() {
                return;
            }
            let resource = object.key.resource();
            for own in quotas.snapshot().range(object.namespace(), None) {
                let hard = quota::amounts(own.value().at(&["spec", "hard"]));
                if !quota::relevant(&resource, hard.into_keys()).is_empty() {
                    add(own.key.clone());
                }
            }
        };
        Some((self.context.caches.clone(), Arc::new(map)))
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.quotas.get_key(key).filter(|object| !object.deleting) else {
            return Ok(Action::Done);
        };
        let own = object.value();
        let hard = quota::amounts(own.at(&["spec", "hard"]));
        let now = self.context.clock.now().as_second();
        let used = used(&self.context.caches, &object, &own, now);
        let status = |field: &str| quota::amounts(own.at(&["status", field]));
        if status("hard") == hard && status("used") == used {
            return Ok(Action::Done);
        }
        let text = |amounts: &quota::Amounts| -> serde_json::Value {
            amounts.iter().map(|(name, amount)| (name.to_string(), json!(amount.to_string()))).collect()
        };
        let body = json!({ "status": { "hard": text(&hard), "used": text(&used) } });
        gone_is_fine(self.context.writer.update(&object, "status", &body).await)?;
        Ok(Action::Done)
    }
}

/// What is there of what the quota limits.
fn used(caches: &Caches, object: &Object, own: &Value, now: i64) -> quota::Amounts {
    let hard = quota::amounts(own.at(&["spec", "hard"]));
    let mut resources: Vec<_> = hard.keys().filter_map(|name| quota::counted(name)).collect();
    resources.sort();
    resources.dedup();
    let mut sum = quota::Amounts::new();
    for resource in resources {
        let Some(cache) = caches.get(&resource) else { continue };
        for other in cache.snapshot().range(object.namespace(), None) {
            let other = other.value();
            if quota::in_scopes(own, &resource, &other) {
                quota::add(&mut sum, &quota::usage(&resource, &other, now));
            }
        }
    }
    let mut used = quota::mask(&sum, &hard.keys().cloned().collect());
    for (name, limit) in &hard {
        used.entry(name.clone()).or_insert_with(|| api::quantity::Quantity::from_int(0, limit.format()));
    }
    used
}
