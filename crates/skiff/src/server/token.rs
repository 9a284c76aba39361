//! The cluster's join secret: one file that only root reads, so that it is the same after every start.

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
        None => hex::encode(pki::random::<LENGTH>()?),
    };
    Ok(pki::files::write(&path, &format!("{token}\n"))?)
}

/// The token that [`keep`] kept.
pub fn read(paths: &Paths) -> Result<String> {
    let path = paths.data().join("server/token");
    let text = pki::files::read(&path)?.with_context(|| format!("there is no {}", path.display()))?;
    Ok(text.trim().to_owned())
}
