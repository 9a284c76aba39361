#![no_main]
//! The server's configuration file.

#[path = "../../crates/skiff/src/config/file.rs"]
mod file;
#[path = "../../crates/skiff/src/config/flags.rs"]
#[allow(dead_code)]
mod flags;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = std::path::Path::new("/dev/shm").join(format!("skiff-fuzz-config-{}", std::process::id()));
    std::fs::write(&path, text).expect("because memory is writable");
    if let Ok(settings) = file::read(&path, true) {
        assert!(settings.keys().all(|name| flags::find(name).is_some()));
    }
});
