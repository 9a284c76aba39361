//! A directory of plain manifests as Argo CD takes it: `.yaml`, `.yml` and `.json` files, by recurse, include, exclude.
//!
//! Files are taken in the order of their paths. A YAML file that cannot be read and does not look like a manifest is left out, as
//! there. Refused, unlike there: Jsonnet, which Argo CD evaluates; objects without a kind or an apiVersion, and globs
//! that are none, which it finds out later or never.

use api::Value;
use regex::Regex;

use crate::go::{glob, quote};
use crate::tree::{Entry, Tree, join};
use crate::{Error, Limits, goyaml};

/// `spec.source.directory` of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Options {
    pub recurse: bool,
    /// A glob, or several as `{a,b}`; empty takes all.
    pub include: String,
    pub exclude: String,
}

/// Folders in one another.
const DEPTH: usize = 256;
const ENDS: [&str; 4] = [".yaml", ".yml", ".json", ".jsonnet"];

/// The documents of the directory (or of the one file) at `at`.
pub fn build(tree: &Tree, at: &str, options: &Options, limits: Limits) -> Result<Vec<Value>, Error> {
    let root = tree.resolve("", at)?;
    let mut files = Vec::new();
    match tree.entry("", &root)? {
        None => return Err(crate::tree::Error::Missing { path: root }.into()),
        Some(Entry::File { .. }) => files.push(root.clone()),
        Some(_) => collect(tree, &root, options.recurse, 0, &mut files)?,
    }
    let include = compile(&options.include)?;
    let exclude = compile(&options.exclude)?;
    let mut all = Vec::new();
    let mut incomplete = None;
    let mut bytes = 0;
    for file in files {
        let inside = file.strip_prefix(&root).unwrap_or(&file).trim_start_matches('/');
        let taken = include.as_ref().is_none_or(|glob| glob.is_match(inside))
            && !exclude.as_ref().is_some_and(|glob| glob.is_match(inside));
        // What a link leads to; one that leads to nothing, or to a directory, is left out. One that leads out of the source is an
        // error, also if it is not taken.
        if !tree.entry("", &file)?.is_some_and(|entry| matches!(entry, Entry::File { .. })) || !taken {
            continue;
        }
        let text = tree.text("", &file)?;
        bytes += text.len();
        if bytes > limits.output {
            return Err(Error::TooLarge { limit: limits.output });
        }
        // Argo CD leaves out a file that says so on one of its lines.
        if text.contains("+argocd:skip-file-rendering") {
            continue;
        }
        if file.ends_with(".jsonnet") {
            let text =
                "Jsonnet is not evaluated; commit what it gives as YAML or JSON, or `exclude` the file";
            return Err(Error::field(&file, "spec.source.directory.jsonnet", text));
        }
        let documents = if file.ends_with(".json") { json(&file, &text)? } else { yaml(&file, &text)? };
        for document in documents {
            let from = all.len();
            if let Err(error) = expand(document, &file, &mut all) {
                incomplete = incomplete.or(Some(error));
            }
            for object in &all[from..] {
                incomplete = incomplete.or_else(|| complete(object, &file).err());
            }
        }
        if all.len() > limits.objects {
            return Err(Error::TooMany { limit: limits.objects });
        }
    }
    // What cannot be read is told first, wherever it lies.
    incomplete.map_or(Ok(all), Err)
}

fn collect(tree: &Tree, at: &str, recurse: bool, depth: usize, files: &mut Vec<String>) -> Result<(), Error> {
    for name in tree.list("", at)? {
        let path = join(at, &name);
        // Links to directories are not walked.
        let is_directory = !tree.is_link(&path) && tree.is_directory("", &path);
        if is_directory && recurse {
            if depth == DEPTH {
                let text = format!("folders lie more than {DEPTH} deep in one another");
                return Err(Error::field(&path, "spec.source.directory.recurse", text));
            }
            collect(tree, &path, recurse, depth + 1, files)?;
        } else if !is_directory && ENDS.iter().any(|end| name.ends_with(end)) {
            files.push(path);
        }
    }
    Ok(())
}

