//! A server outside that judges requests by SubjectAccessReviews (k8s.io/apiserver/plugin/pkg/authorizer/webhook). Conditions
//! in CEL choose which; what it said is believed for a while.

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::Value;
use api::cel::{CALL_LIMIT, Env, Program, Type, Val, Vars};

use super::{Attributes, Verdict, selectors};
use crate::Identity;
use crate::memo::Memo;
use crate::remote::Peer;
use crate::server::Inner;

/// Tries of a request, and what the second waits (upstream's backoff).
const TRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(500);

pub(crate) struct Webhook {
    pub name: String,
    pub peer: Peer,
    /// `v1` or `v1beta1`.
    pub version: String,
    /// Of one request.
    pub timeout: Duration,
    /// How long a yes and a no are believed; `None`: not at all.
    pub allowed: Option<Duration>,
    pub refused: Option<Duration>,
    pub denies_on_failure: bool,
    pub conditions: Conditions,
    pub answers: Memo<Verdict>,
    pub inner: Weak<Inner>,
}

/// What a request must be for the webhook to be asked.
pub(crate) struct Conditions(Vec<Program>);

impl Conditions {
    pub fn parse(rows: &[Value]) -> Result<Conditions, String> {
        if rows.len() > 64 {
            return Err(format!("Too many: {}: must have at most 64 items", rows.len()));
        }
        let texts: Vec<&str> = rows.iter().map(|row| row.str_at(&["expression"]).trim()).collect();
        let compiled = texts.iter().enumerate().map(|(at, text)| match *text {
            "" => Err(format!("[{at}].expression: Required value")),
            text if texts[..at].contains(&text) => {
                Err(format!("[{at}].expression: Duplicate value: {text:?}"))
            }
            text => {
                let made = env().compile(text);
                made.map_err(|issues| {
                    format!("[{at}].expression: Invalid value: {text:?}: compilation failed: {issues}")
                })
            }
        });
        compiled.collect::<Result<_, _>>().map(Conditions)
    }

    /// Whether all hold; an error where one fails and none says no.
    fn hold(&self, request: &Value) -> Result<bool, String> {
        let mut failed = None;
        for program in &self.0 {
            let variables = [("request", Val::of(request, None))];
            match program.run(&Vars(&variables), CALL_LIMIT).0 {
                Ok(Val::Bool(true)) => {}
                Ok(Val::Bool(false)) => return Ok(false),
                Ok(_) => failed = Some("it is neither true nor false".to_string()),
                Err(why) => failed = Some(why.to_string()),
            }
        }
        failed.map_or(Ok(true), Err)
    }
}

/// `request`, as a SubjectAccessReview's spec.
fn env() -> Env {
    let texts = |name: &str, fields: &[&str]| {
        Type::object(name, fields.iter().map(|field| (smol_str::SmolStr::new(field), Type::String)))
    };
    let requirement = [
        ("key".into(), Type::String),
        ("operator".into(), Type::String),
        ("values".into(), Type::list(Type::String)),
    ];
    let requirements = Type::list(Type::object("kubernetes.SelectorRequirement", requirement));
    let selector = |name: &str| {
        let fields = [("rawSelector".into(), Type::String), ("requirements".into(), requirements.clone())];
        Type::object(name, fields)
    };
    let resource = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
    let resource = resource.iter().map(|field| (smol_str::SmolStr::new(field), Type::String)).chain([
        ("fieldSelector".into(), selector("kubernetes.FieldSelectorAttributes")),
        ("labelSelector".into(), selector("kubernetes.LabelSelectorAttributes")),
    ]);
    let spec = Type::object(
        "kubernetes.SubjectAccessReviewSpec",
        [
            ("resourceAttributes".into(), Type::object("kubernetes.ResourceAttributes", resource)),
            ("nonResourceAttributes".into(), texts("kubernetes.NonResourceAttributes", &["path", "verb"])),
            ("user".into(), Type::String),
            ("groups".into(), Type::list(Type::String)),
            ("extra".into(), Type::map(Type::String, Type::list(Type::String))),
            ("uid".into(), Type::String),
        ],
    );
    Env::new().with("request", spec)
}

