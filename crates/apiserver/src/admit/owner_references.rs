//! OwnerReferencesPermissionEnforcement: who cannot delete an object does not make others depend on its deletion, and only
//! who may set an owner's finalizers blocks that (k8s.io/kubernetes/plugin/pkg/admission/gc).

use api::Value;

use super::{Form, Operation, Plugin, Request};
use crate::authz::{self, Attributes};
use crate::status::Result;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "OwnerReferencesPermissionEnforcement",
    default: false,
    handles: |request| {
        request.form == Form::Own && matches!(request.operation, Operation::Create | Operation::Update)
    },
    mutate: None,
    validate: Some(|request, value| Box::pin(std::future::ready(validate(request, value)))),
};

fn owners(value: Option<&Value>) -> Vec<&Value> {
    let list = value.and_then(|value| value.at(&["metadata", "ownerReferences"])).and_then(Value::as_array);
    list.unwrap_or_default().iter().collect()
}

fn validate(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    let (new, old) = (owners(Some(value)), owners(request.old));
    let plain = |list: &[&Value]| -> Vec<(String, String)> {
        list.iter().map(|owner| (owner.str_at(&["uid"]).into(), owner.str_at(&["name"]).into())).collect()
    };
    let call = request.call;
    let may = |verb: &str, group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let attributes =
            Attributes { verb, group, resource, subresource, namespace, name, ..Attributes::default() };
        authz::decide(&call.inner, &call.identity, &attributes).is_ok()
    };
    let target = &call.target;
    let namespace = if target.kind.namespaced { request.namespace() } else { "" };
    if plain(&new) != plain(&old) {
        let (group, plural) = (&target.kind.resource.group, &target.kind.resource.plural);
        let name = request.name(Some(value));
        if !may("delete", group, plural, request.subresource, namespace, name) {
            let text = "cannot set an ownerRef on a resource you can't delete: ";
            return Err(request.forbidden(Some(value), format!("{text}, <nil>")));
        }
    }
    let blocks = |owner: &&&Value| owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true);
    let blocked = |list: &[&Value], uid: &str| {
        list.iter().filter(|own| blocks(own)).any(|own| own.str_at(&["uid"]) == uid)
    };
    let kinds = call.inner.kinds.load();
    for owner in new.iter().filter(blocks) {
        if blocked(&old, owner.str_at(&["uid"])) {
            continue;
        }
        let api_version = owner.str_at(&["apiVersion"]);
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let Some(row) = kinds.kind(group, owner.str_at(&["kind"])) else {
            let text =
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion";
            let kind = owner.str_at(&["kind"]);
            let why = format!(
                "{text} {api_version} Kind {kind}: no matches for kind {kind:?} in version {api_version:?}"
            );
            return Err(request.forbidden(Some(value), why));
        };
        let space = if row.namespaced { namespace } else { "" };
        if !may("update", group, &row.resource.plural, "finalizers", space, owner.str_at(&["name"])) {
            let text = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ";
            return Err(request.forbidden(Some(value), format!("{text}, <nil>")));
        }
    }
    Ok(())
}
