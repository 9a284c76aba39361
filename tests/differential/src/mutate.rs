//! One change to an object: each field deleted, of another type, empty, negative, huge, of a bad form, doubled, unknown; and
//! each field that the object has not, taken from upstream's fixture.
//!
//! Pure: a [`Mutation`] names a place and what happens there, so that it can be done to both servers' copies of an object.

use api::schema::{self, Kind as Type, Schema};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Key(String),
    Index(usize),
}

#[derive(Clone, Debug)]
pub enum Change {
    Set(Value),
    Remove,
    /// The first field of the object at the place stands twice.
    Double,
    /// The last element of the list at the place stands twice.
    Again,
}

#[derive(Clone, Debug)]
pub struct Mutation {
    pub place: Vec<Step>,
    pub change: Change,
    /// What it does, in a word.
    pub word: &'static str,
}

/// Stands in a key that is written without it, to write a key twice.
const TWICE: &str = "\u{1}twice";

impl Mutation {
    /// `spec.ports[0].name: negative`.
    pub fn name(&self) -> String {
        let mut text = String::new();
        for step in &self.place {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => text.push_str(&format!(".{key}")),
                Step::Index(at) => text.push_str(&format!("[{at}]")),
            }
        }
        format!("{text}: {}", self.word)
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self.word, "unknown field" | "doubled field")
    }

    /// The object with the change; `None` if it has no such place.
    pub fn apply(&self, object: &Value) -> Option<Value> {
        let mut object = object.clone();
        let (last, way) = self.place.split_last()?;
        let mut here = &mut object;
        for step in way {
            here = match step {
                Step::Key(key) => here.as_object_mut()?.entry(key.clone()).or_insert_with(|| json!({})),
                Step::Index(at) => {
                    if here.as_object().is_some_and(Map::is_empty) {
                        *here = json!([{}]);
                    }
                    here.as_array_mut()?.get_mut(*at)?
                }
            };
        }
        if matches!(last, Step::Index(_)) && here.as_object().is_some_and(Map::is_empty) {
            *here = json!([{}]);
        }
        match (&self.change, last) {
            (Change::Set(value), Step::Key(key)) => {
                drop(here.as_object_mut()?.insert(key.clone(), value.clone()))
            }
            (Change::Set(value), Step::Index(at)) => *here.as_array_mut()?.get_mut(*at)? = value.clone(),
            (Change::Remove, Step::Key(key)) => drop(here.as_object_mut()?.shift_remove(key)?),
            (Change::Remove, Step::Index(at)) if *at < here.as_array()?.len() => {
                here.as_array_mut()?.remove(*at);
            }
            (Change::Remove, Step::Index(_)) => return None,
            (Change::Again, step) => {
                let place = match step {
                    Step::Key(key) => here.get_mut(key)?,
                    Step::Index(at) => here.get_mut(*at)?,
                };
                let items = place.as_array_mut()?;
                items.push(items.last()?.clone());
            }
            (Change::Double, step) => {
                let place = match step {
                    Step::Key(key) => here.get_mut(key)?,
                    Step::Index(at) => here.get_mut(*at)?,
                };
                let (key, value) =
                    place.as_object()?.iter().next().map(|(key, value)| (key.clone(), value.clone()))?;
                place.as_object_mut()?.insert(format!("{key}{TWICE}"), value);
            }
        }
        Some(object)
    }

    /// The first array on the way to the place: how many steps lead to it.
    pub fn first_index(&self) -> Option<usize> {
        self.place.iter().position(|step| matches!(step, Step::Index(_)))
    }
}

/// The JSON text of an object, with the keys twice that were made so.
pub fn text(value: &Value) -> Vec<u8> {
    value.to_string().replace("\\u0001twice", "").into_bytes()
}

/// Every mutation of an object of a type; `full` is upstream's fixture of the same kind.
pub fn all(object: &Value, full: Option<&Value>, of: &'static schema::Type) -> Vec<Mutation> {
    let mut found = Vec::new();
    walk(object, Schema::Type(of), &mut Vec::new(), &mut found);
    if let Some(full) = full {
        graft(Some(object), full, Schema::Type(of), &mut Vec::new(), &mut found);
    }
    found
}

