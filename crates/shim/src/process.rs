//! The program of a process: found as a shell would, started with `execve`, and refused in the words of Go's `os/exec`
//! and runc, which `kubectl` users know.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use shim::plan::Process;

use crate::error::{At, Error, text};

/// Where programs are looked for when the environment does not say, as in containerd.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the working folder, as runc does.
pub(crate) fn enter_folder(cwd: &str) -> Result<(), Error> {
    let cwd = Path::new(if cwd.is_empty() { "/" } else { cwd });
    if !cwd.is_dir() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(cwd);
        made.at_path("mkdir", cwd).map_err(author)?;
    }
    nix::unistd::chdir(cwd).at_path("chdir to cwd", cwd).map_err(author)
}

fn author(error: Error) -> Error {
    Error::Author(error.to_string())
}

/// Becomes the program; comes back only with an error.
pub(crate) fn execute(process: &Process, home: Option<&str>) -> Result<Infallible, Error> {
    let mut env = process.env.clone();
    let has = |env: &[String], name: &str| env.iter().any(|pair| pair.split('=').next() == Some(name));
    if !has(&env, "HOME") {
        env.push(format!("HOME={}", home.unwrap_or("/")));
    }
    if !has(&env, "PATH") {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
    if process.tty && !has(&env, "TERM") {
        env.push("TERM=xterm".into());
    }
    let path = env.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or_default();
    let name = process.args.first().map(String::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(Error::Author("no command specified".into()));
    }
    let program = look_up(name, path)?;
    let strings = |items: &[String]| {
        items.iter().map(|item| CString::new(item.as_str())).collect::<Result<Vec<_>, _>>()
    };
    let nul = |_| Error::Author(format!("exec {name}: an argument holds a NUL byte"));
    let file = CString::new(program.to_string_lossy().into_owned()).map_err(nul)?;
    let (args, env) = (strings(&process.args).map_err(nul)?, strings(&env).map_err(nul)?);
    let Err(errno) = nix::unistd::execve(&file, &args, &env);
    Err(Error::Author(format!("exec {}: {}", program.display(), text(errno))))
}

/// The program's file: `name` itself if it has a slash, else the first match in `path`.
fn look_up(name: &str, path: &str) -> Result<PathBuf, Error> {
    if name.contains('/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(name.into()),
            Err(Errno::ENOENT) => {
                Err(Error::Author(format!("exec: \"{name}\": stat {name}: no such file or directory")))
            }
            Err(errno) => Err(Error::Author(format!("exec: \"{name}\": {}", text(errno)))),
        };
    }
    let found = path
        .split(':')
        .map(|folder| Path::new(if folder.is_empty() { "." } else { folder }).join(name))
        .find(|candidate| check(candidate).is_ok());
    found.ok_or_else(|| Error::Author(format!("exec: \"{name}\": executable file not found in $PATH")))
}

fn check(path: &Path) -> nix::Result<()> {
    let meta = std::fs::metadata(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    if meta.is_dir() {
        return Err(Errno::EISDIR);
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    access(path, AccessFlags::X_OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_in_known_words() {
        let check = |name: &str, path: &str, expected: &str| {
            assert_eq!(look_up(name, path).unwrap_err().to_string(), expected);
        };
        check("foo", "/nowhere", "exec: \"foo\": executable file not found in $PATH");
        check("/no/foo", "", "exec: \"/no/foo\": stat /no/foo: no such file or directory");
        check("/proc", "", "exec: \"/proc\": is a directory");
        check("/proc/version", "", "exec: \"/proc/version\": permission denied");
        assert_eq!(look_up("sh", "/nowhere:/bin").unwrap(), Path::new("/bin/sh"));
    }
}
