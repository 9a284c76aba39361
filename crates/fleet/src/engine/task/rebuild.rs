//! An inventory that was lost is made again of what the driving object's status lists (D13): each object that is there
//! and bears our mark is ours again. What is as Git has it is told so by a dry run, and is not written.

use super::*;
use crate::cluster::Apply;

impl Task {
    pub(super) async fn rebuild(&mut self, app: &App, object: &Value) {
        let listed = (self.front.listed)(object);
        if listed.is_empty() {
            return;
        }
        let mut found = Inventory::default();
        for (id, version) in listed {
            let looked = async {
                let kind = self.shared.cluster.kind(&id.api_version(&version), &id.kind).await?;
                self.shared.cluster.get(&kind, &id.namespace, &id.name).await
            };
            let live = match looked.await {
                Ok(Some(live)) => live,
                Ok(None) | Err(crate::cluster::Error::Kind { .. }) => continue,
                // What cannot be read now is looked at again with the next turn.
                Err(_) => {
                    self.lost = true;
                    continue;
                }
            };
            let meta = Metadata::of(&live);
            if (self.front.marked_by)(&meta).as_deref() != Some(app.instance.as_str()) {
                continue;
            }
            let place = (self.front.place)(&live);
            found.objects.insert(
                id,
                Owned {
                    version: version.into(),
                    uid: meta.uid.clone(),
                    // Unknown: what Git has is applied once, and is known from then on.
                    hash: Default::default(),
                    fields: meta.our_fields(),
                    keep: place.keep,
                    survives: place.survives,
                    wave: place.wave,
                },
            );
        }
        let before = self.inventory.clone();
        self.recognised = None;
        tracing::info!(
            application = self.key.1,
            objects = found.objects.len(),
            "the inventory was rebuilt from marks"
        );
        found.objects.extend(std::mem::take(&mut self.inventory.objects));
        self.inventory = found;
        self.inventory.pack();
        self.save(&before);
    }
    /// Finds out which of the objects that were taken in are as the artifact has them already; `live` says what is known
    /// of them. Only those whose fields are ours: of others the fields must be moved first.
    pub(super) async fn recognise(&mut self, app: &App, artifact: &Artifact, live: &BTreeMap<Id, Live>) {
        // Once for each artifact: what differs then is for a sync.
        if self.recognised.replace(artifact.digest.clone()).as_ref() == Some(&artifact.digest) {
            return;
        }
        let Some((_, index)) = &self.index else { return };
        let before = self.inventory.clone();
        for wanted in index.wanted.iter().filter(|one| one.place.hook.is_none() && one.denied.is_none()) {
            let id = &wanted.id;
            let Some(owned) = self.inventory.objects.get(id) else { continue };
            let ours = live.get(id).is_some_and(|live| live.marked && live.uid == owned.uid);
            if !owned.hash.is_empty() || owned.fields.is_empty() || !ours {
                continue;
            }
            if self.is_as_wanted(app, artifact, index, wanted).await {
                let owned = Owned {
                    version: wanted.version.clone(),
                    hash: wanted.hash.clone(),
                    keep: wanted.place.keep,
                    survives: wanted.place.survives,
                    wave: wanted.place.wave,
                    ..owned.clone()
                };
                self.inventory.objects.insert(id.clone(), owned);
            }
        }
        self.save(&before);
    }

    /// Whether applying it would change nothing, not even whose the fields are.
    async fn is_as_wanted(&self, app: &App, artifact: &Artifact, index: &Index, wanted: &Wanted) -> bool {
        let id = &wanted.id;
        let now = self.shared.clock.now();
        let Ok(mut manifest) = self.store.read(artifact, wanted.offset) else { return false };
        super::super::index::masked(&mut manifest);
        index.prepare(self.front, app, &mut manifest);
        let cluster = self.shared.cluster.acting_as(app.user.as_deref());
        let compared = async {
            let kind = self.shared.cluster.kind(manifest.str_at(&["apiVersion"]), &id.kind).await?;
            let Some(live) = cluster.get(&kind, &id.namespace, &id.name).await? else { return Ok(false) };
            crate::mask::apply(&app.masks, id, &mut manifest, &live, &wanted.masked, now);
            let how = Apply { dry_run: true, strict: app.policy.validate };
            let would = cluster.apply(&kind, &manifest, how).await?;
            let fields = |object: &Value| Metadata::of(object).our_fields();
            let same_owner = fields(&live) == fields(&would);
            Ok::<bool, crate::cluster::Error>(same_owner && crate::frontends::same(&bare(live), &bare(would)))
        };
        // What cannot be told is applied.
        compared.await.unwrap_or(false)
    }
}

/// Without what each write changes.
fn bare(mut object: Value) -> Value {
    for field in ["managedFields", "resourceVersion", "generation"] {
        object.remove(&["metadata", field]);
    }
    object
}
