//! The keywords of each type, each with upstream's text beside its rule.

use api::{Map, Value as Tree};

use super::check::{Checker, Fault, Look, equal};
use super::problem::{Kind, count, joined, number, quoted};
use crate::go::decimal::Decimal;
use crate::go::regexp;

/// A count that a keyword asks for; fractions say nothing.
fn size(map: &Map, key: &str) -> Option<i64> {
    match map.get(key)? {
        Tree::Int(number) => Some(*number),
        Tree::Float(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}

fn missing<'m>(object: &Map, wanted: &'m Tree) -> Vec<&'m str> {
    let names = wanted.as_array().unwrap_or_default().iter().filter_map(Tree::as_str);
    names.filter(|name| !object.contains_key(name)).collect()
}

fn expression(pattern: &str) -> Result<regex::bytes::Regex, Fault> {
    regexp::compile(pattern).map_err(Fault::Schema)
}

impl<'s> Checker<'_, 's> {
    /// `minItems` and its like: a count that is too small or too large.
    fn within(&self, map: &Map, least: &str, most: &str, got: usize, look: &mut Look<'_>) {
        let got = got as i64;
        for (key, wrong) in [
            (least, size(map, least).is_some_and(|least| got < least)),
            (most, size(map, most).is_some_and(|most| got > most)),
        ] {
            if wrong {
                let want = count(size(map, key).unwrap_or(0));
                look.faults.push(self.problem(format!("{key}: got {}, want {want}", count(got))));
            }
        }
    }

    pub(super) fn object(&mut self, map: &'s Map, object: &Map, look: &mut Look<'_>) -> Result<(), Fault> {
        self.within(map, "minProperties", "maxProperties", object.len(), look);
        if let Some(required) = map.get("required") {
            match missing(object, required).as_slice() {
                [] => {}
                [only] => look.faults.push(self.problem(format!("missing property {}", quoted(only)))),
                several => {
                    let names = joined(several.iter().copied());
                    look.faults.push(self.problem(format!("missing properties {names}")));
                }
            }
        }
        // Upstream keeps it in later drafts too.
        self.dependent("dependencies", map, object, look)?;
        self.properties(map, object, look)?;
        if let (Some(schema), true) = (map.get("propertyNames"), look.draft > 4) {
            for name in object.keys() {
                match self.name(schema, name) {
                    Err(Fault::Invalid(problem)) => {
                        let text = format!("invalid propertyName {}", quoted(name));
                        look.faults.push(self.with(Kind::Text(text), problem.causes()));
                    }
                    Err(other) => return Err(other),
                    Ok(()) => {}
                }
            }
        }
        if look.draft >= 2019 {
            self.dependent("dependentSchemas", map, object, look)?;
            self.dependent("dependentRequired", map, object, look)?;
        }
        Ok(())
    }

    fn properties(&mut self, map: &'s Map, object: &Map, look: &mut Look<'_>) -> Result<(), Fault> {
        let properties = map.get("properties").and_then(Tree::as_map);
        let patterns = map.get("patternProperties").and_then(Tree::as_map);
        let mut compiled = Vec::new();
        for (pattern, schema) in patterns.into_iter().flat_map(Map::iter) {
            compiled.push((expression(pattern)?, schema));
        }
        let mut extra = Vec::new();
        let mut names: Vec<_> = object.iter().collect();
        names.sort_by(|a, b| a.0.cmp(b.0));
        for (name, value) in names {
            let mut schemas: Vec<&'s Tree> = Vec::new();
            schemas.extend(properties.and_then(|all| all.get(name)));
            let matching = compiled.iter().filter(|(pattern, _)| pattern.is_match(name.as_bytes()));
            schemas.extend(matching.map(|(_, schema)| *schema));
            if schemas.is_empty() {
                match map.get("additionalProperties") {
                    None => continue,
                    Some(Tree::Bool(false)) => extra.push(name.as_str()),
                    Some(Tree::Bool(true)) => {}
                    Some(schema) => schemas.push(schema),
                }
            }
            for schema in schemas {
                let done = self.below(name, schema, value);
                Self::gather(done, &mut look.faults)?;
            }
            look.rest.names.remove(name.as_str());
        }
        if !extra.is_empty() {
            look.faults.push(self.problem(format!("additional properties {} not allowed", joined(extra))));
        }
        Ok(())
    }

    /// What must hold when a property is there: others, or a schema.
    fn dependent(&mut self, key: &str, map: &'s Map, object: &Map, look: &mut Look<'_>) -> Result<(), Fault> {
        let Some(Tree::Object(all)) = map.get(key) else { return Ok(()) };
        for (name, wanted) in all.iter().filter(|(name, _)| object.contains_key(name)) {
            match wanted {
                Tree::Array(_) if key != "dependentSchemas" => {
                    let missing = missing(object, wanted);
                    if !missing.is_empty() {
                        let missing = joined(missing);
                        let text = format!("properties {missing} required, if {} exists", quoted(name));
                        look.faults.push(self.problem(text));
                    }
                }
                _ if key == "dependentRequired" => {}
                schema => {
                    let done = self.own(schema, "", look);
                    Self::gather(done, &mut look.faults)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn array(&mut self, map: &'s Map, items: &[Tree], look: &mut Look<'_>) -> Result<(), Fault> {
        self.within(map, "minItems", "maxItems", items.len(), look);
        if map.get("uniqueItems").and_then(Tree::as_bool) == Some(true) {
            self.steps += items.len() * items.len() / 8;
            let pair = (1..items.len())
                .flat_map(|later| (0..later).map(move |first| (first, later)))
                .find(|(first, later)| equal(&items[*first], &items[*later]));
            if let Some((first, later)) = pair {
                let (first, later) = (count(first as i64), count(later as i64));
                look.faults.push(self.problem(format!("items at {first} and {later} are equal")));
            }
        }
        let modern = look.draft >= 2020;
        let prefix = if modern { map.get("prefixItems") } else { map.get("items") };
        let prefix = prefix.and_then(Tree::as_array).unwrap_or_default();
        for (at, (schema, item)) in prefix.iter().zip(items).enumerate() {
            let done = self.below(&at.to_string(), schema, item);
            Self::gather(done, &mut look.faults)?;
        }
        let from = prefix.len().min(items.len());
        let additional = !modern && matches!(map.get("items"), Some(Tree::Array(_)));
        let rest = map.get(if additional { "additionalItems" } else { "items" });
        match rest {
            None => {}
            Some(Tree::Bool(true)) if additional => {}
            Some(Tree::Bool(false)) if additional && from < items.len() => {
                let more = count((items.len() - from) as i64);
                look.faults.push(self.problem(format!("last {more} additionalItem(s) not allowed")));
            }
            Some(schema) => {
                for (at, item) in items.iter().enumerate().skip(from) {
                    let done = self.below(&at.to_string(), schema, item);
                    Self::gather(done, &mut look.faults)?;
                }
            }
        }
        match map.get("contains").filter(|_| look.draft > 4) {
            Some(schema) => self.contains(map, schema, items, look),
            None => Ok(()),
        }
    }

    fn contains(
        &mut self,
        map: &'s Map,
        schema: &'s Tree,
        items: &[Tree],
        look: &mut Look<'_>,
    ) -> Result<(), Fault> {
        let (mut matched, mut causes) = (Vec::new(), Vec::new());
        for (at, item) in items.iter().enumerate() {
            let done = self.below(&at.to_string(), schema, item);
            if Self::gather(done, &mut causes)?.is_some() {
                matched.push(at);
                if look.draft >= 2020 {
                    look.rest.places.remove(&at);
                }
            }
        }
        let places = matched.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let got = matched.len() as i64;
        let bound = |key| size(map, key).filter(|_| look.draft >= 2019);
        let told = |bound: &str, want: i64| {
            format!(
                "{bound} {} items required to match contains schema, but matched {} items at {places}",
                count(want),
                count(got)
            )
        };
        let wrong = match bound("minContains") {
            Some(least) if got < least && got == 0 => Some(format!(
                "min {} items required to match contains schema, but none matched",
                count(least)
            )),
            Some(least) if got < least => Some(told("min", least)),
            None if got == 0 => Some("no items match contains schema".into()),
            _ => None,
        };
        let most = bound("maxContains").filter(|most| got > *most).map(|most| told("max", most));
        if let Some(text) = wrong {
            look.faults.push(self.with(Kind::Text(text), causes));
        }
        if let Some(text) = most {
            look.faults.push(self.problem(text));
        }
        Ok(())
    }

    pub(super) fn text(&mut self, map: &Map, text: &str, look: &mut Look<'_>) -> Result<(), Fault> {
        self.within(map, "minLength", "maxLength", text.chars().count(), look);
        if let Some(pattern) = map.get("pattern").and_then(Tree::as_str)
            && !expression(pattern)?.is_match(text.as_bytes())
        {
            let text = format!("{} does not match pattern {}", quoted(text), quoted(pattern));
            look.faults.push(self.problem(text));
        }
        Ok(())
    }

    pub(super) fn number(&mut self, map: &Map, look: &mut Look<'_>) {
        let as_number = |value: &Tree| match value {
            Tree::Int(number) => Some(*number as f64),
            Tree::Float(number) => Some(*number),
            _ => None,
        };
        let bound = |key: &str| map.get(key).and_then(as_number);
        let value = as_number(look.value).unwrap_or(0.0);
        // Draft 4 has booleans beside `minimum` and `maximum`.
        let strict = |key: &str| map.get(key).and_then(Tree::as_bool) == Some(true);
        let (above, under) = (strict("exclusiveMinimum"), strict("exclusiveMaximum"));
        let least = if above { bound("minimum") } else { bound("exclusiveMinimum") };
        let most = if under { bound("maximum") } else { bound("exclusiveMaximum") };
        let checks = [
            ("minimum", bound("minimum").filter(|least| !above && value < *least)),
            ("maximum", bound("maximum").filter(|most| !under && value > *most)),
            ("exclusiveMinimum", least.filter(|least| value <= *least)),
            ("exclusiveMaximum", most.filter(|most| value >= *most)),
            ("multipleOf", bound("multipleOf").filter(|of| !divides(*of, value))),
        ];
        for (key, want) in checks {
            if let Some(want) = want {
                let text = format!("{key}: got {}, want {}", number(value), number(want));
                look.faults.push(self.problem(text));
            }
        }
    }

    pub(super) fn conditions(&mut self, map: &'s Map, look: &mut Look<'_>) -> Result<(), Fault> {
        let list = |key: &str| map.get(key).and_then(Tree::as_array).filter(|all| !all.is_empty());
        if let Some(schema) = map.get("not") {
            let done = self.own(schema, "", look);
            if Self::gather(done, &mut Vec::new())?.is_some() {
                look.faults.push(self.problem("'not' failed"));
            }
        }
        if let Some(all) = list("allOf") {
            let mut causes = Vec::new();
            for schema in all {
                let done = self.own(schema, "", look);
                Self::gather(done, &mut causes)?;
            }
            if !causes.is_empty() {
                look.faults.push(self.with(Kind::Text("'allOf' failed".into()), causes));
            }
        }
        if let Some(any) = list("anyOf") {
            let (mut causes, mut matched) = (Vec::new(), false);
            for schema in any {
                let done = self.own(schema, "", look);
                matched |= Self::gather(done, &mut causes)?.is_some();
            }
            if !matched {
                look.faults.push(self.with(Kind::Text("'anyOf' failed".into()), causes));
            }
        }
        if let Some(one) = list("oneOf") {
            let (mut causes, mut matched) = (Vec::new(), None);
            for (at, schema) in one.iter().enumerate() {
                let done = self.own(schema, "", look);
                if Self::gather(done, &mut causes)?.is_none() {
                    continue;
                }
                let Some(first) = matched else {
                    matched = Some(at);
                    continue;
                };
                let text = format!("'oneOf' failed, subschemas {first}, {at} matched");
                look.faults.push(self.problem(text));
                break;
            }
            if matched.is_none() {
                look.faults.push(self.with(Kind::Text("'oneOf' failed, none matched".into()), causes));
            }
        }
        if let (Some(schema), true) = (map.get("if"), look.draft >= 7) {
            let done = self.own(schema, "", look);
            let then = match Self::gather(done, &mut Vec::new())? {
                Some(()) => map.get("then"),
                None => map.get("else"),
            };
            if let Some(then) = then {
                let done = self.own(then, "", look);
                Self::gather(done, &mut look.faults)?;
            }
        }
        Ok(())
    }
}

/// Exact for the decimal forms, as upstream's fractions are.
fn divides(of: f64, value: f64) -> bool {
    match (Decimal::from_float(of), Decimal::from_float(value)) {
        (Ok(of), Ok(value)) => value.is_multiple_of(&of),
        _ => true,
    }
}
