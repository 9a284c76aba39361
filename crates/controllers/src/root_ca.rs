//! Publishes the cluster's CA as the ConfigMap `kube-root-ca.crt` of each namespace, for pods to check the server by.

use std::sync::Arc;

use api::object::Change;
use api::{Key, Resource};
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Cache, Informer, Reconciler, Watch};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::json;

use crate::service_account::to_namespace;
use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "root-ca-certificate-publisher",
    account: "root-ca-cert-publisher",
    workers: 2,
    make: |context| {
        let (namespaces, maps) = (context.cache::<Namespace>()?, context.informer::<ConfigMap>()?);
        Some(Arc::new(Publisher { namespaces, maps, context }))
    },
};

const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const ABOUT: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of \
     Kubernetes clusters.",
);

struct Publisher {
    namespaces: Arc<Cache>,
    maps: Informer<ConfigMap>,
    context: Context,
}

#[async_trait]
impl Reconciler for Publisher {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        let namespaces = self.namespaces.clone();
        let own = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let key = &change.object().key;
            if key.name() == NAME {
                add(to_namespace(&namespaces, key));
            }
        };
        vec![Watch::own(&self.namespaces), Watch::by(self.maps.cache(), own)]
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(namespace) = self.namespaces.get_key(key) else { return Ok(Action::Done) };
        if namespace.deleting {
            return Ok(Action::Done);
        }
        let resource = Resource::new("", "configmaps");
        let (writer, ca) = (&self.context.writer, &self.context.config.root_ca);
        let annotations = json!({ ABOUT.0: ABOUT.1 });
        let written = match self.maps.cache().get(key.name(), NAME) {
            None => {
                let body = json!({
                    "kind": "ConfigMap", "apiVersion": "v1",
                    "metadata": { "name": NAME, "annotations": annotations },
                    "data": { FILE: ca },
                });
                writer.create(&resource, key.name(), &body).await
            }
            Some(object) => {
                let Some(map) = client::decode::<ConfigMap>(&object) else { return Ok(Action::Done) };
                let described = map
                    .metadata
                    .annotations
                    .iter()
                    .flatten()
                    .any(|(key, is)| (key.as_str(), is.as_str()) == ABOUT);
                let only =
                    map.data.as_ref().is_some_and(|data| data.len() == 1 && data.get(FILE) == Some(ca));
                if only && described {
                    return Ok(Action::Done);
                }
                let mut data = json!({ FILE: ca });
                for other in map.data.iter().flat_map(|data| data.keys()).filter(|name| *name != FILE) {
                    data[other] = serde_json::Value::Null;
                }
                let change = json!({ "metadata": { "annotations": annotations }, "data": data });
                writer.update(&object, "", &change).await
            }
        };
        match written {
            Err(error)
                if !error.already_exists() && !error.is_not_found() && !error.namespace_terminating() =>
            {
                Err(error.into())
            }
            _ => Ok(Action::Done),
        }
    }
}