/// A SubjectAccessReview's spec with every field, as conditions see it.
fn spec(identity: &Identity, attributes: &Attributes<'_>) -> Value {
    let mut spec = Value::object();
    if attributes.is_resource {
        for (field, text) in [
            ("namespace", attributes.namespace),
            ("verb", attributes.verb),
            ("group", attributes.group),
            ("version", attributes.version),
            ("resource", attributes.resource),
            ("subresource", attributes.subresource),
            ("name", attributes.name),
        ] {
            spec.set(&["resourceAttributes", field], text);
        }
        for (field, requirements) in [
            ("fieldSelector", selectors::of_fields(attributes.fields)),
            ("labelSelector", selectors::of_labels(attributes.labels)),
        ] {
            if !requirements.is_empty() {
                spec.set(&["resourceAttributes", field, "requirements"], requirements);
            }
        }
    } else {
        spec.set(&["nonResourceAttributes", "path"], attributes.path);
        spec.set(&["nonResourceAttributes", "verb"], attributes.verb);
    }
    let texts = |list: &[String]| list.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>();
    spec.set(&["user"], identity.name.as_str());
    spec.set(&["groups"], texts(&identity.groups));
    spec.set(&["extra"], Value::object());
    for (name, values) in &identity.extra {
        spec.set(&["extra", name.as_str()], texts(values));
    }
    spec.set(&["uid"], identity.uid.as_str());
    spec
}

impl Webhook {
    /// Asks, unless the conditions or an earlier answer say it already.
    pub async fn decide(self: &Arc<Self>, identity: &Identity, attributes: &Attributes<'_>) -> Verdict {
        match self.known(identity, attributes) {
            Ok(verdict) => verdict,
            Err(spec) => self.ask(spec).await,
        }
    }

    /// [`Webhook::decide`] where nobody may await.
    pub fn decide_blocking(self: &Arc<Self>, identity: &Identity, attributes: &Attributes<'_>) -> Verdict {
        match self.known(identity, attributes) {
            Ok(verdict) => verdict,
            Err(spec) => {
                let own = self.clone();
                let asked = crate::conversion::wait(async move { own.ask(spec).await });
                asked.unwrap_or_else(|why| self.failed(&why))
            }
        }
    }

    /// What needs no request, or what to ask.
    fn known(&self, identity: &Identity, attributes: &Attributes<'_>) -> Result<Verdict, Value> {
        let spec = spec(identity, attributes);
        match self.conditions.hold(&spec) {
            Ok(true) => {}
            Ok(false) => return Ok(Verdict::NoOpinion(String::new())),
            Err(why) => return Ok(self.failed(&why)),
        }
        let now = self.inner.upgrade().map_or(0, |inner| inner.clock.now().as_second());
        self.answers.get(&spec.to_json(), now).ok_or(spec)
    }

    fn failed(&self, why: &str) -> Verdict {
        tracing::warn!(webhook = self.name, why, "an authorization webhook gave no answer");
        match self.denies_on_failure {
            true => Verdict::Deny(String::new()),
            false => Verdict::NoOpinion(String::new()),
        }
    }

