//! What a registry wants to see: Basic, or a Bearer token from its token service.
//! <https://distribution.github.io/distribution/spec/auth/token/>

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use super::transport::{Response, Transport};
use crate::images::Login;
use crate::registries::{Auth, Endpoint};
use crate::{Error, Reference, Registries};

/// The credentials for an endpoint: the file's, else the pull secrets' in order.
pub(crate) fn login(
    registries: &Registries,
    endpoint: &Endpoint,
    reference: &Reference,
    logins: &[Login],
) -> Option<Auth> {
    if let Some(auth) = registries.configs.get(&endpoint.host).and_then(|settings| settings.auth.clone()) {
        return Some(auth);
    }
    let fits = |login: &&Login| {
        let name =
            login.registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let host = name.split('/').next().unwrap_or_default();
        let docker = |host: &str| matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
        host == endpoint.host || host == reference.registry || (docker(host) && docker(&reference.registry))
    };
    let login = logins.iter().find(fits).filter(|_| endpoint.mirror_of.is_none())?;
    Some(Auth { username: login.username.clone(), password: login.password.clone(), ..Auth::default() })
}

/// Authorization headers by endpoint and repository.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, String>>);

/// Tokens that are remembered; beyond it they are asked for again.
const MOST: usize = 64;

impl Tokens {
    pub fn known(&self, endpoint: &Endpoint) -> Option<String> {
        self.0.lock().get(&key(endpoint)).cloned()
    }

    /// Answers the challenge of a 401.
    pub async fn obtain(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        response: &Response,
        login: Option<&Auth>,
        reference: &Reference,
    ) -> Result<String, Error> {
        let refused = |detail: String| Error::Unauthorized {
            image: reference.to_string(),
            registry: endpoint.host.clone(),
            detail,
        };
        let challenges: Vec<&str> = response
            .headers()
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let bearer = challenges.iter().find_map(|text| parameters(text, "bearer"));
        let value = match bearer {
            None => match login.map(basic) {
                Some(value) => value,
                None => return Err(refused("it asks for a login, and none is configured".into())),
            },
            Some(parameters) => {
                let realm = parameters
                    .get("realm")
                    .ok_or_else(|| refused("its challenge names no token service".into()))?;
                let mut query = vec![("scope", format!("repository:{}:pull", endpoint.repository))];
                if let Some(service) = parameters.get("service") {
                    query.push(("service", service.clone()));
                }
                let separator = if realm.contains('?') { '&' } else { '?' };
                let query: Vec<String> =
                    query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
                let url = format!("{realm}{separator}{}", query.join("&"));
                let headers = login.map(|login| (header::AUTHORIZATION, basic(login))).into_iter().collect();
                let answer = transport.send(Method::GET, &url, headers).await.map_err(&refused)?;
                if !answer.status().is_success() {
                    return Err(refused(format!(
                        "its token service answered HTTP {}",
                        answer.status().as_u16()
                    )));
                }
                let text = http_body_util::Limited::new(answer.into_body(), 1 << 20).collect().await;
                let text = text.map_err(|error| refused(error.to_string()))?.to_bytes();
                let json: serde_json::Value = serde_json::from_slice(&text)
                    .map_err(|error| refused(format!("its token service answered no JSON: {error}")))?;
                let token = json["token"].as_str().or_else(|| json["access_token"].as_str());
                format!("Bearer {}", token.ok_or_else(|| refused("its token service gave no token".into()))?)
            }
        };
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key(endpoint), value.clone());
        Ok(value)
    }
}

fn key(endpoint: &Endpoint) -> String {
    format!("{}/{}", endpoint.base, endpoint.repository)
}

fn basic(login: &Auth) -> String {
    let pair = match login.auth.is_empty() {
        true => STANDARD.encode(format!("{}:{}", login.username, login.password)),
        false => login.auth.clone(),
    };
    format!("Basic {pair}")
}

/// The parameters of a challenge of this scheme: `Bearer realm="…",service="…"` (RFC 9110, section 11.6.1).
fn parameters(text: &str, scheme: &str) -> Option<HashMap<String, String>> {
    let (name, mut rest) = text.split_once(' ')?;
    if !name.eq_ignore_ascii_case(scheme) {
        return None;
    }
    let mut found = HashMap::new();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim_matches([' ', ',']).to_ascii_lowercase(), value.to_owned());
        rest = next;
    }
    Some(found)
}

/// Percent-encoding of a query's value (RFC 3986).
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let text =
            r#"Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="a,b""#;
        let found = parameters(text, "bearer").unwrap();
        assert_eq!(
            (found["realm"].as_str(), found["service"].as_str(), found["scope"].as_str()),
            ("https://auth.example.com/token", "registry.example.com", "a,b")
        );
        assert!(parameters("Basic realm=x", "bearer").is_none());
        assert_eq!(escape("a b&c"), "a%20b%26c");
    }
}
