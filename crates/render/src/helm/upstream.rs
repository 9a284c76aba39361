//! Helm's own unit tests of its engine, its values, its flags and its sorting: what they ask and what upstream answered, recorded by
//! running them; see `tests/helm/upstream/README.md`. Each is asked here.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map as JsonMap, Value as Json, json};

use super::chart::Chart;
use super::load::File;
use super::values::{Coalesce, path_value, table};
use super::{capabilities, dependencies, engine, manifest, metadata, schema, strvals};
use crate::go::value::ListType;
use crate::go::world::Fixed;
use crate::go::{List, Map, MapType, Str, Value};
use crate::sprig::yaml;
use crate::template::{Bounds, Exec, Set, execute, parse};

const CASES: &str = include_str!("../../tests/helm/upstream/cases.jsonl");

/// Why a case is not asked.
fn left_out(case: &Json) -> Option<&'static str> {
    let call = case["call"].as_str().unwrap();
    let flag = |name: &str| case[name].as_bool() == Some(true);
    match call {
        "getAliasDependency" => Some("a part of processDependencyEnabled here"),
        "setIndex" => Some("a part of Parse here"),
        "Render" | "render" if flag("lint") => Some("helm lint"),
        "Render" | "render" if flag("strict") => Some("helm lint --strict"),
        "Render" | "render" if flag("dns") => Some("--enable-dns asks a network"),
        "Render" if flag("cluster") => {
            Some("asks a cluster that the test stands in for; tests.rs asks lookup")
        }
        "ParseJSON" if case["dest"]["$nil"].is_string() => {
            Some("what --set-json writes into is always there here")
        }
        "processDependencyImportValues" if !flag("merge") => {
            Some("helm template imports by ProcessDependenciesWithMerge, which keeps nulls")
        }
        "sortManifestsByKind" | "sortHooksByKind" if !flag("install") => Some("nothing is uninstalled here"),
        _ => None,
    }
}

/// A value of the records, whose types stand as `{"$type": …}`.
fn value(json: &Json) -> Value {
    let items = |json: &Json| json.as_array().unwrap().iter().map(value).collect::<Vec<Value>>();
    match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => text.as_str().into(),
        Json::Number(_) => panic!("a number without a type: {json}"),
        Json::Array(_) => Value::list(items(json)),
        Json::Object(fields) => match tag(fields) {
            None => Value::Map(map(MapType::Any, fields)),
            Some(("$int", number)) => Value::Int(number.as_i64().unwrap()),
            Some(("$int64", number)) => Value::Int64(number.as_i64().unwrap()),
            Some(("$float64", number)) => Value::Float(number.as_str().unwrap().parse().unwrap()),
            Some(("$bytes", data)) => Value::Bytes(bytes(data).into()),
            Some(("$[]string", items)) => {
                Value::strings(items.as_array().unwrap().iter().map(|item| item.as_str().unwrap()))
            }
            Some(("$[]int", list)) => Value::List(List::new(ListType::Ints, items(list))),
            Some(("$nil", ty)) if ty.as_str().unwrap().starts_with('[') => Value::nil_list(),
            Some(("$nil", ty)) if ty == "chartutil.Values" => Value::Map(Map::nil(MapType::Values)),
            Some(("$nil", _)) => Value::Map(Map::nil(MapType::Any)),
            Some(("$chartutil.Values", fields)) => {
                Value::Map(map(MapType::Values, fields.as_object().unwrap()))
            }
            Some(("$map[string]string", fields)) => {
                Value::Map(map(MapType::Strings, fields.as_object().unwrap()))
            }
            Some(("$map[string]map[string]string", fields)) => {
                Value::Map(map(MapType::Any, fields.as_object().unwrap()))
            }
            // What charts are given of these is made anew.
            Some(("$chart.Metadata" | "$chartutil.Capabilities", _)) => Value::Nil,
            Some((tag, _)) => panic!("a value of the type {tag}"),
        },
    }
}

fn tag(fields: &JsonMap<String, Json>) -> Option<(&str, &Json)> {
    let (name, inner) = fields.iter().next()?;
    (fields.len() == 1 && name.starts_with('$')).then_some((name.as_str(), inner))
}

