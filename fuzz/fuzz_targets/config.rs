#![no_main]
//! The server's configuration file.

#[allow(dead_code)]
mod config {
    #[path = "../../../crates/skiff/src/config/file.rs"]
    pub mod file;
    #[path = "../../../crates/skiff/src/config/flags.rs"]
    pub mod flags;
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = std::path::Path::new("/dev/shm").join(format!("skiff-fuzz-config-{}", std::process::id()));
    std::fs::write(&path, text).expect("because memory is writable");
    if let Ok(settings) = config::file::read(&path, true) {
        assert!(settings.keys().all(|name| config::flags::find(name).is_some()));
    }
});
