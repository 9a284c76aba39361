//! A directory of plain manifests as Argo CD takes it: `.yaml`, `.yml` and `.json` files, by recurse, include, exclude.
//!
//! Files are taken in the order of their paths. Documents without a kind are skipped when they are empty. Jsonnet, which
//! Argo CD would evaluate, is refused by name.

use api::Value;
use regex::Regex;

use crate::tree::{Entry, Tree, join};
use crate::{Error, Limits, yaml};

/// `spec.source.directory` of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Options {
    pub recurse: bool,
    /// A glob, or several as `{a,b}`; empty takes all.
    pub include: String,
    pub exclude: String,
}

/// The documents of the directory (or of the one file) at `at`.
pub fn build(tree: &Tree, at: &str, options: &Options, limits: Limits) -> Result<Vec<Value>, Error> {
    let root = tree.resolve("", at)?;
    let mut files = Vec::new();
    match tree.entry("", &root)? {
        None => return Err(crate::tree::Error::Missing { path: root }.into()),
        Some(Entry::File { .. }) => files.push(root.clone()),
        Some(_) => collect(tree, &root, options.recurse, 0, &mut files)?,
    }
    let include = glob(&options.include)?;
    let exclude = glob(&options.exclude)?;
    let mut all = Vec::new();
    let mut bytes = 0;
    for file in files {
        let inside = file.strip_prefix(&root).unwrap_or(&file).trim_start_matches('/');
        let taken = include.as_ref().is_none_or(|glob| glob.is_match(inside))
            && !exclude.as_ref().is_some_and(|glob| glob.is_match(inside));
        if !taken {
            continue;
        }
        if file.ends_with(".jsonnet") {
            let text =
                "Jsonnet is not evaluated; commit what it gives as YAML or JSON, or `exclude` the file";
            return Err(Error::field(&file, "spec.source.directory.jsonnet", text));
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
        for document in yaml::parse(&text, yaml::Dialect::V2).map_err(Error::yaml(&file))? {
            flatten(document, &file, &mut all)?;
        }
        if all.len() > limits.objects {
            return Err(Error::TooMany { limit: limits.objects });
        }
    }
    Ok(all)
}

fn collect(tree: &Tree, at: &str, recurse: bool, depth: usize, files: &mut Vec<String>) -> Result<(), Error> {
    const DEPTH: usize = 64;
    for name in tree.list("", at)? {
        let path = join(at, &name);
        // A link is resolved inside the tree, or it is an error that names it.
        match tree.entry("", &path)? {
            Some(Entry::Directory) if recurse && depth < DEPTH => {
                collect(tree, &path, recurse, depth + 1, files)?
            }
            Some(Entry::File { .. })
                if [".yaml", ".yml", ".json", ".jsonnet"].iter().any(|end| name.ends_with(end)) =>
            {
                files.push(path);
            }
            _ => {}
        }
    }
    Ok(())
}

fn flatten(document: Value, file: &str, all: &mut Vec<Value>) -> Result<(), Error> {
    if document.is_null() {
        return Ok(());
    }
    let Some(map) = document.as_map() else {
        return Err(Error::field(
            file,
            ".",
            "a document is not a map; an object has apiVersion, kind and metadata",
        ));
    };
    if map.is_empty() {
        return Ok(());
    }
    let kind = document.str_at(&["kind"]);
    if kind.is_empty() || document.str_at(&["apiVersion"]).is_empty() {
        let text = "missing; every object needs apiVersion, kind and metadata.name (or `exclude` the file)";
        return Err(Error::field(file, if kind.is_empty() { "kind" } else { "apiVersion" }, text));
    }
    if kind.ends_with("List")
        && let Some(Value::Array(items)) = document.get("items")
    {
        return items.iter().try_for_each(|item| flatten(item.clone(), file, all));
    }
    all.push(document);
    Ok(())
}

/// gobwas/glob without separators, as Argo CD uses it: `*` and `**` cross slashes, `?`, `[…]`, `{a,b}`.
fn glob(text: &str) -> Result<Option<Regex>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut pattern = String::from("^");
    let mut depth = 0;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            '{' => {
                depth += 1;
                pattern.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                pattern.push(')');
            }
            ',' if depth > 0 => pattern.push('|'),
            '[' | ']' => pattern.push(char),
            '!' if pattern.ends_with('[') => pattern.push('^'),
            '\\' => pattern.push_str(&regex::escape(&chars.next().map(String::from).unwrap_or_default())),
            other => pattern.push_str(&regex::escape(&other.to_string())),
        }
    }
    pattern.push('$');
    Regex::new(&pattern)
        .map(Some)
        .map_err(|_| Error::field("spec.source.directory", "include/exclude", format!("{text:?} is no glob")))
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
        let tree = Tree::memory([("x.yaml", "metadata: {name: a}\n")]);
        let error = build(&tree, "", &Options::default(), Limits::default()).unwrap_err();
        assert!(error.to_string().starts_with("x.yaml: kind: missing"), "{error}");
        let error = build(&tree, "nowhere", &Options::default(), Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Tree(crate::tree::Error::Missing { .. })), "{error}");
        let tree = Tree::memory([("x.jsonnet", "{}")]);
        let error = build(&tree, "", &Options::default(), Limits::default()).unwrap_err().to_string();
        assert!(error.contains("x.jsonnet") && error.contains("not evaluated"), "{error}");
        let excluded = Options { exclude: "*.jsonnet".into(), ..Options::default() };
        assert!(build(&tree, "", &excluded, Limits::default()).unwrap().is_empty());
    }
}
