//! `--kube-apiserver-arg`'s names about who is believed and who may: AuthenticationConfiguration or `oidc-*`, the token webhook,
//! AuthorizationConfiguration or `authorization-*`. The older flags are turned into the documents that took their place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::api::Value;
use anyhow::{Context, Result, bail};
use serde_json::json;

use super::arguments::Given;
use super::{document, peer};

fn value(document: &serde_json::Value) -> Result<Value> {
    ::api::json::parse(document.to_string().as_bytes()).map_err(|error| anyhow::anyhow!("{error}"))
}

/// The AuthenticationConfiguration, and the file that it is in, if it is in one.
pub fn authentication(given: &Given<'_>) -> Result<(Option<Value>, Option<PathBuf>)> {
    let file = given.text("authentication-config");
    let Some(issuer) = given.text("oidc-issuer-url") else {
        if let Some((name, value)) = given.0.iter().find(|(name, _)| name.starts_with("oidc-")) {
            bail!("--kube-apiserver-arg={name}={value}: oidc-issuer-url and oidc-client-id are needed too");
        }
        return Ok((given.file("authentication-config", document)?, file.map(PathBuf::from)));
    };
    if file.is_some() {
        bail!("--kube-apiserver-arg=authentication-config: give it or oidc-issuer-url and its kin, not both");
    }
    let client = given
        .text("oidc-client-id")
        .context("--kube-apiserver-arg=oidc-client-id is needed with oidc-issuer-url")?;
    let claim = given.text("oidc-username-claim").unwrap_or("sub");
    let prefix = match given.text("oidc-username-prefix") {
        Some("-") => String::new(),
        Some(prefix) => prefix.into(),
        None if claim == "email" => String::new(),
        None => format!("{issuer}#"),
    };
    let mut mappings = json!({"username": {"claim": claim, "prefix": prefix}});
    if let Some(groups) = given.text("oidc-groups-claim") {
        let prefix = given.text("oidc-groups-prefix").unwrap_or_default();
        mappings["groups"] = json!({"claim": groups, "prefix": prefix});
    }
    let ca = |path: &Path| std::fs::read_to_string(path).context("cannot read it");
    let authority = given.file("oidc-ca-file", ca)?.unwrap_or_default();
    let algorithms: Vec<String> = match given.list("oidc-signing-algs") {
        none if none.is_empty() => vec!["RS256".into()],
        some => some,
    };
    let rules: Result<Vec<_>> = given
        .list("oidc-required-claim")
        .iter()
        .map(|pair| {
            let (claim, value) = pair.split_once('=').with_context(|| {
                format!("--kube-apiserver-arg=oidc-required-claim={pair}: a claim and its value are needed, as in hd=example.com")
            })?;
            Ok(json!({"claim": claim, "requiredValue": value}))
        })
        .collect();
    let document = json!({
        "kind": "AuthenticationConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "jwt": [{
            "issuer": {"url": issuer, "audiences": [client], "certificateAuthority": authority,
                "signingAlgorithms": algorithms},
            "claimMappings": mappings,
            "claimValidationRules": rules?,
        }],
    });
    Ok((Some(value(&document)?), None))
}

/// Who judges tokens that nobody here knows.
pub fn token_webhook(given: &Given<'_>) -> Result<Option<apiserver::TokenWebhook>> {
    let Some(peer) = given.file("authentication-token-webhook-config-file", peer::read)? else {
        return Ok(None);
    };
    let mut webhook = apiserver::TokenWebhook::new(peer);
    given.duration("authentication-token-webhook-cache-ttl", &mut webhook.remembered)?;
    if let Some(version) = given.text("authentication-token-webhook-version") {
        if !["v1", "v1beta1"].contains(&version) {
            bail!(
                "--kube-apiserver-arg=authentication-token-webhook-version={version}: v1 and v1beta1 are known"
            );
        }
        webhook.version = version.into();
    }
    Ok(Some(webhook))
}

/// Reads an AuthorizationConfiguration with the kubeconfigs that it names.
pub fn read_authorization(path: &Path) -> Result<apiserver::Authorization> {
    with_peers(document(path)?)
}

fn with_peers(document: Value) -> Result<apiserver::Authorization> {
    let rows = document.get("authorizers").and_then(Value::as_array).unwrap_or_default();
    let paths = rows.iter().map(|row| row.str_at(&["webhook", "connectionInfo", "kubeConfigFile"]));
    let peers = paths
        .filter(|path| !path.is_empty())
        .map(|path| Ok((path.to_string(), peer::read(path.as_ref())?)))
        .collect::<Result<_>>()?;
    Ok(apiserver::Authorization { document, peers })
}

