//! PodGroupWorkloadExists: what a PodGroup says it is made of is there (k8s.io/kubernetes/plugin/pkg/admission/podgroup).
//!
//! Not here: PodGroupProtection's finalizer, since no controller here would take it away again.

use api::Value;

use super::{Plugin, Request};
use crate::status::Result;

const GROUP: &str = "scheduling.k8s.io";

pub(super) const PLUGIN: Plugin = Plugin {
    name: "PodGroupWorkloadExists",
    default: true,
    handles: |request| request.creates(GROUP, "podgroups"),
    mutate: None,
    validate: Some(|request, value| Box::pin(judge(request, value))),
};

async fn judge(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    let reference = value.and_then(|group| group.at(&["spec", "podGroupTemplateRef", "workload"]));
    let Some(reference) = reference.filter(|reference| !reference.is_null()) else { return Ok(()) };
    let (name, template) = (reference.str_at(&["workloadName"]), reference.str_at(&["podGroupTemplateName"]));
    let (shown, of) = (api::text::quote(name), api::text::quote(template));
    let call = request.call;
    let Some(cache) = call.inner.caches.named(GROUP, "workloads") else { return Ok(()) };
    call.inner.catch_up(&cache).await?;
    let why = match cache.get(&call.info.namespace, name) {
        None => format!("PodGroup rejected: Workload {shown} not found"),
        Some(workload) if workload.deleting => {
            format!("PodGroup rejected: Workload {shown} is being deleted")
        }
        Some(workload) => {
            let workload = workload.value();
            let templates = workload.at(&["spec", "podGroupTemplates"]).and_then(Value::as_array);
            if templates.unwrap_or_default().iter().any(|own| own.str_at(&["name"]) == template) {
                return Ok(());
            }
            format!("PodGroup rejected: PodGroupTemplate {of} not found in Workload {shown}")
        }
    };
    Err(request.forbidden(value, why))
}
