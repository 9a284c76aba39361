//! `downwardAPI`: fields of the pod as files, kept up to date.

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::DownwardAPIVolumeFile;

use super::{Context, Error, File, Payload, Plugin, SetUp, checked, write};
use crate::container::field::{self, Addresses};

pub static PLUGIN: Plugin = Plugin {
    folder: "kubernetes.io~downward-api",
    is: |volume| volume.downward_api.is_some(),
    set_up: |context| async move { set_up(&context) }.boxed(),
};

fn set_up(context: &Context) -> Result<SetUp, Error> {
    let Some(source) = &context.volume.downward_api else { return Err(Error::Unsupported) };
    let items = source.items.as_deref().unwrap_or_default();
    write(context, &payload(context, items, source.default_mode.unwrap_or(0o644))?)?;
    Ok(SetUp::default())
}

pub(super) fn payload(
    context: &Context,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
) -> Result<Payload, Error> {
    let addresses = Addresses { host: context.host_ips, pod: context.pod_ips };
    let mut payload = Payload::new();
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(reference), _) => field::field(context.pod, &reference.field_path, addresses)?,
            (None, Some(reference)) => field::resource(context.pod, None, reference, context.allocatable)?,
            (None, None) => String::new(),
        };
        let mode = u32::try_from(item.mode.unwrap_or(mode)).unwrap_or(0o644) & 0o7777;
        payload.insert(checked(&item.path)?, File { bytes: text.into_bytes(), mode });
    }
    Ok(payload)
}
