//! values.schema.json: JSON Schema, drafts 4 to 2020-12, with the error texts of santhosh-tekuri/jsonschema, which upstream uses.
//!
//! Not here: references to other documents (a rendering reaches no network; they are an error), `$dynamicRef`, `contentSchema`, and
//! the check of the schema itself against its meta-schema. Where upstream reports properties in any order, here it is by name.
//!
//! Long because it is a table of keywords, each with upstream's text beside its rule.

use std::collections::BTreeSet;

use api::Value as Tree;

use super::chart::Chart;
use crate::go::{Map, Value, float, quote, regexp, semver};
use crate::sprig::yaml;

/// Checks the values of a chart and of its subcharts.
pub(super) fn validate(chart: &Chart, values: &Map) -> Result<(), String> {
    let text = problems(chart, values);
    if text.is_empty() {
        return Ok(());
    }
    Err(format!("values don't meet the specifications of the schema(s) in the following chart(s):\n{text}"))
}

fn problems(chart: &Chart, values: &Map) -> String {
    let mut out = String::new();
    if let Some(schema) = &chart.schema
        && let Err(error) = one(schema, values)
    {
        out.push_str(&format!("{}:\n{error}", chart.name()));
    }
    for child in &chart.charts {
        match values.get(child.name().as_bytes()) {
            None | Some(Value::Nil) => {}
            Some(Value::Map(values)) => out.push_str(&problems(child, &values)),
            Some(other) => out.push_str(&format!(
                "{}:\ninvalid type for values: expected object (map), got {}\n",
                child.name(),
                other.type_name()
            )),
        }
    }
    out
}

fn one(schema: &[u8], values: &Map) -> Result<(), String> {
    let schema: Tree = match serde_json::from_slice(schema) {
        Ok(schema) => schema,
        Err(error) => {
            return Err(crate::go::json::decode(schema).err().unwrap_or_else(|| error.to_string()));
        }
    };
    let Some(instance) = yaml::to_tree(&Value::Map(values.clone())) else { return Ok(()) };
    let root = Root { document: &schema, draft: draft(&schema) };
    let mut validator = Validator { root: &root, place: Vec::new(), refs: Vec::new(), steps: 0 };
    match validator.schema(&schema, &instance) {
        Ok(_) => Ok(()),
        Err(Fault::Invalid(fault)) => {
            let mut out = String::new();
            let causes = if fault.kind == Kind::Group { fault.causes } else { vec![fault] };
            for cause in &causes {
                cause.print(1, &mut out);
            }
            Err(format!("{}\n", out.trim_start_matches('\n')))
        }
        Err(Fault::Schema(text)) => Err(text),
    }
}

fn draft(schema: &Tree) -> u32 {
    let id = schema.str_at(&["$schema"]);
    [("draft-04", 4), ("draft-06", 6), ("draft-07", 7), ("2019-09", 2019)]
        .into_iter()
        .find(|(name, _)| id.contains(name))
        .map_or(2020, |(_, draft)| draft)
}

struct Root<'s> {
    document: &'s Tree,
    draft: u32,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// Several problems of one value.
    Group,
    /// A reference: not shown, if it has one cause.
    Reference,
    Text(String),
}

#[derive(Debug)]
struct Problem {
    place: String,
    kind: Kind,
    causes: Vec<Problem>,
}

enum Fault {
    Invalid(Problem),
    /// The schema itself cannot be used.
    Schema(String),
}

impl Problem {
    fn print(&self, indent: usize, out: &mut String) {
        let mut indent = indent;
        if !(self.kind == Kind::Reference && self.causes.len() == 1) {
            out.push('\n');
            out.push_str(&"  ".repeat(indent - 1));
            out.push_str("- ");
            indent += 1;
            let text = match &self.kind {
                Kind::Text(text) => text.as_str(),
                _ => "validation failed",
            };
            out.push_str(&format!("at {}: {text}", quoted(&self.place)));
        }
        for cause in &self.causes {
            cause.print(indent, out);
        }
    }
}

