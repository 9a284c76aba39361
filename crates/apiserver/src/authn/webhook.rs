//! Bearer tokens that a server outside judges: TokenReviews to `--authentication-token-webhook-config-file`
//! (k8s.io/apiserver/plugin/pkg/authenticator/token/webhook). What it said, yes or no, is believed for a while.

use std::sync::Arc;
use std::time::Duration;

use api::Value;
use http::Method;

use crate::Identity;
use crate::identity::AUTHENTICATED;
use crate::memo::Memo;
use crate::remote::Peer;
use crate::server::Inner;

/// Of one request; and tries, with what the second waits (upstream's backoff).
const PATIENCE: Duration = Duration::from_secs(10);
const TRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(500);

/// `--authentication-token-webhook-*`.
#[derive(Clone, Debug)]
pub struct TokenWebhook {
    pub peer: Peer,
    /// `v1` or `v1beta1`.
    pub version: String,
    /// How long an answer is believed.
    pub remembered: Duration,
}

impl TokenWebhook {
    /// With upstream's defaults, but for the version, which nobody needs to be old any more.
    pub fn new(peer: Peer) -> TokenWebhook {
        TokenWebhook { peer, version: "v1".into(), remembered: Duration::from_secs(120) }
    }
}

type Found = Option<(Identity, Vec<String>)>;

#[derive(Default)]
pub(crate) struct Answers(Memo<Found>);

/// The user of a token and the audiences it is good for, of those in `audiences`; `Ok(None)`: the server does not know it.
pub(crate) async fn identify(
    inner: &Arc<Inner>,
    webhook: &TokenWebhook,
    token: &str,
    audiences: &[String],
) -> Result<Found, String> {
    let now = inner.clock.now().as_second();
    // A length before each part: no two questions read the same.
    let mut asked = Vec::new();
    for part in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
        asked.extend((part.len() as u64).to_be_bytes());
        asked.extend(part.as_bytes());
    }
    if let Some(known) = inner.reviewed.0.get(&asked, now) {
        return Ok(known);
    }
    let found = ask(inner, webhook, token, audiences).await?;
    let until = now.saturating_add(webhook.remembered.as_secs() as i64);
    inner.reviewed.0.put(&asked, found.clone(), until);
    Ok(found)
}

async fn ask(
    inner: &Arc<Inner>,
    webhook: &TokenWebhook,
    token: &str,
    audiences: &[String],
) -> Result<Found, String> {
    let mut review = Value::object();
    review.set(&["kind"], "TokenReview");
    review.set(&["apiVersion"], format!("authentication.k8s.io/{}", webhook.version));
    review.set(&["metadata"], Value::object());
    review.set(&["spec", "token"], token);
    review.set(
        &["spec", "audiences"],
        audiences.iter().map(|own| Value::from(own.as_str())).collect::<Vec<_>>(),
    );
    let review = webhook.peer.ask(inner, &review, PATIENCE, TRIES, BACKOFF).await?;
    let texts = |path: &[&str]| -> Vec<String> {
        let list = review.at(path).and_then(Value::as_array).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(String::from).collect()
    };
    if review.at(&["status", "authenticated"]).and_then(Value::as_bool) != Some(true) {
        return match review.str_at(&["status", "error"]) {
            "" => Ok(None),
            why => Err(why.into()),
        };
    }
    let mut good = texts(&["status", "audiences"]);
    if good.is_empty() {
        // It knows nothing of audiences: the token is for this API.
        good.clone_from(&inner.config.audiences);
    }
    good.retain(|own| audiences.contains(own));
    if good.is_empty() {
        return Ok(None);
    }
    let extra = review.at(&["status", "user", "extra"]).and_then(Value::as_map);
    let extra = extra.into_iter().flat_map(|map| map.keys());
    let mut identity = Identity {
        name: review.str_at(&["status", "user", "username"]).into(),
        uid: review.str_at(&["status", "user", "uid"]).into(),
        groups: texts(&["status", "user", "groups"]),
        extra: extra.map(|key| (key.to_string(), texts(&["status", "user", "extra", key]))).collect(),
    };
    if !identity.is_in(AUTHENTICATED) {
        identity.groups.push(AUTHENTICATED.into());
    }
    Ok(Some((identity, good)))
}

impl Peer {
    /// Posts a review and reads it back; again where the server says that it failed (upstream's `DefaultShouldRetry`).
    pub(crate) async fn ask(
        &self,
        inner: &Inner,
        review: &Value,
        limit: Duration,
        tries: u32,
        backoff: Duration,
    ) -> Result<Value, String> {
        let body = bytes::Bytes::from(review.to_json());
        let mut wait = backoff;
        for attempt in 1.. {
            let sent =
                inner.send(&self.remote(), Method::POST, "", self.headers(), body.clone(), limit).await;
            let (why, again) = match sent {
                Ok(answer) if answer.code.is_success() => {
                    return api::json::parse(&answer.bytes)
                        .map_err(|error| format!("couldn't decode the answer: {error}"));
                }
                Ok(answer) => {
                    let why = format!("webhook returned an unsuccessful status code {}", answer.code);
                    (why, matches!(answer.code.as_u16(), 429 | 500 | 504))
                }
                // A peer that is away is not there a moment later either; one that broke off may be.
                Err(why) => {
                    let broke = why.contains("reset");
                    (why, broke)
                }
            };
            if !again {
                return Err(why);
            }
            if attempt >= tries {
                return Err(why);
            }
            tokio::time::sleep(wait).await;
            wait = wait.mul_f64(1.5);
        }
        Err("the webhook was not asked".into())
    }
}
