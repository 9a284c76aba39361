//! Lets go of claims, volumes and classes of attributes that are being deleted once nobody uses them: the other half of
//! admission's StorageObjectInUseProtection (k8s.io/kubernetes/pkg/controller/volume/pvcprotection, pvprotection,
//! vacprotection).

use std::sync::Arc;

use api::object::Change;
use api::{Key, Object, Resource, Value, pod};
use async_trait::async_trait;
use client::reconcile::Error;
use client::writer::gone_is_fine;
use client::{Action, Cache, Reconciler, Watch};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use serde_json::json;

use crate::{Context, Controller};

pub const CLAIMS: Controller = Controller {
    name: "persistentvolumeclaim-protection",
    account: "pvc-protection-controller",
    workers: 2,
    make: |context| {
        let (own, pods) = (context.cache::<PersistentVolumeClaim>()?, context.cache::<Pod>()?);
        Some(Arc::new(Claims { own, pods, context }))
    },
};

pub const VOLUMES: Controller = Controller {
    name: "persistentvolume-protection",
    account: "pv-protection-controller",
    workers: 1,
    make: |context| Some(Arc::new(Volumes { own: context.cache::<PersistentVolume>()?, context })),
};

pub const CLASSES: Controller = Controller {
    name: "volumeattributesclass-protection",
    account: "volumeattributesclass-protection-controller",
    workers: 1,
    make: |context| {
        let (own, claims) =
            (context.cache::<VolumeAttributesClass>()?, context.cache::<PersistentVolumeClaim>()?);
        let volumes = context.cache::<PersistentVolume>()?;
        Some(Arc::new(Classes { own, claims, volumes, context }))
    },
};

struct Claims {
    own: Arc<Cache>,
    pods: Arc<Cache>,
    context: Context,
}

struct Classes {
    own: Arc<Cache>,
    claims: Arc<Cache>,
    volumes: Arc<Cache>,
    context: Context,
}

struct Volumes {
    own: Arc<Cache>,
    context: Context,
}

/// Names of the claims that a pod uses; those of its ephemeral volumes have the pod's name in theirs.
fn claims_of(pod: &Value) -> Vec<String> {
    let name = pod.str_at(&["metadata", "name"]);
    let volumes = pod.at(&["spec", "volumes"]).and_then(Value::as_array).unwrap_or_default();
    let of = |volume: &Value| match volume.str_at(&["persistentVolumeClaim", "claimName"]) {
        "" => volume.get("ephemeral").map(|_| format!("{name}-{}", volume.str_at(&["name"]))),
        claim => Some(claim.to_string()),
    };
    volumes.iter().filter_map(of).collect()
}

/// Names of the classes that a claim or a volume uses, asks for, or is on the way to.
fn classes_of(object: &Value) -> impl Iterator<Item = &str> {
    const FIELDS: [&[&str]; 3] = [
        &["spec", "volumeAttributesClassName"],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    FIELDS.into_iter().map(|path| object.str_at(path)).filter(|name| !name.is_empty())
}

/// Finalizers without `finalizer`; `None`: it was not there.
fn without(object: &Value, finalizer: &str) -> Option<Vec<String>> {
    let all = object.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
    let all: Vec<String> = all.iter().filter_map(Value::as_str).map(String::from).collect();
    all.iter().any(|own| own == finalizer).then(|| all.into_iter().filter(|own| own != finalizer).collect())
}

async fn release(context: &Context, object: &Arc<Object>, finalizer: &str) -> Result<Action, Error> {
    if let Some(left) = without(&object.value(), finalizer) {
        let body = json!({ "metadata": { "finalizers": left } });
        gone_is_fine(context.writer.update(object, "", &body).await)?;
    }
    Ok(Action::Done)
}

#[async_trait]
impl Reconciler for Claims {
    fn name(&self) -> &'static str {
        CLAIMS.name
    }
    fn watches(&self) -> Vec<Watch> {
        let pods = |change: &Change, add: &mut dyn FnMut(Key)| {
            let object = change.object();
            let value = object.value();
            // Only a pod that is through frees what it used.
            if matches!(change, Change::Put { .. }) && !pod::is_terminal(&value) {
                return;
            }
            let resource = Resource::new("", "persistentvolumeclaims");
            claims_of(&value).iter().for_each(|name| add(Key::new(&resource, object.namespace(), name)));
        };
        vec![Watch::own(&self.own), Watch::by(&self.pods, pods)]
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(claim) = self.own.get_key(key).filter(|claim| claim.deleting) else {
            return Ok(Action::Done);
        };
        let used = self.pods.snapshot().range(claim.namespace(), None).any(|pod| {
            let value = pod.value();
            !pod::is_terminal(&value) && claims_of(&value).iter().any(|name| name == claim.name())
        });
        match used {
            true => Ok(Action::Done),
            false => release(&self.context, &claim, "kubernetes.io/pvc-protection").await,
        }
    }
}

#[async_trait]
impl Reconciler for Volumes {
    fn name(&self) -> &'static str {
        VOLUMES.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.own)]
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(volume) = self.own.get_key(key).filter(|volume| volume.deleting) else {
            return Ok(Action::Done);
        };
        match volume.value().str_at(&["status", "phase"]) {
            "Bound" => Ok(Action::Done),
            _ => release(&self.context, &volume, "kubernetes.io/pv-protection").await,
        }
    }
}

#[async_trait]
impl Reconciler for Classes {
    fn name(&self) -> &'static str {
        CLASSES.name
    }
    fn watches(&self) -> Vec<Watch> {
        // Whatever a claim or a volume was before, it may have let go of any class that waits.
        let waiting = |own: &Arc<Cache>| {
            let own = own.clone();
            move |_: &Change, add: &mut dyn FnMut(Key)| {
                own.snapshot().iter().filter(|class| class.deleting).for_each(|class| add(class.key.clone()));
            }
        };
        vec![
            Watch::own(&self.own),
            Watch::by(&self.claims, waiting(&self.own)),
            Watch::by(&self.volumes, waiting(&self.own)),
        ]
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(class) = self.own.get_key(key).filter(|class| class.deleting) else {
            return Ok(Action::Done);
        };
        let used = |cache: &Arc<Cache>| {
            cache.snapshot().iter().any(|object| classes_of(&object.value()).any(|name| name == class.name()))
        };
        match used(&self.claims) || used(&self.volumes) {
            true => Ok(Action::Done),
            false => release(&self.context, &class, "kubernetes.io/vac-protection").await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_name_their_claims() {
        let pod = api::json::parse(
            br#"{"metadata":{"name":"p"},"spec":{"volumes":[{"name":"a","persistentVolumeClaim":{"claimName":"c"}},
            {"name":"e","ephemeral":{}},{"name":"d","emptyDir":{}}]}}"#,
        )
        .unwrap();
        assert_eq!(claims_of(&pod), ["c", "p-e"]);
        let claim = api::json::parse(br#"{"metadata":{"finalizers":["x","y"]}}"#).unwrap();
        assert_eq!(without(&claim, "y"), Some(vec!["x".to_string()]));
        assert_eq!(without(&claim, "z"), None);
        let claim = api::json::parse(
            br#"{"spec":{"volumeAttributesClassName":"a"},"status":{"currentVolumeAttributesClassName":"b"}}"#,
        )
        .unwrap();
        assert_eq!(classes_of(&claim).collect::<Vec<_>>(), ["a", "b"]);
    }
}