fn quoted(text: &str) -> String {
    let quoted = quote::quote(text.as_bytes()).replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{}'", &quoted[1..quoted.len() - 1])
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn display(value: &Tree) -> String {
    match value {
        Tree::String(text) => quoted(text),
        Tree::Array(_) | Tree::Object(_) => "value".into(),
        Tree::Null => "<nil>".into(),
        Tree::Bool(flag) => flag.to_string(),
        Tree::Int(number) => number.to_string(),
        Tree::Float(number) => float::format(*number, b'g', -1),
    }
}

/// A number as an English reader expects it: groups of three, and a power of ten from a million on.
fn number(value: f64) -> String {
    let text = float::format(value, b'g', -1);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    if let Some((mantissa, exponent)) = digits.split_once('e') {
        const HIGH: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
        let exponent = exponent.trim_start_matches('+').chars();
        let exponent: String =
            exponent.map(|char| char.to_digit(10).map_or('⁻', |digit| HIGH[digit as usize])).collect();
        return format!("{sign}{mantissa}×10{exponent}");
    }
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    format!("{sign}{}{rest}", grouped(whole))
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, char) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(char);
    }
    out
}

fn count(length: usize) -> String {
    grouped(&length.to_string())
}

fn as_number(value: &Tree) -> Option<f64> {
    match value {
        Tree::Int(number) => Some(*number as f64),
        Tree::Float(number) => Some(*number),
        _ => None,
    }
}

fn type_of(value: &Tree) -> &'static str {
    match super::metadata::json_kind(value) {
        "bool" => "boolean",
        other => other,
    }
}

