//! Runs the program git as nobody in particular.

use std::path::Path;
use std::process::Command;

/// In `at`, with the given arguments.
pub fn git(at: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(at)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(["-c", "gc.auto=0"])
        .args(arguments)
        .status()
        .expect("the program git is needed");
    assert!(status.success(), "git {arguments:?}");
}
