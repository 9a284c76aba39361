#![no_main]
//! JSON bodies: parsed, normalised as a Pod, written, and made an object of.

use api::{Object, Revision, decode, json, schema};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KINDS: LazyLock<api::Kinds> = LazyLock::new(api::kinds::builtin);

fuzz_target!(|bytes: &[u8]| {
    let kind = KINDS.resource("", "pods").expect("because pods are built in");
    let key = "core/pods/d/a".parse().expect("because it is a key");
    if let Ok(object) = Object::from_stored(kind, bytes, key, Revision(7)) {
        let _ = object.without_managed_fields().concat();
    }
    let _ = json::duplicates(bytes);
    if let Ok(mut value) = json::parse(bytes) {
        let text = json::to_vec(&value);
        let again = |text: &[u8]| json::to_vec(&json::parse(text).expect("because it was written"));
        // `-0.0` is written `-0`, which is read as the whole number 0, here as upstream: after that nothing changes any more.
        let settled = again(&text);
        assert!(settled == text || text.windows(2).any(|pair| pair == b"-0"), "{:?}", bytes);
        assert_eq!(again(&settled), settled);
        let of = schema::of_kind("", "v1", "Pod").expect("because Pod has a type");
        let _ = decode::normalize(of, &mut value);
    }
});
