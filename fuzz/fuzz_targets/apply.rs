#![no_main]
//! Server-side apply. The input is two JSON texts, one a line: the live object and the configuration.

use api::apply::{self, Set, Subject};
use api::json;
use api::schema::{self, Schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || json::parse(lines.next()?).ok();
    let (Some(live), Some(config)) = (next(), next()) else { return };
    let subject = Subject {
        api_version: "v1",
        kind: "Pod",
        schema: Schema::Type(schema::of_kind("", "v1", "Pod").expect("because Pod has a type")),
        subresource: "",
        reset: &Set::of_fields(&[&["status"]]),
        now: "2026-01-01T00:00:00Z",
        convert: &|_, _| None,
    };
    let _ = apply::apply(&subject, Some(&live), &config, "m", true);
    let _ = apply::apply(&subject, Some(&live), &config, "kubectl", false);
    let mut new = config;
    apply::track_update(&subject, Some(&live), &mut new, "m");
});