    async fn ask(&self, spec: Value) -> Verdict {
        let Some(inner) = self.inner.upgrade() else { return self.failed("the server is shutting down") };
        let mut asked = spec.clone();
        // Upstream sends what is not empty; v1beta1 has another name for groups.
        asked.as_map_mut().into_iter().for_each(prune);
        if let Some(groups) = asked.remove(&["groups"]) {
            asked.set(&[if self.version == "v1beta1" { "group" } else { "groups" }], groups);
        }
        let mut review = Value::object();
        review.set(&["kind"], "SubjectAccessReview");
        review.set(&["apiVersion"], format!("authorization.k8s.io/{}", self.version));
        review.set(&["metadata"], Value::object());
        review.set(&["spec"], asked);
        review.set(&["status", "allowed"], false);
        let review = match self.peer.ask(&inner, &review, self.timeout, TRIES, BACKOFF).await {
            Ok(review) => review,
            Err(why) => return self.failed(&why),
        };
        let says = |field: &str| review.at(&["status", field]).and_then(Value::as_bool) == Some(true);
        let reason = review.str_at(&["status", "reason"]).to_string();
        let (verdict, remembered) = match (says("denied"), says("allowed")) {
            (true, _) => (Verdict::Deny(reason), self.refused),
            (false, true) => (Verdict::Allow(reason), self.allowed),
            (false, false) => (Verdict::NoOpinion(reason), self.refused),
        };
        if let Some(remembered) = remembered {
            let until = inner.clock.now().as_second().saturating_add(remembered.as_secs() as i64);
            self.answers.put(&spec.to_json(), verdict.clone(), until);
        }
        verdict
    }
}

/// Takes off what is empty.
fn prune(map: &mut api::value::Map) {
    map.retain(|_, value| {
        if let Some(map) = value.as_map_mut() {
            prune(map);
            return !map.is_empty();
        }
        value.as_str() != Some("") && value.as_array().is_none_or(|list| !list.is_empty())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes<'a>() -> Attributes<'a> {
        Attributes {
            verb: "get",
            group: "apps",
            version: "v1",
            resource: "deployments",
            namespace: "shop",
            path: "/x",
            ..Attributes::default()
        }
    }

    #[test]
    fn conditions_choose_what_is_asked() {
        let check = |expressions: &[&str], expected: Result<bool, ()>| {
            let rows: Vec<Value> = expressions
                .iter()
                .map(|text| {
                    let mut row = Value::object();
                    row.set(&["expression"], *text);
                    row
                })
                .collect();
            let conditions = Conditions::parse(&rows).unwrap();
            let jane = Identity::new("jane", &["dev"]);
            assert_eq!(
                conditions.hold(&spec(&jane, &attributes())).map_err(drop),
                expected,
                "{expressions:?}"
            );
        };
        check(&[], Ok(true));
        check(
            &["has(request.resourceAttributes)", "request.resourceAttributes.namespace == 'shop'"],
            Ok(true),
        );
        check(&["request.user == 'joe'"], Ok(false));
        check(&["!('dev' in request.groups)"], Ok(false));
        check(&["request.nonResourceAttributes.path == '/x'"], Err(()));
        check(&["request.nonResourceAttributes.path == '/x'", "request.user == 'joe'"], Ok(false));
        check(&["has(request.resourceAttributes.fieldSelector)"], Ok(false));
        let mut row = Value::object();
        row.set(&["expression"], "request.nothing");
        assert!(Conditions::parse(&[row]).err().unwrap().starts_with("[0].expression: Invalid value"));
    }

    #[test]
    fn selectors_are_seen_and_sent() {
        let asked = Attributes { verb: "list", fields: "spec.nodeName=a", labels: "app", ..attributes() };
        let value = spec(&Identity::new("jane", &[]), &asked);
        let mut row = Value::object();
        let text = "request.resourceAttributes.fieldSelector.requirements.exists(r, r.key == 'spec.nodeName' && r.operator == 'In' \
                    && r.values == ['a']) && request.resourceAttributes.labelSelector.requirements[0].operator == 'Exists'";
        row.set(&["expression"], text);
        assert_eq!(Conditions::parse(&[row]).unwrap().hold(&value), Ok(true));
    }

    #[test]
    fn what_is_empty_is_not_sent() {
        let mut value = spec(&Identity::new("jane", &[]), &attributes());
        value.as_map_mut().into_iter().for_each(prune);
        let expected = r#"{"resourceAttributes":{"namespace":"shop","verb":"get","group":"apps","version":"v1","resource":"deployments"},"user":"jane","groups":["system:authenticated"]}"#;
        assert_eq!(String::from_utf8(value.to_json()).unwrap(), expected);
    }
}
