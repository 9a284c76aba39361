//! Fills ClusterRoles that aggregate others: `admin`, `edit`, `view`, and whatever operators add.

use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Cache, Patch, Reconciler, Watch, labels};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;

use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "clusterrole-aggregation",
    account: "clusterrole-aggregation-controller",
    workers: 1,
    make: |context| Some(Arc::new(Aggregation { roles: context.cache::<ClusterRole>()?, context })),
};

struct Aggregation {
    roles: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Aggregation {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    /// Any role may be part of any other; the few that aggregate are asked each time.
    fn watches(&self) -> Vec<Watch> {
        let roles = self.roles.clone();
        vec![Watch::by(&self.roles, move |_, add| {
            let all = roles.snapshot();
            let text = b"\"aggregationRule\"";
            let aggregates = all.iter().filter(|role| role.json.windows(text.len()).any(|part| part == text));
            aggregates.for_each(|role| add(role.key.clone()));
        })]
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.roles.get_key(key).filter(|object| !object.deleting) else {
            return Ok(Action::Done);
        };
        let Some(role) = client::decode::<ClusterRole>(&object) else { return Ok(Action::Done) };
        let selectors = role.aggregation_rule.as_ref().and_then(|rule| rule.cluster_role_selectors.as_ref());
        let Some(selectors) = selectors else { return Ok(Action::Done) };
        let mut rules: Vec<PolicyRule> = Vec::new();
        for other in self.roles.snapshot().iter().filter(|other| other.key != *key) {
            if selectors.iter().any(|selector| labels::selects(selector, &**other)) {
                let parts = client::decode::<ClusterRole>(other).and_then(|other| other.rules);
                for rule in parts.unwrap_or_default() {
                    if !rules.contains(&rule) {
                        rules.push(rule);
                    }
                }
            }
        }
        if role.rules.unwrap_or_default() == rules {
            return Ok(Action::Done);
        }
        let version = client::meta(&object).resource_version;
        let body = json!({ "metadata": { "resourceVersion": version }, "rules": rules });
        self.context.writer.patch(key, "", Patch::Merge(&body)).await?;
        Ok(Action::Done)
    }
}