fn unreadable(file: &str, text: &str) -> Error {
    let name = file.rsplit('/').next().unwrap_or(file);
    Error::Text {
        file: file.into(),
        text: format!("Failed to unmarshal {}: {text}", quote::quote(name.as_bytes())),
    }
}

/// The one object of a JSON file.
fn json(file: &str, text: &str) -> Result<Vec<Value>, Error> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let first =
        stream.next().unwrap_or(Ok(Value::Null)).map_err(|error| unreadable(file, &error.to_string()))?;
    if !text[stream.byte_offset()..].trim_start().is_empty() {
        let name = file.rsplit('/').next().unwrap_or(file);
        let text =
            format!("Found multiple objects in {name:?}. Only single objects are allowed in JSON files.");
        return Err(Error::Text { file: file.into(), text });
    }
    if first.as_map().is_none() {
        return Err(unreadable(file, "the file is not a map"));
    }
    Ok(vec![first])
}

fn yaml(file: &str, text: &str) -> Result<Vec<Value>, Error> {
    let (found, fault) = documents(text);
    let Some(fault) = fault else { return Ok(found) };
    let looks_like_manifest = ["apiVersion:", "kind:", "metadata:"].iter().all(|field| text.contains(field));
    if found.is_empty() && !looks_like_manifest {
        return Ok(found);
    }
    Err(unreadable(file, &format!("failed to unmarshal manifest: {fault}")))
}

