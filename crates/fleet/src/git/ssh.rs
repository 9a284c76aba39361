//! Git over ssh: `git-upload-pack` on the other side, russh on ours. The host's key must be known.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gix_transport::Protocol;
use gix_transport::client::git::{ConnectMode, blocking_io::Connection};
use russh::client::{Config, Handle, Handler, Msg};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::runtime::Runtime;

use super::lines::Pieces;
use crate::source::Credentials;
use crate::wire::Counted;

/// For a connection with its key exchange, and for the answer to the key.
const HANDSHAKE: Duration = Duration::from_secs(15);

type Stream = russh::ChannelStream<Msg>;

/// Where to connect.
pub(super) struct Target<'a> {
    pub user: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub path: &'a str,
}

/// A connection on which the remote side already runs.
pub(super) fn transport(
    target: Target<'_>,
    credentials: &Credentials,
    repository: &Path,
    runtime: Arc<Runtime>,
) -> Result<Connection<Pieces<Reading>, Writing>, String> {
    let (handle, stream) = runtime.block_on(connect(&target, credentials, repository))?;
    let (read, write) = tokio::io::split(stream);
    Ok(Connection::new(
        Pieces::new(Reading { read: Some((read, handle)), runtime: runtime.clone() }),
        Writing { write: Some(write), runtime },
        Protocol::V2,
        target.path,
        None::<(&str, Option<u16>)>,
        ConnectMode::Process,
        false,
    ))
}

async fn connect(
    target: &Target<'_>,
    credentials: &Credentials,
    repository: &Path,
) -> Result<(Handle<Known>, Stream), String> {
    let Target { user, host, port, path } = target;
    if credentials.ssh_key.is_empty() {
        return Err("no ssh key; give the repository's Secret a field sshPrivateKey".into());
    }
    let passphrase = (!credentials.ssh_passphrase.is_empty()).then_some(credentials.ssh_passphrase.as_str());
    let key = decode_secret_key(&credentials.ssh_key, passphrase).map_err(|error| {
        format!("the ssh key cannot be read ({error}); if it has a passphrase, give it too")
    })?;
    let file = repository.with_extension("known_hosts");
    // A look that finds nothing new writes nothing.
    if std::fs::read(&file).ok().as_deref() != Some(credentials.known_hosts.as_bytes()) {
        std::fs::write(&file, &credentials.known_hosts).map_err(|error| error.to_string())?;
    }
    let known = Known { host: host.to_string(), port: *port, file, insecure: credentials.insecure };
    let config = Config { inactivity_timeout: Some(Duration::from_secs(45)), ..Config::default() };
    let connecting = async {
        let stream = tokio::net::TcpStream::connect((*host, *port)).await?;
        russh::client::connect_stream(Arc::new(config), Counted::new(stream, None), known).await
    };
    let mut session = tokio::time::timeout(HANDSHAKE, connecting)
        .await
        .map_err(|_| format!("{host}:{port} does not finish a handshake within {} s", HANDSHAKE.as_secs()))?
        .map_err(|error| match error {
            russh::Error::UnknownKey => format!(
                "the key of {host}:{port} is not among the known hosts; add its line to the ConfigMap argocd-ssh-known-hosts-cm"
            ),
            other => format!("cannot connect to {host}:{port}: {other}"),
        })?;
    let hash = session.best_supported_rsa_hash().await.ok().flatten().flatten();
    let authenticating =
        session.authenticate_publickey(*user, PrivateKeyWithHashAlg::new(Arc::new(key), hash));
    let accepted = tokio::time::timeout(HANDSHAKE, authenticating)
        .await
        .map_err(|_| format!("{host}:{port} does not answer to the ssh key"))?
        .map_err(|error| format!("authentication: {error}"))?;
    if !accepted.success() {
        return Err(format!(
            "{host} refused the ssh key of user {user}; add its public half to the repository's deploy keys"
        ));
    }
    let channel = session.channel_open_session().await.map_err(|error| error.to_string())?;
    // A server that does not accept the variable speaks the older protocol; both are understood.
    let _ = channel.set_env(false, "GIT_PROTOCOL", "version=2").await;
    let quoted = path.replace('\'', r"'\''");
    let command = format!("git-upload-pack '{quoted}'");
    channel.exec(true, command).await.map_err(|error| error.to_string())?;
    Ok((session, channel.into_stream()))
}

/// Checks the host's key against known_hosts lines.
pub(super) struct Known {
    host: String,
    port: u16,
    file: std::path::PathBuf,
    insecure: bool,
}

impl Handler for Known {
    type Error = russh::Error;

    async fn check_server_key(&mut self, server: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = server else { return Ok(self.insecure) };
        let known = russh::keys::check_known_hosts_path(&self.host, self.port, key, &self.file);
        Ok(self.insecure || known.unwrap_or(false))
    }
}

/// Closing a channel needs its runtime: both halves are dropped inside it.
pub(super) struct Reading {
    read: Option<(ReadHalf<Stream>, Handle<Known>)>,
    runtime: Arc<Runtime>,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.read {
            Some((read, _)) => self.runtime.block_on(read.read(buffer)),
            None => Ok(0),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        self.read = None;
    }
}

pub(super) struct Writing {
    write: Option<WriteHalf<Stream>>,
    runtime: Arc<Runtime>,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.write {
            Some(write) => self.runtime.block_on(write.write(bytes)),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.write {
            Some(write) => self.runtime.block_on(write.flush()),
            None => Ok(()),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        self.write = None;
    }
}
