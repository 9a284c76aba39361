//! NamespaceLifecycle: nothing is made in a namespace that is not there or goes away; four namespaces stay.

use api::{Resource, Value};

use super::{Form, Operation, Plugin};
use crate::engine::Call;
use crate::status::{Result, Status};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "NamespaceLifecycle",
    default: true,
    handles: |request| matches!(request.operation, Operation::Create | Operation::Delete),
    mutate: Some(|request, value| {
        Box::pin(async move {
            match request.operation {
                Operation::Create if request.form == Form::Own => create(request.call, value).await,
                Operation::Delete => delete(request.call, &request.call.info.name),
                _ => Ok(()),
            }
        })
    }),
    validate: None,
};

/// What every cluster has and nobody deletes.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

async fn create(call: &Call, value: &Value) -> Result<()> {
    if !call.target.kind.namespaced {
        return Ok(());
    }
    let name = &call.info.namespace;
    let namespaces = Resource::new("", "namespaces");
    let Some(cache) = call.inner.caches.get(&namespaces) else { return Ok(()) };
    let Some(namespace) = cache.get("", name) else {
        // The cache may be a moment behind a write that was answered.
        call.inner.catch_up(&cache).await?;
        return match cache.get("", name) {
            Some(_) => Ok(()),
            None => Err(Status::not_found(&namespaces, name)),
        };
    };
    if namespace.deleting {
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let object = value.str_at(&["metadata", "name"]);
        return Err(Status::forbidden(&call.target.kind.resource, object, why).caused(
            "NamespaceTerminating",
            format!("namespace {name} is being terminated"),
            "metadata.namespace",
        ));
    }
    Ok(())
}

fn delete(call: &Call, name: &str) -> Result<()> {
    let resource = &call.target.kind.resource;
    if resource.group.is_empty() && resource.plural == "namespaces" && IMMORTAL.contains(&name) {
        return Err(Status::forbidden(resource, name, "this namespace may not be deleted"));
    }
    Ok(())
}
