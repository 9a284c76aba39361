//! From a token's claims to a user: mappings by claim or by CEL, and the rules that claims and user must keep
//! (k8s.io/apiserver/pkg/authentication/cel, pkg/apis/apiserver/validation).

use api::Value;
use api::cel::{CALL_LIMIT, Env, Program, Type, Val, Vars};

use super::list;
use crate::Identity;
use crate::identity::AUTHENTICATED;

/// What of a configuration is no good, with its place.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Wrong {
    pub field: String,
    pub why: String,
}

impl Wrong {
    pub fn new(field: impl Into<String>, value: &str, why: impl std::fmt::Display) -> Wrong {
        Wrong { field: field.into(), why: format!("Invalid value: {value:?}: {why}") }
    }
    pub fn required(field: impl Into<String>) -> Wrong {
        Wrong { field: field.into(), why: "Required value".into() }
    }
}

/// A claim with its prefix, or an expression over `claims`.
enum Mapping {
    Claim { name: String, prefix: String },
    Expression(Program),
}

/// What must hold: a claim's value, or an expression with what to say.
enum Requirement {
    Claim { name: String, value: String },
    Expression { program: Program, text: String, message: String },
}

pub(super) struct Mapper {
    username: Mapping,
    groups: Option<Mapping>,
    uid: Option<Mapping>,
    extra: Vec<(String, Program)>,
    claims: Vec<Requirement>,
    users: Vec<Requirement>,
}

fn compiled(text: &str, variable: &str, field: String) -> Result<Program, Wrong> {
    let env = match variable {
        "user" => Env::new().with("user", api::cel::admission::user()),
        _ => Env::new().with(variable, Type::map(Type::String, Type::Dyn)),
    };
    env.compile(text).map_err(|issues| Wrong::new(field, text, format!("compilation failed: {issues}")))
}

impl Mapping {
    fn parse(row: &Value, name: &str, path: &str) -> Result<Option<Mapping>, Wrong> {
        let Some(value) = row.at(&["claimMappings", name]) else { return Ok(None) };
        let at = format!("{path}.claimMappings.{name}");
        match (value.str_at(&["claim"]), value.str_at(&["expression"])) {
            ("", "") => Ok(None),
            (claim, "") => {
                // What has no prefix says so: a claim must not become another system's user by accident.
                let prefix = value.get("prefix").and_then(Value::as_str);
                if prefix.is_none() && name != "uid" {
                    return Err(Wrong::required(format!("{at}.prefix")));
                }
                Ok(Some(Mapping::Claim { name: claim.into(), prefix: prefix.unwrap_or_default().into() }))
            }
            ("", text) if value.get("prefix").is_some_and(|prefix| !prefix.is_null()) => {
                Err(Wrong::new(format!("{at}.prefix"), text, "prefix can't be set when expression is set"))
            }
            ("", text) => compiled(text, "claims", format!("{at}.expression"))
                .map(|made| Some(Mapping::Expression(made))),
            (claim, _) => Err(Wrong::new(at, claim, "claim and expression can't both be set")),
        }
    }
}

/// A text, or a list of texts; empty ones are left out.
fn texts(value: Val<'_>) -> Result<Vec<String>, String> {
    const NEITHER: &str = "expression must return a string or a list of strings";
    let mut all = match value {
        Val::Null => Vec::new(),
        Val::String(text) => vec![text.to_string()],
        other => other
            .items()
            .ok_or(NEITHER)?
            .into_iter()
            .map(|item| match item {
                Val::String(text) => Ok(text.to_string()),
                _ => Err(NEITHER),
            })
            .collect::<Result<_, _>>()?,
    };
    all.retain(|text| !text.is_empty());
    Ok(all)
}

fn run<'a>(program: &'a Program, variable: &'a str, value: &'a Value) -> Result<Val<'a>, String> {
    let variables = [(variable, Val::of(value, None))];
    let result = program.run(&Vars(&variables), CALL_LIMIT).0;
    result.map_err(|why| why.to_string())
}

impl Mapper {
    /// The claim that groups are read from, if they are read from one.
    pub fn claim_of_groups(&self) -> Option<&str> {
        match &self.groups {
            Some(Mapping::Claim { name, .. }) => Some(name),
            _ => None,
        }
    }

