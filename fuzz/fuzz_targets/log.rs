#![no_main]
//! Lines of container logs, which a container may have written anything into.

#[path = "../../crates/kubelet/src/logs.rs"]
#[allow(dead_code)]
mod logs;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(parsed) = logs::parse(line) {
            assert!(line.ends_with(parsed.text));
        }
    }
});