fn map(ty: MapType, fields: &JsonMap<String, Json>) -> Map {
    Map::of(ty, fields.iter().map(|(key, inner)| (Str::from(key.as_str()), value(inner))).collect())
}

/// The map that stands there; one that is nil is one that is empty.
fn fields(json: &Json) -> Map {
    match value(json) {
        Value::Map(map) if !map.is_nil() => map,
        Value::Map(_) | Value::Nil => Map::new(MapType::Any),
        other => panic!("{other:?} is no map"),
    }
}

fn bytes(json: &Json) -> Vec<u8> {
    match &json["$repeat"] {
        Json::Array(parts) => {
            parts[0].as_str().unwrap().repeat(parts[1].as_u64().unwrap() as usize).into_bytes()
        }
        _ => json.as_str().unwrap().as_bytes().to_vec(),
    }
}

/// A value as the records write it.
fn shown(value: &Value) -> Json {
    let items = |list: &List| list.iter().map(shown).collect::<Vec<Json>>();
    match value {
        Value::Nil => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!({"$int": number}),
        Value::Int64(number) => json!({"$int64": number}),
        Value::Float(number) => json!({"$float64": crate::go::float::format(*number, b'g', -1)}),
        Value::Str(text) => short(&text.text()),
        Value::Bytes(data) => json!({"$bytes": data.text()}),
        Value::List(list) => match list.ty {
            _ if list.items.is_none() => json!({"$nil": value.type_name()}),
            ListType::Any => json!(items(list)),
            _ => json!({ (format!("${}", value.type_name())): items(list) }),
        },
        Value::Map(map) => {
            let fields: JsonMap<String, Json> =
                map.entries().iter().map(|(key, value)| (key.text().into_owned(), shown(value))).collect();
            match map.ty() {
                MapType::Any => Json::Object(fields),
                _ => json!({ (format!("${}", value.type_name())): fields }),
            }
        }
        other => json!(format!("{other:?}")),
    }
}

/// A text, or the hash of one that is long.
fn short(text: &str) -> Json {
    match text.len() {
        0..=3000 => json!(text),
        _ => json!({"$sha256": hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()))}),
    }
}

fn chart(json: &Json) -> Chart {
    let files = |name: &str| -> Vec<File> {
        let all = json[name].as_array().into_iter().flatten();
        all.map(|file| File { name: file[0].as_str().unwrap().into(), data: bytes(&file[1]).into() })
            .collect()
    };
    let mut meta = metadata::Metadata::default();
    meta.read(&json["metadata"].to_string()).unwrap();
    Chart {
        meta,
        templates: files("templates"),
        files: files("files"),
        values: fields(&json["values"]),
        schema: json["schema"].as_str().map(|text| text.as_bytes().into()),
        charts: json["charts"].as_array().into_iter().flatten().map(chart).collect(),
        origin: None,
    }
}

/// What processing dependencies changes of a chart.
fn processed(chart: &Chart, values: bool) -> Json {
    let mut charts: Vec<Json> = chart.charts.iter().map(|child| processed(child, values)).collect();
    // Upstream's order among them is that of its list, which no rendering shows.
    charts.sort_by_key(Json::to_string);
    let mut out = json!({"name": chart.name(), "charts": charts});
    if values {
        out["values"] = shown(&Value::Map(chart.values.clone()));
    }
    out
}

/// One template with a value as its dot.
fn one(text: &str, dot: Value) -> Result<String, String> {
    let world = Fixed::at(0);
    let exec = Exec::new(&world, engine::functions(), Bounds::default());
    let set = std::rc::Rc::new(Set::default());
    set.add(parse::parse("test", text, exec.functions)?);
    let tree = set.find("test").ok_or("nothing is defined")?;
    let out = execute(&exec, &set, &tree, dot)?;
    Ok(String::from_utf8(out).unwrap())
}

fn texts(rendered: BTreeMap<String, String>) -> Json {
    let fields: JsonMap<String, Json> =
        rendered.iter().map(|(name, text)| (name.clone(), short(text))).collect();
    json!({"$map[string]string": fields})
}

