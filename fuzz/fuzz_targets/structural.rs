#![no_main]
//! Schemas of CRDs and objects of them. The input is two JSON texts, one a line: the schema and an object.

use api::{field::Path, json, structural};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || json::parse(lines.next()?).ok();
    let (Some(schema), Some(mut value)) = (next(), next()) else { return };
    let _ = structural::check(&Path::new("s"), &schema);
    let schema = structural::Schema::parse(&schema);
    let _ = structural::prune(&mut value, &schema);
    structural::default(&mut value, &schema);
    let _ = structural::validate(&value, &schema);
});
