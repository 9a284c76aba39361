//! For build scripts: builds a small program of this workspace for musl, whatever the crate around it is built for, and puts it
//! where `include_bytes!` finds it.
//!
//! A cargo in a cargo: with a target folder of its own it takes no lock that the outer one holds. The program is static and not
//! position-independent, so that starting it writes to no page of its file (D7); `rust-lld` links it, so that no C
//! toolchain for the target is needed.

use std::path::Path;
use std::process::Command;

/// Builds `binary` of `package` (a folder of `crates/`) in the profile `shim`, and sets the compiler's environment variable `variable`
/// to its path.
pub fn build(package: &str, binary: &str, variable: &str) {
    let out = std::env::var("OUT_DIR").expect("because cargo sets it");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").expect("because cargo sets it");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for path in ["src", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join("crates").join(package).join(path).display());
    }
    let target = format!("{arch}-unknown-linux-musl");
    let folder = Path::new(&out).join(package);
    let flags = ["-Crelocation-model=static", "-Ctarget-feature=+crt-static", "-Clinker=rust-lld"];
    let mut cargo = Command::new(std::env::var("CARGO").expect("because cargo sets it"));
    cargo
        .current_dir(&root)
        .args([
            "build",
            "--quiet",
            "--package",
            package,
            "--bin",
            binary,
            "--profile",
            "shim",
            "--target",
            &target,
        ])
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
        "{package} does not build for {target}; is the target installed (rustup target add {target})?"
    );
    println!("cargo::rustc-env={variable}={}", folder.join(&target).join("shim").join(binary).display());
}