fn render(case: &Json) -> Result<Json, String> {
    let world = Fixed::at(0);
    let exec = Exec::new(&world, engine::functions(), Bounds::default());
    if case["call"] == "Render" {
        let top = fields(&case["values"]);
        if case["values"].to_string().contains("$chartutil.Capabilities") {
            top.put("Capabilities", capabilities::value(&capabilities::KubeVersion::default(), &[]));
        }
        return engine::templates(&exec, &chart(&case["chart"]), &top).map(texts);
    }
    let mut all = HashMap::new();
    for (name, one) in case["templates"].as_object().unwrap() {
        let text = one["tpl"].as_str().unwrap().to_string();
        all.insert(name.clone(), engine::Template::new(text, fields(&one["vals"]), String::new()));
    }
    engine::render_all(&exec, &all).map(texts)
}

fn files(case: &Json) -> Result<Json, String> {
    let files = map(MapType::Files, case["files"].as_object().unwrap());
    let argument = case["argument"].as_str().unwrap();
    let dot = || Value::Map(files.clone());
    match case["method"].as_str().unwrap() {
        "Get" => Ok(json!(one(&format!("{{{{ .Get {argument:?} }}}}"), dot())?)),
        "Lines" => {
            let lines = one(&format!("{{{{ .Lines {argument:?} | toJson }}}}"), dot())?;
            Ok(json!({"$[]string": serde_json::from_str::<Json>(&lines).unwrap()}))
        }
        "Glob" => {
            let text = format!(
                "{{{{ range $n, $d := .Glob {argument:?} }}}}{{{{ dict \"n\" $n \"d\" (toString $d) | toJson }}}}\n{{{{ end }}}}"
            );
            let mut found = JsonMap::new();
            for line in one(&text, dot())?.lines() {
                let line: Json = serde_json::from_str(line).unwrap();
                found.insert(line["n"].as_str().unwrap().into(), json!({"$bytes": line["d"]}));
            }
            Ok(Json::Object(found))
        }
        method => Ok(json!(one(&format!("{{{{ .{method} }}}}"), dot())?)),
    }
}

fn parsed(case: &Json) -> Result<Json, String> {
    let text = case["text"].as_str().unwrap();
    let into = fields(&case["dest"]);
    let read = |name: &str| {
        let read = &case["out"]["read"][name];
        if read.is_null() { Err(format!("{name} is not there")) } else { Ok(value(read)) }
    };
    let call = case["call"].as_str().unwrap();
    let kind = match call {
        "Parse" | "ParseInto" | "ToYAML" => strvals::Kind::Typed,
        "ParseString" | "ParseIntoString" => strvals::Kind::Text,
        "ParseJSON" => strvals::Kind::Json,
        "ParseLiteral" | "ParseLiteralInto" => strvals::Kind::Literal,
        _ => strvals::Kind::File(&read),
    };
    strvals::parse(text, &into, kind)?;
    let values = shown(&Value::Map(into.clone()));
    Ok(match call {
        "ToYAML" => json!(yaml::to_yaml(&Value::Map(into))),
        "ParseFile" | "ParseIntoFile" => json!({"values": values, "read": case["out"]["read"]}),
        _ => values,
    })
}

fn sorted(case: &Json) -> Result<Json, String> {
    let manifests = |all: &[manifest::Manifest]| -> Json {
        all.iter().map(|one| json!({"kind": one.kind, "path": one.path, "text": one.text})).collect()
    };
    let hooks = |all: &[manifest::Hook]| -> Json {
        all.iter()
            .map(|one| {
                json!({
                    "path": one.path, "name": one.name, "kind": one.kind, "text": one.text,
                    "events": {"$[]string": one.events}, "weight": {"$int": one.weight},
                    "policies": {"$[]string": one.delete_policies},
                })
            })
            .collect()
    };
    let text = |one: &Json, key: &str| one[key].as_str().unwrap().to_string();
    match case["call"].as_str().unwrap() {
        "SortManifests" => {
            let files = case["files"]["$map[string]string"].as_object().unwrap();
            let mut files: Vec<(String, String)> =
                files.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().into())).collect();
            files.sort();
            let (generic, special) = manifest::sort(files, &mut Vec::new())?;
            Ok(json!({"hooks": hooks(&special), "manifests": manifests(&generic)}))
        }
        "sortManifestsByKind" => {
            let all = case["manifests"].as_array().unwrap().iter();
            let mut all: Vec<manifest::Manifest> = all
                .map(|one| manifest::Manifest {
                    path: text(one, "path"),
                    kind: text(one, "kind"),
                    text: text(one, "text"),
                })
                .collect();
            manifest::by_kind(&mut all, |one| &one.kind);
            Ok(manifests(&all))
        }
        "sortHooksByKind" => {
            let all = case["hooks"].as_array().unwrap().iter();
            let strings =
                |one: &Json| -> Vec<String> { serde_json::from_value(one["$[]string"].clone()).unwrap() };
            let mut all: Vec<manifest::Hook> = all
                .map(|one| manifest::Hook {
                    path: text(one, "path"),
                    name: text(one, "name"),
                    kind: text(one, "kind"),
                    text: text(one, "text"),
                    events: strings(&one["events"]),
                    weight: one["weight"]["$int"].as_i64().unwrap(),
                    delete_policies: strings(&one["policies"]),
                })
                .collect();
            manifest::by_kind(&mut all, |one| &one.kind);
            Ok(hooks(&all))
        }
        _ => {
            let parts = manifest::split(case["text"].as_str().unwrap());
            let parts: JsonMap<String, Json> = parts
                .into_iter()
                .enumerate()
                .map(|(at, part)| (format!("manifest-{at}"), json!(part)))
                .collect();
            Ok(json!({"$map[string]string": parts}))
        }
    }
}

