//! Tells the binary when it was built: the floor of its trusted clock (D12).

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Rebuilt when the manifest changes, so that a build of the same source is the same.
    println!("cargo::rerun-if-changed=Cargo.toml");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).to_string();
    let built = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| now());
    println!("cargo::rustc-env=SKIFF_BUILT={built}");
}