/// The server's own: a change there says little.
fn skipped(place: &[Step]) -> bool {
    let key = |at: usize| match place.get(at) {
        Some(Step::Key(key)) => key.as_str(),
        _ => "",
    };
    matches!(
        (place.len(), key(0), key(1)),
        (1, "kind" | "apiVersion", _)
            | (_, "metadata", "managedFields" | "selfLink" | "creationTimestamp" | "resourceVersion")
    )
}

fn walk(value: &Value, schema: Schema<'static>, place: &mut Vec<Step>, found: &mut Vec<Mutation>) {
    if skipped(place) {
        return;
    }
    let mut add = |word: &'static str, change: Change| {
        if !place.is_empty() {
            found.push(Mutation { place: place.clone(), change, word });
        }
    };
    add("deleted", Change::Remove);
    add("null", Change::Set(Value::Null));
    let set = Change::Set;
    match value {
        Value::String(text) => {
            add("number for text", set(json!(7)));
            add("empty", set(json!("")));
            add("bad name", set(json!("Bad_Name!")));
            add("too long", set(json!("a".repeat(300))));
            add("other text", set(json!(format!("{text}x"))));
            match field(schema).map(schema::Field::kind) {
                Some(Type::Quantity) => {
                    for (word, text) in
                        [("negative", "-1"), ("zero", "0"), ("fraction", "1.5"), ("huge", "1Ei")]
                    {
                        add(word, set(json!(text)));
                    }
                }
                Some(Type::IntOrString) => {
                    for (word, value) in
                        [("percent", json!("150%")), ("negative", json!(-1)), ("huge", json!(70000))]
                    {
                        add(word, set(value));
                    }
                }
                _ => {}
            }
            for value in
                field(schema).into_iter().flat_map(schema::Field::values).filter(|value| value != text)
            {
                add("other enum", set(json!(value)));
            }
        }
        Value::Number(_) => {
            add("text for number", set(json!("seven")));
            add("negative", set(json!(-1)));
            add("zero", set(json!(0)));
            add("one", set(json!(1)));
            add("huge", set(json!(2147483647)));
            add("too huge", set(json!(2147483648_i64)));
            add("fraction", set(json!(1.5)));
        }
        Value::Bool(flag) => {
            add("text for bool", set(json!("yes")));
            add("flipped", set(json!(!flag)));
        }
        Value::Array(items) => {
            add("object for list", set(json!({"a": "b"})));
            add("empty", set(json!([])));
            if !items.is_empty() {
                add("element twice", Change::Again);
            }
            for (at, item) in items.iter().enumerate().take(2) {
                place.push(Step::Index(at));
                walk(item, schema.item(), place, found);
                place.pop();
            }
        }
        Value::Object(fields) => {
            add("text for object", set(json!("text")));
            add("empty", set(json!({})));
            let named = !matches!(schema, Schema::Field(field) if field.is_map());
            let mut entry = |word: &'static str, key: &str, value: Value| {
                let mut place = place.clone();
                place.push(Step::Key(key.into()));
                found.push(Mutation { place, change: Change::Set(value), word });
            };
            if named {
                entry("unknown field", "unknownField", json!("x"));
            } else {
                let example = fields.values().next().cloned().unwrap_or_else(|| json!("x"));
                entry("bad key", "bad key!", example.clone());
                entry("long key", &"k".repeat(260), example);
                entry("bad value", "ok", json!("bad value!"));
            }
            if !fields.is_empty() && !place.is_empty() {
                found.push(Mutation { place: place.clone(), change: Change::Double, word: "doubled field" });
            }
            for (key, value) in fields {
                place.push(Step::Key(key.clone()));
                walk(value, schema.child(key).unwrap_or(Schema::Opaque), place, found);
                place.pop();
            }
        }
        Value::Null => {}
    }
}

