//! DefaultIngressClass: an Ingress without a class gets the default one
//! (k8s.io/kubernetes/plugin/pkg/admission/network/defaultingressclass).

use api::Value;

use super::{Plugin, Request};
use crate::status::Result;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "DefaultIngressClass",
    default: true,
    handles: |request| request.creates("networking.k8s.io", "ingresses"),
    mutate: Some(|request, value| Box::pin(std::future::ready(default(request, value)))),
    validate: None,
};

fn default(request: &Request<'_>, ingress: &mut Value) -> Result<()> {
    let stated = ingress.at(&["spec", "ingressClassName"]).is_some_and(|name| !name.is_null());
    if stated || !ingress.str_at(&["metadata", "annotations", "kubernetes.io/ingress.class"]).is_empty() {
        return Ok(());
    }
    let Some(cache) = request.call.inner.caches.named("networking.k8s.io", "ingressclasses") else {
        return Ok(());
    };
    let key = "ingressclass.kubernetes.io/is-default-class";
    let snapshot = cache.snapshot();
    let mut defaults: Vec<(String, String)> = snapshot
        .iter()
        .map(|object| object.value())
        .filter(|class| class.str_at(&["metadata", "annotations", key]) == "true")
        .map(|class| {
            (
                class.str_at(&["metadata", "creationTimestamp"]).into(),
                class.str_at(&["metadata", "name"]).into(),
            )
        })
        .collect();
    defaults.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    if let Some((_, name)) = defaults.first() {
        ingress.set(&["spec", "ingressClassName"], name.as_str());
    }
    Ok(())
}
