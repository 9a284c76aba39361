//! Values made by chance for charts of others: from a chart's values.schema.json where it has one, else from the shapes of its own
//! values. Most fit, so that templates are walked; some do not, so that errors are compared too.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use render::Tree;
use render::helm::{Chart, Options, ValuesFile, template};
use serde_json::{Map, Value, json};

use crate::chance::Chance;
use crate::oracle::{Answer, ask};
use crate::real::{Machine, find, inside, unexplained};

const TEXTS: &[&str] = &[
    "",
    "abc",
    "5",
    "true",
    "a.example.com",
    "1Gi",
    "100m",
    "/data",
    "{{ .Release.Name }}",
    "line\nline",
    "Always",
];

/// The oracle's libraries have another one than the program if they are not told.
const KUBE_VERSION: &str = "1.36.0";

/// A value by the last part of its name, as charts want them where their own values are empty.
fn by_name(chance: &mut Chance, name: &str) -> Value {
    let name = name.to_ascii_lowercase();
    let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
    if ends(&["env", "envvars", "extraenv"]) {
        return json!([{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    }
    if ends(&["secrets", "imagepullsecrets"]) {
        return if chance.one_in(2) { json!([{"name": "s"}]) } else { json!(["s"]) };
    }
    if ends(&["annotations", "labels", "nodeselector", "matchlabels"]) {
        return json!({"example.com/a": "b", "n": chance.below(9).to_string()});
    }
    if ends(&["tolerations"]) {
        return json!([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}]);
    }
    if ends(&["resources", "limits", "requests"]) {
        return json!({"limits": {"cpu": "100m", "memory": "1Gi"}, "requests": {"cpu": 1}});
    }
    if ends(&["hosts"]) {
        return match chance.below(3) {
            0 => json!(["a.example.com"]),
            1 => json!([{"host": "a.example.com", "paths": ["/"]}]),
            _ => json!([{"host": "a", "name": "a", "paths": [{"path": "/", "pathType": "Prefix"}]}]),
        };
    }
    if ends(&["tls"]) {
        return json!([{"secretName": "t", "hosts": ["a.example.com"]}]);
    }
    if ends(&["volumes", "volumemounts", "containers", "ports"]) {
        return json!([{"name": "v", "mountPath": "/v", "emptyDir": {}, "containerPort": 80, "port": 80, "image": "i:1"}]);
    }
    if ends(&["securitycontext"]) {
        return json!({"runAsUser": 1000, "runAsNonRoot": true, "enabled": true});
    }
    match chance.below(5) {
        0 => json!({"a": "b", "c": {"d": 1}}),
        1 => json!(["a", "b"]),
        2 => json!([{"name": "x", "value": 1}]),
        3 => Value::from(chance.pick(TEXTS)),
        _ => json!(chance.below(5)),
    }
}

/// Never a million of what templates count up to: upstream has no bound, and does not come back from a list of a million that grows
/// one by one. Here it is an error, which is tested elsewhere.
fn number(chance: &mut Chance, name: &str) -> Value {
    let name = name.to_ascii_lowercase();
    match chance.below(6) {
        0 => json!(0),
        1 if ["replica", "count", "shards", "size", "number", "nodes"]
            .iter()
            .any(|part| name.contains(part)) =>
        {
            json!(12)
        }
        1 => json!(1_000_000),
        2 => json!(2.5),
        3 => json!(-1),
        _ => json!(1 + chance.below(9000)),
    }
}

/// Another value of the same shape; `None` leaves what the chart has.
fn varied(chance: &mut Chance, name: &str, own: &Value, depth: usize) -> Option<Value> {
    if chance.one_in(60) {
        return Some(if chance.one_in(2) { Value::Null } else { by_name(chance, "") });
    }
    Some(match own {
        Value::Object(map) if !map.is_empty() => {
            let mut out = Map::new();
            for (key, value) in map {
                // The deeper a value lies, the more of its neighbours change with it.
                if chance.below(10) < (3 + depth).min(7)
                    && let Some(value) = varied(chance, key, value, depth + 1)
                {
                    out.insert(key.clone(), value);
                }
            }
            if out.is_empty() {
                return None;
            }
            Value::Object(out)
        }
        Value::Array(items) if !items.is_empty() => match chance.below(4) {
            0 => json!([]),
            1 => items.iter().chain(items).cloned().collect(),
            _ => items
                .iter()
                .map(|item| varied(chance, name, item, depth + 1).unwrap_or_else(|| item.clone()))
                .collect(),
        },
        Value::Object(_) | Value::Array(_) | Value::Null => match by_name(chance, name) {
            made if own.is_array() && !made.is_array() => json!([made]),
            made if own.is_object() && !made.is_object() => json!({"a": made}),
            made => made,
        },
        Value::Bool(flag) => (!flag).into(),
        Value::Number(_) => number(chance, name),
        Value::String(_) => match chance.below(3) {
            0 => return None,
            _ => Value::from(chance.pick(TEXTS)),
        },
    })
}

/// A value that a schema describes, if it can be told from it.
fn described(chance: &mut Chance, root: &Value, schema: &Value, name: &str, depth: usize) -> Option<Value> {
    if depth > 12 || chance.one_in(80) {
        return Some(by_name(chance, name));
    }
    let text = |key: &str| schema[key].as_str();
    if let Some(pointer) = text("$ref").and_then(|reference| reference.strip_prefix('#')) {
        return described(chance, root, root.pointer(pointer)?, name, depth + 1);
    }
    if let Some(only) = schema.get("const") {
        return Some(only.clone());
    }
    if let Some(all) = schema["enum"].as_array().filter(|all| !all.is_empty()) {
        return Some(all[chance.below(all.len())].clone());
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(all) = schema[key].as_array().filter(|all| !all.is_empty()) {
            let at = chance.below(all.len());
            return described(chance, root, &all[at], name, depth + 1);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(all) if !all.is_empty() => all[chance.below(all.len())].as_str().unwrap_or_default(),
        other => other.as_str().unwrap_or(if schema["properties"].is_object() { "object" } else { "" }),
    };
    Some(match kind {
        "object" => {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut out = Map::new();
            for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
                if (required.contains(&key.as_str()) || chance.below(10) < (3 + depth).min(6))
                    && let Some(value) = described(chance, root, inner, key, depth + 1)
                {
                    out.insert(key.clone(), value);
                }
            }
            if schema["additionalProperties"].is_object()
                && let Some(value) = described(chance, root, &schema["additionalProperties"], "", depth + 1)
            {
                out.insert("more".into(), value);
            }
            if out.is_empty() && !schema["properties"].is_object() {
                return Some(match by_name(chance, name) {
                    made if made.is_object() => made,
                    _ => json!({}),
                });
            }
            Value::Object(out)
        }
        "array" => match &schema["items"] {
            items if items.is_object() => {
                (0..chance.below(3)).filter_map(|_| described(chance, root, items, name, depth + 1)).collect()
            }
            _ => match by_name(chance, name) {
                made if made.is_array() => made,
                made => json!([made]),
            },
        },
        "string" => match (schema.get("default"), chance.below(3)) {
            (Some(default), 0) => default.clone(),
            _ => Value::from(chance.pick(TEXTS)),
        },
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            let most = schema["maximum"].as_i64().unwrap_or(least + 100);
            json!(least + chance.below((most - least).clamp(1, 100_000) as usize) as i64)
        }
        "number" => number(chance, name),
        "boolean" => chance.one_in(2).into(),
        "null" => Value::Null,
        _ => {
            return schema
                .get("default")
                .cloned()
                .or_else(|| chance.one_in(3).then(|| by_name(chance, name)));
        }
    })
}

/// What makes two renderings of upstream differ: dice, the clock, the order of `keys`.
fn rolls_dice(chart: &Path) -> bool {
    static DICE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(rand[A-Z]\w*|uuidv4|gen[A-Z]\w+|now|ago|durationRound|shuffle|htpasswd|bcrypt|encryptAES|keys)\b|\bvalues\s+[.$(]").unwrap()
    });
    let mut folders = vec![chart.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "tgz")
                || std::fs::read_to_string(&path)
                    .is_ok_and(|text| DICE.is_match(&text.replace(".Values", "")))
            {
                return true;
            }
        }
    }
    false
}

