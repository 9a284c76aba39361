//! `vars`: values of fields that `$(NAME)` stands for, filled in at the top when all names are final.

use std::collections::BTreeMap;

use api::Value;

use super::fields::Create;
use super::file::{FieldSpec, Variable};
use super::resource::{Id, Resource};
use super::{GROWN, path, scalar};

/// Adds one kustomization's variables to those from below it, and marks what they read.
pub(super) fn accumulate(
    own: &[Variable],
    known: &mut Vec<Variable>,
    all: &mut [Resource],
) -> Result<(), String> {
    for variable in own {
        let object = &variable.objref;
        let (group, version) = match object.api_version.split_once('/') {
            Some((group, version)) => (group, version),
            None if object.api_version.is_empty() => (object.group.as_str(), object.version.as_str()),
            None => (object.group.as_str(), object.api_version.as_str()),
        };
        let wanted = Id {
            group: group.into(),
            version: version.into(),
            kind: object.kind.clone(),
            name: object.name.clone(),
            namespace: object.namespace.clone(),
            cluster_scoped: false,
        };
        let same_kind = |id: &Id| {
            id.name == wanted.name
                && id.group == wanted.group
                && id.version == wanted.version
                && id.kind == wanted.kind
        };
        // Without a namespace any will do, as it always has.
        let fits = |id: &Id| same_kind(id) && (wanted.namespace.is_empty() || *id == wanted);
        let places: Vec<usize> =
            all.iter().enumerate().filter(|(_, one)| one.any_id(fits)).map(|(at, _)| at).collect();
        if places.len() > 1 {
            return Err(format!(
                "found {} resId matches for var {} (unable to disambiguate)",
                places.len(),
                variable.name
            ));
        }
        for at in places {
            all[at].variables.push(variable.name.clone());
        }
    }
    join(own.to_vec(), known)
}

/// Adds variables; a name may be there once.
pub(super) fn join(more: Vec<Variable>, known: &mut Vec<Variable>) -> Result<(), String> {
    for variable in more {
        if known.iter().any(|other| other.name == variable.name) {
            return Err(format!("var '{}' already encountered", variable.name));
        }
        known.push(variable);
    }
    Ok(())
}

/// Replaces `$(NAME)` in the fields of the specs.
pub(super) fn resolve(
    variables: &[Variable],
    specs: &[FieldSpec],
    all: &mut [Resource],
) -> Result<(), String> {
    if variables.is_empty() {
        return Ok(());
    }
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    for variable in variables {
        let field = match variable.fieldref.field_path.as_str() {
            "" => "metadata.name",
            field => field,
        };
        let source = all.iter().find(|one| one.variables.contains(&variable.name)).ok_or_else(|| {
            format!("var '{}' cannot be mapped to a field in the set of known resources", variable.name)
        })?;
        let parts = indexed(path::split(field));
        let found = path::lookup(&source.value, &parts)?;
        let found = found.ok_or_else(|| {
            format!("field specified in var '{} {field}' not found in corresponding resource", variable.name)
        })?;
        values.insert(&variable.name, found.clone());
    }
    let set = |value: &mut Value| {
        if let Value::String(text) = value {
            *value = replaced(text, &values)?;
        }
        Ok(())
    };
    for resource in all {
        for spec in specs {
            spec.apply(&mut resource.value, Create::Never, &mut |value| match value {
                Value::Object(map) => map.iter_mut().try_for_each(|(_, value)| set(value)),
                Value::Array(items) => {
                    if items.iter().any(|item| item.as_str().is_none()) {
                        return Err("invalid value type expect a string".into());
                    }
                    items.iter_mut().try_for_each(&set)
                }
                other => set(other),
            })?;
        }
    }
    Ok(())
}

/// `ports[0]` is `ports`, `0`.
fn indexed(parts: Vec<String>) -> Vec<String> {
    let mut all = Vec::new();
    for part in parts {
        let inside = part.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
        match inside
            .filter(|(_, digits)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        {
            Some((name, digits)) => {
                all.extend((!name.is_empty()).then(|| name.to_string()));
                all.push(digits.into());
            }
            None => all.push(part),
        }
    }
    all
}

/// A text that is one variable becomes its value, with its type; `$$` is a dollar.
fn replaced(text: &str, values: &BTreeMap<&str, Value>) -> Result<Value, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if after.is_empty() {
            out.push('$');
            rest = after;
        } else if let Some(behind) = after.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some((name, behind)) = after.strip_prefix('(').and_then(|inside| inside.split_once(')'))
        {
            let value = values.get(name).filter(|value| scalar::text(value).is_some() && !value.is_null());
            match value {
                Some(value) if text.len() == name.len() + 3 => return Ok(value.clone()),
                Some(value) => out.push_str(&scalar::text(value).unwrap_or_default()),
                None => out.push_str(&format!("$({name})")),
            }
            rest = behind;
            if out.len() > GROWN {
                return Err(format!("a text with variables would be longer than {GROWN} bytes"));
            }
        } else {
            out.push('$');
            let next = after.chars().next().map_or(0, char::len_utf8);
            out.push_str(&after[..next]);
            rest = &after[next..];
        }
    }
    out.push_str(rest);
    Ok(Value::String(out.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_upstream_reads_them() {
        let values = BTreeMap::from([("A", Value::from("a")), ("N", Value::Int(8)), ("E", Value::from(""))]);
        for (text, expected) in [
            ("$(A)-$(A)", Value::from("a-a")),
            ("$(N)", Value::Int(8)),
            ("x$(N)", Value::from("x8")),
            ("$$(A)_$(A)", Value::from("$(A)_a")),
            ("f-$$A", Value::from("f-$A")),
            ("$(A$(A))", Value::from("$(A$(A))")),
            ("foo$(E)bar", Value::from("foobar")),
            ("$(", Value::from("$(")),
            ("$x $", Value::from("$x $")),
            ("$(missing)", Value::from("$(missing)")),
        ] {
            assert_eq!(replaced(text, &values), Ok(expected), "{text}");
        }
    }
}
