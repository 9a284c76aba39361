//! Users of OpenID Connect issuers and of a token webhook, both real TLS servers; and nobody, where that is allowed.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod hook;

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hook::Hook;
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use testkit_cluster::Cluster;

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const LATER: i64 = 4_000_000_000;

fn value(json: Value) -> api::Value {
    api::json::parse(json.to_string().as_bytes()).unwrap()
}

/// An issuer's key, by a name of its own.
struct Signer(EcdsaKeyPair, &'static str);

impl Signer {
    fn new(name: &'static str) -> Signer {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Signer(key.unwrap(), name)
    }
    fn row(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "kid": self.1, "alg": "ES256", "x": part(&point[1..33]), "y": part(&point[33..65])})
    }
    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "kid": self.1})), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// A provider that serves one key; its URL, and the configuration's row about it.
async fn provider(other: &Cluster, signer: &Signer) -> (Hook, String, Value) {
    let known: Arc<OnceLock<String>> = Arc::default();
    let (url, keys) = (known.clone(), json!({"keys": [signer.row()]}));
    let hook = Hook::start(other, move |path, _| {
        let url = url.get().unwrap();
        Some(match path {
            "/.well-known/openid-configuration" => json!({"issuer": url, "jwks_uri": format!("{url}/keys")}),
            _ => keys.clone(),
        })
    })
    .await;
    let url = format!("https://{}", hook.address);
    known.set(url.clone()).unwrap();
    let authority = String::from_utf8(STANDARD.decode(&hook.bundle).unwrap()).unwrap();
    let row = json!({
        "issuer": {"url": url, "audiences": ["skiff"], "certificateAuthority": authority},
        "claimValidationRules": [{"expression": "claims.hd == 'example.com'", "message": "the domain is wrong"}],
        "claimMappings": {
            "username": {"claim": "sub", "prefix": "oidc:"},
            "groups": {"expression": "claims.roles.split(',').map(role, 'oidc:' + role)"},
            "extra": [{"key": "example.com/tenant", "valueExpression": "claims.?tenant.orValue('none')"}],
        },
        "userValidationRules": [{"expression": "!user.username.startsWith('oidc:system:')", "message": "reserved"}],
    });
    (hook, url, row)
}

