//! From a chart and options to what `helm template` prints.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::LazyLock;

use super::capabilities::{self, KubeVersion};
use super::chart::Chart;
use super::dependencies;
use super::load::Chart as Files;
use super::manifest::{self, Manifest};
use super::strvals::{self, Kind};
use super::values::{Coalesce, merge_files};
use super::{Error, Options, Rendered, schema};
use crate::go::{Map, MapType, Value, World, path, quote, walk};
use crate::sprig::{self, yaml};
use crate::template::{Exec, Frame, Functions, Set, builtin, execute, function, parse};

/// Every function that a chart can call.
static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let mut all = builtin::functions();
    sprig::add_to(&mut all);
    all.insert("include", function("sa", include));
    all.insert("tpl", function("sa", tpl));
    all.insert(
        "required",
        function("sa", |_, a| match &a[1] {
            Value::Nil => Err(wrap(&sprig::text(a, 0))),
            Value::Str(text) if text.is_empty() => Err(wrap(&sprig::text(a, 0))),
            value => Ok(value.clone()),
        }),
    );
    all.insert("fail", function("s", |_, a| Err(wrap(&sprig::text(a, 0)))));
    all
});

/// What charts can call; for tests and tools.
pub fn functions() -> &'static Functions {
    &FUNCTIONS
}

/// One template with values, as a chart has it: what the oracle is asked. Call it where the stack is [`crate::template::STACK`].
pub fn render_values(name: &str, text: &str, values: Map, world: &dyn World) -> Result<String, String> {
    let file = format!("c/templates/{name}");
    walk::taken()?;
    let exec = Exec::new(world, &FUNCTIONS, crate::template::Bounds::default());
    let set = Rc::new(Set::default());
    set.add(parse::parse(&file, text, exec.functions).map_err(|error| parse_fault(&file, &error))?);
    let Some(tree) = set.find(&file) else { return Ok(String::new()) };
    let data =
        Map::any([("Values", Value::Map(values)), ("Release", Value::Nil), ("Capabilities", Value::Nil)]);
    let out = execute(&exec, &set, &tree, Value::Map(data.retyped(MapType::Values))).map_err(exec_fault)?;
    Ok(lossy(without_no_value(out)))
}

/// A text as Helm reads it, as JSON, and as Helm prints that again.
pub fn yaml_both_ways(text: &str) -> Result<(String, String), String> {
    let value = yaml::from_yaml(text)?;
    let json = crate::go::json::encode(&value, true)?;
    Ok((json, format!("{}\n", yaml::printed(&value)?)))
}

const START: &str = "HELM_ERR_START";
const END: &str = "HELM_ERR_END";
/// How often a template may include itself.
const RECURSION: usize = 1000;

fn wrap(text: &str) -> String {
    format!("{START}{text}{END}")
}

fn include(frame: &Frame<'_, '_>, args: &[Value]) -> Result<Value, String> {
    let name = sprig::text(args, 0);
    {
        let mut included = frame.exec.included.borrow_mut();
        match included.get_mut(&name) {
            Some(count) if *count > RECURSION => {
                return Err(format!(
                    "rendering template has a nested reference name: {name}: unable to execute template"
                ));
            }
            Some(count) => *count += 1,
            None => drop(included.insert(name.clone(), 1)),
        }
    }
    let done = match frame.set.find(&name) {
        Some(tree) => execute(frame.exec, frame.set, &tree, args[1].clone()),
        None => {
            let shown = quote::quote(name.as_bytes());
            Err(format!("template: no template {shown} associated with template \"gotpl\""))
        }
    };
    if let Some(count) = frame.exec.included.borrow_mut().get_mut(&name) {
        *count -= 1;
    }
    Ok(Value::Str(done?.into()))
}

/// A text as a template. What it defines is seen by itself and by what it calls.
fn tpl(frame: &Frame<'_, '_>, args: &[Value]) -> Result<Value, String> {
    let text = sprig::text(args, 0);
    let shown = || quote::quote(text.as_bytes());
    if !text.contains("{{") {
        return sprig::made(frame, text.replace("<no value>", ""));
    }
    frame.exec.step(text.len() as u64 / 8)?;
    let nested = frame.exec.nested.get();
    if nested > RECURSION {
        return Err(format!("tpl calls itself more than {RECURSION} times"));
    }
    let trees = parse::parse("gotpl", &text, frame.exec.functions)
        .map_err(|error| format!("cannot parse template {}: {error}", shown()))?;
    let main = trees.iter().find(|tree| tree.name == "gotpl").cloned();
    let set = Rc::new(Set::over(frame.set));
    set.add(trees);
    let Some(main) = main else { return Ok("".into()) };
    frame.exec.nested.set(nested + 1);
    let done = execute(frame.exec, &set, &main, args[1].clone());
    frame.exec.nested.set(nested);
    let out =
        done.map_err(|error| format!("error during tpl function execution for {}: {error}", shown()))?;
    Ok(Value::Str(without_no_value(out).into()))
}

