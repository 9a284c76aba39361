//! An object at rest: its JSON, deflated. A driving object's status lists hundreds of other objects in words that repeat, and
//! is looked at a few times an hour; as a tree it would be most of what an idle agent holds.

use std::io::{Read, Write};
use std::sync::Arc;

use api::Value;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Packed(Arc<[u8]>);

impl Packed {
    pub fn of(object: &Value) -> Packed {
        let mut out = DeflateEncoder::new(Vec::new(), Compression::fast());
        let packed = out.write_all(&object.to_json()).and_then(|()| out.finish());
        Packed(packed.expect("because memory takes what is written to it").into())
    }

    pub fn open(&self) -> Value {
        let mut json = Vec::new();
        let read = DeflateDecoder::new(&*self.0).read_to_end(&mut json).map(drop);
        read.map_err(|error| error.to_string())
            .and_then(|()| serde_json::from_slice(&json).map_err(|error| error.to_string()))
            .expect("because it was packed from an object")
    }

    /// The very same, and not only an equal one.
    pub fn is(&self, other: &Packed) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_comes_out_as_it_went_in_and_lies_small() {
        let one = r#"{"group":"","version":"v1","kind":"ConfigMap","namespace":"shop","status":"Synced"}"#;
        let all = format!(
            r#"{{"metadata":{{"name":"a","generation":7}},"x":-0.5,"status":{{"resources":[{}]}}}}"#,
            vec![one; 500].join(",")
        );
        let object: Value = serde_json::from_str(&all).unwrap();
        let packed = Packed::of(&object);
        assert_eq!(packed.open().to_json(), all.as_bytes());
        assert!(packed.0.len() < all.len() / 20, "{} of {}", packed.0.len(), all.len());
        assert!(packed.is(&packed.clone()) && !packed.is(&Packed::of(&object)));
    }
}
