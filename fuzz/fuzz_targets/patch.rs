#![no_main]
//! The three patches. The input is two JSON texts, one a line: document and patch.

use api::schema::{self, Schema};
use api::{json, patch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || json::parse(lines.next()?).ok();
    let (Some(document), Some(change)) = (next(), next()) else { return };
    let pod = schema::of_kind("", "v1", "Pod").expect("because Pod has a type");
    let _ = patch::json_patch(document.clone(), &change);
    let _ = patch::merge_patch(document.clone(), change.clone());
    let _ = patch::strategic_merge(document, change, Schema::Type(pod));
});
