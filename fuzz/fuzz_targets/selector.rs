#![no_main]
//! Selectors of labels and fields, as queries have them.

use api::selector::{Fields, Labels};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KINDS: LazyLock<api::Kinds> = LazyLock::new(api::kinds::builtin);

fuzz_target!(|text: &str| {
    if let Ok(labels) = Labels::parse(text) {
        let written = labels.to_string();
        let again = Labels::parse(&written).expect("because it was written");
        assert_eq!(again.to_string(), written);
        assert_eq!(again.matches(&[]), labels.matches(&[]));
    }
    if let Ok(fields) = Fields::parse(text) {
        let _ = fields.resolve(KINDS.resource("", "pods").expect("because pods are built in"));
    }
});
