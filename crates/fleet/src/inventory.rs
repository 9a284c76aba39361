//! What an application owns (D13): the objects that it applied, on disk and in its status. Prune deletes nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// An object, without its version: the same object under another version is the same. Cheap to clone: whoever remembers
/// something of an object shares its name with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(Arc<Named>);

/// See [`Id`].
#[derive(Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Named {
    pub group: SmolStr,
    pub kind: SmolStr,
    /// Empty for cluster-scoped objects.
    pub namespace: SmolStr,
    pub name: SmolStr,
}

impl Id {
    pub fn new(
        group: impl Into<SmolStr>,
        kind: impl Into<SmolStr>,
        namespace: impl Into<SmolStr>,
        name: impl Into<SmolStr>,
    ) -> Id {
        let (group, kind) = (group.into(), kind.into());
        Id(Arc::new(Named { group, kind, namespace: namespace.into(), name: name.into() }))
    }

    /// `apps/v1`, for a version of its group.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.into() } else { format!("{}/{version}", self.group) }
    }
}

impl std::ops::Deref for Id {
    type Target = Named;
    fn deref(&self) -> &Named {
        &self.0
    }
}

impl std::fmt::Display for Id {
    /// `Deployment.apps shop/web`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Named { group, kind, namespace, name } = &**self;
        let dot = if group.is_empty() { "" } else { "." };
        let slash = if namespace.is_empty() { "" } else { "/" };
        write!(out, "{kind}{dot}{group} {namespace}{slash}{name}")
    }
}

/// What was applied of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owned {
    pub version: SmolStr,
    pub uid: SmolStr,
    /// Of the manifest that was applied.
    pub hash: SmolStr,
    /// Of our entry in managedFields right after: when it changes, somebody took a field.
    pub fields: SmolStr,
    /// Deleted only by hand (`Prune=false`).
    pub keep: bool,
    /// Stays when the application goes (`Delete=false`).
    pub survives: bool,
    pub wave: i32,
}

/// All objects of one application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub objects: BTreeMap<Id, Owned>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    id: Id,
    #[serde(flatten)]
    owned: Owned,
}

/// The inventory's file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the inventory {path}")]
pub struct Error {
    pub path: PathBuf,
    pub source: std::io::Error,
}

impl Inventory {
    fn file(directory: &Path) -> PathBuf {
        directory.join("inventory.json")
    }

    /// `None`: there is none, or it is unreadable; it is then rebuilt from marks.
    pub fn load(directory: &Path) -> Option<Inventory> {
        let bytes = std::fs::read(Inventory::file(directory)).ok()?;
        let rows: Vec<Row> = serde_json::from_slice(&bytes).ok()?;
        Some(Inventory { objects: rows.into_iter().map(|row| (row.id, row.owned)).collect() })
    }

    /// Takes no more memory than it must: a tree that grew object by object is half empty.
    pub fn pack(&mut self) {
        self.objects = std::mem::take(&mut self.objects).into_iter().collect();
    }

    /// Takes the file away: what was owned is not any more.
    pub fn forget(directory: &Path) {
        let _ = std::fs::remove_file(Inventory::file(directory));
    }

    pub fn save(&self, directory: &Path) -> Result<(), Error> {
        let rows: Vec<Row> =
            self.objects.iter().map(|(id, owned)| Row { id: id.clone(), owned: owned.clone() }).collect();
        let path = Inventory::file(directory);
        let bytes = serde_json::to_vec(&rows).expect("because an inventory is plain data");
        crate::files::replace(&path, &bytes).map_err(|source| Error { path, source })
    }
}
