//! The program gpg with a folder of its own, for suites that need signatures of real programs.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests; each suite uses some

use std::path::Path;
use std::process::Command;

/// Runs a program that must succeed; gives what it prints.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("this test needs {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder of gpg's own, with its agent.
pub struct Gpg(tempfile::TempDir);

impl Gpg {
    pub fn new() -> Gpg {
        Gpg(tempfile::tempdir().unwrap())
    }
    pub fn folder(&self) -> &Path {
        self.0.path()
    }
    pub fn command(&self) -> Command {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.0.path()).args(["--batch", "--no-tty", "--quiet"]);
        command.args(["--pinentry-mode", "loopback", "--passphrase", "", "--trust-model", "always"]);
        command
    }
    /// Makes a key that signs; gives its fingerprint. `more` goes before the command.
    pub fn key(&self, name: &str, algorithm: &str, usage: &str, expires: &str, more: &[&str]) -> String {
        let user = format!("{name} <{name}@example.com>");
        run(self.command().args(more).args(["--quick-gen-key", &user, algorithm, usage, expires]));
        let listed = run(self.command().args(["--with-colons", "--list-keys", &user]));
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_string()
    }
    pub fn export(&self, fingerprint: &str) -> String {
        run(self.command().args(["--armor", "--export", fingerprint]))
    }
    pub fn sign(&self, fingerprint: &str, payload: &[u8], more: &[&str]) -> String {
        let file = self.0.path().join("payload");
        std::fs::write(&file, payload).unwrap();
        let mut command = self.command();
        command.args(more).args(["--armor", "-u", fingerprint, "--output", "-", "--detach-sign"]).arg(file);
        run(&mut command)
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "gpg-agent"])
            .status();
    }
}