fn equal(a: &Tree, b: &Tree) -> bool {
    match (a, b) {
        (Tree::Array(a), Tree::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Tree::Object(a), Tree::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        (a, b) => match (as_number(a), as_number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

/// What a schema has looked at: names of properties, or places of items.
type Seen = BTreeSet<String>;

struct Validator<'r, 's> {
    root: &'r Root<'s>,
    place: Vec<String>,
    /// References that are being followed at the same place.
    refs: Vec<(usize, usize)>,
    steps: usize,
}

const STEPS: usize = 2_000_000;

impl<'s> Validator<'_, 's> {
    fn problem(&self, text: impl Into<String>) -> Problem {
        self.with(Kind::Text(text.into()), Vec::new())
    }

    fn with(&self, kind: Kind, causes: Vec<Problem>) -> Problem {
        let place: String = self
            .place
            .iter()
            .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
            .collect();
        Problem { place, kind, causes }
    }

    fn below(&mut self, name: &str, schema: &'s Tree, value: &Tree) -> Result<Seen, Fault> {
        self.place.push(name.into());
        let done = self.schema(schema, value);
        self.place.pop();
        done
    }

    /// Adds what is wrong to a list; what is wrong with the schema ends everything.
    fn gather(done: Result<Seen, Fault>, faults: &mut Vec<Problem>) -> Result<Option<Seen>, Fault> {
        match done {
            Ok(seen) => Ok(Some(seen)),
            Err(Fault::Invalid(problem)) => {
                faults.push(problem);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn schema(&mut self, schema: &'s Tree, value: &Tree) -> Result<Seen, Fault> {
        self.steps += 1;
        if self.steps > STEPS || self.place.len() > 500 {
            return Err(Fault::Schema("the schema needs too many steps".into()));
        }
        let map = match schema {
            Tree::Bool(true) => return Ok(Seen::new()),
            Tree::Bool(false) => return Err(Fault::Invalid(self.problem("false schema"))),
            Tree::Object(map) => map,
            _ => return Err(Fault::Schema("a schema must be an object or a boolean".into())),
        };
        let fail = |problem: Problem| Err(Fault::Invalid(problem));
        let draft = self.root.draft;
        let reference = map.get("$ref").and_then(Tree::as_str);
        if let (Some(target), true) = (reference, draft < 2019) {
            return self.reference(target, value);
        }
        if let Some(wanted) = map.get("type") {
            let wanted: Vec<&str> = match wanted {
                Tree::Array(items) => items.iter().filter_map(Tree::as_str).collect(),
                other => other.as_str().into_iter().collect(),
            };
            let got = type_of(value);
            let whole = as_number(value).is_some_and(|number| number.fract() == 0.0);
            if !wanted.is_empty() && !wanted.iter().any(|one| *one == got || *one == "integer" && whole) {
                // Types are told in this order, whatever that of the schema is.
                let order = ["null", "boolean", "number", "integer", "string", "array", "object"];
                let shown: Vec<&str> = order.into_iter().filter(|one| wanted.contains(one)).collect();
                return fail(self.problem(format!("got {got}, want {}", shown.join(" or "))));
            }
        }
        if let Some(wanted) = map.get("const").filter(|_| draft > 4)
            && !equal(wanted, value)
        {
            return fail(self.problem(match wanted {
                Tree::Array(_) | Tree::Object(_) => "'const' failed".to_string(),
                wanted => format!("value must be {}", display(wanted)),
            }));
        }
        if let Some(Tree::Array(wanted)) = map.get("enum")
            && !wanted.iter().any(|one| equal(one, value))
        {
            let plain = !wanted.iter().any(|one| matches!(one, Tree::Array(_) | Tree::Object(_)));
            let shown: Vec<String> = wanted.iter().map(display).collect();
            return fail(self.problem(match shown.as_slice() {
                _ if !plain => "'enum' failed".to_string(),
                [only] => format!("value must be {only}"),
                all => format!("value must be one of {}", all.join(", ")),
            }));
        }
        if let (Some(name), Tree::String(text)) = (map.get("format").and_then(Tree::as_str), value)
            && draft < 2019
            && !formatted(name, text)
        {
            return fail(self.problem(format!("{} is not valid {name}", display(value))));
        }
        let mut seen = Seen::new();
        let mut faults = Vec::new();
        if let Some(target) = reference {
            let done = self.reference(target, value);
            seen.extend(Self::gather(done, &mut faults)?.into_iter().flatten());
        }
        match value {
            Tree::Object(object) => self.object(map, value, object, &mut seen, &mut faults)?,
            Tree::Array(items) => self.array(map, items, &mut seen, &mut faults)?,
            Tree::String(text) => self.text(map, text, &mut faults)?,
            Tree::Int(_) | Tree::Float(_) => self.number(map, as_number(value).unwrap_or(0.0), &mut faults),
            _ => {}
        }
        self.conditions(map, value, &mut seen, &mut faults)?;
        if draft >= 2019 {
            self.unevaluated(map, value, &mut seen, &mut faults)?;
        }
        match faults.len() {
            0 => Ok(seen),
            1 => Err(Fault::Invalid(faults.remove(0))),
            _ => fail(self.with(Kind::Group, faults)),
        }
    }

    fn reference(&mut self, target: &str, value: &Tree) -> Result<Seen, Fault> {
        let found = find(self.root.document, target).ok_or_else(|| {
            Fault::Schema(if target.starts_with('#') {
                format!("jsonschema: {} not found", quote::quote(target.as_bytes()))
            } else {
                format!(
                    "the schema refers to {target}; only references inside values.schema.json are followed"
                )
            })
        })?;
        let key = (std::ptr::from_ref(found) as usize, self.place.len());
        if self.refs.contains(&key) {
            return Err(Fault::Invalid(self.problem("reference cycle")));
        }
        self.refs.push(key);
        let done = self.schema(found, value);
        self.refs.pop();
        match done {
            Err(Fault::Invalid(problem)) => {
                let causes = if problem.kind == Kind::Group { problem.causes } else { vec![problem] };
                Err(Fault::Invalid(self.with(Kind::Reference, causes)))
            }
            other => other,
        }
    }

    fn missing<'m>(object: &api::Map, wanted: &'m Tree) -> Vec<&'m str> {
        let names = wanted.as_array().unwrap_or_default().iter().filter_map(Tree::as_str);
        names.filter(|name| !object.contains_key(name)).collect()
    }

    fn object(
        &mut self,
        map: &'s api::Map,
        value: &Tree,
        object: &api::Map,
        seen: &mut Seen,
        faults: &mut Vec<Problem>,
    ) -> Result<(), Fault> {
        let bound = |key: &str| map.get(key).and_then(as_number);
        let size = object.len();
        if bound("minProperties").is_some_and(|least| (size as f64) < least) {
            let least = count(bound("minProperties").unwrap_or(0.0) as usize);
            faults.push(self.problem(format!("minProperties: got {}, want {least}", count(size))));
        }
        if bound("maxProperties").is_some_and(|most| size as f64 > most) {
            let most = count(bound("maxProperties").unwrap_or(0.0) as usize);
            faults.push(self.problem(format!("maxProperties: got {}, want {most}", count(size))));
        }
        if let Some(required) = map.get("required") {
            match Self::missing(object, required).as_slice() {
                [] => {}
                [only] => faults.push(self.problem(format!("missing property {}", quoted(only)))),
                several => {
                    faults.push(
                        self.problem(format!("missing properties {}", joined(several.iter().copied()))),
                    );
                }
            }
        }
        if self.root.draft < 2019 {
            self.dependent("dependencies", map, value, object, seen, faults)?;
        }
        let properties = map.get("properties").and_then(Tree::as_map);
        let patterns = map.get("patternProperties").and_then(Tree::as_map);
        let mut compiled = Vec::new();
        for (pattern, schema) in patterns.into_iter().flat_map(api::Map::iter) {
            compiled.push((expression(pattern)?, schema));
        }
        let mut extra = Vec::new();
        let mut names: Vec<_> = object.iter().collect();
        names.sort_by(|a, b| a.0.cmp(b.0));
        for (name, value) in names {
            let mut evaluated = false;
            if let Some(schema) = properties.and_then(|all| all.get(name)) {
                evaluated = true;
                let done = self.below(name, schema, value);
                Self::gather(done, faults)?;
            }
            for (pattern, schema) in &compiled {
                if pattern.is_match(name.as_bytes()) {
                    evaluated = true;
                    let done = self.below(name, schema, value);
                    Self::gather(done, faults)?;
                }
            }
            if !evaluated {
                match map.get("additionalProperties") {
                    None => continue,
                    Some(Tree::Bool(false)) => extra.push(name.as_str()),
                    Some(Tree::Bool(true)) => {}
                    Some(schema) => {
                        let done = self.below(name, schema, value);
                        Self::gather(done, faults)?;
                    }
                }
            }
            seen.insert(name.to_string());
        }
        if !extra.is_empty() {
            faults.push(self.problem(format!("additional properties {} not allowed", joined(extra))));
        }
        if let (Some(schema), true) = (map.get("propertyNames"), self.root.draft > 4) {
            for name in object.keys() {
                match self.schema(schema, &Tree::String(name.clone())) {
                    Err(Fault::Invalid(problem)) => {
                        let causes = if problem.kind == Kind::Group { problem.causes } else { vec![problem] };
                        let text = format!("invalid propertyName {}", quoted(name));
                        faults.push(self.with(Kind::Text(text), causes));
                    }
                    Err(other) => return Err(other),
                    Ok(_) => {}
                }
            }
        }
        if self.root.draft >= 2019 {
            self.dependent("dependentSchemas", map, value, object, seen, faults)?;
            self.dependent("dependentRequired", map, value, object, seen, faults)?;
        }
        Ok(())
    }

    /// What must hold when a property is there: others, or a schema.
    fn dependent(
        &mut self,
        key: &str,
        map: &'s api::Map,
        value: &Tree,
        object: &api::Map,
        seen: &mut Seen,
        faults: &mut Vec<Problem>,
    ) -> Result<(), Fault> {
        let Some(Tree::Object(all)) = map.get(key) else { return Ok(()) };
        for (name, wanted) in all.iter().filter(|(name, _)| object.contains_key(name)) {
            if let Tree::Array(_) = wanted {
                let missing = Self::missing(object, wanted);
                if !missing.is_empty() {
                    let missing = joined(missing);
                    faults.push(
                        self.problem(format!("properties {missing} required, if {} exists", quoted(name))),
                    );
                }
            } else {
                let done = self.schema(wanted, value);
                seen.extend(Self::gather(done, faults)?.into_iter().flatten());
            }
        }
        Ok(())
    }

    fn array(
        &mut self,
        map: &'s api::Map,
        items: &[Tree],
        seen: &mut Seen,
        faults: &mut Vec<Problem>,
    ) -> Result<(), Fault> {
        let bound = |key: &str| map.get(key).and_then(as_number);
        for (key, wrong) in [
            ("minItems", bound("minItems").is_some_and(|least| (items.len() as f64) < least)),
            ("maxItems", bound("maxItems").is_some_and(|most| items.len() as f64 > most)),
        ] {
            if wrong {
                let want = count(bound(key).unwrap_or(0.0) as usize);
                faults.push(self.problem(format!("{key}: got {}, want {want}", count(items.len()))));
            }
        }
        if map.get("uniqueItems").and_then(Tree::as_bool) == Some(true) {
            self.steps += items.len() * items.len() / 8;
            let pair = (1..items.len())
                .flat_map(|later| (0..later).map(move |first| (first, later)))
                .find(|(first, later)| equal(&items[*first], &items[*later]));
            if let Some((first, later)) = pair {
                faults.push(self.problem(format!("items at {first} and {later} are equal")));
            }
        }
        let modern = self.root.draft >= 2020;
        let prefix = if modern { map.get("prefixItems") } else { map.get("items") };
        let prefix = prefix.and_then(Tree::as_array).unwrap_or_default();
        for (at, (schema, item)) in prefix.iter().zip(items).enumerate() {
            let done = self.below(&at.to_string(), schema, item);
            Self::gather(done, faults)?;
            seen.insert(at.to_string());
        }
        let from = prefix.len().min(items.len());
        let rest = match map.get("items") {
            Some(Tree::Array(_)) if !modern => map.get("additionalItems"),
            other => other,
        };
        match rest {
            None => {}
            Some(Tree::Bool(false))
                if !modern && from < items.len() && map.get("additionalItems").is_some() =>
            {
                faults
                    .push(self.problem(format!("last {} additionalItem(s) not allowed", items.len() - from)));
            }
            Some(schema) => {
                for (at, item) in items.iter().enumerate().skip(from) {
                    let done = self.below(&at.to_string(), schema, item);
                    Self::gather(done, faults)?;
                    seen.insert(at.to_string());
                }
            }
        }
        let Some(schema) = map.get("contains").filter(|_| self.root.draft > 4) else { return Ok(()) };
        let (mut matched, mut causes) = (Vec::new(), Vec::new());
        for (at, item) in items.iter().enumerate() {
            let done = self.below(&at.to_string(), schema, item);
            if Self::gather(done, &mut causes)?.is_some() {
                matched.push(at);
                if modern {
                    seen.insert(at.to_string());
                }
            }
        }
        let places = matched.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let least = map.get("minContains").and_then(Tree::as_int).filter(|_| self.root.draft >= 2019);
        match least {
            Some(least) if (matched.len() as i64) < least => {
                let text = if matched.is_empty() {
                    format!("min {least} items required to match contains schema, but none matched")
                } else {
                    let got = matched.len();
                    format!(
                        "min {least} items required to match contains schema, but matched {got} items at {places}"
                    )
                };
                faults.push(self.with(Kind::Text(text), causes));
            }
            None if matched.is_empty() => {
                faults.push(self.with(Kind::Text("no items match contains schema".into()), causes));
            }
            _ => {}
        }
        let most = map.get("maxContains").and_then(Tree::as_int).filter(|_| self.root.draft >= 2019);
        if let Some(most) = most.filter(|most| matched.len() as i64 > *most) {
            let got = matched.len();
            faults.push(self.problem(format!(
                "max {most} items required to match contains schema, but matched {got} items at {places}"
            )));
        }
        Ok(())
    }

    fn text(&mut self, map: &api::Map, text: &str, faults: &mut Vec<Problem>) -> Result<(), Fault> {
        let length = text.chars().count();
        let bound = |key: &str| map.get(key).and_then(as_number);
        for (key, wrong) in [
            ("minLength", bound("minLength").is_some_and(|least| (length as f64) < least)),
            ("maxLength", bound("maxLength").is_some_and(|most| length as f64 > most)),
        ] {
            if wrong {
                let want = count(bound(key).unwrap_or(0.0) as usize);
                faults.push(self.problem(format!("{key}: got {}, want {want}", count(length))));
            }
        }
        if let Some(pattern) = map.get("pattern").and_then(Tree::as_str)
            && !expression(pattern)?.is_match(text.as_bytes())
        {
            faults.push(self.problem(format!("{} does not match pattern {}", quoted(text), quoted(pattern))));
        }
        Ok(())
    }

    fn number(&mut self, map: &api::Map, value: f64, faults: &mut Vec<Problem>) {
        let bound = |key: &str| map.get(key).and_then(as_number);
        // Draft 4 has booleans beside `minimum` and `maximum`.
        let strict = |key: &str| map.get(key).and_then(Tree::as_bool) == Some(true);
        let checks = [
            ("minimum", bound("minimum").filter(|least| !strict("exclusiveMinimum") && value < *least)),
            ("maximum", bound("maximum").filter(|most| !strict("exclusiveMaximum") && value > *most)),
            (
                "exclusiveMinimum",
                bound("exclusiveMinimum")
                    .or(bound("minimum").filter(|_| strict("exclusiveMinimum")))
                    .filter(|least| value <= *least),
            ),
            (
                "exclusiveMaximum",
                bound("exclusiveMaximum")
                    .or(bound("maximum").filter(|_| strict("exclusiveMaximum")))
                    .filter(|most| value >= *most),
            ),
            ("multipleOf", bound("multipleOf").filter(|of| !divides(*of, value))),
        ];
        for (key, want) in checks {
            if let Some(want) = want {
                faults.push(self.problem(format!("{key}: got {}, want {}", number(value), number(want))));
            }
        }
    }

    fn conditions(
        &mut self,
        map: &'s api::Map,
        value: &Tree,
        seen: &mut Seen,
        faults: &mut Vec<Problem>,
    ) -> Result<(), Fault> {
        if let Some(schema) = map.get("not") {
            let done = self.schema(schema, value);
            if Self::gather(done, &mut Vec::new())?.is_some() {
                faults.push(self.problem("'not' failed"));
            }
        }
        if let Some(Tree::Array(all)) = map.get("allOf") {
            let mut causes = Vec::new();
            for schema in all {
                let done = self.schema(schema, value);
                seen.extend(Self::gather(done, &mut causes)?.into_iter().flatten());
            }
            if !causes.is_empty() {
                faults.push(self.with(Kind::Text("'allOf' failed".into()), causes));
            }
        }
        if let Some(Tree::Array(any)) = map.get("anyOf") {
            let (mut causes, mut matched) = (Vec::new(), false);
            for schema in any {
                let done = self.schema(schema, value);
                if let Some(more) = Self::gather(done, &mut causes)? {
                    seen.extend(more);
                    matched = true;
                }
            }
            if !matched {
                faults.push(self.with(Kind::Text("'anyOf' failed".into()), causes));
            }
        }
        if let Some(Tree::Array(one)) = map.get("oneOf") {
            let (mut causes, mut matched) = (Vec::new(), None);
            for (at, schema) in one.iter().enumerate() {
                let done = self.schema(schema, value);
                let Some(more) = Self::gather(done, &mut causes)? else { continue };
                match matched {
                    None => {
                        matched = Some(at);
                        seen.extend(more);
                    }
                    Some(first) => {
                        faults
                            .push(self.problem(format!("'oneOf' failed, subschemas {first}, {at} matched")));
                        break;
                    }
                }
            }
            if matched.is_none() {
                faults.push(self.with(Kind::Text("'oneOf' failed, none matched".into()), causes));
            }
        }
        if let (Some(schema), true) = (map.get("if"), self.root.draft >= 7) {
            let done = self.schema(schema, value);
            let then = match Self::gather(done, &mut Vec::new())? {
                Some(more) => {
                    seen.extend(more);
                    map.get("then")
                }
                None => map.get("else"),
            };
            if let Some(then) = then {
                let done = self.schema(then, value);
                seen.extend(Self::gather(done, faults)?.into_iter().flatten());
            }
        }
        Ok(())
    }

    fn unevaluated(
        &mut self,
        map: &'s api::Map,
        value: &Tree,
        seen: &mut Seen,
        faults: &mut Vec<Problem>,
    ) -> Result<(), Fault> {
        let rest: Vec<(String, &Tree)> =
            match (value, map.get("unevaluatedProperties"), map.get("unevaluatedItems")) {
                (Tree::Object(object), Some(_), _) => {
                    object.iter().map(|(name, value)| (name.to_string(), value)).collect()
                }
                (Tree::Array(items), _, Some(_)) => {
                    items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect()
                }
                _ => return Ok(()),
            };
        let key = if matches!(value, Tree::Object(_)) { "unevaluatedProperties" } else { "unevaluatedItems" };
        let Some(schema) = map.get(key) else { return Ok(()) };
        for (name, value) in rest {
            if seen.insert(name.clone()) {
                let done = self.below(&name, schema, value);
                Self::gather(done, faults)?;
            }
        }
        Ok(())
    }
}

fn divides(of: f64, value: f64) -> bool {
    let quotient = value / of;
    quotient.fract() == 0.0 || (quotient - quotient.round()).abs() < 1e-9 && of.fract() != 0.0
}

fn expression(pattern: &str) -> Result<regex::bytes::Regex, Fault> {
    regexp::compile(pattern).map_err(Fault::Schema)
}

/// What a reference names: the document, a pointer into it, an anchor or an `$id`.
fn find<'s>(document: &'s Tree, target: &str) -> Option<&'s Tree> {
    let own = document.str_at(&["$id"]);
    let fragment = match target.split_once('#') {
        Some((base, fragment)) if base.is_empty() || base == own.trim_end_matches('#') => fragment,
        None if target == own => "",
        _ => return search(document, &|map| map.get("$id").and_then(Tree::as_str) == Some(target)),
    };
    if fragment.is_empty() {
        return Some(document);
    }
    let Some(pointer) = fragment.strip_prefix('/') else {
        let id = format!("#{fragment}");
        return search(document, &|map| {
            let text = |key: &str| map.get(key).and_then(Tree::as_str);
            text("$anchor") == Some(fragment)
                || text("$dynamicAnchor") == Some(fragment)
                || text("$id") == Some(&id)
        });
    };
    pointer.split('/').try_fold(document, |here, part| {
        let name = percent(part).replace("~1", "/").replace("~0", "~");
        match here {
            Tree::Object(map) => map.get(&name),
            Tree::Array(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        }
    })
}

fn percent(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex: Option<Vec<u8>> = (byte == b'%').then(|| bytes.by_ref().take(2).collect());
        match hex.and_then(|hex| u8::from_str_radix(&String::from_utf8_lossy(&hex), 16).ok()) {
            Some(byte) => out.push(byte),
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn search<'s>(tree: &'s Tree, wanted: &dyn Fn(&api::Map) -> bool) -> Option<&'s Tree> {
    match tree {
        Tree::Object(map) if wanted(map) => Some(tree),
        Tree::Object(map) => map.iter().find_map(|(_, value)| search(value, wanted)),
        Tree::Array(items) => items.iter().find_map(|item| search(item, wanted)),
        _ => None,
    }
}

/// Whether a text has a format; formats that are not known hold everything.
fn formatted(name: &str, text: &str) -> bool {
    match name {
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "hostname" => {
            let name = text.strip_suffix('.').unwrap_or(text);
            !name.is_empty()
                && name.len() <= 253
                && name.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                })
        }
        "uri" => crate::go::url::parse(text).is_ok_and(|url| !url.scheme.is_empty()),
        "uri-reference" => crate::go::url::parse(text).is_ok() && !text.contains('\\'),
        "email" => text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && local.len() <= 64
                && (domain.starts_with('[') || formatted("hostname", domain))
        }),
        "regex" => regexp::compile(text).is_ok(),
        "date" => crate::go::time::parse("2006-01-02", text, &crate::go::time::Zone::Utc).is_ok(),
        "date-time" => crate::go::time::parse(
            "2006-01-02T15:04:05.999999999Z07:00",
            &text.to_uppercase(),
            &crate::go::time::Zone::Utc,
        )
        .is_ok(),
        "uuid" => {
            text.len() == 36
                && text.bytes().enumerate().all(|(at, byte)| match at {
                    8 | 13 | 18 | 23 => byte == b'-',
                    _ => byte.is_ascii_hexdigit(),
                })
        }
        "semver" => semver::parse(text).is_ok(),
        _ => true,
    }
}