/// Bytes as a text, with U+FFFD for what is not UTF-8.
fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned())
}

fn without_no_value(text: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"<no value>";
    if crate::go::text::find(&text, MARK).is_none() {
        return text;
    }
    crate::go::text::replace(&text, MARK, b"")
}

pub(super) fn render(files: &Files, options: &Options, world: &dyn World) -> Result<Rendered, Error> {
    let mut out = Rendered::default();
    let kube = match options.kube_version.as_str() {
        "" => KubeVersion::default(),
        text => capabilities::parse_kube_version(text)?,
    };
    let given = given_values(options)?;
    let mut chart = Chart::load(files, &mut out.warnings)?;
    if chart.is_library() {
        return Err(Error::Helm(format!("{} charts are not installable", chart.meta.kind)));
    }
    if chart.meta.deprecated {
        out.warnings.push("WARNING: This chart is deprecated".into());
    }
    dependencies::check(&chart)?;
    check_name(&options.name)?;
    dependencies::process(&mut chart, &given, &mut out.warnings)?;

    let values = Coalesce { merge: false, warnings: &mut out.warnings }.values(&chart, &given)?;
    if !options.skip_schema_validation {
        schema::validate(&chart, &values)?;
    }
    // What was read and joined so far is not of the templates' making.
    walk::taken()?;
    let top = Map::any([
        ("Capabilities", capabilities::value(&kube, &options.api_versions)),
        ("Release", release(options)),
        ("Values", Value::Map(values.retyped(MapType::Values))),
    ]);
    if !chart.meta.kube_version.is_empty()
        && !dependencies::compatible(&chart.meta.kube_version, &kube.version)
    {
        return Err(Error::Helm(in_release(format!(
            "chart requires kubeVersion: {} which is incompatible with Kubernetes {}",
            chart.meta.kube_version, kube.version
        ))));
    }

    let exec = Exec::new(world, &FUNCTIONS, options.bounds);
    let mut rendered = templates(&exec, &chart, &top).map_err(in_release)?;
    let own = path::join(chart.name(), "templates/NOTES.txt");
    let notes = rendered.iter().filter(|(name, _)| **name == own || options.render_subchart_notes);
    for (_, text) in notes.filter(|(name, _)| name.ends_with("NOTES.txt")) {
        if !out.notes.is_empty() {
            out.notes.push('\n');
        }
        out.notes.push_str(text);
    }
    rendered.retain(|name, _| !name.ends_with("NOTES.txt"));
    let sorted = manifest::sort(rendered, &mut out.warnings);
    let (manifests, hooks) = sorted.map_err(in_release)?;

    let mut crds = Vec::new();
    chart.crds(chart.name(), chart.name(), &mut crds);
    out.crds = crds
        .into_iter()
        .map(|(path, data)| Manifest {
            path,
            kind: "CustomResourceDefinition".into(),
            text: String::from_utf8_lossy(&data).into_owned(),
        })
        .collect();
    let shown_crds = if options.include_crds { out.crds.as_slice() } else { &[] };
    let shown = || shown_crds.iter().chain(&manifests);
    let length = |path: &str, text: &str| HEAD[0].len() + path.len() + HEAD[1].len() + text.len() + 1;
    let mut text = String::with_capacity(2 + shown().map(|one| length(&one.path, &one.text)).sum::<usize>());
    for one in shown() {
        push(&mut text, &one.path, &one.text);
    }
    out.text = text;
    out.manifests = manifests;
    out.hooks = hooks;
    Ok(out)
}

/// What upstream's program says behind an error, once there is a release that it could show.
fn in_release(error: String) -> String {
    format!("{error}\n\nUse --debug flag to render out invalid YAML")
}

