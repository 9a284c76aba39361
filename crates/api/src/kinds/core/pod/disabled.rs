//! Fields of pods whose feature is off by default in upstream v1.36: a client may send them, and they are dropped.

use crate::Value;
use crate::kinds::edit::{each, has, list};

/// Of a Pod's status; what the old one has stays.
pub fn drop_status_fields(new: &mut Value, old: &Value) {
    // ImageVolumeWithDigest
    for statuses in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        let told = |status: &Value| {
            list(status, &["volumeMounts"]).iter().any(|mount| has(mount, &["volumeStatus"]))
        };
        if list(old, &["status", statuses]).iter().any(told) {
            continue;
        }
        each(new, &["status", statuses], |status| {
            each(status, &["volumeMounts"], |mount| drop(mount.remove(&["volumeStatus"])));
        });
    }
    // DRANodeAllocatableResources
    let field = ["status", "nodeAllocatableResourceClaimStatuses"];
    if list(old, &field).is_empty() {
        new.remove(&field);
    }
}

/// Of a Pod's spec or a template's.
pub fn drop_fields(spec: &mut Value) {
    // ContainerStopSignals
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, &[list], |container| {
            let dropped = container.remove(&["lifecycle", "stopSignal"]).is_some();
            let empty = container.get("lifecycle").and_then(Value::as_map).is_some_and(|map| map.is_empty());
            if dropped && empty {
                container.remove(&["lifecycle"]);
            }
        });
    }
    // ClusterTrustBundleProjection, PodCertificateRequest
    each(spec, &["volumes"], |volume| {
        each(volume, &["projected", "sources"], |source| {
            source.remove(&["clusterTrustBundle"]);
            source.remove(&["podCertificate"]);
        });
    });
    // GenericWorkload
    spec.remove(&["schedulingGroup"]);
}
