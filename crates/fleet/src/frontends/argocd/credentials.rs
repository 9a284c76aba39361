//! Credentials of repositories where Argo CD's users keep them: labelled Secrets and two ConfigMaps in its namespace.

use api::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;

use super::spec::normal_url as normal;
use crate::app::App;
use crate::cluster::{Cluster, Error};
use crate::frontends::Settings;
use crate::git::{Url, parse_url};
use crate::signature::Keys;
use crate::source::{Credentials, Inputs};

/// Of each source: a `repository` Secret of just its address, else the `repo-creds` Secret with the longest prefix of it.
pub(super) fn find<'a>(
    cluster: &'a Cluster,
    settings: &'a Settings,
    app: &'a App,
) -> BoxFuture<'a, Result<Inputs, String>> {
    Box::pin(async move {
        let mut inputs = Inputs::default();
        for source in &app.recipe.sources {
            let url = &source.url;
            let found = match parse_url(url) {
                Ok(Url::Local(_)) | Err(_) => Credentials::default(),
                Ok(parsed) => look(cluster, &settings.argocd_namespace, url, &parsed)
                    .await
                    .map_err(|error| format!("cannot read the credentials of {url}: {}", error.text()))?,
            };
            inputs.credentials.push(found);
        }
        if app.recipe.sources.iter().any(|source| source.verify.asks()) {
            let keys = keys(cluster, &settings.argocd_namespace)
                .await
                .map_err(|error| format!("cannot read the public keys: {}", error.text()))?;
            inputs.keys = vec![keys; app.recipe.sources.len()];
        }
        Ok(inputs)
    })
}

/// The ring of Argo CD: a ConfigMap of armoured keys by their ids.
async fn keys(cluster: &Cluster, namespace: &str) -> Result<Keys, Error> {
    let maps = cluster.kind("v1", "ConfigMap").await?;
    let ring = cluster.get(&maps, namespace, "argocd-gpg-keys-cm").await?.unwrap_or_default();
    let data = ring.get("data").and_then(Value::as_map);
    let texts = data.into_iter().flat_map(|map| map.iter()).filter_map(|(_, text)| text.as_str());
    Ok(Keys { pgp: texts.map(Into::into).collect(), ssh: Vec::new() })
}

async fn look(cluster: &Cluster, namespace: &str, url: &str, parsed: &Url) -> Result<Credentials, Error> {
    let secrets = cluster.kind("v1", "Secret").await?;
    let maps = cluster.kind("v1", "ConfigMap").await?;
    let label = "argocd.argoproj.io/secret-type";
    let mut credentials = Credentials::default();
    let repositories = cluster.list(&secrets, namespace, &format!("{label}=repository")).await?;
    let exact = repositories.iter().find(|secret| normal(&field(secret, "url")) == normal(url));
    if let Some(secret) = exact {
        fill(&mut credentials, secret);
    }
    if exact.is_none_or(|_| !is_filled(&credentials)) {
        let prefixes = cluster.list(&secrets, namespace, &format!("{label}=repo-creds")).await?;
        let best = prefixes
            .iter()
            .filter(|secret| {
                let prefix = field(secret, "url");
                !prefix.is_empty() && normal(url).starts_with(&normal(&prefix))
            })
            .max_by_key(|secret| field(secret, "url").len());
        if let Some(secret) = best {
            fill(&mut credentials, secret);
        }
    }
    match parsed {
        Url::Ssh { .. } => {
            let known = cluster.get(&maps, namespace, "argocd-ssh-known-hosts-cm").await?;
            if let Some(known) = known {
                credentials.known_hosts = known.str_at(&["data", "ssh_known_hosts"]).into();
            }
        }
        Url::Http(address) => {
            let host = address.split("://").nth(1).unwrap_or_default();
            let host = host.split(['/', ':']).next().unwrap_or_default();
            let certificates = cluster.get(&maps, namespace, "argocd-tls-certs-cm").await?;
            if let Some(certificates) = certificates {
                credentials.ca = certificates.str_at(&["data", host]).into();
            }
        }
        Url::Local(_) => {}
    }
    Ok(credentials)
}

fn is_filled(credentials: &Credentials) -> bool {
    !(credentials.password.is_empty()
        && credentials.username.is_empty()
        && credentials.ssh_key.is_empty()
        && credentials.bearer.is_empty()
        && credentials.client_certificate.is_empty())
}

fn fill(credentials: &mut Credentials, secret: &Value) {
    let text = |key: &str| field(secret, key);
    credentials.username = text("username");
    credentials.password = text("password");
    credentials.bearer = text("bearerToken");
    credentials.ssh_key = text("sshPrivateKey");
    credentials.client_certificate = text("tlsClientCertData");
    credentials.client_key = text("tlsClientCertKey");
    credentials.proxy = text("proxy");
    credentials.insecure = text("insecure") == "true" || text("insecureIgnoreHostKey") == "true";
}

fn field(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret.str_at(&["data", key])).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default().trim_end_matches('\n').to_string()
}
