//! `cargo xtask vm`: boots a virtual machine and runs skiff in it. In the machine this same program is the init process.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Run skiff on a distribution's kernel with cgroups v2, in a virtual machine
#[derive(Parser)]
struct Args {
    /// The kernel
    #[arg(long)]
    kernel: PathBuf,
    /// Its modules: lib/modules/<release>
    #[arg(long)]
    modules: PathBuf,
    /// skiff's binary
    #[arg(long, env = "SKIFF_BINARY")]
    skiff: PathBuf,
    /// What qemu runs the processor with: tcg (emulated) or kvm
    #[arg(long, default_value = "tcg")]
    accelerator: String,
}

fn main() -> ExitCode {
    if e2e::vm::inside::is_here() {
        e2e::vm::inside::run();
    }
    let args = Args::parse();
    let scratch = tempfile::tempdir().expect("because the folder for temporary files is writable");
    match e2e::vm::run(&args.kernel, &args.modules, &args.skiff, &args.accelerator, scratch.path()) {
        Ok(()) => {
            println!("the machine did all that it should");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
