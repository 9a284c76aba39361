//! A clone on disk belongs to one child at a time, and a child may have died at any moment: what it left behind is in nobody's use.
//!
//! gix guards its files with lock files that a killed process leaves for ever, and receives packs into files beside the finished
//! ones. The first are taken away before a fetch, the others made into packs of what came, under a lock that the kernel lets go
//! with the process (flock(2)).

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

/// The right to change a clone, until it is dropped or the process dies.
pub(super) struct Claim {
    _lock: Flock<File>,
}

/// Waits for whoever has the clone (a child whose parent was killed lives a second longer), then tidies it up.
pub(super) fn claim(home: &Path) -> std::io::Result<Claim> {
    if let Some(parent) = home.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let path = home.with_extension("claim");
    let lock = loop {
        let file = File::options().create(true).append(true).open(&path)?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| std::io::Error::from(errno))?;
        // Who had it may have deleted the clone, and this file with it: then it guards nothing.
        if std::fs::metadata(&path).is_ok_and(|now| lock.metadata().is_ok_and(|own| own.ino() == now.ino())) {
            break lock;
        }
    };
    tidy(home, 0)?;
    unfinished(&home.join("objects/pack"))?;
    Ok(Claim { _lock: lock })
}

/// Takes away lock files; objects have none.
fn tidy(directory: &Path, depth: usize) -> std::io::Result<()> {
    // `refs/heads/a/b/c…`: no deeper than names that are any good.
    if depth > 32 {
        return Ok(());
    }
    for entry in entries(directory)? {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if name != "objects" {
                tidy(&path, depth + 1)?;
            }
        } else if path.extension().is_some_and(|end| end == "lock") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Takes away packs that were never finished, and packs without an index; the objects that came whole are kept as packs of their own.
fn unfinished(packs: &Path) -> std::io::Result<()> {
    for entry in entries(packs)? {
        let path = entry.path();
        let finished = entry.file_name().to_string_lossy().starts_with("pack-");
        let alone = path.extension().is_some_and(|end| end == "pack") && !path.with_extension("idx").exists();
        if (!finished || alone) && entry.file_type()?.is_file() {
            super::receive::salvage(&path, packs)?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> std::io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_child_left_goes_and_the_rest_stays() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("clone");
        let files = [
            ("shallow", true),
            ("shallow.lock", false),
            ("refs/skiff/tip", true),
            ("refs/skiff/tip.lock", false),
            ("objects/pack/pack-a.pack", true),
            ("objects/pack/pack-a.idx", true),
            ("objects/pack/.tmpAbC", false),
            ("objects/info/x.lock", true),
        ];
        for (file, _) in files {
            let path = home.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let claim = claim(&home).unwrap();
        for (file, stays) in files {
            assert_eq!(home.join(file).exists(), stays, "{file}");
        }
        let other = File::open(home.with_extension("claim")).unwrap();
        assert!(Flock::lock(other, FlockArg::LockExclusiveNonblock).is_err());
        drop(claim);
        // A clone that is not there yet can be claimed too.
        drop(super::claim(&directory.path().join("none/clone")).unwrap());
    }
    #[test]
    fn a_claim_that_was_deleted_meanwhile_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("clone");
        let path = home.with_extension("claim");
        let first = claim(&home).unwrap();
        let waiting = std::thread::spawn({
            let home = home.clone();
            move || claim(&home).unwrap()
        });
        // It waits for the file that is deleted now, or finds none: either way it has to make one.
        std::thread::sleep(std::time::Duration::from_millis(100));
        std::fs::remove_file(&path).unwrap();
        drop(first);
        let _second = waiting.join().unwrap();
        let other = File::open(&path).unwrap();
        assert!(Flock::lock(other, FlockArg::LockExclusiveNonblock).is_err());
    }
}
