//! What claims and volumes get and may do: the default class, a finalizer while in use, growing only where the class allows it
//! (k8s.io/kubernetes/plugin/pkg/admission/storage).

use api::Value;

use super::{Plugin, Request, default_class};
use crate::status::Result;

/// DefaultStorageClass.
pub(super) const CLASS: Plugin = Plugin {
    name: "DefaultStorageClass",
    default: true,
    handles: |request| request.creates("", "persistentvolumeclaims"),
    mutate: Some(|request, value| {
        class(request, value);
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: None,
};

/// StorageObjectInUseProtection.
pub(super) const PROTECTION: Plugin = Plugin {
    name: "StorageObjectInUseProtection",
    default: true,
    handles: |request| {
        request.creates("", "persistentvolumeclaims")
            || request.creates("", "persistentvolumes")
            || request.creates("storage.k8s.io", "volumeattributesclasses")
    },
    mutate: Some(|request, value| {
        let finalizer = match request.call.target.kind.resource.plural.as_str() {
            "persistentvolumes" => "kubernetes.io/pv-protection",
            "persistentvolumeclaims" => "kubernetes.io/pvc-protection",
            _ => "kubernetes.io/vac-protection",
        };
        let list = value.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
        if !list.iter().any(|own| own.as_str() == Some(finalizer)) {
            let mut list = list.to_vec();
            list.push(finalizer.into());
            value.set(&["metadata", "finalizers"], list);
        }
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: None,
};

/// PersistentVolumeClaimResize.
pub(super) const RESIZE: Plugin = Plugin {
    name: "PersistentVolumeClaimResize",
    default: true,
    handles: |request| request.updates("", "persistentvolumeclaims"),
    mutate: None,
    validate: Some(|request, value| Box::pin(std::future::ready(resize(request, value)))),
};

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn class(request: &Request<'_>, claim: &mut Value) {
    let annotated = claim.at(&["metadata", "annotations", BETA_CLASS]).is_some();
    let stated = claim.at(&["spec", "storageClassName"]).is_some_and(|name| !name.is_null());
    if annotated || stated {
        return;
    }
    let keys =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    if let Some(name) = default_class::name(request, "storage.k8s.io", "storageclasses", &keys) {
        claim.set(&["spec", "storageClassName"], name);
    }
}

fn resize(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    let (Some(new), Some(old)) = (value, request.old) else { return Ok(()) };
    let size = |claim: &Value| {
        claim.at(&["spec", "resources", "requests", "storage"]).map(api::pod::quantity).unwrap_or_default()
    };
    if size(new) <= size(old) {
        return Ok(());
    }
    if old.str_at(&["status", "phase"]) != "Bound" {
        return Err(request.forbidden(value, "Only bound persistent volume claims can be expanded"));
    }
    let annotated = new.str_at(&["metadata", "annotations", BETA_CLASS]);
    let name = if annotated.is_empty() { new.str_at(&["spec", "storageClassName"]) } else { annotated };
    let class = request.call.inner.peek("storage.k8s.io", "storageclasses", "", name);
    let grows = class.is_some_and(|class| {
        class.value().get("allowVolumeExpansion").and_then(Value::as_bool) == Some(true)
    });
    match grows {
        true => Ok(()),
        false => {
            let text = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
            Err(request.forbidden(value, text))
        }
    }
}
