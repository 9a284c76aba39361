#![no_main]
//! Names of images.

use image::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let written = reference.to_string();
        let again: Reference = written.parse().expect("because it was written");
        assert_eq!(again.to_string(), written);
    }
});