/// What the flags give, in the program's order: files, JSON, `--set`, strings, files' texts, literals.
fn given_values(options: &Options) -> Result<Map, String> {
    let mut base = Map::new(MapType::Any);
    for file in &options.values {
        let read = yaml::from_yaml(&file.text);
        let over = match read.map_err(|error| format!("failed to parse {}: {error}", file.name))? {
            Value::Map(map) => map,
            Value::Nil => continue,
            other => {
                let error = yaml::decoding(&other, "map[string]interface {}");
                return Err(format!("failed to parse {}: {error}", file.name));
            }
        };
        base = merge_files(&base, &over);
    }
    if let Some(Value::Map(over)) = options.object.as_ref().map(yaml::from_tree) {
        base = merge_files(&base, &over);
    }
    for line in &options.set_json {
        strvals::parse(line, &base, Kind::Json)
            .map_err(|_| format!("failed parsing --set-json data {line}"))?;
    }
    for line in &options.set {
        strvals::parse(line, &base, Kind::Typed)
            .map_err(|error| format!("failed parsing --set data: {error}"))?;
    }
    for line in &options.set_string {
        strvals::parse(line, &base, Kind::Text)
            .map_err(|error| format!("failed parsing --set-string data: {error}"))?;
    }
    let read = |name: &str| {
        let found = options.set_file_texts.iter().find(|file| file.name == name);
        let missing = || format!("open {name}: no such file or directory");
        found.map(|file| Value::from(file.text.as_str())).ok_or_else(missing)
    };
    for line in &options.set_file {
        strvals::parse(line, &base, Kind::File(&read))
            .map_err(|error| format!("failed parsing --set-file data: {error}"))?;
    }
    for line in &options.set_literal {
        strvals::parse(line, &base, Kind::Literal)
            .map_err(|error| format!("failed parsing --set-literal data: {error}"))?;
    }
    Ok(base)
}

pub(super) fn check_name(name: &str) -> Result<(), String> {
    const PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    static NAME: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(PATTERN).expect("because the pattern is constant"));
    let shown = quote::quote(name.as_bytes());
    if name.is_empty() {
        return Err(format!("release name {shown}: no name provided"));
    }
    if name.len() > 53 || !NAME.is_match(name) {
        return Err(format!(
            "release name {shown}: invalid release name, must match regex {PATTERN} and the length must not be longer than 53"
        ));
    }
    Ok(())
}

fn release(options: &Options) -> Value {
    Value::Map(Map::any([
        ("Name", Value::from(options.name.as_str())),
        ("Namespace", options.namespace.as_str().into()),
        ("IsUpgrade", Value::Bool(options.is_upgrade)),
        ("IsInstall", Value::Bool(!options.is_upgrade)),
        ("Revision", Value::Int(1)),
        ("Service", "Helm".into()),
    ]))
}

pub(super) struct Template<'c> {
    text: Cow<'c, str>,
    values: Map,
    base: String,
}

#[cfg(test)]
impl Template<'static> {
    pub fn new(text: String, values: Map, base: String) -> Template<'static> {
        Template { text: text.into(), values, base }
    }
}

/// Where a chart is, and where its subcharts are.
struct Place<'a> {
    at: &'a str,
    below: &'a str,
    root: bool,
}

/// The templates of a chart and its subcharts, each with what it sees.
fn collect<'c>(
    chart: &'c Chart,
    place: &Place<'_>,
    above: &Map,
    out: &mut HashMap<String, Template<'c>>,
) -> Map {
    let Place { at, below, root } = *place;
    let get = |key: &str| above.get(key.as_bytes()).unwrap_or(Value::Nil);
    let files = Map::new(MapType::Files);
    for file in &chart.files {
        files.put(file.name.as_str(), Value::Bytes((&*file.data).into()));
    }
    let values = match get("Values") {
        values if root => values,
        Value::Map(values) => match values.table(chart.name()) {
            // The map is the one that is inside the parent's: what one changes, the other sees.
            Some(own) => Value::Map(own.retyped(MapType::Values)),
            None => Value::Map(Map::new(MapType::Values)),
        },
        _ => Value::Map(Map::new(MapType::Values)),
    };
    let subcharts = Map::new(MapType::Any);
    let next = Map::any([
        ("Chart", chart.meta.value(root)),
        ("Files", Value::Map(files)),
        ("Release", get("Release")),
        ("Capabilities", get("Capabilities")),
        ("Values", values),
        ("Subcharts", Value::Map(subcharts.clone())),
    ]);
    for child in &chart.charts {
        let path = format!("{below}/charts/{}", child.name());
        let place = Place { at: &path, below: &child.path_below(below), root: false };
        let inner = collect(child, &place, &next, out);
        subcharts.put(child.name(), Value::Map(inner));
    }
    for file in &chart.templates {
        if chart.is_library() && !path::base(&file.name).starts_with('_') {
            continue;
        }
        let template = Template {
            text: String::from_utf8_lossy(&file.data),
            values: next.clone(),
            base: path::join(at, "templates"),
        };
        out.insert(path::join(at, &file.name), template);
    }
    next
}

