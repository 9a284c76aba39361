//! `image`: the files of an image, read-only (KEP-4639). One layer is bound, several are joined by overlayfs.

use futures_util::FutureExt;
use nix::mount::{MsFlags, mount};

use super::{Context, Error, Plugin, SetUp, mounts_below};
use crate::images::{self, Got, Image};

pub static PLUGIN: Plugin = Plugin {
    folder: "kubernetes.io~image",
    is: |volume| volume.image.is_some(),
    set_up: |context| async move { set_up(&context).await }.boxed(),
};

async fn set_up(context: &Context<'_>) -> Result<SetUp, Error> {
    let Some(source) = &context.volume.image else { return Err(Error::Unsupported) };
    let path = context.path;
    let io = |operation, source| Error::Io { operation, path: path.to_path_buf(), source };
    std::fs::create_dir_all(path).map_err(|source| io("make", source))?;
    // Once mounted it stays what it was: an image volume does not change below a running pod.
    if mounts_below(path).iter().any(|mount| mount == path) {
        return Ok(SetUp::default());
    }
    let reference = source.reference.clone().unwrap_or_default();
    let image = ensure(context, &reference, source.pull_policy.as_deref()).await?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    let done = match image.layers.as_slice() {
        [] => {
            return Err(Error::Image {
                reason: "ErrImagePull",
                message: format!("image {reference:?} has no layers"),
            });
        }
        [layer] => mount(Some(layer), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).and_then(|()| {
            // A bind is made read-only by a second call; the first one ignores the flag.
            mount(
                None::<&str>,
                path,
                None::<&str>,
                flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT,
                None::<&str>,
            )
        }),
        layers => {
            // Overlayfs wants the uppermost first.
            let lower: Vec<String> = layers.iter().rev().map(|layer| layer.display().to_string()).collect();
            let data = format!("lowerdir={}", lower.join(":"));
            mount(Some("overlay"), path, Some("overlay"), flags, Some(data.as_str()))
        }
    };
    done.map_err(|errno| io("mount an image on", errno.into()))?;
    Ok(SetUp::default())
}

async fn ensure(context: &Context<'_>, reference: &str, policy: Option<&str>) -> Result<Image, Error> {
    let failed =
        |reason, error: images::Error| Error::Image { reason, message: base::chain(&error).to_string() };
    // Upstream's default: Always for `latest` or no tag, else IfNotPresent.
    let name = reference.rsplit('/').next().unwrap_or(reference);
    let latest = !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    let policy = policy.unwrap_or(if latest { "Always" } else { "IfNotPresent" });
    let present = context.images.get(reference).await.map_err(|error| failed("InvalidImageName", error))?;
    match (policy, present) {
        ("IfNotPresent" | "Never", Some(image)) => Ok(image),
        ("Never", None) => Err(Error::Image {
            reason: "ErrImageNeverPull",
            message: format!("Container image {reference:?} is not present with pull policy of Never"),
        }),
        (_, present) => match images::pull(context.images, reference, &[], present).await {
            Ok(Got::Pulled(image)) => Ok(image),
            Ok(Got::Kept(image, why)) => {
                tracing::warn!(image = reference, why, "the image on the machine is used for a volume");
                Ok(image)
            }
            Err(error) => Err(failed("ErrImagePull", error)),
        },
    }
}
