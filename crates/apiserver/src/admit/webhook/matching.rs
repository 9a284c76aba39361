//! Whether a webhook or policy is about a request: rules, match policy and selectors
//! (k8s.io/apiserver/pkg/admission/plugin/webhook/predicates).

use std::sync::Arc;

use api::selector::Labels;
use api::{Kind, Resource, Value};

use crate::admit::{Form, Operation, Request};
use crate::status::{Result, Status};

/// `RuleWithOperations`; with names, as policies have them.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resource and subresource.
    resources: Vec<(String, String)>,
    scope: String,
    names: Vec<String>,
}

/// What a request has to fit.
pub(crate) struct Constraints {
    pub rules: Vec<Rule>,
    /// What fits one of these does not fit.
    pub excluded: Vec<Rule>,
    /// Other versions of the same objects fit too.
    pub equivalent: bool,
    /// A selector that is none fails the requests that it is asked about.
    pub namespaces: std::result::Result<Labels, String>,
    pub objects: std::result::Result<Labels, String>,
}

/// The form in which the request fits.
#[derive(Clone)]
pub(crate) struct Fit {
    pub resource: Resource,
    pub version: String,
    /// The kind's row, where the object is one of the resource's own.
    pub row: Arc<Kind>,
}

impl Rule {
    pub fn of(rule: &Value) -> Rule {
        let texts = |name: &str| -> Vec<String> {
            let list = rule.get(name).and_then(Value::as_array).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(String::from).collect()
        };
        let split = |text: &String| {
            let (resource, sub) = text.split_once('/').unwrap_or((text, ""));
            (resource.to_string(), sub.to_string())
        };
        Rule {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources").iter().map(split).collect(),
            scope: rule.str_at(&["scope"]).into(),
            names: texts("resourceNames"),
        }
    }

    fn fits(&self, request: &Request<'_>, name: &str, resource: &Resource, version: &str) -> bool {
        let has = |list: &[String], text: &str| list.iter().any(|own| own == "*" || own == text);
        let namespaces = resource.group.is_empty() && resource.plural == "namespaces";
        let scope = match self.scope.as_str() {
            "Namespaced" => !namespaces && !request.namespace().is_empty(),
            "Cluster" => namespaces || request.namespace().is_empty(),
            _ => true,
        };
        let star = |own: &str, text: &str| own == "*" || own == text;
        scope
            && has(&self.operations, request.operation.as_str())
            && has(&self.groups, &resource.group)
            && has(&self.versions, version)
            && self
                .resources
                .iter()
                .any(|(plural, sub)| star(plural, &resource.plural) && star(sub, request.subresource))
            && (self.names.is_empty() || self.names.iter().any(|own| own == name))
    }
}

impl Constraints {
    pub fn selector(selector: Option<&Value>) -> std::result::Result<Labels, String> {
        match selector.filter(|selector| !selector.is_null()) {
            None => Ok(Labels::default()),
            Some(selector) => Labels::from_object(selector).map_err(|error| error.to_string()),
        }
    }

    /// The form in which the request fits; `None`: it does not. `value` is the object as it is now.
    pub fn fit(&self, request: &Request<'_>, value: Option<&Value>) -> Result<Option<Fit>> {
        // A selector that cannot be judged counts only for requests that the rules are about.
        let namespace = self.namespace_fits(request, value);
        if matches!(namespace, Ok(false)) {
            return Ok(None);
        }
        let object = self.object_fits(request, value);
        if matches!(object, Ok(false)) {
            return Ok(None);
        }
        let Some(fit) = self.rules_fit(&self.rules, request, value) else { return Ok(None) };
        if !self.excluded.is_empty() && self.rules_fit(&self.excluded, request, value).is_some() {
            return Ok(None);
        }
        namespace?;
        object?;
        Ok(Some(fit))
    }

    /// Whether a binding's constraints let the request through: no rules are every rule.
    pub fn binds(&self, request: &Request<'_>, value: Option<&Value>) -> Result<bool> {
        if !self.rules.is_empty() {
            return Ok(self.fit(request, value)?.is_some());
        }
        if !self.excluded.is_empty() && self.rules_fit(&self.excluded, request, value).is_some() {
            return Ok(false);
        }
        Ok(self.namespace_fits(request, value)? && self.object_fits(request, value)?)
    }

    fn object_fits(&self, request: &Request<'_>, value: Option<&Value>) -> Result<bool> {
        let labels = self.objects.as_ref().map_err(Status::internal)?;
        let of = |value: Option<&Value>| {
            value
                .filter(|value| value.get("metadata").is_some())
                .is_some_and(|value| labels.matches_value(value.at(&["metadata", "labels"])))
        };
        Ok(labels.is_empty() || of(value) || of(request.old))
    }

    fn rules_fit(&self, rules: &[Rule], request: &Request<'_>, value: Option<&Value>) -> Option<Fit> {
        let target = &request.call.target;
        let name = request.name(value);
        let version = &target.version().name;
        if rules.iter().any(|rule| rule.fits(request, name, &target.kind.resource, version)) {
            return Some(Fit {
                resource: target.kind.resource.clone(),
                version: version.to_string(),
                row: target.kind.clone(),
            });
        }
        if !self.equivalent {
            return None;
        }
        let kinds = request.call.inner.kinds.load();
        let same: Vec<&Arc<Kind>> =
            kinds.iter().filter(|kind| kinds.storage_of(kind).resource == target.storage.resource).collect();
        for rule in rules {
            for row in &same {
                for other in row.versions.iter().filter(|version| version.served) {
                    if rule.fits(request, name, &row.resource, &other.name) {
                        return Some(Fit {
                            resource: row.resource.clone(),
                            version: other.name.to_string(),
                            row: (*row).clone(),
                        });
                    }
                }
            }
        }
        None
    }

    fn namespace_fits(&self, request: &Request<'_>, value: Option<&Value>) -> Result<bool> {
        let labels = match &self.namespaces {
            Ok(labels) if labels.is_empty() => return Ok(true),
            Ok(labels) => labels,
            Err(why) => return Err(Status::internal(why)),
        };
        let itself = request.is("", "namespaces");
        if request.namespace().is_empty() && !itself {
            return Ok(true);
        }
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if itself && request.subresource.is_empty() && writes && request.form == Form::Own {
            return Ok(labels.matches_value(value.and_then(|value| value.at(&["metadata", "labels"]))));
        }
        let name = request.namespace();
        match request.call.inner.peek("", "namespaces", "", name) {
            Some(namespace) => Ok(labels.matches(&namespace.labels)),
            None => Err(Status::not_found(&Resource::new("", "namespaces"), name)),
        }
    }
}