/// Who judges requests, and the file that says so, if one does.
pub fn authorization(given: &Given<'_>) -> Result<(Option<apiserver::Authorization>, Option<PathBuf>)> {
    let modes = given.list("authorization-mode");
    if let Some(file) = given.text("authorization-config") {
        if !modes.is_empty() {
            bail!("--kube-apiserver-arg=authorization-mode: give it or authorization-config, not both");
        }
        return Ok((given.file("authorization-config", read_authorization)?, Some(file.into())));
    }
    if modes.is_empty() {
        return Ok((None, None));
    }
    let mut rows = Vec::new();
    for mode in &modes {
        let mut row = json!({"type": mode, "name": mode.to_lowercase()});
        match mode.as_str() {
            "Node" | "RBAC" | "AlwaysAllow" | "AlwaysDeny" => {}
            "Webhook" => {
                let file = given.text("authorization-webhook-config-file");
                let file = file.context(
                    "--kube-apiserver-arg=authorization-webhook-config-file is needed with the mode Webhook",
                )?;
                let (mut yes, mut no) = (Duration::from_secs(300), Duration::from_secs(30));
                given.duration("authorization-webhook-cache-authorized-ttl", &mut yes)?;
                given.duration("authorization-webhook-cache-unauthorized-ttl", &mut no)?;
                // A time of zero means that nothing is remembered.
                let time = |time: Duration| {
                    if time.is_zero() { "1s".into() } else { format!("{}s", time.as_secs().max(1)) }
                };
                row["webhook"] = json!({
                    "timeout": "30s", "failurePolicy": "NoOpinion",
                    "subjectAccessReviewVersion": given.text("authorization-webhook-version").unwrap_or("v1"),
                    "authorizedTTL": time(yes), "cacheAuthorizedRequests": !yes.is_zero(),
                    "unauthorizedTTL": time(no), "cacheUnauthorizedRequests": !no.is_zero(),
                    "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": file},
                });
            }
            other => bail!(
                "--kube-apiserver-arg=authorization-mode={other}: Node, RBAC, Webhook, AlwaysAllow and AlwaysDeny are known"
            ),
        }
        rows.push(row);
    }
    let document = json!({"kind": "AuthorizationConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "authorizers": rows});
    Ok((Some(with_peers(value(&document)?)?), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<T>(args: &[(&str, &str)], take: impl Fn(&Given<'_>) -> Result<T>) -> Result<T> {
        let args = args.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        take(&Given(&args))
    }

    #[test]
    fn older_flags_of_oidc_become_one_document() {
        let args = [
            ("oidc-issuer-url", "https://example.com"),
            ("oidc-client-id", "skiff"),
            ("oidc-groups-claim", "roles"),
            ("oidc-required-claim", "hd=example.com"),
        ];
        let (made, file) = given(&args, authentication).unwrap();
        let row = made.unwrap().at(&["jwt"]).and_then(Value::as_array).unwrap()[0].clone();
        assert_eq!(row.str_at(&["claimMappings", "username", "prefix"]), "https://example.com#");
        assert_eq!(row.str_at(&["claimMappings", "groups", "claim"]), "roles");
        let rule = row.get("claimValidationRules").and_then(Value::as_array).unwrap()[0].clone();
        assert_eq!((rule.str_at(&["claim"]), rule.str_at(&["requiredValue"])), ("hd", "example.com"));
        assert_eq!(file, None);
        let error = given(&args[1..], authentication).unwrap_err().to_string();
        assert!(error.contains("oidc-issuer-url"), "{error}");
    }

    #[test]
    fn modes_become_one_document() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hook");
        std::fs::write(
            &file,
            "clusters: [{name: a, cluster: {server: 'https://hook'}}]\ncontexts: [{name: a, context: {cluster: a}}]\n\
             current-context: a\n",
        )
        .unwrap();
        let path = file.to_str().unwrap();
        let args = [("authorization-mode", "Node,Webhook,RBAC"), ("authorization-webhook-config-file", path)];
        let made = given(&args, authorization).unwrap().0.unwrap();
        let rows = made.document.get("authorizers").and_then(Value::as_array).unwrap();
        let kinds: Vec<_> = rows.iter().map(|row| row.str_at(&["type"])).collect();
        assert_eq!(kinds, ["Node", "Webhook", "RBAC"]);
        assert_eq!(made.peers[path].url, "https://hook");
        assert!(given(&args[..1], authorization).is_err());
        let error = given(&[("authorization-mode", "ABAC")], authorization).unwrap_err().to_string();
        assert!(error.contains("ABAC"), "{error}");
        assert!(given(&[], authorization).unwrap().0.is_none());
    }
}
