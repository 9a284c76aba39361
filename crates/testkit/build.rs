//! Builds the toolbox, a static program for test images, in a cargo of its own (as `runtime` builds the shim).

use std::path::Path;
use std::process::Command;

fn main() {
    let out = std::env::var("OUT_DIR").expect("because cargo sets it");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").expect("because cargo sets it");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for path in ["crates/toolbox/src", "crates/toolbox/Cargo.toml", "crates/testkit/build.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let target = format!("{arch}-unknown-linux-musl");
    let folder = Path::new(&out).join("toolbox");
    let flags = ["-Crelocation-model=static", "-Ctarget-feature=+crt-static", "-Clinker=rust-lld"];
    let mut cargo = Command::new(std::env::var("CARGO").expect("because cargo sets it"));
    cargo
        .current_dir(&root)
        .args(["build", "--quiet", "--package", "toolbox", "--profile", "shim", "--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR");
    // What the outer cargo says about its own build must not reach this one.
    let foreign = |name: &str| name.starts_with("CARGO_FEATURE_") || name.starts_with("CARGO_CFG_");
    for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
        cargo.env_remove(name);
    }
    let done = cargo.status().expect("because cargo runs this");
    assert!(
        done.success(),
        "the toolbox does not build for {target}; is the target installed (rustup target add {target})?"
    );
    println!("cargo::rustc-env=SKIFF_TOOLBOX={}", folder.join(&target).join("shim/toolbox").display());
}
