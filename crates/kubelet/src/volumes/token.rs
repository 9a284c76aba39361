//! ServiceAccount tokens for pods: asked of the API once, kept until four fifths of their time are over.
//!
//! While the API is unreachable a token that is still good is used on.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use parking_lot::Mutex;

use crate::pod::spec;

#[derive(Clone)]
pub struct Token {
    pub text: String,
    pub renew: Timestamp,
    expires: Timestamp,
}

type Key = (String, String, i64);

/// See the module.
pub struct Tokens {
    client: kube::Client,
    known: Mutex<HashMap<Key, Token>>,
}

impl Tokens {
    pub fn new(client: kube::Client) -> Tokens {
        Tokens { client, known: Mutex::default() }
    }

    /// A token of the pod's ServiceAccount, bound to the pod.
    pub async fn get(
        &self,
        pod: &Pod,
        wanted: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<Token, String> {
        let seconds = wanted.expiration_seconds.unwrap_or(3600);
        let audience = wanted.audience.clone().filter(|audience| !audience.is_empty());
        let key = (spec::uid(pod).to_owned(), audience.clone().unwrap_or_default(), seconds);
        let known = self.known.lock().get(&key).cloned();
        if let Some(token) = known.clone().filter(|token| token.renew > now) {
            return Ok(token);
        }
        match self.request(pod, audience, seconds, now).await {
            Ok(token) => {
                self.known.lock().insert(key, token.clone());
                Ok(token)
            }
            Err(error) => match known.filter(|token| token.expires > now) {
                Some(token) => Ok(Token { renew: now + Duration::from_secs(60), ..token }),
                None => Err(error),
            },
        }
    }

    /// Forgets the tokens of a pod that is gone.
    pub fn forget(&self, uid: &str) {
        self.known.lock().retain(|key, _| key.0 != uid);
    }

    async fn request(
        &self,
        pod: &Pod,
        audience: Option<String>,
        seconds: i64,
        now: Timestamp,
    ) -> Result<Token, String> {
        let pod_spec = spec::spec(pod);
        let account =
            pod_spec.service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        let accounts: kube::Api<ServiceAccount> =
            kube::Api::namespaced(self.client.clone(), spec::namespace(pod));
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(audience.into_iter().collect()),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: Some(spec::name(pod).to_owned()),
                    uid: Some(spec::uid(pod).to_owned()),
                }),
            }),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(account, &kube::api::PostParams::default(), &request)
            .await
            .map_err(|error| base::chain(&error).to_string())?;
        let status = answer.status.ok_or("the answer holds no token")?;
        let (Some(text), Some(expires)) = (status.token, status.expiration_timestamp) else {
            return Err("the answer holds no token".into());
        };
        let expires = expires.0;
        let life = expires.duration_since(now);
        // Four fifths of its life, a day at the most: upstream's rule.
        // A server whose clock is behind must not be asked without end.
        let keep =
            (life * 4 / 5).clamp(jiff::SignedDuration::from_mins(1), jiff::SignedDuration::from_hours(24));
        Ok(Token { text, renew: now + keep, expires })
    }
}
