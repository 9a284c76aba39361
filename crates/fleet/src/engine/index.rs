//! The index of an artifact: each wanted object with the hash of its manifest as it would be applied. The manifests
//! themselves stay on disk.

use std::collections::{BTreeSet, HashMap};

use api::Value;

use crate::app::App;
use crate::artifact::{self, Artifact, Store};
use crate::cluster::Cluster;
use crate::frontends::FrontEnd;
use crate::inventory::{Id, Inventory};
use crate::plan::Wanted;

/// What an artifact holds, for one application.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub wanted: Vec<Wanted>,
    pub images: Vec<String>,
    /// Objects that are in it more than once.
    pub repeated: Vec<Id>,
    scopes: Scopes,
}

/// Which kinds have namespaces, of those that the artifact holds.
#[derive(Debug, Default)]
struct Scopes(HashMap<(String, String), bool>);

fn kind_of(manifest: &Value) -> (String, String) {
    (manifest.str_at(&["apiVersion"]).into(), manifest.str_at(&["kind"]).into())
}

impl Index {
    pub async fn make(
        cluster: &Cluster,
        front: &FrontEnd,
        app: &App,
        store: &Store,
        artifact: &Artifact,
        inventory: &Inventory,
    ) -> Result<Index, artifact::Error> {
        let mut index = Index::default();
        let mut kinds = BTreeSet::new();
        let mut images = BTreeSet::new();
        let mut own = HashMap::new();
        store.scan(artifact, |_, manifest| {
            kinds.insert(kind_of(&manifest));
            collect_images(&manifest, &mut images);
            if manifest.str_at(&["kind"]) == "CustomResourceDefinition" {
                let namespaced = manifest.str_at(&["spec", "scope"]) == "Namespaced";
                let kind = manifest.str_at(&["spec", "names", "kind"]);
                let group = manifest.str_at(&["spec", "group"]);
                for version in
                    manifest.at(&["spec", "versions"]).and_then(Value::as_array).unwrap_or_default()
                {
                    let api_version = format!("{group}/{}", version.str_at(&["name"]));
                    own.insert((api_version, kind.to_string()), namespaced);
                }
            }
        })?;
        index.images = images.into_iter().collect();
        for (api_version, kind) in kinds {
            // A kind that nobody knows yet fails when it is applied, by name; until then it gets the usual namespace.
            let namespaced = match cluster.kind(&api_version, &kind).await {
                Ok(known) => known.namespaced,
                Err(_) => own.get(&(api_version.clone(), kind.clone())).copied().unwrap_or(true),
            };
            index.scopes.0.insert((api_version, kind), namespaced);
        }
        let mut seen = BTreeSet::new();
        let mut wanted = Vec::new();
        let mut repeated = Vec::new();
        store.scan(artifact, |offset, mut manifest| {
            let mut place = (front.place)(&manifest);
            place.skip_unknown_kind |= app.policy.skip_unknown_kind;
            let masked = masked(&mut manifest);
            index.prepare(front, app, &mut manifest);
            let api_version = manifest.str_at(&["apiVersion"]).to_string();
            let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
            let id = Id::new(
                group,
                manifest.str_at(&["kind"]),
                manifest.str_at(&["metadata", "namespace"]),
                manifest.str_at(&["metadata", "name"]),
            );
            // One name, not two: an inventory that was read from the disk has its own.
            let id = inventory.objects.get_key_value(&id).map_or(id, |(known, _)| known.clone());
            if place.hook.is_none() && !seen.insert(id.clone()) {
                repeated.push(id);
                return;
            }
            let hash = crate::hash::short(&manifest.to_json()).into();
            let denied = app.permits.as_ref().and_then(|permits| permits.object(&id).err());
            wanted.push(Wanted { id, version: version.into(), offset, hash, place, masked, denied });
        })?;
        wanted.shrink_to_fit();
        index.wanted = wanted;
        index.repeated = repeated;
        Ok(index)
    }

    /// Makes of a manifest what is applied: with its namespace, without what only servers write, marked.
    pub fn prepare(&self, front: &FrontEnd, app: &App, manifest: &mut Value) {
        if !self.scopes.0.get(&kind_of(manifest)).copied().unwrap_or(true) {
            manifest.remove(&["metadata", "namespace"]);
        } else if manifest.str_at(&["metadata", "namespace"]).is_empty() {
            let namespace = if app.destination.is_empty() { "default" } else { &app.destination };
            manifest.set(&["metadata", "namespace"], namespace);
        }
        for field in
            ["creationTimestamp", "managedFields", "resourceVersion", "uid", "generation", "selfLink"]
        {
            manifest.remove(&["metadata", field]);
        }
        manifest.remove(&["status"]);
        for field in ["annotations", "labels"] {
            if manifest.at(&["metadata", field]).is_some_and(Value::is_null) {
                manifest.remove(&["metadata", field]);
            }
        }
        (front.mark)(app, manifest);
    }
}

/// Takes the pointers of masked fields off a rendered manifest.
pub(crate) fn masked(manifest: &mut Value) -> Vec<String> {
    let Some(Value::Array(all)) = manifest.remove(&[crate::jq::MASKED]) else { return Vec::new() };
    all.iter().filter_map(Value::as_str).map(Into::into).collect()
}

fn collect_images(value: &Value, images: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, field) in map.iter() {
                if matches!(key.as_str(), "containers" | "initContainers") {
                    let all = field.as_array().unwrap_or_default().iter().map(|one| one.str_at(&["image"]));
                    images.extend(all.filter(|image| !image.is_empty()).map(Into::into));
                } else {
                    collect_images(field, images);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_images(item, images)),
        _ => {}
    }
}
