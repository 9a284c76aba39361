//! Fields of pods whose feature is off by default in upstream v1.36: a client may send them, and they are dropped.

use crate::Value;
use crate::kinds::edit::each;

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