fn configuration(rows: Value) -> Value {
    json!({"kind": "AuthenticationConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "jwt": rows})
}

async fn review(cluster: &Cluster, token: &str, audiences: Value) -> Value {
    let body = json!({"spec": {"token": token, "audiences": audiences}});
    cluster.request(Method::POST, REVIEWS, body.to_string()).await.json()["status"].clone()
}

#[tokio::test]
async fn tokens_of_issuers_are_judged_by_their_claims() {
    let other = Cluster::start().await;
    let signer = Signer::new("k1");
    let (hook, url, row) = provider(&other, &signer).await;
    let document = value(configuration(json!([row])));
    let cluster = Cluster::start_with(|config| config.authentication = Some(document)).await;
    let claims = |aud: Value, hd: &str, exp: i64| json!({"iss": url, "aud": aud, "exp": exp, "sub": "jane", "hd": hd, "roles": "dev,ops", "jti": "7"});
    let good = claims(json!(["x", "skiff"]), "example.com", LATER);
    let found = review(&cluster, &signer.token(&good), json!([])).await;
    assert_eq!(found["authenticated"], true, "{found}");
    let user = &found["user"];
    assert_eq!(user["username"], "oidc:jane");
    assert_eq!(user["groups"], json!(["oidc:dev", "oidc:ops", "system:authenticated"]));
    let extra =
        json!({"authentication.kubernetes.io/credential-id": ["JTI=7"], "example.com/tenant": ["none"]});
    assert_eq!(user["extra"], extra);
    let audience = "https://kubernetes.default.svc.cluster.local";
    let found = review(&cluster, &signer.token(&good), json!([audience, "y"])).await;
    assert_eq!(found["audiences"], json!([audience]));
    assert_ne!(review(&cluster, &signer.token(&good), json!(["y"])).await["authenticated"], true);

    let refused = async |claims: Value, expected: &str| {
        let found = review(&cluster, &signer.token(&claims), json!([])).await;
        assert_ne!(found["authenticated"], true, "{claims}");
        let why = found["error"].as_str().unwrap();
        assert!(why.starts_with("[invalid bearer token, oidc: ") && why.contains(expected), "{why}");
    };
    refused(claims(json!("others"), "example.com", LATER), "expected audience").await;
    refused(claims(json!("skiff"), "example.org", LATER), "the domain is wrong").await;
    refused(claims(json!("skiff"), "example.com", 1), "token is expired").await;
    let mut early = claims(json!("skiff"), "example.com", LATER);
    early["nbf"] = json!(LATER - 1);
    refused(early, "nbf").await;
    let mut system = claims(json!("skiff"), "example.com", LATER);
    system["sub"] = json!("system:admin");
    refused(system, "reserved").await;
    let mut nameless = claims(json!("skiff"), "example.com", LATER);
    nameless["sub"] = json!(7);
    refused(nameless, "parse username claims").await;
    assert_eq!(hook.paths(), ["/.well-known/openid-configuration", "/keys"], "keys are fetched once");

    // Another's signature under the name of a key, and under a name that nobody knows.
    for name in ["k1", "k2"] {
        let forged = Signer::new(name).token(&good);
        assert_ne!(review(&cluster, &forged, json!([])).await["authenticated"], true, "{name}");
    }
    // And without one.
    let none = signer.token(&good);
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let body = none.split('.').nth(1).unwrap();
    for algorithm in ["none", "HS256"] {
        let bare = format!("{}.{body}.", part(json!({"alg": algorithm})));
        assert_ne!(review(&cluster, &bare, json!([])).await["authenticated"], true, "{algorithm}");
    }
    assert_eq!(hook.paths().len(), 2, "strangers do not make the server ask the provider");
}

#[tokio::test]
async fn groups_that_a_token_names_the_place_of_are_fetched() {
    let other = Cluster::start().await;
    let (signer, elsewhere) = (Signer::new("k1"), Signer::new("k2"));
    let (_hook, url, mut row) = provider(&other, &signer).await;
    row["claimMappings"]["groups"] = json!({"claim": "groups", "prefix": "oidc:"});
    // The second provider hands out tokens with groups at /groups, one of them for somebody else.
    let known: Arc<OnceLock<String>> = Arc::default();
    let (second, keys) = (known.clone(), json!({"keys": [elsewhere.row()]}));
    let hook = Hook::start(&other, move |path, _| {
        let url = second.get().unwrap();
        let token = |audience: &str| {
            elsewhere.token(&json!({"iss": url, "aud": audience, "exp": LATER, "groups": ["far"]}))
        };
        Some(match path {
            "/.well-known/openid-configuration" => json!({"issuer": url, "jwks_uri": format!("{url}/keys")}),
            "/keys" => keys.clone(),
            "/groups" => json!(token("skiff")),
            _ => json!(token("others")),
        })
    })
    .await;
    let second_url = format!("https://{}", hook.address);
    known.set(second_url.clone()).unwrap();
    let document = value(configuration(json!([row])));
    let cluster = Cluster::start_with(|config| config.authentication = Some(document)).await;
    let claims = |place: &str| {
        json!({"iss": url, "aud": "skiff", "exp": LATER, "sub": "jane", "hd": "example.com",
            "_claim_names": {"groups": "far"},
            "_claim_sources": {"far": {"endpoint": format!("{second_url}{place}"), "access_token": "t"}}})
    };
    let found = review(&cluster, &signer.token(&claims("/groups")), json!([])).await;
    assert_eq!(found["user"]["groups"], json!(["oidc:far", "system:authenticated"]), "{found}");
    let found = review(&cluster, &signer.token(&claims("/stolen")), json!([])).await;
    assert_ne!(found["authenticated"], true, "{found}");
    assert!(found["error"].as_str().unwrap().contains("verify distributed claim token"), "{found}");
    let mut own = claims("/stolen");
    own["groups"] = json!(["near"]);
    let found = review(&cluster, &signer.token(&own), json!([])).await;
    assert_eq!(found["user"]["groups"], json!(["oidc:near", "system:authenticated"]), "{found}");
}

#[tokio::test]
async fn a_configuration_is_exchanged_while_the_server_runs() {
    let other = Cluster::start().await;
    let (one, two) = (Signer::new("k1"), Signer::new("k1"));
    let (_first, first_url, first) = provider(&other, &one).await;
    let (_second, second_url, second) = provider(&other, &two).await;
    let document = value(configuration(json!([first])));
    let cluster = Cluster::start_with(|config| config.authentication = Some(document)).await;
    let token = |signer: &Signer, url: &str| {
        signer.token(
            &json!({"iss": url, "aud": "skiff", "exp": LATER, "sub": "j", "hd": "example.com", "roles": "a"}),
        )
    };
    let (one, two) = (token(&one, &first_url), token(&two, &second_url));
    let knows = async |token: &str| review(&cluster, token, json!([])).await["authenticated"] == json!(true);
    assert!(knows(&one).await && !knows(&two).await);
    cluster.server.reload_authentication(&value(configuration(json!([{"issuer": {}}])))).unwrap_err();
    assert!(knows(&one).await, "a bad configuration changes nothing");
    cluster.server.reload_authentication(&value(configuration(json!([second])))).unwrap();
    assert!(knows(&two).await && !knows(&one).await);
}

#[tokio::test]
async fn a_webhook_is_asked_once_for_a_token() {
    let other = Cluster::start().await;
    let hook = Hook::start(&other, |_, review| {
        let status = match review["spec"]["token"].as_str().unwrap() {
            "good" => json!({"authenticated": true, "audiences": review["spec"]["audiences"],
                "user": {"username": "joe", "uid": "7", "groups": ["dev"], "extra": {"a.b/c": ["d"]}}}),
            "odd" => json!({"authenticated": false, "error": "it looks odd"}),
            _ => json!({"authenticated": false}),
        };
        let mut review = review.clone();
        review["status"] = status;
        Some(review)
    })
    .await;
    let authority = String::from_utf8(STANDARD.decode(&hook.bundle).unwrap()).unwrap();
    let peer = apiserver::Peer {
        url: format!("https://{}/review", hook.address),
        ca: Some(authority),
        ..apiserver::Peer::default()
    };
    let webhook = apiserver::TokenWebhook::new(peer);
    let cluster = Cluster::start_with(|config| config.token_webhook = Some(webhook)).await;
    for _ in 0..3 {
        let found = review(&cluster, "good", json!([])).await;
        let expected = json!({"username": "joe", "uid": "7", "groups": ["dev", "system:authenticated"], "extra": {"a.b/c": ["d"]}});
        assert_eq!((&found["authenticated"], &found["user"]), (&json!(true), &expected));
    }
    assert_eq!(hook.paths(), ["/review"]);
    let odd = review(&cluster, "odd", json!([])).await;
    assert_eq!(odd["error"], "[invalid bearer token, it looks odd]");
    assert_eq!(review(&cluster, "bad", json!([])).await["error"], "invalid bearer token");
    let asked = hook.asked.lock().unwrap()[0].1.clone();
    assert_eq!(
        (&asked["kind"], &asked["apiVersion"]),
        (&json!("TokenReview"), &json!("authentication.k8s.io/v1"))
    );
}
