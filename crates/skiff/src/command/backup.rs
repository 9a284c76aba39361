//! `skiff backup`: one file with all that a server cannot make anew: its objects, its authorities and keys.
//!
//! A copy of the objects is of one moment and may be taken while the server runs. It is restored only where there is no
//! server's state yet; what nodes keep (images, pods) is not in it.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::config;

/// Save the server's state in one file, or bring it back
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    Create(Create),
    Restore(Restore),
}

/// Write the state of this machine's server, running or not, to a new file (it holds keys: keep it safe)
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skiff backup create /mnt/usb/monday.tar")]
pub struct Create {
    file: PathBuf,
    /// The server's data directory [default: the configuration file's, else /var/lib/skiff]
    #[arg(short, long, env = "SKIFF_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Bring a state back on a machine whose server has none
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skiff backup restore /mnt/usb/monday.tar && skiff server")]
pub struct Restore {
    file: PathBuf,
    /// The server's data directory [default: the configuration file's, else /var/lib/skiff]
    #[arg(short, long, env = "SKIFF_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

const DATABASE: &str = "state.db";

pub fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Create(args) => create(&args.file, &data(args.data_dir.as_ref())?)?,
        Command::Restore(args) => restore(&args.file, &data(args.data_dir.as_ref())?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn data(given: Option<&PathBuf>) -> Result<PathBuf> {
    config::told("data-dir", given, config::DATA_DIR)
}

fn create(file: &Path, data: &Path) -> Result<()> {
    let state = data.join("server");
    let marked = crate::server::shared::mark(data);
    if marked.exists() {
        let endpoints = fs::read_to_string(&marked).unwrap_or_default();
        bail!(
            "this server's objects are in an etcd, which makes its own backups:\n  etcdctl --endpoints {} snapshot save FILE\n\
             Keep {} with it: the cluster's keys are in that snapshot, sealed by the token",
            endpoints.trim().split(',').next().unwrap_or_default(),
            state.join("token").display()
        );
    }
    if !state.join(DATABASE).exists() {
        bail!("there is no server's state in {}: name its --data-dir", data.display());
    }
    if file.exists() {
        bail!("{} is there already; remove it or choose another name", file.display());
    }
    // The copy lies beside the original for a moment: the file may be on a slow stick, and reading must not hold writers up.
    let scratch = tempfile::Builder::new().prefix("backup-").tempdir_in(data);
    let scratch = scratch.with_context(|| format!("cannot make a folder in {}", data.display()))?;
    let copy = scratch.path().join(DATABASE);
    store::sqlite::copy(&state.join(DATABASE), &copy)?;
    let new = file.with_extension("part");
    let written = write(&new, &state, &copy);
    if let Err(error) = written.and_then(|()| Ok(fs::rename(&new, file)?)) {
        let _not_made = fs::remove_file(&new);
        return Err(error.context(format!("cannot write {}", file.display())));
    }
    let size = fs::metadata(file)?.len();
    println!("{}: {:.1} MB", file.display(), size as f64 / 1e6);
    Ok(())
}

fn write(to: &Path, state: &Path, copy: &Path) -> Result<()> {
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(to)?;
    let mut tar = tar::Builder::new(file);
    tar.follow_symlinks(false);
    tar.append_path_with_name(copy, DATABASE)?;
    for entry in fs::read_dir(state)? {
        let entry = entry?;
        let name = entry.file_name();
        // The database's own files: the copy stands for them.
        if name.to_string_lossy().starts_with(DATABASE) {
            continue;
        }
        match entry.file_type()? {
            kind if kind.is_dir() => tar.append_dir_all(&name, entry.path())?,
            kind if kind.is_file() => tar.append_path_with_name(entry.path(), &name)?,
            _ => {}
        }
    }
    let mut file = tar.into_inner()?;
    file.flush()?;
    file.sync_all()?;
    Ok(())
}

fn restore(from: &Path, data: &Path) -> Result<()> {
    let state = data.join("server");
    let _lock = crate::server::lock(data)?;
    if fs::read_dir(&state).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "{} holds a server's state already; a backup is restored only where there is none: name another \
             --data-dir, or move that folder away",
            state.display()
        );
    }
    let file = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
    let scratch = tempfile::Builder::new().prefix("restore-").tempdir_in(data);
    let scratch = scratch.with_context(|| format!("cannot make a folder in {}", data.display()))?;
    let new = scratch.path().join("server");
    let unpack = || -> Result<()> {
        let mut tar = tar::Archive::new(file);
        tar.set_preserve_permissions(true);
        tar.unpack(&new)?;
        Ok(())
    };
    unpack().with_context(|| format!("{} is no backup of skiff, or is damaged", from.display()))?;
    let database = new.join(DATABASE);
    if !database.exists() {
        bail!("{} is no backup of skiff: there is no {DATABASE} in it", from.display());
    }
    fs::set_permissions(&new, Permissions::from_mode(0o700))?;
    store::sqlite::restored(&database).with_context(|| format!("cannot use {}", from.display()))?;
    let _empty = fs::remove_dir(&state);
    fs::rename(&new, &state).with_context(|| format!("cannot put {} in its place", state.display()))?;
    File::open(data)?.sync_all()?;
    println!("{} holds the state of {}; start the server.", state.display(), from.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Sqlite, Store};

    #[tokio::test]
    async fn a_state_comes_back_with_its_keys() {
        let folder = tempfile::tempdir().unwrap();
        let [file, data, other] = ["file.tar", "data", "other"].map(|name| folder.path().join(name));
        let error = create(&file, &data).unwrap_err().to_string();
        assert!(error.contains("there is no server's state"), "{error}");
        let state = data.join("server");
        fs::create_dir_all(state.join("tls")).unwrap();
        fs::write(state.join("tls/ca.key"), "secret").unwrap();
        fs::set_permissions(state.join("tls/ca.key"), Permissions::from_mode(0o600)).unwrap();
        let live = Sqlite::open(&state.join(DATABASE), Default::default()).unwrap();
        let write = store::Write {
            key: "core/pods/a/x".parse().unwrap(),
            expect: store::Expect::Absent,
            value: Some("1".into()),
            durability: store::Durability::Durable,
            ttl: None,
        };
        live.write(write.clone()).await.unwrap();
        create(&file, &data).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let error = create(&file, &data).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        restore(&file, &other).unwrap();
        let key = other.join("server/tls/ca.key");
        assert_eq!(fs::read_to_string(&key).unwrap(), "secret");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Sqlite::open(&other.join("server").join(DATABASE), Default::default()).unwrap();
        assert!(again.get(&write.key, None).await.unwrap().is_some());
        let error = restore(&file, &other).unwrap_err().to_string();
        assert!(error.contains("holds a server's state already"), "{error}");
    }

    #[test]
    fn what_is_no_backup_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let [file, other] = ["file.tar", "other"].map(|name| folder.path().join(name));
        for text in ["this is no archive", ""] {
            fs::write(&file, text.repeat(100)).unwrap();
            let error = restore(&file, &other).unwrap_err().to_string();
            assert!(error.contains("is no backup of skiff"), "{error}");
            assert!(!other.join("server").exists());
        }
    }
}
