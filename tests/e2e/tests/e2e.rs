//! End-to-end tests: the real binary, real containers, in namespaces of this process' own. One after the other, since each
//! has the whole machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

mod cases;

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
    if !nix::unistd::geteuid().is_root() {
        eprintln!("COULD NOT RUN: end-to-end tests need root (namespaces, cgroups, overlay mounts)");
        println!(
            "test result: ok. 0 passed; 0 failed; {} ignored; 0 measured; 0 filtered out",
            cases::ALL.len()
        );
        return ExitCode::SUCCESS;
    }
    let binary = std::env::var_os("SKIFF_BINARY").map_or_else(default_binary, PathBuf::from);
    if !binary.exists() {
        eprintln!(
            "there is no {}: build it with `cargo build -p skiff`, or run `cargo xtask test`",
            binary.display()
        );
        return ExitCode::FAILURE;
    }
    if let Err(error) = e2e::namespace::enter(None) {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    let (mut passed, mut failed, mut left_out) = (0, 0, 0);
    for (name, case) in cases::ALL {
        if filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            left_out += 1;
            continue;
        }
        let since = Instant::now();
        let folder = tempfile::Builder::new().prefix("skiff-e2e-").tempdir();
        let folder = folder.expect("because the folder for temporary files is writable");
        let runtime = tokio::runtime::Runtime::new().expect("because the machine has threads");
        let done = runtime.block_on(cases::run(*case, &binary, folder.path()));
        drop(runtime);
        e2e::namespace::end_all();
        match done {
            Ok(()) => {
                println!("test {name} ... ok ({:.1}s)", since.elapsed().as_secs_f64());
                passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED\n{error:#}\n");
                failed += 1;
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The debug build beside this test.
fn default_binary() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(&own).join("skiff")
}
