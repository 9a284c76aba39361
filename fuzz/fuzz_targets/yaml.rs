#![no_main]
//! YAML, as manifests and bodies have it.

use api::yaml;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for dialect in [yaml::Dialect::V2, yaml::Dialect::V3] {
        for value in yaml::parse(text, dialect).into_iter().flatten() {
            let mut out = String::new();
            yaml::emit(&value, &mut out);
            let _ = yaml::parse(&out, dialect);
        }
    }
});
