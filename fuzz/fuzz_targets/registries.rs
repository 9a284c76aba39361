#![no_main]
//! `registries.yaml`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = std::path::Path::new("/dev/shm").join(format!("skiff-fuzz-registries-{}", std::process::id()));
    std::fs::write(&path, text).expect("because memory is writable");
    let _ = image::Registries::read(&path);
});