/// Fields that the object has not: the fixture's whole subtree, then each of its leaves alone.
fn graft(
    object: Option<&Value>,
    full: &Value,
    schema: Schema<'static>,
    place: &mut Vec<Step>,
    found: &mut Vec<Mutation>,
) {
    if skipped(place) {
        return;
    }
    match (object, full) {
        (Some(_), Value::Object(fields)) => {
            for (key, value) in fields {
                place.push(Step::Key(key.clone()));
                let inner = object.and_then(|object| object.get(key));
                graft(inner, value, schema.child(key).unwrap_or(Schema::Opaque), place, found);
                place.pop();
            }
        }
        (Some(Value::Array(items)), Value::Array(fields)) => {
            if let (Some(item), Some(value)) = (items.first(), fields.first()) {
                place.push(Step::Index(0));
                graft(Some(item), value, schema.item(), place, found);
                place.pop();
            }
        }
        (Some(_), _) => {}
        (None, _) => {
            found.push(Mutation { place: place.clone(), change: Change::Set(full.clone()), word: "grafted" });
            match full {
                Value::Object(_) | Value::Array(_) => leaves(full, schema, place, found),
                _ => variants(full, schema, place, found),
            }
        }
    }
}

fn leaves(full: &Value, schema: Schema<'static>, place: &mut Vec<Step>, found: &mut Vec<Mutation>) {
    match full {
        Value::Object(fields) => {
            found.push(Mutation { place: place.clone(), change: Change::Set(json!({})), word: "empty" });
            for (key, value) in fields {
                place.push(Step::Key(key.clone()));
                leaves(value, schema.child(key).unwrap_or(Schema::Opaque), place, found);
                place.pop();
            }
        }
        Value::Array(items) => {
            for item in items {
                place.push(Step::Index(0));
                leaves(item, schema.item(), place, found);
                place.pop();
            }
        }
        _ => {
            // A leaf directly in a list has no place to be set at in a list that is made on the way.
            if matches!(place.last(), Some(Step::Key(_))) {
                found.push(Mutation {
                    place: place.clone(),
                    change: Change::Set(full.clone()),
                    word: "leaf",
                });
                variants(full, schema, place, found);
            }
        }
    }
}

/// What else a leaf may be that the object has not: upstream's fixture holds the field's name.
fn variants(full: &Value, schema: Schema<'static>, place: &[Step], found: &mut Vec<Mutation>) {
    let mut add = |word: &'static str, value: Value| {
        found.push(Mutation { place: place.to_vec(), change: Change::Set(value), word });
    };
    match full {
        Value::String(_) => {
            add("leaf lower", json!("a-b"));
            for value in field(schema).into_iter().flat_map(schema::Field::values) {
                add("leaf enum", json!(value));
            }
        }
        Value::Number(_) => {
            add("leaf one", json!(1));
            add("leaf zero", json!(0));
            add("leaf negative", json!(-5));
        }
        Value::Bool(flag) => add("leaf flipped", json!(!flag)),
        _ => {}
    }
}

fn field(schema: Schema<'static>) -> Option<&'static schema::Field> {
    match schema {
        Schema::Field(field) | Schema::Item(field) => Some(field),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutation_is_one_change() {
        let of = schema::of_kind("", "v1", "Pod").unwrap();
        let pod = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}});
        let full = json!({"spec": {"hostNetwork": true, "dnsConfig": {"options": [{"name": "x"}]}}});
        let mutations = all(&pod, Some(&full), of);
        let made = |name: &str| {
            let mutation = mutations.iter().find(|mutation| mutation.name() == name).unwrap();
            String::from_utf8(text(&mutation.apply(&pod).unwrap()["spec"])).unwrap()
        };
        assert_eq!(made("spec.containers[0].name: number for text"), r#"{"containers":[{"name":7}]}"#);
        assert_eq!(made("spec.containers[0]: doubled field"), r#"{"containers":[{"name":"c","name":"c"}]}"#);
        assert_eq!(
            made("spec.dnsConfig.options[0].name: leaf"),
            r#"{"containers":[{"name":"c"}],"dnsConfig":{"options":[{"name":"x"}]}}"#
        );
        let nowhere = mutations.iter().filter(|mutation| mutation.apply(&pod).is_none());
        assert_eq!(nowhere.map(Mutation::name).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
