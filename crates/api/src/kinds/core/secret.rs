//! Secret: `stringData` becomes `data`; each type has keys that must be there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::config_map::{MOST, decoded_length, locked};
use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::kinds::edit::{entries, has};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};

pub const KIND: Builtin = Builtin { group: "", plural: "secrets", storage: "v1", rules: || Box::new(Secret) };

struct Secret;

const ACCOUNT: &str = "kubernetes.io/service-account.name";

fn bytes(secret: &Value, key: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.at(&["data", key])?.as_str()?).ok()
}

fn require(secret: &Value, key: &str, errors: &mut Errors) -> bool {
    let there = has(secret, &["data", key]);
    if !there {
        errors.push(Error::required(Path::new("data").key(key), ""));
    }
    there
}

fn require_json(secret: &Value, key: &str, errors: &mut Errors) {
    if !require(secret, key, errors) {
        return;
    }
    let text = bytes(secret, key).unwrap_or_default();
    let wrong = match crate::json::parse(&text) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(_) => "json: cannot unmarshal into Go value of type map[string]interface {}".to_string(),
        Err(error) => error.to_string(),
    };
    errors.push(Error::invalid(Path::new("data").key(key), "<secret contents redacted>", wrong));
}

impl Rules for Secret {
    fn default(&self, _: &str, value: &mut Value) {
        if let Some(Value::Object(texts)) = value.remove(&["stringData"]) {
            for (key, text) in texts {
                let text = text.as_str().unwrap_or_default().to_string();
                value.set(&["data", &key], STANDARD.encode(text));
            }
        }
        crate::kinds::edit::default(value, "type", "Opaque");
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        if new.str_at(&["type"]).is_empty() {
            new.set(&["type"], old.str_at(&["type"]));
        }
    }
    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        // Upstream parses the pair; a certificate that is no PEM at all is what people get wrong.
        let certificate = new.str_at(&["data", "tls.crt"]);
        let pem = base64::engine::general_purpose::STANDARD.decode(certificate).unwrap_or_default();
        let is_pem = String::from_utf8_lossy(&pem).contains("-----BEGIN ");
        let odd = new.str_at(&["type"]) == "kubernetes.io/tls" && !is_pem;
        odd.then(|| "tls: failed to find any PEM data in certificate input".into()).into_iter().collect()
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let path = Path::new("data");
        let mut size = 0;
        for (key, value) in entries(new, &["data"]) {
            check::format(key, &path.key(key), names::config_key, errors);
            size += decoded_length(value.as_str().unwrap_or_default());
        }
        if size > MOST {
            errors.push(Error::too_long(path.clone(), MOST));
        }
        match new.str_at(&["type"]) {
            "kubernetes.io/service-account-token"
                if new.str_at(&["metadata", "annotations", ACCOUNT]).is_empty() =>
            {
                let path = Path::new("metadata").child("annotations").key(ACCOUNT);
                errors.push(Error::required(path, ""));
            }
            "kubernetes.io/dockercfg" => require_json(new, ".dockercfg", errors),
            "kubernetes.io/dockerconfigjson" => require_json(new, ".dockerconfigjson", errors),
            "kubernetes.io/basic-auth"
                if !has(new, &["data", "username"]) && !has(new, &["data", "password"]) =>
            {
                errors.push(Error::required(path.key("username"), ""));
                errors.push(Error::required(path.key("password"), ""));
            }
            "kubernetes.io/ssh-auth" if new.str_at(&["data", "ssh-privatekey"]).is_empty() => {
                errors.push(Error::required(path.key("ssh-privatekey"), ""));
            }
            "kubernetes.io/tls" => {
                require(new, "tls.crt", errors);
                require(new, "tls.key", errors);
            }
            _ => {}
        }
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        meta::immutable(new.get("type"), old.get("type"), Path::new("type"), errors);
        locked(new, old, &["data"], errors);
        self.validate_create(context, new, errors);
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let count = entries(value, &["data"]).count();
        Some(vec![
            cells::name(value),
            value.str_at(&["type"]).into(),
            Value::Int(count as i64),
            age(value, now),
        ])
    }
}
