//! A client of OCI registries: resolve a name to layers, download a blob, resumed and verified.
//! OCI Distribution Specification, "Pull"; authentication as the distribution project's token specification has it.

mod auth;
mod transport;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::archive::{Descriptor, Manifest, architecture, check};
use crate::images::Login;
use crate::index::{Configuration, Entry};
use crate::registries::Endpoint;
use crate::{Error, Reference, Registries, disk};
use auth::Tokens;
use transport::{Response, Transport};

/// Manifests and configs are read whole, up to this many bytes (the specification asks registries to take 4 MiB).
const DOCUMENT: usize = 4 << 20;
/// Between two parts of an answer.
const SILENCE: Duration = Duration::from_secs(60);
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// An image whose manifest and config are known.
pub(crate) struct Resolved {
    pub reference: Reference,
    endpoint: Endpoint,
    pub entry: Entry,
    pub layers: Vec<Descriptor>,
}

pub(crate) struct Client {
    registries: Registries,
    /// Told to whoever has no way to a registry.
    inbox: PathBuf,
    transport: Transport,
    tokens: Tokens,
}

impl Client {
    pub fn new(registries: Registries, inbox: PathBuf) -> Result<Client, Error> {
        Ok(Client { transport: Transport::new(&registries)?, tokens: Tokens::default(), registries, inbox })
    }

    /// Asks mirrors and registry in turn until one knows the image. What the registry itself said is what is told.
    pub async fn resolve(&self, reference: &Reference, logins: &[Login]) -> Result<Resolved, Error> {
        let mut told = Error::NotFound { image: reference.to_string() };
        for endpoint in self.registries.endpoints(&reference.registry, &reference.repository) {
            match self.resolve_at(reference, &endpoint, logins).await {
                Ok(resolved) => return Ok(resolved),
                Err(error) => {
                    tracing::debug!(image = %reference, endpoint = endpoint.base, error = %base::chain(&error), "not there");
                    told = error;
                }
            }
        }
        Err(told)
    }