    pub fn parse(row: &Value, path: &str) -> Result<Mapper, Wrong> {
        let rules = |name: &str, variable: &str| -> Result<Vec<Requirement>, Wrong> {
            let rows = list(row, &[name]).iter().enumerate();
            rows.map(|(at, rule)| requirement(rule, variable, &format!("{path}.{name}[{at}]"))).collect()
        };
        let username = Mapping::parse(row, "username", path)?;
        let username = username.ok_or_else(|| Wrong::required(format!("{path}.claimMappings.username")))?;
        let mut extra: Vec<(String, Program)> = Vec::new();
        for (at, mapping) in list(row, &["claimMappings", "extra"]).iter().enumerate() {
            let field = |name: &str| format!("{path}.claimMappings.extra[{at}].{name}");
            let key = mapping.str_at(&["key"]);
            checked_key(key).map_err(|why| Wrong::new(field("key"), key, why))?;
            if extra.iter().any(|(known, _)| known == key) {
                return Err(Wrong { field: field("key"), why: format!("Duplicate value: {key:?}") });
            }
            let text = mapping.str_at(&["valueExpression"]);
            if text.is_empty() {
                return Err(Wrong::required(field("valueExpression")));
            }
            extra.push((key.into(), compiled(text, "claims", field("valueExpression"))?));
        }
        email_is_verified(row, path)?;
        Ok(Mapper {
            username,
            groups: Mapping::parse(row, "groups", path)?,
            uid: Mapping::parse(row, "uid", path)?,
            extra,
            claims: rules("claimValidationRules", "claims")?,
            users: rules("userValidationRules", "user")?,
        })
    }

    pub fn identity(&self, claims: &Value) -> Result<Identity, String> {
        let name = match &self.username {
            Mapping::Claim { name, prefix } => {
                let found = claims.get(name).and_then(Value::as_str);
                let found = found.ok_or_else(|| format!("oidc: parse username claims {name:?}: claim not present"))?;
                let verified = claims.get("email_verified");
                if name == "email" && verified.is_some_and(|verified| verified.as_bool() != Some(true)) {
                    return Err("oidc: email not verified".into());
                }
                format!("{prefix}{found}")
            }
            Mapping::Expression(program) => match evaluated("username", program, claims)? {
                Val::String(text) if !text.is_empty() => text.to_string(),
                Val::String(_) => return Err("oidc: empty username via CEL expression is not allowed".into()),
                _ => return Err("oidc: error evaluating username claim expression: username claim expression must return a string".into()),
            },
        };
        let mut groups = match &self.groups {
            None => Vec::new(),
            Some(Mapping::Claim { name, prefix }) => match claims.get(name) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::String(text)) => vec![format!("{prefix}{text}")],
                Some(Value::Array(items)) if items.iter().all(|item| item.as_str().is_some()) => {
                    items.iter().filter_map(Value::as_str).map(|text| format!("{prefix}{text}")).collect()
                }
                Some(_) => {
                    return Err(format!(
                        "oidc: parse groups claim {name:?}: it is neither a text nor a list of texts"
                    ));
                }
            },
            Some(Mapping::Expression(program)) => texts(evaluated("group", program, claims)?)
                .map_err(|why| format!("oidc: error evaluating group claim expression: {why}"))?,
        };
        let uid = match &self.uid {
            None => String::new(),
            Some(Mapping::Claim { name, .. }) => {
                let found = claims.get(name).and_then(Value::as_str);
                found.ok_or_else(|| format!("oidc: parse uid claim {name:?}: claim not present"))?.into()
            }
            Some(Mapping::Expression(program)) => match evaluated("uid", program, claims)? {
                Val::String(text) => text.to_string(),
                _ => return Err(
                    "oidc: error evaluating uid claim expression: uid claim expression must return a string"
                        .into(),
                ),
            },
        };
        let mut extra = Vec::new();
        let id = claims.str_at(&["jti"]);
        if !id.is_empty() {
            extra.push(("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={id}")]));
        }
        for (key, program) in &self.extra {
            let values = texts(evaluated("extra", program, claims)?)
                .map_err(|why| format!("oidc: error evaluating extra claim expression: {why}"))?;
            if !values.is_empty() {
                extra.push((key.clone(), values));
            }
        }
        holds(&self.claims, "claims", claims)?;
        let mut identity = Identity { name, uid, groups: std::mem::take(&mut groups), extra };
        holds(&self.users, "user", &user(&identity))?;
        if !identity.is_in(AUTHENTICATED) {
            identity.groups.push(AUTHENTICATED.into());
        }
        Ok(identity)
    }
}

