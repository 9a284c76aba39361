//! The child process by itself, for tests: `skiff fleet-child` in the product.

fn main() -> std::process::ExitCode {
    fleet::child::main().into()
}