fn values(case: &Json) -> Result<Json, String> {
    let mut warnings = Vec::new();
    let join = |merge: bool, warnings: &mut Vec<String>| {
        Coalesce { merge, warnings }.values(&chart(&case["chart"]), &fields(&case["values"]))
    };
    let call = case["call"].as_str().unwrap();
    match call {
        "CoalesceValues" | "MergeValues" => {
            Ok(shown(&Value::Map(join(call == "MergeValues", &mut warnings)?)))
        }
        "coalesce" => {
            let joined = join(case["merge"] == true, &mut warnings)?;
            Ok(sorted_warnings(
                json!({"values": shown(&Value::Map(joined)), "warnings": {"$[]string": warnings}}),
            ))
        }
        "ToRenderValues" => {
            let chart = chart(&case["chart"]);
            let joined = join(false, &mut warnings)?;
            if case["skip"] != true {
                schema::validate(&chart, &joined)?;
            }
            Ok(shown(&Value::Map(joined.retyped(MapType::Values))))
        }
        "CoalesceTables" | "MergeTables" => {
            let (into, from) = (fields(&case["dst"]), fields(&case["src"]));
            let merge = call == "MergeTables";
            Coalesce { merge, warnings: &mut warnings }.tables(&into, &from, "", merge);
            Ok(shown(&Value::Map(into)))
        }
        "ReadValues" => match yaml::from_yaml(case["text"].as_str().unwrap())? {
            Value::Map(map) => Ok(shown(&Value::Map(map))),
            _ => Ok(json!({})),
        },
        "Table" => {
            let found = table(&fields(&case["values"]), case["path"].as_str().unwrap());
            Ok(shown(&Value::Map(
                found
                    .map_err(|name| format!("{} is not a table", crate::go::quote::quote(name.as_bytes())))?,
            )))
        }
        "PathValue" => {
            let found = path_value(&fields(&case["values"]), case["path"].as_str().unwrap());
            Ok(shown(
                &found
                    .map_err(|name| format!("{} is not a value", crate::go::quote::quote(name.as_bytes())))?,
            ))
        }
        "ValidateAgainstSchema" => match schema::problems(&chart(&case["chart"]), &fields(&case["values"])) {
            none if none.is_empty() => Ok(json!("")),
            problems => Err(problems),
        },
        _ => schema::one(case["schema"].as_str().unwrap().as_bytes(), &fields(&case["values"]))
            .map(|()| json!("")),
    }
}

