#![no_main]
//! Protobuf bodies, and bare messages of a type with most kinds of fields.

use api::{protobuf, schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = protobuf::decode(bytes);
    for (group, version, kind) in
        [("", "v1", "Pod"), ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), ("", "v1", "Status")]
    {
        let of = schema::of_kind(group, version, kind).expect("because the kind has a type");
        if let Ok(value) = protobuf::decode_message(of, bytes) {
            let again = protobuf::encode_message(of, &value);
            assert_eq!(protobuf::decode_message(of, &again).expect("because it was written"), value);
        }
    }
});
