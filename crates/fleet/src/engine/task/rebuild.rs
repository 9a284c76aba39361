//! An inventory that was lost is made again of what the driving object's status lists (D13): each object that is there
//! and bears our mark is ours again.

use super::*;

impl Task {
    pub(super) async fn rebuild(&mut self, app: &App, object: &Value) {
        let listed = (self.front.listed)(object);
        if listed.is_empty() {
            return;
        }
        let mut found = Inventory::default();
        for (id, version) in listed {
            let api_version =
                if id.group.is_empty() { version.clone() } else { format!("{}/{version}", id.group) };
            let looked = async {
                let kind = self.shared.cluster.kind(&api_version, &id.kind).await?;
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
                    version,
                    uid: meta.uid.clone(),
                    // Unknown: what Git has is applied once, and is known from then on.
                    hash: String::new(),
                    fields: meta.our_fields(),
                    keep: place.keep,
                    survives: place.survives,
                    wave: place.wave,
                },
            );
        }
        let before = self.inventory.clone();
        tracing::info!(
            application = self.key.1,
            objects = found.objects.len(),
            "the inventory was rebuilt from marks"
        );
        found.objects.extend(std::mem::take(&mut self.inventory.objects));
        self.inventory = found;
        self.save(&before);
    }
}