/// What the templates of a chart and its subcharts give, by their paths.
pub(super) fn templates(
    exec: &Exec<'_>,
    chart: &Chart,
    top: &Map,
) -> Result<BTreeMap<String, String>, String> {
    let mut all = HashMap::new();
    collect(chart, &Place { at: chart.name(), below: chart.name(), root: true }, top, &mut all);
    render_all(exec, &all)
}

/// Sorts paths of templates: files deeper down first, so that those of the parent can define over them.
pub(super) fn order(names: &mut [impl AsRef<str>]) {
    let key = |name: &str| name.matches('/').count();
    names.sort_by(|a, b| (key(b.as_ref()), b.as_ref()).cmp(&(key(a.as_ref()), a.as_ref())));
}

pub(super) fn render_all(
    exec: &Exec<'_>,
    all: &HashMap<String, Template<'_>>,
) -> Result<BTreeMap<String, String>, String> {
    let mut names: Vec<&String> = all.keys().collect();
    order(&mut names);
    let set = Rc::new(Set::default());
    for name in &names {
        let trees = parse::parse(name, &all[*name].text, exec.functions)
            .map_err(|error| parse_fault(name, &error))?;
        set.add(trees);
    }
    let mut rendered = BTreeMap::new();
    for name in names {
        if path::base(name).starts_with('_') {
            continue;
        }
        let template = &all[name];
        let about = Map::of(
            MapType::Values,
            [("Name", name), ("BasePath", &template.base)]
                .map(|(key, value)| (key.into(), value.as_str().into()))
                .into(),
        );
        template.values.put("Template", Value::Map(about));
        let Some(tree) = set.find(name) else { continue };
        let out = execute(exec, &set, &tree, Value::Map(template.values.retyped(MapType::Values)))
            .map_err(exec_fault)?;
        let mut text = lossy(without_no_value(out));
        text.shrink_to_fit();
        rendered.insert(name.clone(), text);
    }
    Ok(rendered)
}

/// Only where a text cannot be parsed, and the last reason.
fn parse_fault(file: &str, error: &str) -> String {
    let parts: Vec<&str> = error.split(": ").collect();
    match parts.as_slice() {
        [_, location, .., reason] => format!("parse error at ({location}): {reason}"),
        [_, reason] => format!("parse error at ({reason}): {reason}"),
        _ => format!("parse error in ({file}): {error}"),
    }
}

/// An error of `required` or `fail` is all that is told; others keep their whole chain.
fn exec_fault(error: String) -> String {
    let mut parts = error.splitn(3, ": ");
    let (Some(_), Some(location), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return error;
    };
    match (rest.find(START), rest.rfind(END)) {
        (Some(start), Some(end)) if start + START.len() <= end => {
            format!("execution error at ({location}): {}", &rest[start + START.len()..end])
        }
        _ => error,
    }
}

/// What stands before and behind the path of a document.
const HEAD: [&str; 2] = ["---\n# Source: ", "\n"];

/// Puts a document behind others, under its path.
fn push(out: &mut String, path: &str, text: &str) {
    for part in [HEAD[0], path, HEAD[1], text, "\n"] {
        out.push_str(part);
    }
}

/// What is printed: the objects, then the hooks, or the documents that `--show-only` names.
pub(super) fn print(objects: String, rendered: &Rendered, options: &Options) -> Result<String, String> {
    let mut text = objects;
    text.truncate(text.trim_end_matches(crate::go::text::is_space).len());
    text.drain(..text.len() - text.trim_start_matches(crate::go::text::is_space).len());
    text.push('\n');
    if !options.no_hooks {
        for hook in rendered.hooks.iter().filter(|hook| !(options.skip_tests && hook.is_test())) {
            push(&mut text, &hook.path, &hook.text);
        }
    }
    if options.show_only.is_empty() { Ok(text) } else { show_only(&text, &options.show_only) }
}

/// `--show-only`: documents whose template's path in the chart matches a pattern.
fn show_only(text: &str, patterns: &[String]) -> Result<String, String> {
    let documents = manifest::split(text);
    let source = |document: &str| -> Option<String> {
        document.lines().find_map(|line| {
            let at = line.find("# Source: ")?;
            let (_, path) = line[at + "# Source: ".len()..].split_once('/')?;
            (!path.is_empty()).then(|| path.to_string())
        })
    };
    let mut out = String::new();
    for pattern in patterns {
        let mut missing = true;
        for document in &documents {
            if source(document).is_some_and(|path| path::matches(pattern, &path).unwrap_or(false)) {
                out.push_str(&format!("---\n{document}\n"));
                missing = false;
            }
        }
        if missing {
            return Err(format!("could not find template {pattern} in chart"));
        }
    }
    Ok(out)
}
