//! DefaultIngressClass: an Ingress without a class gets the default one
//! (k8s.io/kubernetes/plugin/pkg/admission/network/defaultingressclass).

use api::Value;

use super::{Plugin, Request, default_class};
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
    let keys = ["ingressclass.kubernetes.io/is-default-class"];
    if let Some(name) = default_class::name(request, "networking.k8s.io", "ingressclasses", &keys) {
        ingress.set(&["spec", "ingressClassName"], name);
    }
    Ok(())
}
