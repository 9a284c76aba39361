#![no_main]
//! Times, in seconds and with six decimals.

use api::time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = time::parse(text);
    let _ = time::parse_micro(text);
    if let Ok(nanos) = time::duration::parse(text) {
        assert_eq!(time::duration::parse(&time::duration::format(nanos)), Ok(nanos));
    }
});