fn answer(case: &Json) -> Result<Json, String> {
    let text = |key: &str| case[key].as_str().unwrap();
    match text("call") {
        "Render" | "render" => render(case),
        "function" => one(text("text"), value(&case["data"])).map(|out| short(&out)),
        "files" => files(case),
        "sortTemplates" => {
            let names = case["names"]["$[]string"].as_array().unwrap();
            let mut names: Vec<String> = names.iter().map(|name| name.as_str().unwrap().into()).collect();
            engine::order(&mut names);
            Ok(json!({"$[]string": names}))
        }
        "processDependencyEnabled" => {
            let mut chart = chart(&case["chart"]);
            dependencies::enable(&mut chart, &fields(&case["values"]), text("path"), &mut Vec::new())?;
            Ok(processed(&chart, false))
        }
        "processDependencyImportValues" => {
            let mut chart = chart(&case["chart"]);
            dependencies::import(&mut chart, &mut Vec::new())?;
            Ok(processed(&chart, true))
        }
        "IsCompatibleRange" => Ok(json!(dependencies::compatible(text("range"), text("version")))),
        "ParseKubeVersion" => capabilities::parse_kube_version(text("version"))
            .map(|kube| json!({"$chartutil.KubeVersion": {"Major": kube.major, "Minor": kube.minor, "Version": kube.version}})),
        "VersionSet.Has" => {
            let versions = case["versions"]["$[]string"].as_array().unwrap().iter().map(value).collect();
            let versions = Value::List(List::new(ListType::Versions, versions));
            Ok(json!(one(&format!("{{{{ .Has {:?} }}}}", text("version")), versions)? == "true"))
        }
        "ValidateReleaseName" => engine::check_name(text("name")).map(|()| json!("")),
        "Parse" | "ParseInto" | "ToYAML" | "ParseString" | "ParseIntoString" | "ParseJSON" | "ParseLiteral"
        | "ParseLiteralInto" | "ParseFile" | "ParseIntoFile" => parsed(case),
        "SortManifests" | "sortManifestsByKind" | "sortHooksByKind" | "SplitManifests" => sorted(case),
        _ => values(case),
    }
}

/// What upstream answered, in the form in which it is asked of this.
fn expected(case: &Json) -> Result<Json, Json> {
    if !case["error"].is_null() {
        return Err(case["error"].clone());
    }
    Ok(match case["call"].as_str().unwrap() {
        "processDependencyEnabled" => processed(&chart(&case["out"]), false),
        "processDependencyImportValues" => processed(&chart(&case["out"]), true),
        "coalesce" => sorted_warnings(case["out"].clone()),
        _ => case["out"].clone(),
    })
}

/// Upstream warns in the order of Go's maps, which is any.
fn sorted_warnings(mut joined: Json) -> Json {
    joined["warnings"]["$[]string"].as_array_mut().unwrap().sort_by_key(Json::to_string);
    joined
}

fn all() -> Vec<Json> {
    let mut last: HashMap<String, Json> = HashMap::new();
    let mut cases = Vec::new();
    for line in CASES.lines() {
        let mut case: Json = serde_json::from_str(line).unwrap();
        let call = case["call"].as_str().unwrap().to_string();
        for (name, part) in case.as_object_mut().unwrap() {
            if part["$again"] == true {
                *part = last[&call][name].clone();
            }
        }
        last.insert(call, case.clone());
        cases.push(case);
    }
    cases
}

#[test]
fn upstreams_own_tests_come_out_the_same() {
    let work = || {
        let mut counts: BTreeMap<String, (usize, BTreeMap<&str, usize>)> = BTreeMap::new();
        let mut wrong = Vec::new();
        for case in all() {
            let count = counts.entry(case["file"].as_str().unwrap().to_string()).or_default();
            if let Some(reason) = left_out(&case) {
                *count.1.entry(reason).or_default() += 1;
                continue;
            }
            count.0 += 1;
            let ours = answer(&case).map_err(|error| short(&error));
            let theirs = expected(&case);
            let same = match (&ours, &theirs, case["call"].as_str().unwrap()) {
                // The program shows more of the one than the function says, and nothing of the other.
                (Err(_), Err(_), "ValidateReleaseName" | "PathValue") => true,
                _ => ours == theirs,
            };
            if !same {
                let test = format!("{} {} {}", case["file"], case["test"], case["call"]);
                wrong.push(format!("{test}\n  ours   {ours:?}\n  theirs {theirs:?}"));
            }
        }
        (counts, wrong)
    };
    let (counts, wrong) = super::deep(|| {
        let (counts, wrong) = work();
        (
            counts
                .into_iter()
                .map(|(file, (same, out))| format!("{file}: {same} asked, left out {out:?}"))
                .collect::<Vec<_>>(),
            wrong,
        )
    })
    .unwrap();
    println!("{}", counts.join("\n"));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
