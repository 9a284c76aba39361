//! DeviceClass: what devices a request may mean.

use super::devices;
use crate::kinds::{Builtin, Strategy};
use crate::validation::names;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "deviceclasses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            // Declarative validation counts bytes.
            name: |name| {
                let wrong = names::dns_subdomain(name).into_iter();
                wrong.map(|text| text.replace("253 characters", "253 bytes")).collect()
            },
            check: |class| {
                let spec = class.get("spec");
                devices::selectors(&spec.get("selectors"));
                let config = spec.get("config");
                config.at_most_items(32);
                if config.len() <= 32 {
                    config.items().iter().for_each(devices::configuration);
                }
                let name = spec.get("extendedResourceName");
                let native = !name.text().contains('/') || name.text().contains("kubernetes.io/");
                let bad = !names::qualified_name(&format!("requests.{}", name.text())).is_empty();
                if name.has() && (native || bad || name.text().starts_with("requests.")) {
                    name.invalid("must be a valid extended resource name");
                }
            },
            ..Strategy::new()
        })
    },
};
