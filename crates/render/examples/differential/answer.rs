//! Answers the oracle's questions of Helm's kinds with this library: `template`, `yaml`, `helm`.

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use render::go::world::Fixed;
use render::go::{List, ListType, Map, MapType, Value};
use render::helm::{Chart, Options, ValuesFile};
use render::template::{Bounds, Exec, Set, builtin, execute, parse};
use serde_json::{Value as Json, json};

/// What this library makes of a question; the error is the text that upstream's has to be.
pub fn answer(question: &Json) -> Result<Json, String> {
    match question["kind"].as_str() {
        Some("template") => template(question),
        Some("yaml") => yaml(question),
        Some("helm") => helm(question),
        _ => Err("no such kind".to_string()),
    }
}

/// 2024-02-29 12:34:56 UTC.
fn world() -> Fixed {
    Fixed::at(1_709_210_096_000_000_000)
}

fn template(question: &Json) -> Result<Json, String> {
    let question = question.clone();
    let run = move || -> Result<String, String> {
        let name = question["name"].as_str().unwrap_or_default();
        let text = question["text"].as_str().unwrap_or_default();
        let data = Map::new(MapType::Any);
        for (key, value) in question["data"].as_object().into_iter().flatten() {
            data.put(key.as_str(), typed(value));
        }
        if question["bare"] == true {
            let functions: &'static _ = Box::leak(Box::new(builtin::functions()));
            let world = world();
            let mut exec = Exec::new(&world, functions, Bounds::default());
            exec.missing_is_zero = false;
            let trees = parse::parse(name, text, functions)?;
            let set = Rc::new(Set::default());
            set.add(trees);
            let Some(tree) = set.find(name) else { return Ok(String::new()) };
            let out = execute(&exec, &set, &tree, Value::Map(data))?;
            return Ok(String::from_utf8_lossy(&out).into_owned());
        }
        let world = match question["now"].as_i64() {
            Some(seconds) => Fixed::at(i128::from(seconds) * 1_000_000_000),
            None => world(),
        };
        render::helm::engine::render_values(name, text, data, &world)
    };
    let thread = std::thread::Builder::new().stack_size(render::template::STACK).spawn(run);
    match thread.map_err(|error| error.to_string())?.join() {
        Ok(done) => done.map(Json::from),
        Err(_) => Err("panic".into()),
    }
}

/// `{"$int": "5"}` and its like name the type; everything else is what JSON is in Go.
fn typed(value: &Json) -> Value {
    match value {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(0.0)),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::list(items.iter().map(typed).collect()),
        Json::Object(map) if map.len() == 1 => {
            let (kind, inner) = map.iter().next().expect("because there is one");
            let number = || inner.as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
            match kind.as_str() {
                "$int" => Value::Int(number()),
                "$int64" => Value::Int64(number()),
                "$bytes" => Value::Bytes(inner.as_str().unwrap_or_default().into()),
                "$strings" => Value::List(List::new(
                    ListType::Strings,
                    inner.as_array().into_iter().flatten().map(typed).collect(),
                )),
                _ => object(map),
            }
        }
        Json::Object(map) => object(map),
    }
}

fn object(map: &serde_json::Map<String, Json>) -> Value {
    Value::Map(Map::any(map.iter().map(|(key, value)| (key.as_str(), typed(value)))))
}

fn yaml(question: &Json) -> Result<Json, String> {
    let text = question["text"].as_str().unwrap_or_default();
    let read = render::helm::engine::yaml_both_ways(text)?;
    Ok(json!({"json": read.0, "yaml": read.1}))
}

fn file(name: &Json, text: &Json) -> ValuesFile {
    let text_of = |json: &Json| json.as_str().unwrap_or_default().to_string();
    ValuesFile { name: text_of(name), text: text_of(text) }
}

fn helm(question: &Json) -> Result<Json, String> {
    let text = |key: &str| question[key].as_str().unwrap_or_default().to_string();
    let texts = |key: &str| -> Vec<String> {
        question[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str().map(Into::into))
            .collect()
    };
    let flag = |key: &str| question[key] == true;
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    let chart = if text("archive").is_empty() {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (name, content) in question["files"].as_object().into_iter().flatten() {
            files.insert(name.clone(), content.as_str().unwrap_or_default().into());
        }
        for (name, content) in question["binary"].as_object().into_iter().flatten() {
            files.insert(name.clone(), decode(content.as_str().unwrap_or_default()));
        }
        Chart::from_files(files)
    } else {
        Chart::from_archive(&decode(&text("archive"))).map_err(|error| error.to_string())?
    };
    let mut options = Options::new(text("name"), text("namespace"));
    let values = question["values"].as_array().into_iter().flatten();
    options.values = values
        .map(|one| match one.as_str() {
            Some(text) => ValuesFile { name: "values.yaml".into(), text: text.into() },
            None => file(&one["name"], &one["text"]),
        })
        .collect();
    options.set_file = texts("setFile");
    let files = question["fileTexts"].as_object().into_iter().flatten();
    options.set_file_texts = files.map(|(name, text)| file(&Json::from(name.as_str()), text)).collect();
    options.set = texts("set");
    options.set_string = texts("setString");
    options.set_json = texts("setJSON");
    options.set_literal = texts("setLiteral");
    options.kube_version = text("kubeVersion");
    // The flag's values are lists themselves.
    options.api_versions =
        texts("apiVersions").iter().flat_map(|list| list.split(',')).map(String::from).collect();
    options.include_crds = flag("includeCRDs");
    options.is_upgrade = flag("isUpgrade");
    options.no_hooks = flag("noHooks");
    options.skip_tests = flag("skipTests");
    options.skip_schema_validation = flag("skipSchema");
    options.show_only = texts("showOnly");
    options.render_subchart_notes = flag("subNotes");
    let done = render::helm::template(&chart, &options, &world()).map_err(|error| error.to_string())?;
    Ok(json!({"manifest": done.text, "notes": done.notes}))
}
