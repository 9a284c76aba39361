//! Credentials of repositories and variables of Kustomizations, where Flux' users keep them: Secrets and ConfigMaps in
//! the object's own namespace.

use api::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;

use crate::app::{App, Secrets};
use crate::cluster::Cluster;
use crate::frontends::Settings;
use crate::signature::Keys;
use crate::source::{Credentials, Inputs};

pub(super) fn find<'a>(
    cluster: &'a Cluster,
    _: &'a Settings,
    app: &'a App,
) -> BoxFuture<'a, Result<Inputs, String>> {
    Box::pin(async move {
        let mut inputs = Inputs::default();
        for secrets in std::iter::once(&app.secrets).chain(&app.secrets.more) {
            inputs.credentials.push(credentials(cluster, secrets).await?);
        }
        if let Some(name) = &app.secrets.keys {
            let namespace = app.secrets.namespace.as_str();
            let secret = get(cluster, "Secret", namespace, name).await?;
            let secret = secret.ok_or_else(|| {
                format!("public keys secret error: secrets \"{name}\" not found in {namespace}")
            })?;
            inputs.keys.push(keys(&secret));
        }
        for from in &app.secrets.variables {
            // The application's own namespace: its source may lie in another.
            match get(cluster, &from.kind, &app.namespace, &from.name).await? {
                Some(object) => inputs.variables.extend(texts(&object)),
                None if from.optional => {}
                None => {
                    return Err(format!(
                        "substitute from '{}/{}' error: {} \"{}\" not found",
                        from.kind,
                        from.name,
                        from.kind.to_lowercase() + "s",
                        from.name
                    ));
                }
            }
        }
        Ok(inputs)
    })
}

async fn credentials(cluster: &Cluster, secrets: &Secrets) -> Result<Credentials, String> {
    let mut credentials = Credentials::default();
    let namespace = secrets.namespace.as_str();
    if let Some(name) = &secrets.credentials {
        let secret = get(cluster, "Secret", namespace, name).await?;
        let secret = secret.ok_or_else(|| {
            format!("failed to get secret '{namespace}/{name}': secrets \"{name}\" not found")
        })?;
        fill(&mut credentials, &secret);
    }
    if let Some(name) = &secrets.proxy {
        let secret = get(cluster, "Secret", namespace, name).await?;
        let secret =
            secret.ok_or_else(|| format!("failed to get proxy secret '{namespace}/{name}': not found"))?;
        credentials.proxy = proxy(&secret)?;
    }
    Ok(credentials)
}

/// Upstream's rule: `.sshpub` is for SSH, everything else for OpenPGP.
fn keys(secret: &Value) -> Keys {
    let mut keys = Keys::default();
    for (name, text) in texts(secret) {
        if name.ends_with(".sshpub") { keys.ssh.push(text) } else { keys.pgp.push(text) }
    }
    keys
}

pub(super) async fn get(
    cluster: &Cluster,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, String> {
    let found = async {
        let kind = cluster.kind("v1", kind).await?;
        cluster.get(&kind, namespace, name).await
    };
    found.await.map_err(|error| format!("cannot read {kind} {namespace}/{name}: {}", error.text()))
}

/// The texts of a ConfigMap, or the decoded ones of a Secret.
fn texts(object: &Value) -> Vec<(String, String)> {
    let secret = object.str_at(&["kind"]) == "Secret";
    let data = object.get("data").and_then(Value::as_map);
    data.into_iter()
        .flat_map(|map| map.iter())
        .filter_map(|(key, value)| {
            let text = value.as_str()?;
            let text = if secret { decoded(text)? } else { text.to_string() };
            Some((key.to_string(), text))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// A value of a Secret as it is.
pub(crate) fn bytes(secret: &Value, key: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.at(&["data", key])?.as_str()?).ok()
}

fn field(secret: &Value, key: &str) -> String {
    decoded(secret.str_at(&["data", key])).unwrap_or_default().trim_end_matches('\n').to_string()
}

fn fill(credentials: &mut Credentials, secret: &Value) {
    let text = |key: &str| field(secret, key);
    let first =
        |keys: [&str; 2]| keys.into_iter().map(text).find(|text| !text.is_empty()).unwrap_or_default();
    credentials.bearer = text("bearerToken");
    credentials.ssh_key = text("identity");
    credentials.known_hosts = text("known_hosts");
    credentials.username = text("username");
    if credentials.ssh_key.is_empty() {
        credentials.password = text("password");
    } else {
        credentials.ssh_passphrase = text("password");
    }
    credentials.ca = first(["ca.crt", "caFile"]);
    credentials.client_certificate = first(["tls.crt", "certFile"]);
    credentials.client_key = first(["tls.key", "keyFile"]);
}

fn proxy(secret: &Value) -> Result<String, String> {
    let address = field(secret, "address");
    let bare = address
        .strip_prefix("http://")
        .ok_or("the proxy's secret needs a field address with http://host:port")?;
    Ok(match field(secret, "username").as_str() {
        "" => address.clone(),
        user => format!("http://{user}:{}@{bare}", field(secret, "password")),
    })
}
