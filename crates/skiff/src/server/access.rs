//! `--kube-apiserver-arg`'s names about who is believed and who may: AuthenticationConfiguration or `oidc-*`, the token webhook,
//! AuthorizationConfiguration or `authorization-*`. The older flags are turned into the documents that took their place. Also the file
//! of tokens that never change (`token-auth-file`).

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

/// `token-auth-file`: lines of a token, a user, a uid and, in quotes where there are several, groups (Go's `encoding/csv`).
pub fn tokens(given: &Given<'_>) -> Result<Vec<apiserver::config::StaticToken>> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).context("cannot read it")?;
        let lines =
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        lines
            .map(|(at, line)| token(line).with_context(|| format!("line {}", at + 1)))
            .collect::<Result<Vec<_>>>()
    };
    Ok(given.file("token-auth-file", read)?.unwrap_or_default())
}

fn token(line: &str) -> Result<apiserver::config::StaticToken> {
    let fields = fields(line);
    let [token, user, uid, rest @ ..] = fields.as_slice() else {
        bail!("a token, a user and a uid are needed, with commas between them")
    };
    if token.is_empty() {
        bail!("the token is empty");
    }
    let groups: Vec<&str> = rest
        .first()
        .map_or_else(Vec::new, |text| text.split(',').map(str::trim).filter(|one| !one.is_empty()).collect());
    let mut identity = apiserver::Identity::new(user, &groups);
    identity.uid.clone_from(uid);
    Ok(apiserver::config::StaticToken { token: token.clone(), identity })
}

/// The fields of a line: a comma inside of quotes is none, and two quotes are one.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                fields.last_mut().into_iter().for_each(|field| field.push('"'));
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
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
    fn a_line_is_a_token() {
        let made = token(r#"secret,jane,7,"dev, ops""#).unwrap();
        assert_eq!(
            (made.token.as_str(), made.identity.name.as_str(), made.identity.uid.as_str()),
            ("secret", "jane", "7")
        );
        assert_eq!(made.identity.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(token("secret,joe,").unwrap().identity.groups, ["system:authenticated"]);
        assert!(token("secret,joe").is_err());
        assert!(token(",joe,1").is_err());
        assert_eq!(fields(r#"a,"b ""c"", d""#), ["a", r#"b "c", d"#]);
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
