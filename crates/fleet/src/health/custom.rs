//! Health by expressions of its owner (Flux' `healthCheckExprs`), in CEL: fields of the object are variables. They are asked in
//! upstream's order: in progress, failed, current; none of them means in progress. What is not evaluated stays kstatus'.

use api::Value;
use api::cel::{CALL_LIMIT, Env, Failure, Program, Resolve, Val};

use super::{Health, Status};

/// The expressions for a kind, or for all kinds of a group.
#[derive(Clone, Debug)]
pub struct Check {
    group: String,
    /// Empty: all.
    kind: String,
    /// In the order in which they are asked.
    expressions: Vec<(Status, Expression)>,
}

#[derive(Clone, Debug)]
struct Expression {
    text: String,
    program: Program,
}

/// All checks of an application, and a text that tells them from others.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    all: Vec<Check>,
    pub text: String,
}

impl Checks {
    /// Reads `[{apiVersion, kind, current, inProgress, failed}]`.
    ///
    /// # Errors
    /// In upstream's words: an expression that is missing or no CEL, or two entries for one kind.
    pub fn read(list: &Value) -> Result<Checks, String> {
        let mut all: Vec<Check> = Vec::new();
        for (at, one) in list.as_array().unwrap_or_default().iter().enumerate() {
            let api_version = one.str_at(&["apiVersion"]);
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            let kind = one.str_at(&["kind"]);
            if all.iter().any(|other| other.group == group && other.kind == kind) {
                return Err(format!(
                    "duplicate custom health check for GroupKind {kind}.{group} at healthchecks[{at}]"
                ));
            }
            let fault = |text: String| {
                format!("failed to create custom status evaluator for healthchecks[{at}]: {text}")
            };
            if one.str_at(&["current"]).is_empty() {
                return Err(fault("expression Current not specified".into()));
            }
            let mut expressions = Vec::new();
            for (field, name, status) in [
                ("inProgress", "InProgress", Status::Progressing),
                ("failed", "Failed", Status::Degraded),
                ("current", "Current", Status::Healthy),
            ] {
                let text = one.str_at(&[field]);
                if text.is_empty() {
                    continue;
                }
                let program = Env::new().with_undeclared().compile(text).map_err(|issues| {
                    fault(format!(
                        "failed to parse the expression {name}: failed to parse the CEL expression '{text}': {issues}"
                    ))
                })?;
                expressions.push((status, Expression { text: text.into(), program }));
            }
            all.push(Check { group: group.into(), kind: kind.into(), expressions });
        }
        Ok(Checks { text: if all.is_empty() { String::new() } else { list.to_string() }, all })
    }

    /// The health of a live object; `None`: no check is for its kind.
    pub(super) fn of(&self, live: &Value) -> Option<Health> {
        let group = live.str_at(&["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
        let of = |kind: &str| self.all.iter().find(|check| check.group == group && check.kind == kind);
        of(live.str_at(&["kind"])).or_else(|| of("")).map(|check| check.of(live))
    }
}

impl Check {
    fn of(&self, live: &Value) -> Health {
        let number = |path: &[&str]| live.at(path).and_then(Value::as_int);
        let seen = number(&["status", "observedGeneration"]);
        if seen.is_some_and(|seen| number(&["metadata", "generation"]).is_some_and(|now| now != seen)) {
            return Health {
                status: Status::Progressing,
                message: "the generation is not observed yet".into(),
            };
        }
        for (status, expression) in &self.expressions {
            match holds(&expression.program, &expression.text, &Fields(live)) {
                Ok(false) => {}
                Ok(true) => return Health { status: *status, message: String::new() },
                Err(message) => return Health { status: Status::Unknown, message },
            }
        }
        Health { status: Status::Progressing, message: String::new() }
    }
}

/// An object's fields, as variables.
struct Fields<'a>(&'a Value);

impl<'a> Resolve<'a> for Fields<'a> {
    fn variable(&self, name: &str) -> Option<Result<(Val<'a>, u64), Failure>> {
        self.0.get(name).map(|value| Ok((Val::of(value, None), 0)))
    }
}

/// Whether an expression holds, with upstream's words for one that does not say.
pub(crate) fn holds<'a>(program: &Program, text: &str, with: &dyn Resolve<'a>) -> Result<bool, String> {
    match program.run(with, CALL_LIMIT).0 {
        Ok(Val::Bool(holds)) => Ok(holds),
        Ok(_) => Err(format!("failed to evaluate CEL expression as boolean: '{text}'")),
        Err(why) => Err(format!("failed to evaluate the CEL expression '{text}': {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{self, Rules};

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn expressions_decide_for_their_kinds() {
        let checks = Checks::read(&json(
            r#"[{"apiVersion":"x.io/v1","kind":"Claim","current":"status.phase == 'Bound'","failed":"has(status.error)",
                 "inProgress":"status.phase == 'Pending'"},
                {"apiVersion":"y.io/v1","current":"status.conditions.exists(c, c.type == 'Synced' && c.status == 'True')"}]"#,
        ))
        .unwrap();
        for (object, expected) in [
            (r#"{"apiVersion":"x.io/v2","kind":"Claim","status":{"phase":"Bound"}}"#, Some(Status::Healthy)),
            (
                r#"{"apiVersion":"x.io/v1","kind":"Claim","status":{"phase":"Pending","error":"x"}}"#,
                Some(Status::Progressing),
            ),
            (
                r#"{"apiVersion":"x.io/v1","kind":"Claim","status":{"phase":"Lost","error":"x"}}"#,
                Some(Status::Degraded),
            ),
            (
                r#"{"apiVersion":"x.io/v1","kind":"Claim","status":{"phase":"Lost"}}"#,
                Some(Status::Progressing),
            ),
            (
                r#"{"apiVersion":"x.io/v1","kind":"Claim","metadata":{"generation":2},"status":{"phase":"Bound","observedGeneration":1}}"#,
                Some(Status::Progressing),
            ),
            (r#"{"apiVersion":"x.io/v1","kind":"Claim"}"#, Some(Status::Unknown)),
            (r#"{"apiVersion":"x.io/v1","kind":"Other","status":{"phase":"Bound"}}"#, None),
            (
                r#"{"apiVersion":"y.io/v1","kind":"Any","status":{"conditions":[{"type":"Synced","status":"True"}]}}"#,
                Some(Status::Healthy),
            ),
        ] {
            assert_eq!(checks.of(&json(object)).map(|one| one.status), expected, "{object}");
        }
        let other = json(r#"{"apiVersion":"x.io/v1","kind":"Other"}"#);
        assert_eq!(health::judged(Rules::Kstatus, &checks, &other).unwrap().status, Status::Healthy);
    }

    #[test]
    fn what_is_no_expression_is_told() {
        let fault = |text: &str| Checks::read(&json(text)).unwrap_err();
        let one = r#"{"apiVersion":"x.io/v1","kind":"A","current":"true"}"#;
        assert!(fault(&format!("[{one},{one}]")).contains("duplicate custom health check"));
        assert!(
            fault(r#"[{"apiVersion":"x.io/v1","kind":"A"}]"#).contains("expression Current not specified")
        );
        let bad = fault(r#"[{"apiVersion":"x.io/v1","kind":"A","current":"status."}]"#);
        assert!(bad.contains("failed to parse the CEL expression 'status.': ERROR: <input>:1:8"), "{bad}");
        assert!(Checks::read(&Value::Null).unwrap().text.is_empty());
    }
}
