//! The images that containers start from, as the kubelet sees them. `image` keeps and pulls them.

use std::path::PathBuf;

use async_trait::async_trait;

/// An unpacked image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…` of the config.
    pub id: String,
    /// All names, `docker.io/library/busybox:1.36` and `…@sha256:…`.
    pub names: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// Lowest first.
    pub layers: Vec<PathBuf>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    /// `USER` as written: a name or a number, with `:group` perhaps.
    pub user: String,
    pub stop_signal: Option<String>,
    /// Paths of `VOLUME`: each gets a folder of the container's own.
    pub volumes: Vec<String>,
}

impl Image {
    /// For `containerStatuses[].imageID`: the digest under which a registry knows it, else the id.
    pub fn reference(&self) -> String {
        self.names.iter().find(|name| name.contains('@')).unwrap_or(&self.id).clone()
    }
}

/// A login for a registry, from a pull secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub registry: String,
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Login({} at {})", self.username, self.registry)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("couldn't parse image name {name:?}: {hint}")]
    InvalidName { name: String, hint: String },
    /// The text is shown in the container's status.
    #[error("{message}")]
    Pull { message: String },
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

impl From<image::Error> for Error {
    fn from(error: image::Error) -> Error {
        match error {
            image::Error::InvalidName { name, hint } => Error::InvalidName { name, hint: hint.to_owned() },
            other => Error::Pull { message: base::chain(&other).to_string() },
        }
    }
}

impl From<image::Image> for Image {
    fn from(from: image::Image) -> Image {
        Image {
            id: from.id,
            names: from.names,
            size: from.size,
            layers: from.layers,
            entrypoint: from.entrypoint,
            cmd: from.cmd,
            env: from.env,
            working_dir: from.working_dir,
            user: from.user,
            stop_signal: from.stop_signal,
            volumes: from.volumes,
        }
    }
}

/// The node's own store of images.
#[async_trait]
impl Images for image::Images {
    async fn get(&self, reference: &str) -> Result<Option<Image>, Error> {
        Ok(image::Images::get(self, reference)?.map(Image::from))
    }
    async fn pull(&self, reference: &str, logins: &[Login]) -> Result<Image, Error> {
        let login = |login: &Login| image::Login {
            registry: login.registry.clone(),
            username: login.username.clone(),
            password: login.password.clone(),
        };
        let logins: Vec<image::Login> = logins.iter().map(login).collect();
        Ok(image::Images::pull(self, reference, &logins, |_| ()).await?.into())
    }
    async fn list(&self) -> Result<Vec<Image>, Error> {
        Ok(image::Images::list(self).into_iter().map(Image::from).collect())
    }
    async fn remove(&self, id: &str) -> Result<(), Error> {
        Ok(image::Images::remove(self, id).await?)
    }
}
