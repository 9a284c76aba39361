//! An AuthenticationConfiguration (apiserver.config.k8s.io): who is believed beside the cluster's own certificates and tokens, and
//! where nobody has to prove anything.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use api::Value;

use super::oidc::{Issuer, Wrong};
use crate::Config;

/// See the module.
pub(crate) struct Authentication {
    /// Another one has another number.
    pub generation: u64,
    pub issuers: Vec<Issuer>,
    pub anonymous: Anonymous,
}

/// Where a request without credentials is `system:anonymous`'s.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Anonymous {
    Nowhere,
    Everywhere,
    At(HashSet<String>),
}

impl Anonymous {
    pub fn at(&self, path: &str) -> bool {
        match self {
            Anonymous::Nowhere => false,
            Anonymous::Everywhere => true,
            Anonymous::At(paths) => paths.contains(path),
        }
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The versions in which it is served; they are the same.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

impl Authentication {
    /// `document`: the configuration, if there is one.
    pub fn parse(document: Option<&Value>, config: &Config) -> Result<Authentication, Wrong> {
        let generation = NEXT.fetch_add(1, Ordering::Relaxed);
        let flag = if config.anonymous { Anonymous::Everywhere } else { Anonymous::Nowhere };
        let Some(document) = document else {
            return Ok(Authentication { generation, issuers: Vec::new(), anonymous: flag });
        };
        let version = document.str_at(&["apiVersion"]);
        let served =
            version.strip_prefix("apiserver.config.k8s.io/").is_some_and(|own| VERSIONS.contains(&own));
        if document.str_at(&["kind"]) != "AuthenticationConfiguration" || !served {
            let why = "it is no AuthenticationConfiguration of apiserver.config.k8s.io/v1";
            return Err(Wrong::new("kind", document.str_at(&["kind"]), why));
        }
        let mut issuers: Vec<Issuer> = Vec::new();
        for (at, row) in document.get("jwt").and_then(Value::as_array).unwrap_or_default().iter().enumerate()
        {
            let path = format!("jwt[{at}]");
            let issuer = Issuer::parse(row, &path, &config.issuer)?;
            if issuers.iter().any(|known| known.url() == issuer.url()) {
                let why = format!("Duplicate value: {:?}", issuer.url());
                return Err(Wrong { field: format!("{path}.issuer.url"), why });
            }
            issuers.push(issuer);
        }
        let anonymous = match document.get("anonymous").filter(|value| !value.is_null()) {
            None => flag,
            Some(own) => {
                let enabled = own.get("enabled").and_then(Value::as_bool).unwrap_or(false);
                let conditions = own.get("conditions").and_then(Value::as_array).unwrap_or_default();
                let paths: HashSet<String> =
                    conditions.iter().map(|own| own.str_at(&["path"]).into()).collect();
                match (enabled, paths.is_empty()) {
                    (true, true) => Anonymous::Everywhere,
                    (true, false) => Anonymous::At(paths),
                    (false, true) => Anonymous::Nowhere,
                    (false, false) => {
                        let why = "enabled should be set to true when conditions are defined";
                        return Err(Wrong::new("anonymous.conditions", "", why));
                    }
                }
            }
        };
        Ok(Authentication { generation, issuers, anonymous })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn parse(document: serde_json::Value) -> Result<Authentication, String> {
        let dir = tempfile::tempdir().unwrap();
        let key = pki::TokenKey::open(&dir.path().join("key")).unwrap();
        let config = Config::new("192.0.2.1:6443".parse().unwrap(), Arc::new(key));
        let mut document = document;
        document["kind"] = json!("AuthenticationConfiguration");
        document["apiVersion"] = json!("apiserver.config.k8s.io/v1");
        let value = api::json::parse(document.to_string().as_bytes()).unwrap();
        Authentication::parse(Some(&value), &config).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn nobody_may_be_somebody_at_some_paths() {
        let anonymous = |own: serde_json::Value| parse(json!({"anonymous": own})).unwrap().anonymous;
        assert_eq!(anonymous(json!(null)), Anonymous::Everywhere);
        assert_eq!(anonymous(json!({"enabled": false})), Anonymous::Nowhere);
        let some =
            anonymous(json!({"enabled": true, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]}));
        assert!(some.at("/livez") && !some.at("/livez/x") && !some.at("/api"));
        assert!(parse(json!({"anonymous": {"conditions": [{"path": "/x"}]}})).is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let check = |change: fn(&mut serde_json::Value), expected: &str| {
            let mut row = json!({
                "issuer": {"url": "https://example.com", "audiences": ["a"]},
                "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
            });
            change(&mut row);
            match parse(json!({"jwt": [row]})).err() {
                Some(why) => assert!(!expected.is_empty() && why.starts_with(expected), "{why}"),
                None => assert_eq!(expected, "", "nothing is wrong"),
            }
        };
        check(|_| {}, "");
        check(
            |row| row["issuer"]["url"] = json!("http://x"),
            "jwt[0].issuer.url: Invalid value: \"http://x\": URL scheme must be https",
        );
        check(
            |row| row["issuer"]["url"] = json!("https://a@x"),
            "jwt[0].issuer.url: Invalid value: \"https://a@x\": URL must not contain a user",
        );
        check(
            |row| row["issuer"]["url"] = json!("https://kubernetes.default.svc.cluster.local"),
            "jwt[0].issuer.url",
        );
        check(
            |row| row["issuer"]["discoveryURL"] = json!("https://example.com/"),
            "jwt[0].issuer.discoveryURL",
        );
        check(|row| row["issuer"]["audiences"] = json!([]), "jwt[0].issuer.audiences: Required value");
        check(|row| row["issuer"]["audiences"] = json!(["a", "b"]), "jwt[0].issuer.audienceMatchPolicy");
        check(
            |row| row["issuer"]["certificateAuthority"] = json!("junk"),
            "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\"",
        );
        check(|row| row["claimMappings"] = json!({}), "jwt[0].claimMappings.username: Required value");
        check(
            |row| row["claimMappings"]["username"] = json!({"claim": "sub"}),
            "jwt[0].claimMappings.username.prefix: Required value",
        );
        check(
            |row| row["claimMappings"]["username"] = json!({"expression": "claims."}),
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.\": compilation failed",
        );
        check(
            |row| row["claimMappings"]["username"] = json!({"expression": "claims.email"}),
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must be used",
        );
        check(
            |row| {
                row["claimMappings"]["username"] =
                    json!({"expression": "claims.email_verified ? claims.email : ''"})
            },
            "",
        );
        check(
            |row| row["claimMappings"]["extra"] = json!([{"key": "x", "valueExpression": "'a'"}]),
            "jwt[0].claimMappings.extra[0].key",
        );
        check(
            |row| row["claimMappings"]["extra"] = json!([{"key": "a.k8s.io/x", "valueExpression": "'a'"}]),
            "jwt[0].claimMappings.extra[0].key",
        );
        check(
            |row| row["claimValidationRules"] = json!([{}]),
            "jwt[0].claimValidationRules[0]: Required value",
        );
        check(
            |row| row["userValidationRules"] = json!([{"expression": "user.nothing == ''"}]),
            "jwt[0].userValidationRules[0].expression: Invalid value",
        );
    }
}
