//! Warnings for a Service: what is taken and ignored, or will go away.

use crate::Value;
use crate::kinds::edit::{has, list};
use crate::service::is_headless;

pub(super) fn service(service: &Value) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let spec = |field: &str| service.str_at(&["spec", field]);
    if has(service, &["metadata", "annotations", "service.kubernetes.io/topology-aware-hints"]) {
        texts.push(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
             service.kubernetes.io/topology-mode instead"
                .into(),
        );
    }
    let external = !list(service, &["spec", "externalIPs"]).is_empty();
    let named = spec("type") == "ExternalName";
    let headless = spec("type") == "ClusterIP" && is_headless(service);
    if headless {
        if !spec("loadBalancerIP").is_empty() {
            texts.push("spec.loadBalancerIP is ignored for headless services".into());
        }
        if external {
            texts.push("spec.externalIPs is ignored for headless services".into());
        }
        if spec("sessionAffinity") != "None" {
            texts.push("spec.SessionAffinity is ignored for headless services".into());
        }
    }
    if external && !headless && !named {
        texts.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    if named && external {
        texts.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if !named && !spec("externalName").is_empty() {
        texts.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if spec("trafficDistribution") == "PreferClose" {
        texts.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".into());
    }
    texts
}
