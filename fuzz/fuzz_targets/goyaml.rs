//! YAML as Helm reads it: never a panic, never without end.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = render::goyaml::all(text);
    let _ = render::goyaml::first(text);
});
