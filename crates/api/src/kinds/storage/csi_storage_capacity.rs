//! CSIStorageCapacity: what a storage class can still give in a part of the cluster.

use crate::Value;
use crate::kinds::{Builtin, Strategy, node_labels};
use crate::table::cells;
use crate::validation::names;

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csistoragecapacities",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            unconditional_update: false,
            check: |capacity| {
                capacity.get("nodeTopology").label_selector();
                capacity.get("storageClassName").is_even_empty(names::dns_subdomain);
                capacity.get("capacity").nonnegative_quantity();
            },
            update: |capacity, old| {
                for field in ["nodeTopology", "storageClassName"] {
                    capacity.get(field).immutable(&old.get(field));
                }
            },
            warnings: |capacity, _| {
                let mut texts = Vec::new();
                let topology = capacity.get("nodeTopology").unwrap_or(&Value::Null);
                node_labels::selector_warnings(topology, "nodeTopology", &mut texts);
                texts
            },
            row: Some(|capacity, _| {
                let made = capacity.at(&["metadata", "creationTimestamp"]).cloned();
                vec![cells::name(capacity), made.unwrap_or_default()]
            }),
            ..Strategy::new()
        })
    },
};
