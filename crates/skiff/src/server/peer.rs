//! A server outside that a kubeconfig names, as the flags of webhooks have it (`--audit-webhook-config-file` and its kin).
//!
//! Files that the kubeconfig names are read at the start. Not here: exec plugins and auth providers, which are refused.

use std::path::Path;

use ::api::Value;
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Reads the current context's cluster and user.
pub fn read(path: &Path) -> Result<apiserver::Peer> {
    let document = super::document(path)?;
    parse(&document, path.parent().unwrap_or(Path::new(".")))
        .with_context(|| format!("kubeconfig {}", path.display()))
}

/// `name`'s row of a list, or the only one.
fn row<'v>(document: &'v Value, list: &str, name: &str, of: &str) -> Option<&'v Value> {
    let rows = document.get(list).and_then(Value::as_array).unwrap_or_default();
    let named = rows.iter().find(|row| row.str_at(&["name"]) == name);
    named.or(rows.first().filter(|_| name.is_empty() && rows.len() == 1))?.get(of)
}

fn parse(document: &Value, folder: &Path) -> Result<apiserver::Peer> {
    let context = row(document, "contexts", document.str_at(&["current-context"]), "context");
    let context = context.context("its current-context names no context")?;
    let cluster = row(document, "clusters", context.str_at(&["cluster"]), "cluster");
    let cluster = cluster.context("its context names no cluster")?;
    let nobody = Value::object();
    let user = row(document, "users", context.str_at(&["user"]), "user").unwrap_or(&nobody);
    for unknown in ["exec", "auth-provider", "username"] {
        if user.get(unknown).is_some_and(|value| !value.is_null()) {
            bail!("{unknown} is not served: use a client certificate or a token");
        }
    }
    let url = cluster.str_at(&["server"]);
    if !url.starts_with("https://") && !url.starts_with("http://") {
        bail!("server {url:?} is no URL");
    }
    // Data in the file wins over a file that it names.
    let part = |of: &Value, name: &str| -> Result<Option<String>> {
        let data = of.str_at(&[format!("{name}-data").as_str()]);
        if !data.is_empty() {
            let bytes = STANDARD.decode(data).with_context(|| format!("{name}-data"))?;
            return Ok(Some(String::from_utf8(bytes).with_context(|| format!("{name}-data"))?));
        }
        match of.str_at(&[name]) {
            "" => Ok(None),
            file => {
                let file = folder.join(file);
                let text = std::fs::read_to_string(&file);
                text.map(Some).with_context(|| format!("cannot read {}", file.display()))
            }
        }
    };
    let token = match (user.str_at(&["token"]), user.str_at(&["tokenFile"])) {
        ("", "") => None,
        ("", file) => {
            let file = folder.join(file);
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Some(text.trim().into())
        }
        (token, _) => Some(token.into()),
    };
    Ok(apiserver::Peer {
        url: url.into(),
        ca: part(cluster, "certificate-authority")?,
        shows: part(user, "client-certificate")?.zip(part(user, "client-key")?),
        token,
        insecure: cluster.get("insecure-skip-tls-verify").and_then(Value::as_bool).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_context_counts_and_files_are_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "authority").unwrap();
        std::fs::write(folder.path().join("token"), "open sesame\n").unwrap();
        let write = |user: &str| {
            let text = format!(
                "clusters: [{{name: other, cluster: {{server: 'https://x'}}}}, \
                 {{name: hook, cluster: {{server: 'https://hook:1/a', certificate-authority: ca.pem}}}}]\n\
                 users: [{{name: me, user: {user}}}]\n\
                 contexts: [{{name: c, context: {{cluster: hook, user: me}}}}]\ncurrent-context: c\n"
            );
            std::fs::write(folder.path().join("config"), text).unwrap();
            read(&folder.path().join("config"))
        };
        let peer = write("{tokenFile: token}").unwrap();
        assert_eq!((peer.url.as_str(), peer.ca.as_deref()), ("https://hook:1/a", Some("authority")));
        assert_eq!((peer.token.as_deref(), peer.shows), (Some("open sesame"), None));
        let pair = "{client-certificate-data: b25l, client-key-data: dHdv}";
        assert_eq!(write(pair).unwrap().shows, Some(("one".into(), "two".into())));
        let error = format!("{:#}", write("{exec: {command: x}}").unwrap_err());
        assert!(error.contains("exec is not served"), "{error}");
    }
}