struct Case {
    chart: usize,
    values: String,
    /// From a schema, not from shapes.
    described: bool,
}

/// Renders every chart below `root` with `variants` sets of values; true if all give the same.
pub fn run(root: &str, variants: usize, seed: u64) -> bool {
    let mut charts = Vec::new();
    find(Path::new(root), &["Chart.yaml"], &mut charts);
    let dice: Vec<bool> = charts.iter().map(|chart| rolls_dice(chart)).collect();
    let mut cases = Vec::new();
    for (number, chart) in charts.iter().enumerate() {
        let read = |name: &str| std::fs::read_to_string(chart.join(name)).unwrap_or_default();
        let schema: Option<Value> = serde_json::from_str(&read("values.schema.json")).ok();
        let own = render::goyaml::all(&read("values.yaml")).ok().and_then(|all| all.into_iter().next());
        let own: Value = own.and_then(|own| serde_json::to_value(own).ok()).unwrap_or_default();
        for variant in 0..variants {
            let mut chance = Chance::new(seed.wrapping_add((number * 1000 + variant) as u64));
            let chance = &mut chance;
            let from_schema = schema.as_ref().filter(|_| variant % 4 != 3);
            let made = match from_schema {
                Some(schema) => described(chance, schema, schema, "", 0),
                None => varied(chance, "", &own, 0),
            };
            let Some(values @ Value::Object(_)) = made else { continue };
            cases.push(Case { chart: number, values: values.to_string(), described: from_schema.is_some() });
        }
    }
    // Where a chart rolls dice, upstream is asked three times.
    let asked: Vec<usize> = cases
        .iter()
        .enumerate()
        .flat_map(|(at, case)| vec![at; if dice[case.chart] { 3 } else { 1 }])
        .collect();
    let questions: Vec<Value> = asked
        .iter()
        .map(|at| {
            let path = charts[cases[*at].chart].display().to_string();
            json!({"id": at, "kind": "helm", "path": path, "name": "release-name", "namespace": "default", "kubeVersion": KUBE_VERSION, "values": [cases[*at].values]})
        })
        .collect();
    let (mut same, mut refused, mut other, mut told) = ([0, 0], [0, 0], 0, Vec::new());
    let mut given: Vec<Answer> = Vec::new();
    ask(questions.into_iter(), |number, theirs| {
        given.push(theirs);
        let at = asked[number];
        if asked.get(number + 1) == Some(&at) {
            return;
        }
        let theirs = std::mem::take(&mut given);
        let case = &cases[at];
        let chart = &charts[case.chart];
        match compared(&rendered(chart, &case.values), &theirs) {
            Same::Text => same[usize::from(case.described)] += 1,
            Same::Error => refused[usize::from(case.described)] += 1,
            Same::No(reason) => {
                other += 1;
                let path = chart.display().to_string();
                println!("OTHER {path} with {}\n  {reason}", case.values);
                told.push(path);
            }
        }
    });
    told.dedup();
    println!(
        "{} charts: from schemas {} same, {} refused in the same words; from shapes {} same, {} refused in the same words; {other} other in {} charts",
        charts.len(),
        same[1],
        refused[1],
        same[0],
        refused[0],
        told.len()
    );
    other == 0
}

