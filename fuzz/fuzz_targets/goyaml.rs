//! YAML as Helm and as Kustomize read it, and printed again: never a panic, never without end, and what is printed is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use render::goyaml;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = goyaml::first(text);
    let helm = goyaml::all(text).unwrap_or_default();
    let kustomize = goyaml::kyaml::documents(text).unwrap_or_default();
    for value in helm.into_iter().chain(kustomize.into_iter().map(|document| document.value)) {
        let printed = |value: &api::Value| {
            let mut out = String::new();
            render::yaml::emit(value, &mut out);
            out
        };
        let out = printed(&value);
        let again = goyaml::first(&out).unwrap_or_else(|error| panic!("{error} in {out:?}"));
        // A float without a fraction is read as an integer, and printed like one.
        assert_eq!(printed(&again), out);
    }
});
