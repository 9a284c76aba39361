//! A text with `${…}` and variables: never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use render::substitute::{Variables, evaluate};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables: Variables =
        [("a", "some text"), ("b", ""), ("c", "x/y.z")].map(|(name, value)| (name.into(), value.into())).into();
    for strict in [false, true] {
        let _ = evaluate(text, &variables, strict);
    }
});
