//! Builds the toolbox, the program in test images, to be carried inside this crate.

fn main() {
    static_program::build("toolbox", "toolbox", "SKIFF_TOOLBOX");
}
