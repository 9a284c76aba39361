//! `registries.yaml` as k3s has it: mirrors with rewrites, and credentials and TLS of each endpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;

/// The file's content; the default is no mirrors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registries {
    /// By registry name; `*` is for all.
    #[serde(default)]
    pub mirrors: BTreeMap<String, Mirror>,
    /// By host of an endpoint.
    #[serde(default)]
    pub configs: BTreeMap<String, Settings>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// URLs, tried in order before the registry itself.
    #[serde(default)]
    pub endpoint: Vec<String>,
    /// Regular expressions over the repository's name, and what takes their place.
    #[serde(default)]
    pub rewrite: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub auth: Option<Auth>,
    pub tls: Option<Tls>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub password: String,
    /// Base64 of `username:password`.
    #[serde(default)]
    pub auth: String,
    /// A refresh token for the registry's token service.
    #[serde(default, alias = "identitytoken")]
    pub identity_token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Auth({})", self.username)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// One place to ask for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://host[:port]/v2`, without a slash at its end.
    pub base: String,
    pub host: String,
    pub repository: String,
    /// A mirror is asked with `?ns=<registry>`.
    pub mirror_of: Option<String>,
}

impl Registries {
    /// Reads the file; a missing one is empty.
    pub fn read(path: &Path) -> Result<Registries, Error> {
        let bad = |detail: String| Error::Registries { path: path.into(), detail };
        match std::fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => Ok(Registries::default()),
            Ok(text) => api::yaml::read(&text).map_err(|error| bad(base::chain(&error).to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Registries::default()),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    /// Where a repository may be found: mirrors in order, then the registry itself.
    pub(crate) fn endpoints(&self, registry: &str, repository: &str) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        if let Some(mirror) = self.mirrors.get(registry).or_else(|| self.mirrors.get("*")) {
            for url in &mirror.endpoint {
                let url = if url.contains("://") { url.clone() } else { format!("https://{url}") };
                let url = url.trim_end_matches('/');
                let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
                let host = rest.split('/').next().unwrap_or_default().to_owned();
                let base = if rest.contains('/') { url.to_owned() } else { format!("{url}/v2") };
                let own = host == registry;
                let repository = rewrite(&mirror.rewrite, repository);
                endpoints.push(Endpoint {
                    base,
                    host,
                    repository,
                    mirror_of: (!own).then(|| registry.to_owned()),
                });
            }
        }
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        // A registry on this machine speaks HTTP unless told otherwise, as everywhere in the field.
        let local = host.split(':').next().is_some_and(|name| name == "localhost" || name == "127.0.0.1");
        let scheme = if local && !self.configs.contains_key(host) { "http" } else { "https" };
        let own = Endpoint {
            base: format!("{scheme}://{host}/v2"),
            host: host.into(),
            repository: repository.into(),
            mirror_of: None,
        };
        if !endpoints.iter().any(|endpoint| endpoint.host == own.host) {
            endpoints.push(own);
        }
        endpoints
    }
}

/// The first rule whose expression matches; `$1` in its text is the first group.
fn rewrite(rules: &BTreeMap<String, String>, repository: &str) -> String {
    for (pattern, text) in rules {
        match regex::Regex::new(pattern) {
            Ok(expression) if expression.is_match(repository) => {
                return expression.replace(repository, text.as_str()).into_owned();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(pattern, %error, "a rewrite rule of registries.yaml is no regular expression")
            }
        }
    }
    repository.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_first_and_rewrite() {
        let text = "mirrors:\n  docker.io:\n    endpoint: [\"http://mirror.shop:5000\", \"https://cache.shop/v2/hub\"]\n    rewrite:\n      \"^library/(.*)\": \"hub/$1\"\nconfigs:\n  \"mirror.shop:5000\":\n    auth: {username: u, password: p}\n";
        let registries: Registries = api::yaml::read(text).unwrap();
        let all = registries.endpoints("docker.io", "library/nginx");
        let shown: Vec<_> = all
            .iter()
            .map(|one| (one.base.as_str(), one.repository.as_str(), one.mirror_of.is_some()))
            .collect();
        assert_eq!(
            shown,
            [
                ("http://mirror.shop:5000/v2", "hub/nginx", true),
                ("https://cache.shop/v2/hub", "hub/nginx", true),
                ("https://registry-1.docker.io/v2", "library/nginx", false),
            ]
        );
        assert_eq!(registries.endpoints("localhost:5000", "x")[0].base, "http://localhost:5000/v2");
        let error = api::yaml::read::<Registries>("mirors: {}").unwrap_err();
        assert!(base::chain(&error).to_string().contains("unknown field `mirors`"), "{error:?}");
    }
}
