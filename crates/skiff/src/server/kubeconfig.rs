//! The administrator's kubeconfig: written whole, with its mode, when it is another one than is there, so that a renewed
//! certificate gets out.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::config::Server;

/// Keeps the administrator's client certificate and writes the kubeconfig that carries it.
pub fn write(config: &Server, paths: &base::paths::Paths, pki: &pki::Pki) -> Result<()> {
    let request = pki::Request {
        common_name: "system:admin".into(),
        organization: Some("system:masters".into()),
        names: Vec::new(),
        purpose: pki::Purpose::Client,
    };
    let admin = pki.client.keep(&paths.tls(), "admin", &request, &pki.clock)?;
    let host = if config.bind_address.is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        config.bind_address.to_string()
    };
    let text = pki::kubeconfig(&format!("https://{host}:{}", config.port), &pki.server.pem(), &admin);
    replace(&config.kubeconfig, &text, config.kubeconfig_mode)?;
    if let Some(group) = &config.kubeconfig_group {
        let found = nix::unistd::Group::from_name(group).ok().flatten();
        let group =
            found.with_context(|| format!("--write-kubeconfig-group={group}: there is no such group"))?;
        nix::unistd::chown(&config.kubeconfig, None, Some(group.gid))?;
    }
    Ok(())
}

/// Writes beside the file and renames, so that a reader sees the old or the new one. A file that says the same stays.
fn replace(path: &Path, text: &str, mode: u32) -> Result<()> {
    let same = || {
        let there = fs::metadata(path)?.permissions().mode() & 0o777;
        std::io::Result::Ok(there == mode && fs::read(path)? == text.as_bytes())
    };
    if same().unwrap_or(false) {
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write the kubeconfig {}", path.display()))
}
