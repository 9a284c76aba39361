//! `authorizer`: what an expression may ask about rights (k8s.io/apiserver/pkg/cel/library/authz.go). The answer comes from
//! who runs the expression.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Who makes the request.
    Requester,
    /// Namespace and name.
    ServiceAccount(SmolStr, SmolStr),
}

/// A question in the making, or its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authz {
    Authorizer(Subject),
    Path { subject: Subject, path: SmolStr },
    Group { subject: Subject, group: SmolStr },
    Resource(ResourceCheck),
    Decision(Decision),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceCheck {
    pub subject: Subject,
    pub group: SmolStr,
    pub resource: SmolStr,
    pub subresource: SmolStr,
    pub namespace: SmolStr,
    pub name: SmolStr,
    /// What a list or a watch would be narrowed to, as text.
    pub fields: SmolStr,
    pub labels: SmolStr,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: SmolStr,
    pub error: SmolStr,
}

/// What is asked in the end.
#[derive(Clone, Debug)]
pub enum Question<'q> {
    Path { subject: &'q Subject, path: &'q str, verb: &'q str },
    Resource { check: &'q ResourceCheck, verb: &'q str },
}

impl Authz {
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Authz::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Authz::Path { .. } => "kubernetes.authorization.PathCheck",
            Authz::Group { .. } => "kubernetes.authorization.GroupCheck",
            Authz::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Authz::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    /// One step from this one by a function without a question; `None`: there is no such step.
    pub(super) fn step(&self, function: &str, args: &[&SmolStr]) -> Option<Arc<Authz>> {
        let first = || args.first().map(|text| (*text).clone()).unwrap_or_default();
        let next = match (self, function) {
            (Authz::Authorizer(subject), "path") => Authz::Path { subject: subject.clone(), path: first() },
            (Authz::Authorizer(subject), "group") => {
                Authz::Group { subject: subject.clone(), group: first() }
            }
            (Authz::Authorizer(_), "serviceAccount") => {
                Authz::Authorizer(Subject::ServiceAccount(first(), (*args.get(1)?).clone()))
            }
            (Authz::Group { subject, group }, "resource") => Authz::Resource(ResourceCheck {
                subject: subject.clone(),
                group: group.clone(),
                resource: first(),
                subresource: SmolStr::default(),
                namespace: SmolStr::default(),
                name: SmolStr::default(),
                fields: SmolStr::default(),
                labels: SmolStr::default(),
            }),
            (Authz::Resource(check), _) => {
                let mut check = check.clone();
                match function {
                    "subresource" => check.subresource = first(),
                    "namespace" => check.namespace = first(),
                    "name" => check.name = first(),
                    "fieldSelector" => check.fields = first(),
                    "labelSelector" => check.labels = first(),
                    _ => return None,
                }
                Authz::Resource(check)
            }
            _ => return None,
        };
        Some(Arc::new(next))
    }
}

impl fmt::Display for Authz {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.type_name())
    }
}