enum Same {
    Text,
    Error,
    No(String),
}

fn rendered(chart: &Path, values: &str) -> Result<(String, String), String> {
    let mut options = Options::new("release-name", "default");
    options.kube_version = KUBE_VERSION.into();
    options.values.push(ValuesFile { name: "values.yaml".into(), text: values.into() });
    let run = || {
        Chart::load(&Tree::directory("/"), &inside(chart))
            .and_then(|chart| template(&chart, &options, &Machine))
            .map(|rendered| (rendered.text, rendered.notes))
            .map_err(|error| error.to_string())
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panic".into()))
}

fn compared(ours: &Result<(String, String), String>, theirs: &[Answer]) -> Same {
    match ours {
        Err(ours) => {
            // Names that `keys` gives have no order in Go.
            let orderless = theirs.len() > 1;
            let same = |theirs: &String| theirs == ours || orderless && words(theirs) == words(ours);
            match theirs.iter().any(|theirs| theirs.as_ref().is_err_and(same)) {
                true => Same::Error,
                false => Same::No(format!("here     {ours}\n  upstream {}", shown(&theirs[0]))),
            }
        }
        Ok((text, notes)) => {
            let all: Option<Vec<(&str, &str)>> = theirs
                .iter()
                .map(|one| {
                    Some((one.as_ref().ok()?["manifest"].as_str()?, one.as_ref().ok()?["notes"].as_str()?))
                })
                .collect();
            let Some(all) = all else {
                return Same::No(format!("only upstream fails: {}", shown(&theirs[0])));
            };
            if all.contains(&(text.as_str(), notes.as_str())) {
                return Same::Text;
            }
            let (texts, all_notes): (Vec<&str>, Vec<&str>) = all.into_iter().unzip();
            match unexplained(text, &texts).or_else(|| unexplained(notes, &all_notes)) {
                None => Same::Text,
                Some(reason) => Same::No(reason),
            }
        }
    }
}

fn words(text: &str) -> Vec<&str> {
    let mut all: Vec<&str> = text.split([' ', ',', '[', ']', '\n']).collect();
    all.sort_unstable();
    all
}

fn shown(answer: &Answer) -> String {
    match answer {
        Ok(_) => "renders it".into(),
        Err(error) => error.clone(),
    }
}
