//! The cluster's join secret: one file that only root reads, so that it is the same after every start.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use base::paths::Paths;

use crate::config::Server;

/// Bytes of chance in a token that is made here.
const LENGTH: usize = 32;

/// Writes the token that was given, or makes one if there is none yet.
pub fn keep(config: &Server, paths: &Paths) -> Result<()> {
    let path = paths.data().join("server/token");
    let token = match &config.token {
        Some(token) => token.clone(),
        None if path.exists() => return Ok(()),
        None => make().context("cannot read random bytes")?,
    };
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn make() -> std::io::Result<String> {
    let mut bytes = [0u8; LENGTH];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
