//! The images that containers start from, as the kubelet sees them. `image` keeps and pulls them.

use async_trait::async_trait;
pub use image::{Image, Login};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("couldn't parse image name {name:?}: {hint}")]
    InvalidName { name: String, hint: String },
    /// The text is shown in the container's status.
    #[error("{message}")]
    Pull { message: String },
    /// Nobody answered who could say whether there is a newer one.
    #[error("{message}")]
    Unreachable { message: String },
    #[error("{message}")]
    Store { message: String },
}

/// See the module.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// The image under a reference, by name, digest or id, if it is on this node.
    async fn get(&self, reference: &str) -> Result<Option<Image>, Error>;
    /// Gets it from a registry. Dropping the future stops the download; what was fetched is kept for the next try.
    async fn pull(&self, reference: &str, logins: &[Login]) -> Result<Image, Error>;
    async fn list(&self) -> Result<Vec<Image>, Error>;
    /// Removes the image with this id and the layers that no other image has.
    async fn remove(&self, id: &str) -> Result<(), Error>;
}

/// Where an image came from.
pub enum Got {
    Pulled(Image),
    /// The one that was here, and why no registry could tell of a newer one.
    Kept(Image, String),
}

/// Pulls an image of which an older one may be here (`Always`). Without a way to the registry that one is used, where upstream's pod
/// does not start: at a site whose uplink is down no pod with the tag `latest` would come back after a reboot (D9). A
/// registry that answers, and refuses, is obeyed.
pub async fn pull(
    images: &dyn Images,
    reference: &str,
    logins: &[Login],
    present: Option<Image>,
) -> Result<Got, Error> {
    match (images.pull(reference, logins).await, present) {
        (Ok(image), _) => Ok(Got::Pulled(image)),
        (Err(Error::Unreachable { message }), Some(image)) => Ok(Got::Kept(image, message)),
        (Err(error), _) => Err(error),
    }
}

impl From<image::Error> for Error {
    fn from(error: image::Error) -> Error {
        match error {
            image::Error::InvalidName { name, hint } => Error::InvalidName { name, hint: hint.to_owned() },
            disk @ (image::Error::Disk { .. } | image::Error::Panicked) => {
                Error::Store { message: base::chain(&disk).to_string() }
            }
            absent @ image::Error::Unreachable { .. } => {
                Error::Unreachable { message: base::chain(&absent).to_string() }
            }
            other => Error::Pull { message: base::chain(&other).to_string() },
        }
    }
}

/// The node's own store of images.
#[async_trait]
impl Images for image::Images {
    async fn get(&self, reference: &str) -> Result<Option<Image>, Error> {
        Ok(image::Images::get(self, reference)?)
    }
    async fn pull(&self, reference: &str, logins: &[Login]) -> Result<Image, Error> {
        Ok(image::Images::pull(self, reference, logins, |_| ()).await?)
    }
    async fn list(&self) -> Result<Vec<Image>, Error> {
        Ok(image::Images::list(self))
    }
    async fn remove(&self, id: &str) -> Result<(), Error> {
        Ok(image::Images::remove(self, id).await?)
    }
}
