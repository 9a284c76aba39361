//! Builds the shim, which every pod's processes are started by, to be carried inside this crate.

fn main() {
    static_program::build("shim", "skiff-shim", "SKIFF_SHIM");
}
