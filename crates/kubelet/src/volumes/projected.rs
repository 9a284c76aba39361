//! `projected`: several sources in one folder; also where every pod gets its token, the cluster's CA and its namespace.

use std::collections::BTreeMap;

use futures_util::FutureExt;

use super::{
    Context, Error, File, Payload, Plugin, SetUp, checked, config_map, downward_api, project, secret, write,
};
use crate::pod::spec;

pub static PLUGIN: Plugin = Plugin {
    folder: "kubernetes.io~projected",
    is: |volume| volume.projected.is_some(),
    set_up: |context| async move { set_up(&context).await }.boxed(),
};

async fn set_up(context: &Context<'_>) -> Result<SetUp, Error> {
    let Some(source) = &context.volume.projected else { return Err(Error::Unsupported) };
    let mode = source.default_mode.unwrap_or(0o644);
    let namespace = spec::namespace(context.pod);
    let mut payload = Payload::new();
    let mut again = None;
    for part in source.sources.iter().flatten() {
        if let Some(wanted) = &part.config_map {
            let optional = wanted.optional == Some(true);
            match context.sources.config_map(namespace, &wanted.name) {
                Some(map) => {
                    payload.extend(project(
                        "config",
                        &config_map::data(&map),
                        wanted.items.as_deref(),
                        mode,
                        optional,
                    )?);
                }
                None if optional => {}
                None => return Err(Error::NotFound { kind: "configmap", name: wanted.name.clone() }),
            }
        }
        if let Some(wanted) = &part.secret {
            let optional = wanted.optional == Some(true);
            let found = context.sources.secret(namespace, &wanted.name);
            let data = match &found {
                Some(found) => secret::data(found),
                None if optional => BTreeMap::new(),
                None => return Err(Error::NotFound { kind: "secret", name: wanted.name.clone() }),
            };
            payload.extend(project("secret", &data, wanted.items.as_deref(), mode, optional)?);
        }
        if let Some(wanted) = &part.downward_api {
            payload.extend(downward_api::payload(
                context,
                wanted.items.as_deref().unwrap_or_default(),
                mode,
            )?);
        }
        if let Some(wanted) = &part.service_account_token {
            let token = context.tokens.get(context.pod, wanted, context.now).await.map_err(Error::Token)?;
            again = match again {
                Some(at) => Some(token.renew.min(at)),
                None => Some(token.renew),
            };
            // A token that only one user or the group of the volume may read (upstream does the same).
            let narrow = super::ownership::group(context.pod).is_some()
                || super::ownership::user(context.pod).is_some();
            let mode = if narrow { 0o600 } else { u32::try_from(mode).unwrap_or(0o644) & 0o7777 };
            payload.insert(checked(&wanted.path)?, File { bytes: token.text.into_bytes(), mode });
        }
    }
    super::empty_dir::memory(context.path, None)?;
    write(context, &payload)?;
    Ok(SetUp { again })
}
