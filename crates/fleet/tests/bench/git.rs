//! Runs the program git as nobody in particular.

use std::path::Path;
use std::process::Command;

/// In `at`, with the given arguments; gives what it prints.
pub fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(at)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(["-c", "gc.auto=0"])
        .args(arguments)
        .output()
        .expect("the program git is needed");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}
