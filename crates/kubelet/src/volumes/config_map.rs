//! `configMap`: each key is a file; an absent optional map is an empty folder.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::ConfigMap;

use super::{Context, Error, Payload, Plugin, SetUp, project, write};
use crate::pod::spec;

pub static PLUGIN: Plugin = Plugin {
    folder: "kubernetes.io~configmap",
    is: |volume| volume.config_map.is_some(),
    set_up: |context| async move { set_up(&context) }.boxed(),
};

fn set_up(context: &Context) -> Result<SetUp, Error> {
    let Some(source) = &context.volume.config_map else { return Err(Error::Unsupported) };
    let optional = source.optional == Some(true);
    let payload = match context.sources.config_map(spec::namespace(context.pod), &source.name) {
        Some(map) => project(
            "config",
            &data(&map),
            source.items.as_deref(),
            source.default_mode.unwrap_or(0o644),
            optional,
        )?,
        None if optional => Payload::new(),
        None => return Err(Error::NotFound { kind: "configmap", name: source.name.clone() }),
    };
    write(context, &payload)?;
    Ok(SetUp::default())
}

/// `data` and `binaryData` as one.
pub(super) fn data(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    text.chain(binary).collect()
}
