#![no_main]
//! Times, in seconds and with six decimals.

use api::time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = time::parse(text);
    let _ = time::parse_micro(text);
});
