//! What both webhook configurations have in common.

use super::rules::{FAILURE, MATCH, REINVOCATION, match_conditions, rule};
use crate::Value;
use crate::field::Error;
use crate::kinds::Strategy;
use crate::kinds::edit::{default_pointer, each, inside, list};
use crate::table::{age, cells};
use crate::validation::{Node, names};

const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// The rules of a configuration, but for its [`Strategy::defaults`].
pub fn strategy() -> Strategy {
    Strategy {
        generation: true,
        unconditional_update: false,
        check,
        update_alone: true,
        update,
        row: Some(|value, now| {
            let count = list(value, &["webhooks"]).len() as i64;
            vec![cells::name(value), Value::Int(count), age(value, now)]
        }),
        ..Strategy::new()
    }
}

pub fn defaults(webhook: &mut Value) {
    default_pointer(webhook, "failurePolicy", "Fail");
    default_pointer(webhook, "matchPolicy", "Equivalent");
    default_pointer(webhook, "namespaceSelector", Value::object());
    default_pointer(webhook, "objectSelector", Value::object());
    default_pointer(webhook, "timeoutSeconds", 10i64);
    each(webhook, &["rules"], |rule| default_pointer(rule, "scope", "*"));
    inside(webhook, &["clientConfig", "service"], |service| default_pointer(service, "port", 443i64));
}

/// Old mistakes that may stay.
struct Mercy {
    side_effects: bool,
    reviews: bool,
    names: bool,
    conditions: bool,
}

fn check(configuration: &Node<'_>) {
    all(configuration, &Mercy { side_effects: false, reviews: false, names: false, conditions: false });
}

fn update(configuration: &Node<'_>, old: &Node<'_>) {
    let (hooks, olds) = (configuration.get("webhooks").items(), old.get("webhooks").items());
    let pure = |hook: &Node<'_>| NO_SIDE_EFFECTS.contains(&hook.get("sideEffects").text());
    let known = |hook: &Node<'_>| {
        let versions = hook.get("admissionReviewVersions").texts();
        versions.is_empty() || versions.iter().any(|version| REVIEWS.contains(version))
    };
    let names: Vec<&str> = olds.iter().map(|hook| hook.get("name").text()).collect();
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let same = |(hook, old): (&Node<'_>, &Node<'_>)| {
        hook.get("matchConditions").is_same(&old.get("matchConditions"))
    };
    all(
        configuration,
        &Mercy {
            side_effects: !olds.iter().all(pure),
            reviews: !olds.iter().all(known),
            names: distinct.len() != names.len(),
            conditions: hooks.len() == olds.len() && hooks.iter().zip(&olds).all(same),
        },
    );
}

fn all(configuration: &Node<'_>, mercy: &Mercy) {
    let hooks = configuration.get("webhooks").items();
    for (at, hook) in hooks.iter().enumerate() {
        self::hook(hook, mercy);
        reviews(&hook.get("admissionReviewVersions"), mercy);
        let name = hook.get("name");
        let twice = hooks[..at].iter().any(|other| other.get("name").text() == name.text());
        if !mercy.names && !name.text().is_empty() && twice {
            name.duplicate();
        }
    }
}

/// A domain of three parts at least.
fn qualified(name: &Node<'_>) {
    let wrong = names::dns_subdomain(name.text());
    if name.text().is_empty() {
        name.missing("");
    } else if !wrong.is_empty() {
        name.invalid(wrong.join(","));
    } else if name.text().split('.').count() < 3 {
        name.invalid("should be a domain with at least three segments separated by dots");
    }
}

fn hook(hook: &Node<'_>, mercy: &Mercy) {
    qualified(&hook.get("name"));
    hook.get("rules").items().iter().for_each(rule);
    hook.get("failurePolicy").one_of_set(&FAILURE);
    hook.get("matchPolicy").one_of_set(&MATCH);
    let effects: &[&str] = if mercy.side_effects { &SIDE_EFFECTS } else { &NO_SIDE_EFFECTS };
    let side = hook.get("sideEffects");
    side.set(&format!("must specify one of {}", effects.join(", "))).one_of_set(effects);
    let timeout = hook.get("timeoutSeconds");
    if timeout.has() && !(1..=30).contains(&timeout.int()) {
        timeout.invalid("the timeout value must be between 1 and 30 seconds");
    }
    for field in ["namespaceSelector", "objectSelector"] {
        hook.get(field).label_selector();
    }
    hook.get("reinvocationPolicy").one_of_set(&REINVOCATION);
    client(&hook.get("clientConfig"));
    if !mercy.conditions {
        match_conditions(&hook.get("matchConditions"), &crate::cel::admission::env());
    }
}

fn reviews(versions: &Node<'_>, mercy: &Mercy) {
    if versions.is_empty() {
        return versions.missing(format!("must specify one of {}", REVIEWS.join(", ")));
    }
    let items = versions.items();
    let mut known = false;
    for (at, version) in items.iter().enumerate() {
        if items[..at].iter().any(|other| other.text() == version.text()) {
            version.invalid("duplicate version");
            continue;
        }
        version.is_even_empty(names::dns_1035_label);
        known |= REVIEWS.contains(&version.text());
    }
    if !mercy.reviews && !known {
        versions.invalid(format!("must include at least one of {}", REVIEWS.join(", ")));
    }
}

/// Where a webhook is: a URL or a Service.
fn client(client: &Node<'_>) {
    let (url, service) = (client.get("url"), client.get("service"));
    match (url.has(), service.has()) {
        (true, false) => self::url(&url),
        (false, true) => self::service(&service),
        _ => client.missing("exactly one of url or service is required"),
    }
}

fn url(url: &Node<'_>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let text = url.text();
    let invalid = |shown: &str, why: &str| url.error(Error::invalid(url.path().clone(), shown, why));
    let (rest, fragment) = text.split_once('#').map_or((text, ""), |(rest, fragment)| (rest, fragment));
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
    let scheme_of = |text: &str| {
        let (scheme, rest) = text.split_once(':')?;
        let good = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
        good.then(|| (scheme.to_lowercase(), rest.to_string()))
    };
    let (scheme, rest) = scheme_of(rest).unwrap_or_else(|| (String::new(), rest.to_string()));
    let authority = rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default());
    let authority = authority.unwrap_or_default();
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if scheme != "https" {
        invalid(&scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        invalid("", &format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        invalid(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        invalid(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        invalid(query, "query parameters are not permitted in the URL");
    }
}

/// Also of a CRD's conversion webhook in upstream; here its two names are exchanged, as they are there.
fn service(service: &Node<'_>) {
    if service.get("namespace").text().is_empty() {
        service.get("name").missing("");
    }
    if service.get("name").text().is_empty() {
        service.get("namespace").missing("");
    }
    let port = service.get("port");
    let wrong = names::port_number(port.int());
    if !wrong.is_empty() {
        let text = format!("port is not valid: {}", wrong.join(", "));
        port.error(Error::invalid(port.path().clone(), port.int(), text));
    }
    let path = service.get("path");
    match path.text() {
        "" | "/" => return,
        "//" => return path.invalid("segment[0] may not be empty"),
        text if !text.starts_with('/') => path.invalid("must start with a '/'"),
        _ => {}
    }
    let mut characters = path.text().chars();
    characters.next();
    let rest = characters.as_str();
    for (at, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            path.invalid(format!("segment[{at}] may not be empty"));
        } else {
            for text in names::dns_subdomain(step) {
                path.invalid(format!("segment[{at}]: {text}"));
            }
        }
    }
}
