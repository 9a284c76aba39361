//! `secret`: each key is a file. The files are on the node's disk, readable by root alone above the volume's folder.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Secret;

use super::{Context, Error, Payload, Plugin, SetUp, project, write};
use crate::pod::spec;

pub static PLUGIN: Plugin = Plugin {
    folder: "kubernetes.io~secret",
    is: |volume| volume.secret.is_some(),
    set_up: |context| async move { set_up(&context) }.boxed(),
};

fn set_up(context: &Context) -> Result<SetUp, Error> {
    let Some(source) = &context.volume.secret else { return Err(Error::Unsupported) };
    let name = source.secret_name.clone().unwrap_or_default();
    let optional = source.optional == Some(true);
    let payload = match context.sources.secret(spec::namespace(context.pod), &name) {
        Some(secret) => project(
            "secret",
            &data(&secret),
            source.items.as_deref(),
            source.default_mode.unwrap_or(0o644),
            optional,
        )?,
        None if optional => Payload::new(),
        None => return Err(Error::NotFound { kind: "secret", name }),
    };
    super::empty_dir::memory(context.path, None)?;
    write(context, &payload)?;
    Ok(SetUp::default())
}

pub(super) fn data(secret: &Secret) -> BTreeMap<&str, &[u8]> {
    secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect()
}
