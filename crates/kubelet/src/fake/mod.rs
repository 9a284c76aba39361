//! Stand-ins for the kubelet's seams: a cluster in a map, a runtime that runs nothing, images that are always there.

mod api;
mod runtime;
mod sources;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

pub use self::api::client;
pub use self::runtime::Runtime;
pub use self::sources::Sources;

use crate::images::{self, Image, Login};
use crate::network::{self, Attachment, PodNetwork};

/// Images by reference; a pull of an unknown one fails.
#[derive(Default)]
pub struct Images {
    pub present: Mutex<Vec<String>>,
    pub registry: Mutex<Vec<String>>,
    /// Nobody answers.
    pub offline: AtomicBool,
}

fn image(name: &str) -> Image {
    Image {
        id: format!("sha256:{name}"),
        names: vec![name.to_owned()],
        size: 10,
        layers: vec![PathBuf::from("/layer")],
        entrypoint: vec!["/serve".into()],
        env: vec!["FROM_IMAGE=1".into()],
        ..Image::default()
    }
}

#[async_trait]
impl images::Images for Images {
    async fn get(&self, reference: &str) -> Result<Option<Image>, images::Error> {
        Ok(self.present.lock().iter().find(|name| *name == reference).map(|name| image(name)))
    }
    async fn pull(&self, reference: &str, _: &[Login]) -> Result<Image, images::Error> {
        if self.offline.load(Ordering::Relaxed) {
            return Err(images::Error::Unreachable { message: format!("{reference}: no way there") });
        }
        if !self.registry.lock().iter().any(|name| name == reference) {
            return Err(images::Error::Pull { message: format!("{reference}: not found") });
        }
        self.present.lock().push(reference.to_owned());
        Ok(image(reference))
    }
    async fn list(&self) -> Result<Vec<Image>, images::Error> {
        Ok(self.present.lock().iter().map(|name| image(name)).collect())
    }
    async fn remove(&self, id: &str) -> Result<(), images::Error> {
        self.present.lock().retain(|name| format!("sha256:{name}") != id);
        Ok(())
    }
}

/// Gives the n-th pod 10.42.0.n.
#[derive(Default)]
pub struct Network {
    pub links: Mutex<Vec<String>>,
}

impl Network {
    fn attachment(index: usize) -> Attachment {
        let last = u8::try_from(index + 1).expect("a test makes fewer than 255 pods");
        Attachment { netns: PathBuf::from("/run/netns/x"), ips: vec![IpAddr::from([10, 42, 0, last])] }
    }
}

#[async_trait]
impl network::Network for Network {
    async fn attach(&self, pod: &PodNetwork) -> Result<Attachment, network::Error> {
        let mut links = self.links.lock();
        if !links.contains(&pod.uid) {
            links.push(pod.uid.clone());
        }
        let at = links.iter().position(|uid| *uid == pod.uid).expect("pushed above");
        Ok(Network::attachment(at))
    }
    async fn get(&self, uid: &str) -> Result<Option<Attachment>, network::Error> {
        Ok(self.links.lock().iter().position(|link| link == uid).map(Network::attachment))
    }
    async fn detach(&self, uid: &str) -> Result<(), network::Error> {
        self.links.lock().retain(|link| link != uid);
        Ok(())
    }
    async fn list(&self) -> Result<Vec<String>, network::Error> {
        Ok(self.links.lock().clone())
    }
}