/// The objects of a text up to the first that is none, and what is wrong with that. A text that begins like JSON is a stream of JSON
/// as long as it is that.
fn documents(text: &str) -> (Vec<Value>, Option<String>) {
    let mut found = Vec::new();
    let mut rest = text;
    let mut fault = None;
    if text.trim_start().starts_with('{') {
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let mut end = 0;
        while let Some(read) = stream.next() {
            match read.map_err(|error| error.to_string()).and_then(object) {
                Ok(object) => found.extend(object),
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
            end = stream.byte_offset();
        }
        let Some(text) = &fault else { return (found, None) };
        if found.len() > 1 {
            return (found, Some(text.clone()));
        }
        // The line that the last object ends on.
        rest = &rest[end..];
        let blank = rest.find(|char: char| char == '\n' || !char.is_whitespace()).unwrap_or(rest.len());
        rest = &rest[blank..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    for part in split(rest) {
        let read = part.and_then(|part| goyaml::first(&part)).and_then(object);
        match read {
            Ok(object) => found.extend(object),
            Err(error) => return (found, fault.or(Some(error))),
        }
        // What was wrong with it as JSON is told if it is no YAML either.
        fault = None;
    }
    (found, None)
}

/// Texts between lines that begin with `---`.
fn split(text: &str) -> Vec<Result<String, String>> {
    let mut parts = Vec::new();
    let mut part = String::new();
    for line in text.lines() {
        if let Some(behind) = line.strip_prefix("---") {
            let behind = behind.trim();
            if !behind.is_empty() && !behind.starts_with('#') {
                parts.push(Err(format!("invalid Yaml document separator: {behind}")));
                return parts;
            }
            if !part.is_empty() {
                parts.push(Ok(std::mem::take(&mut part)));
                continue;
            }
        }
        part.push_str(line);
        part.push('\n');
    }
    if !part.is_empty() {
        parts.push(Ok(part));
    }
    parts
}

/// A document that is an object; none if it is null.
fn object(document: Value) -> Result<Option<Value>, String> {
    let kind = match &document {
        Value::Null => return Ok(None),
        Value::Object(_) => document.str_at(&["kind"]),
        Value::Array(_) => return Err("a document is a list and not a map".into()),
        _ => return Err("a document is no map".into()),
    };
    if kind.is_empty() {
        let text = "Object 'Kind' is missing in";
        return Err(format!("error unmarshaling JSON: while decoding JSON: {text} '{document}'"));
    }
    Ok(Some(document))
}

/// An object, or the objects of a list, which is whatever has `items`.
fn expand(document: Value, file: &str, all: &mut Vec<Value>) -> Result<(), Error> {
    match document.get("items") {
        Some(Value::Array(items)) => {
            for item in items {
                if item.as_map().is_none() {
                    return Err(Error::field(file, "items", "items member is not an object"));
                }
            }
            all.extend(items.iter().cloned());
        }
        Some(Value::Null) if document.get("spec").is_none() && document.get("status").is_none() => {}
        _ => {
            all.push(document);
        }
    }
    Ok(())
}

fn complete(object: &Value, file: &str) -> Result<(), Error> {
    for field in ["kind", "apiVersion"] {
        if object.str_at(&[field]).is_empty() {
            let text =
                "missing; every object needs apiVersion, kind and metadata.name (or `exclude` the file)";
            return Err(Error::field(file, field, text));
        }
    }
    Ok(())
}

fn compile(text: &str) -> Result<Option<Regex>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let glob = glob::compile(text, glob::Reach::Everything);
    let wrong = || Error::field("spec.source.directory", "include/exclude", format!("{text:?} is no glob"));
    glob.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(options: Options) -> Vec<String> {
        let object = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let tree = Tree::memory([
            ("app/a.yaml", object("a")),
            ("app/b.yml", object("b") + "---\n---\n" + &object("b2")),
            ("app/c.json", r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"}}]}"#.into()),
            ("app/README.md", "text".into()),
            // No manifests, and left out for that.
            ("app/values.yaml", "image: {tag: 1}\nreplicas: 2\n".into()),
            ("app/template.yaml", "{{ if .Values.x }}\na: b: c\n".into()),
            ("app/deep/d.yaml", object("d")),
            ("app/skipped.yaml", "# +argocd:skip-file-rendering\n{{ template }}\n".into()),
        ]);
        let documents = build(&tree, "app", &options, Limits::default()).unwrap();
        documents.iter().map(|document| document.str_at(&["metadata", "name"]).to_string()).collect()
    }

    #[test]
    fn takes_what_argo_takes() {
        assert_eq!(names(Options::default()), ["a", "b", "b2", "c"]);
        let recurse = Options { recurse: true, ..Options::default() };
        assert_eq!(names(recurse.clone()), ["a", "b", "b2", "c", "d"]);
        assert_eq!(names(Options { include: "{a.*,deep/*}".into(), ..recurse.clone() }), ["a", "d"]);
        assert_eq!(names(Options { exclude: "*.yaml".into(), ..recurse }), ["b", "b2", "c"]);
    }

    #[test]
    fn faults_name_file_and_field() {
        let fails = |name: &str, text: &str, expected: &str| {
            let tree = Tree::memory([(name, text)]);
            let error = build(&tree, "", &Options::default(), Limits::default()).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(expected), "{error}");
        };
        fails("x.yaml", "# apiVersion: kind:\nmetadata: {name: a}\n", "Object 'Kind' is missing");
        fails("x.yaml", "kind: A\nmetadata: {name: a}\n", "apiVersion: missing");
        fails(
            "x.yaml",
            "kind: A\napiVersion: v1\nmetadata: {}\n--- x\n",
            "invalid Yaml document separator: x",
        );
        fails("x.yaml", "kind: A\napiVersion: v1\n---\na: b: c\n", "mapping values are not allowed");
        fails("x.json", "{\"kind\": \"A\"} {}", "Only single objects are allowed in JSON files");
        fails("x.json", "{\"kind\": }", "Failed to unmarshal \"x.json\"");
        fails("x.yaml", "{kind: List, apiVersion: v1, items: [1]}", "items member is not an object");
        let tree = Tree::memory([("x.yaml", "")]);
        let error = build(&tree, "nowhere", &Options::default(), Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Tree(crate::tree::Error::Missing { .. })), "{error}");
        let tree = Tree::memory([("x.jsonnet", "{}")]);
        let error = build(&tree, "", &Options::default(), Limits::default()).unwrap_err().to_string();
        assert!(error.contains("x.jsonnet") && error.contains("not evaluated"), "{error}");
        let excluded = Options { exclude: "*.jsonnet".into(), ..Options::default() };
        assert!(build(&tree, "", &excluded, Limits::default()).unwrap().is_empty());
    }
}
