//! An object as the watch cache keeps it: one buffer of JSON and a header of what is asked of it most (D3).
//!
//! The buffer starts with `{"kind":…,"apiVersion":…` in the storage version and carries the revision. GET and WATCH send
//! it as it is; a list of a built-in kind sends `{` and what follows [`Object::prefix`].

mod build;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::{Key, Revision, Uid};

pub use build::{Error, stored};

/// See the module. Shared as `Arc<Object>`; never changed after it is made.
#[derive(Clone, Debug)]
pub struct Object {
    pub key: Key,
    pub uid: Uid,
    pub revision: Revision,
    pub labels: Box<[(SmolStr, SmolStr)]>,
    /// Owners' uids, the controlling one first.
    pub owners: Box<[Owner]>,
    /// The values of the kind's selectable fields, in the order of [`crate::Kind::fields`], without
    /// `metadata.name` and `metadata.namespace`.
    pub fields: Box<[SmolStr]>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Length of `{"kind":…,"apiVersion":…,` up to and with the comma.
    pub prefix: u16,
    /// Where `"managedFields":[…]` (with the comma that goes with it) lies; empty if there is none.
    pub managed_fields: Range<u32>,
    pub json: Bytes,
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: Uid,
    pub controller: bool,
}

/// What happened to an object. `before` is what the cache held, for selectors that an update may enter or leave.
#[derive(Clone, Debug)]
pub enum Change {
    Put {
        object: Arc<Object>,
        before: Option<Arc<Object>>,
    },
    /// `object` is the last state, with the revision of the deletion.
    Delete {
        object: Arc<Object>,
        before: Arc<Object>,
    },
}

impl Change {
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Change::Put { object, .. } | Change::Delete { object, .. } => object,
        }
    }
    pub fn revision(&self) -> Revision {
        self.object().revision
    }
}