    async fn resolve_at(
        &self,
        reference: &Reference,
        endpoint: &Endpoint,
        logins: &[Login],
    ) -> Result<Resolved, Error> {
        let (text, digest) = self.manifest(reference, endpoint, reference.version(), logins).await?;
        let wrong = |detail: String| Error::Registry { image: reference.to_string(), detail };
        let parse = |text: &[u8]| {
            serde_json::from_slice::<Manifest>(text)
                .map_err(|error| wrong(format!("the manifest is wrong: {error}")))
        };
        let mut manifest = parse(&text)?;
        if manifest.config.is_none() {
            let fit = manifest.manifests.iter().find(|one| one.platform.is_some() && one.fits());
            let fit = fit.or_else(|| manifest.manifests.iter().find(|one| one.fits()));
            let platform = || Error::Platform { image: reference.to_string(), arch: architecture() };
            let version = fit.ok_or_else(platform)?.digest.clone();
            manifest = parse(&self.manifest(reference, endpoint, &version, logins).await?.0)?;
        }
        let config = manifest.config.ok_or_else(|| wrong("the manifest names no config".into()))?;
        let path = format!("{}/{}/blobs/{}", endpoint.base, endpoint.repository, config.digest);
        let response = self.get(reference, endpoint, &path, None, 0, logins).await?;
        let bytes = self.whole(reference, response).await?;
        check("an image's config", &config.digest, &bytes)?;
        let settings: Configuration =
            serde_json::from_slice(&bytes).map_err(|error| wrong(format!("the config is wrong: {error}")))?;
        if settings.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(wrong(format!(
                "{} layers, {} diff ids",
                manifest.layers.len(),
                settings.rootfs.diff_ids.len()
            )));
        }
        if !settings.architecture.is_empty() && settings.architecture != architecture() {
            return Err(Error::Platform { image: reference.to_string(), arch: architecture() });
        }
        let mut names = vec![reference.with_digest(&digest).to_string()];
        if reference.tag.is_some() {
            names.push(Reference { digest: None, ..reference.clone() }.to_string());
        }
        let config = settings.config.unwrap_or_default();
        let entry = Entry { id: manifest_id(&bytes), names, layers: settings.rootfs.diff_ids, config };
        Ok(Resolved {
            reference: reference.clone(),
            endpoint: endpoint.clone(),
            entry,
            layers: manifest.layers,
        })
    }

    /// A manifest and its digest, checked if it was asked for by digest.
    async fn manifest(
        &self,
        reference: &Reference,
        endpoint: &Endpoint,
        version: &str,
        logins: &[Login],
    ) -> Result<(Vec<u8>, String), Error> {
        let path = format!("{}/{}/manifests/{version}", endpoint.base, endpoint.repository);
        let response = self.get(reference, endpoint, &path, Some(MANIFESTS), 0, logins).await?;
        let text = self.whole(reference, response).await?;
        let digest = manifest_id(&text);
        if version.starts_with("sha256:") {
            check("a manifest", version, &text)?;
        }
        Ok((text, digest))
    }

    async fn whole(&self, reference: &Reference, response: Response) -> Result<Vec<u8>, Error> {
        let fail = |detail: String| Error::Registry { image: reference.to_string(), detail };
        let read = http_body_util::Limited::new(response.into_body(), DOCUMENT).collect();
        let read =
            tokio::time::timeout(SILENCE, read).await.map_err(|_| fail("the registry fell silent".into()))?;
        Ok(read.map_err(|error| fail(error.to_string()))?.to_bytes().to_vec())
    }

    /// Downloads a blob into a file, going on where an earlier try stopped, and checks its digest.
    pub async fn blob(
        &self,
        image: &Resolved,
        layer: &Descriptor,
        file: &Path,
        logins: &[Login],
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let fail = |detail: String| Error::Registry { image: image.reference.to_string(), detail };
        let io = |operation| disk(operation, file);
        let mut out = tokio::fs::File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(file)
            .await
            .map_err(io("open"))?;
        let mut hash = Sha256::new();
        let mut have = 0u64;
        let mut buffer = vec![0u8; 1 << 16];
        loop {
            match out.read(&mut buffer).await.map_err(io("read"))? {
                0 => break,
                count => {
                    hash.update(&buffer[..count]);
                    have += count as u64;
                }
            }
        }
        if have < layer.size || layer.size == 0 {
            let path =
                format!("{}/{}/blobs/{}", image.endpoint.base, image.endpoint.repository, layer.digest);
            let response = self.get(&image.reference, &image.endpoint, &path, None, have, logins).await?;
            if have > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                // The server sends it from the start.
                out = tokio::fs::File::create(file).await.map_err(io("open"))?;
                hash = Sha256::new();
                have = 0;
            }
            let mut body = response.into_body();
            loop {
                let frame = tokio::time::timeout(SILENCE, body.frame())
                    .await
                    .map_err(|_| fail("the registry fell silent".into()))?;
                let Some(frame) = frame else { break };
                let Ok(data) = frame.map_err(|error| fail(error.to_string()))?.into_data() else { continue };
                hash.update(&data);
                have += data.len() as u64;
                if layer.size > 0 && have > layer.size {
                    break;
                }
                out.write_all(&data).await.map_err(io("write"))?;
                progress(have);
            }
            out.flush().await.map_err(io("write"))?;
        }
        if have < layer.size {
            return Err(fail(format!(
                "a layer ended after {have} of {} bytes; the next try goes on there",
                layer.size
            )));
        }
        let found = format!("sha256:{}", hex::encode(hash.finalize()));
        if found != layer.digest {
            let _next_try = tokio::fs::remove_file(file).await;
            return Err(Error::Digest {
                what: format!("a layer of {}", image.reference),
                wanted: layer.digest.clone(),
                found,
            });
        }
        Ok(())
    }

    /// GET with what the registry asks for by way of authentication; redirects are followed, without credentials.
    async fn get(
        &self,
        reference: &Reference,
        endpoint: &Endpoint,
        path: &str,
        accept: Option<&str>,
        from: u64,
        logins: &[Login],
    ) -> Result<Response, Error> {
        let fail = |detail: String| Error::Registry { image: reference.to_string(), detail };
        let login = auth::login(&self.registries, endpoint, reference, logins);
        let mut authorization = self.tokens.known(endpoint);
        let mut url = match &endpoint.mirror_of {
            Some(registry) => format!("{path}?ns={registry}"),
            None => path.to_owned(),
        };
        let (mut asked, mut hops) = (false, 0);
        loop {
            let mut headers = Vec::new();
            if let Some(accept) = accept {
                headers.push((header::ACCEPT, accept.to_owned()));
            }
            if from > 0 {
                headers.push((header::RANGE, format!("bytes={from}-")));
            }
            if let Some(value) = authorization.as_ref().filter(|_| hops == 0) {
                headers.push((header::AUTHORIZATION, value.clone()));
            }
            let response = self.transport.send(Method::GET, &url, headers).await;
            let response = response.map_err(|detail| Error::Unreachable {
                image: reference.to_string(),
                detail,
                inbox: self.inbox.clone(),
            })?;
            let status = response.status();
            if status.is_redirection() && hops < 5 {
                let to = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                url = transport::join(&url, to.ok_or_else(|| fail("a redirect without a location".into()))?)
                    .map_err(&fail)?;
                hops += 1;
                continue;
            }
            return match status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
                StatusCode::UNAUTHORIZED if !asked => {
                    asked = true;
                    authorization = Some(
                        self.tokens
                            .obtain(&self.transport, endpoint, &response, login.as_ref(), reference)
                            .await?,
                    );
                    continue;
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::Unauthorized {
                    image: reference.to_string(),
                    registry: endpoint.host.clone(),
                    detail: format!(
                        "HTTP {}{}",
                        status.as_u16(),
                        if login.is_some() { "" } else { ", and no credentials for it are configured" }
                    ),
                }),
                StatusCode::NOT_FOUND => Err(Error::NotFound { image: reference.to_string() }),
                StatusCode::TOO_MANY_REQUESTS => {
                    Err(fail(format!("{} asks to come again later (HTTP 429)", endpoint.host)))
                }
                _ => Err(fail(format!("{} answered HTTP {}", endpoint.host, status.as_u16()))),
            };
        }
    }
}

fn manifest_id(text: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}
