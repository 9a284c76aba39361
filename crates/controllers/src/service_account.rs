//! Gives each namespace its ServiceAccount `default`, without which no pod can be made in it.

use std::sync::Arc;

use api::{Key, Resource};
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Cache, Reconciler, Watch};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::json;

use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "serviceaccount",
    account: "service-account-controller",
    workers: 2,
    make: |context| {
        let (namespaces, accounts) = (context.cache::<Namespace>()?, context.cache::<ServiceAccount>()?);
        Some(Arc::new(Accounts { namespaces, accounts, context }))
    },
};

struct Accounts {
    namespaces: Arc<Cache>,
    accounts: Arc<Cache>,
    context: Context,
}

/// Maps an object of a namespace to the namespace's key.
pub fn to_namespace(namespaces: &Arc<Cache>, key: &Key) -> Key {
    Key::new(namespaces.resource(), "", key.namespace())
}

#[async_trait]
impl Reconciler for Accounts {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        let namespaces = self.namespaces.clone();
        let gone = move |change: &api::object::Change, add: &mut dyn FnMut(Key)| {
            if let api::object::Change::Delete { object, .. } = change
                && object.key.name() == "default"
            {
                add(to_namespace(&namespaces, &object.key));
            }
        };
        vec![Watch::own(&self.namespaces), Watch::by(&self.accounts, gone)]
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(namespace) = self.namespaces.get_key(key) else { return Ok(Action::Done) };
        if namespace.deleting || self.accounts.get(key.name(), "default").is_some() {
            return Ok(Action::Done);
        }
        let body = json!({ "kind": "ServiceAccount", "apiVersion": "v1", "metadata": { "name": "default" } });
        match self.context.writer.create(&Resource::new("", "serviceaccounts"), key.name(), &body).await {
            Err(error) if !error.already_exists() && !error.namespace_terminating() => Err(error.into()),
            _ => Ok(Action::Done),
        }
    }
}
