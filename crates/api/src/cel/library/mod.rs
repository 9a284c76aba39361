//! What functions do, by name and by what they are given. A call that nothing here takes is "no such overload", as in cel-go:
//! the checker has refused it before, unless something was dyn.

mod convert;
pub mod format;
mod lists;
pub mod net;
mod operators;
pub mod semver;
mod strings;
pub mod time;
pub mod url;

use std::cmp::Ordering;
use std::sync::Arc;

use smol_str::SmolStr;

use super::Resolve;
use super::authz::{Authz, Question};
use super::value::Val;
use crate::quantity::Quantity;

pub(super) type Out<'a> = Result<Val<'a>, String>;

pub(super) fn call<'a>(function: &str, args: &[Val<'a>], with: &dyn Resolve<'a>) -> Out<'a> {
    for library in [operators::call, convert::call, strings::call, lists::call, time::call, kubernetes] {
        if let Some(result) = library(function, args) {
            return result;
        }
    }
    if let Some(Val::Authz(authz)) = args.first()
        && let Some(result) = authorize(authz, function, args, with)
    {
        return Ok(result);
    }
    Err("no such overload".into())
}

/// A value as error texts show it.
pub(super) fn show(value: &Val<'_>) -> String {
    match value {
        Val::String(text) => text.to_string(),
        other => strings::plain(other).unwrap_or_else(|| other.type_name().to_string()),
    }
}

fn authorize<'a>(authz: &Authz, function: &str, args: &[Val<'a>], with: &dyn Resolve<'a>) -> Option<Val<'a>> {
    let texts: Vec<&SmolStr> = args[1..]
        .iter()
        .filter_map(|arg| match arg {
            Val::String(text) => Some(text),
            _ => None,
        })
        .collect();
    match (authz, function) {
        (Authz::Path { subject, path }, "check") => {
            let question = Question::Path { subject, path, verb: texts.first()? };
            Some(Val::Authz(Arc::new(Authz::Decision(with.authorize(&question)))))
        }
        (Authz::Resource(check), "check") => {
            let question = Question::Resource { check, verb: texts.first()? };
            Some(Val::Authz(Arc::new(Authz::Decision(with.authorize(&question)))))
        }
        (Authz::Decision(decision), "allowed") => Some(Val::Bool(decision.allowed)),
        (Authz::Decision(decision), "reason") => Some(Val::String(decision.reason.clone())),
        (Authz::Decision(decision), "errored") => Some(Val::Bool(!decision.error.is_empty())),
        (Authz::Decision(decision), "error") => Some(Val::String(decision.error.clone())),
        _ => authz.step(function, &texts).map(Val::Authz),
    }
}

fn int(of: Ordering) -> Val<'static> {
    Val::Int(of as i64)
}

/// Quantities, URLs, addresses, versions and named formats (k8s.io/apiserver/pkg/cel/library).
fn kubernetes<'a>(function: &str, args: &[Val<'a>]) -> Option<Out<'a>> {
    use Val as V;
    let quantity = |text: &str| text.parse::<Quantity>().map_err(|error| error.to_string());
    Some(Ok(match (function, args) {
        ("quantity", [V::String(text)]) => match quantity(text) {
            Ok(quantity) => V::Quantity(Arc::new(quantity)),
            Err(error) => return Some(Err(error)),
        },
        ("isQuantity", [V::String(text)]) => V::Bool(quantity(text).is_ok()),
        ("sign", [V::Quantity(own)]) => V::Int(own.sign().into()),
        ("isInteger", [V::Quantity(own)]) => V::Bool(integer(own).is_some()),
        ("asInteger", [V::Quantity(own)]) => match integer(own) {
            Some(number) => V::Int(number),
            None => return Some(Err("cannot convert value to integer".into())),
        },
        ("asApproximateFloat", [V::Quantity(own)]) => V::Double(own.as_f64()),
        ("add" | "sub", [V::Quantity(own), other]) => {
            let other = match other {
                V::Quantity(other) => (**other).clone(),
                V::Int(number) => Quantity::from_int(*number, own.format()),
                _ => return None,
            };
            let mut sum = (**own).clone();
            if function == "add" {
                sum.add(&other)
            } else {
                sum.sub(&other)
            }
            V::Quantity(Arc::new(sum))
        }
        ("isGreaterThan", [V::Quantity(one), V::Quantity(other)]) => V::Bool(one > other),
        ("isLessThan", [V::Quantity(one), V::Quantity(other)]) => V::Bool(one < other),
        ("compareTo", [V::Quantity(one), V::Quantity(other)]) => int(one.cmp(other)),
        ("url", [V::String(text)]) => match url::Url::parse(text) {
            Ok(url) => V::Url(Arc::new(url)),
            Err(error) => return Some(Err(error)),
        },
        ("isURL", [V::String(text)]) => V::Bool(url::Url::parse(text).is_ok()),
        ("getScheme", [V::Url(url)]) => V::text(url.scheme.as_str()),
        ("getHost", [V::Url(url)]) => V::text(url.host.as_str()),
        ("getHostname", [V::Url(url)]) => V::text(url.hostname()),
        ("getPort", [V::Url(url)]) => V::text(url.port()),
        ("getEscapedPath", [V::Url(url)]) => V::text(url.path.as_str()),
        ("getQuery", [V::Url(url)]) => {
            let entries = url
                .query()
                .into_iter()
                .map(|(key, values)| (V::text(key), V::list(values.into_iter().map(V::text).collect())));
            V::Map(Arc::new(entries.collect()))
        }
        ("semver" | "isSemver", [V::String(text), rest @ ..]) => {
            let loose = matches!(rest, [V::Bool(true)]);
            match (semver::Semver::parse(text, loose), function) {
                (parsed, "isSemver") => V::Bool(parsed.is_ok()),
                (Ok(version), _) => V::Semver(Arc::new(version)),
                (Err(error), _) => return Some(Err(error)),
            }
        }
        ("major", [V::Semver(own)]) => V::Int(own.numbers[0] as i64),
        ("minor", [V::Semver(own)]) => V::Int(own.numbers[1] as i64),
        ("patch", [V::Semver(own)]) => V::Int(own.numbers[2] as i64),
        ("isGreaterThan", [V::Semver(one), V::Semver(other)]) => V::Bool(one.compare(other).is_gt()),
        ("isLessThan", [V::Semver(one), V::Semver(other)]) => V::Bool(one.compare(other).is_lt()),
        ("compareTo", [V::Semver(one), V::Semver(other)]) => int(one.compare(other)),
        ("format.named", [V::String(name)]) => V::maybe(format::named(name).map(V::Format)),
        ("validate", [V::Format(format), V::String(text)]) => {
            let wrong = (format.check)(text);
            match wrong.is_empty() {
                true => V::Optional(None),
                false => V::some(V::list(wrong.into_iter().map(V::text).collect())),
            }
        }
        ("jsonpatch.escapeKey", [V::String(text)]) => V::text(text.replace('~', "~0").replace('/', "~1")),
        (name, []) if name.starts_with("format.") => V::Format(format::named(&name[7..])?),
        _ => return net::call(function, args),
    }))
}

/// The number, if it is whole and fits.
fn integer(quantity: &Quantity) -> Option<i64> {
    let number = quantity.value();
    (Quantity::from_int(number, quantity.format()) == *quantity).then_some(number)
}