/// An expression over the claims; `what` is for its error.
fn evaluated<'a>(what: &str, program: &'a Program, claims: &'a Value) -> Result<Val<'a>, String> {
    run(program, "claims", claims)
        .map_err(|why| format!("oidc: error evaluating {what} claim expression: {why}"))
}

fn requirement(rule: &Value, variable: &str, path: &str) -> Result<Requirement, Wrong> {
    let message = rule.str_at(&["message"]).to_string();
    match (rule.str_at(&["claim"]), rule.str_at(&["expression"])) {
        ("", "") => Err(Wrong::required(path)),
        (claim, "") if message.is_empty() => {
            Ok(Requirement::Claim { name: claim.into(), value: rule.str_at(&["requiredValue"]).into() })
        }
        (_, "") => {
            Err(Wrong::new(format!("{path}.message"), &message, "may not be specified when claim is set"))
        }
        ("", text) => {
            let program = compiled(text, variable, format!("{path}.expression"))?;
            Ok(Requirement::Expression { program, text: text.into(), message })
        }
        (claim, _) => Err(Wrong::new(path, claim, "claim and expression can't both be set")),
    }
}

fn holds(rules: &[Requirement], variable: &str, value: &Value) -> Result<(), String> {
    let kind = if variable == "user" { "user info validation rule" } else { "claim validation expression" };
    for rule in rules {
        match rule {
            Requirement::Claim { name, value: wanted } => match value.get(name).and_then(Value::as_str) {
                Some(found) if found == wanted => {}
                Some(_) => return Err(format!("oidc: required claim {name} value does not match")),
                None => return Err(format!("oidc: required claim {name} not present in ID token")),
            },
            Requirement::Expression { program, text, message } => match run(program, variable, value) {
                Ok(Val::Bool(true)) => {}
                Ok(_) => {
                    return Err(format!(
                        "oidc: error evaluating {kind}: validation expression '{text}' failed: {message}"
                    ));
                }
                Err(why) => return Err(format!("oidc: error evaluating {kind}: {why}")),
            },
        }
    }
    Ok(())
}

/// The user as rules see it: every field is there.
fn user(identity: &Identity) -> Value {
    let mut value = crate::review::user_info(identity);
    value.set(&["uid"], identity.uid.as_str());
    value.make(&["extra"]);
    if value.get("extra").is_none_or(Value::is_null) {
        value.set(&["extra"], Value::object());
    }
    value
}

/// Keys of extra are `domain/path` in small letters, and not Kubernetes' own.
fn checked_key(key: &str) -> Result<(), &'static str> {
    let (domain, path) = key.split_once('/').unwrap_or((key, ""));
    if domain.is_empty() || path.is_empty() || !domain.contains('.') {
        return Err("must be a domain-prefixed path (such as \"acme.io/foo\")");
    }
    if key.chars().any(char::is_uppercase) {
        return Err("must be lowercase");
    }
    let reserved =
        |own: &str| domain == own || domain.strip_suffix(own).is_some_and(|rest| rest.ends_with('.'));
    match reserved("k8s.io") || reserved("kubernetes.io") {
        true => Err("k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"),
        false => Ok(()),
    }
}

/// Whoever takes a user's name from `claims.email` also looks at `claims.email_verified`.
fn email_is_verified(row: &Value, path: &str) -> Result<(), Wrong> {
    let username = row.str_at(&["claimMappings", "username", "expression"]);
    let uses_email = username
        .split("claims.email")
        .skip(1)
        .any(|rest| !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_'));
    let others = list(row, &["claimMappings", "extra"]).iter().map(|own| own.str_at(&["valueExpression"]));
    let rules = list(row, &["claimValidationRules"]).iter().map(|own| own.str_at(&["expression"]));
    let verifies = |text: &str| text.contains("email_verified");
    if !uses_email || verifies(username) || others.chain(rules).any(verifies) {
        return Ok(());
    }
    let why = "claims.email_verified must be used in claimMappings.username.expression or \
               claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in \
               claimMappings.username.expression";
    Err(Wrong::new(format!("{path}.claimMappings.username.expression"), username, why))
}
