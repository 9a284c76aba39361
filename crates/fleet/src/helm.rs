//! A chart in a source, rendered as Argo CD does: `helm template` with values of the Application, of files beside the
//! chart and of other sources, and never a word with the cluster.

use std::collections::BTreeMap;

use api::Value;
use render::helm::{Options, ValuesFile, template_at};
use render::tree::Tree;
use serde::{Deserialize, Serialize};

use crate::world::System;

/// `spec.source.helm`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Helm {
    /// Empty: the application's name.
    pub release: String,
    /// Empty: the destination's.
    pub namespace: String,
    /// Seen from the chart, from the root (`/…`), or of another source (`$name/…`).
    pub value_files: Vec<String>,
    pub ignore_missing: bool,
    /// YAML, over the files.
    pub values: String,
    pub parameters: Vec<Parameter>,
    /// Name and path.
    pub file_parameters: Vec<(String, String)>,
    pub skip_crds: bool,
    pub skip_hooks: bool,
    pub skip_tests: bool,
    pub skip_schema: bool,
    pub kube_version: String,
    pub api_versions: Vec<String>,
}

/// One `--set` or `--set-string`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub value: String,
    pub text: bool,
}

/// What a rendering is told beside the chart.
pub struct Around<'a> {
    /// The application's name and the destination's namespace.
    pub name: &'a str,
    pub namespace: &'a str,
    /// Of the source's commit.
    pub revision: &'a str,
    /// Trees of other sources, by their names.
    pub others: &'a BTreeMap<&'a str, &'a Tree>,
}

/// The objects of the chart at a path.
pub fn build(tree: &Tree, at: &str, helm: &Helm, around: &Around<'_>) -> Result<Vec<Value>, String> {
    let put_in = |text: &str| {
        // Argo CD's variables of a build.
        [
            ("ARGOCD_APP_NAME", around.name),
            ("ARGOCD_APP_NAMESPACE", around.namespace),
            ("ARGOCD_APP_REVISION", around.revision),
        ]
        .iter()
        .fold(text.to_string(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        })
    };
    let given = |text: &str, or: &str| if text.is_empty() { or.to_string() } else { text.to_string() };
    let mut options =
        Options::new(given(&helm.release, around.name), given(&helm.namespace, around.namespace));
    for path in &helm.value_files {
        match file(tree, at, &put_in(path), around)? {
            Some(text) => options.values.push(ValuesFile { name: path.clone(), text }),
            None if helm.ignore_missing => {}
            None => return Err(format!("valueFiles: {path}: no such file in the source")),
        }
    }
    if !helm.values.trim().is_empty() {
        options.values.push(ValuesFile { name: "values".into(), text: helm.values.clone() });
    }
    for one in &helm.parameters {
        // Commas part assignments, and values of parameters are whole.
        let set = format!("{}={}", one.name, put_in(&one.value).replace(',', "\\,"));
        if one.text { options.set_string.push(set) } else { options.set.push(set) }
    }
    for (name, path) in &helm.file_parameters {
        let text = file(tree, at, &put_in(path), around)?
            .ok_or_else(|| format!("fileParameters: {path}: no such file in the source"))?;
        options.set_file.push(format!("{name}={path}"));
        options.set_file_texts.push(ValuesFile { name: path.clone(), text });
    }
    options.kube_version = helm.kube_version.clone();
    options.api_versions = helm.api_versions.clone();
    options.include_crds = !helm.skip_crds;
    options.skip_tests = helm.skip_tests;
    options.skip_schema_validation = helm.skip_schema;
    let rendered =
        template_at(tree, at, &options, &System).map_err(|error| base::chain(&error).to_string())?;
    rendered.documents(!helm.skip_crds, !helm.skip_hooks).map_err(|error| base::chain(&error).to_string())
}

fn file(tree: &Tree, at: &str, path: &str, around: &Around<'_>) -> Result<Option<String>, String> {
    if path.contains("://") {
        return Err(format!(
            "{path}: values are taken from sources only; add its repository to spec.sources"
        ));
    }
    let (tree, base, path) = match path.strip_prefix('$') {
        Some(rest) => {
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            let other = around.others.get(name);
            (*other.ok_or_else(|| format!("${name}: no source has `ref: {name}`"))?, "", path)
        }
        None => match path.strip_prefix('/') {
            Some(path) => (tree, "", path),
            None => (tree, at, path),
        },
    };
    if tree.entry(base, path).map_err(|error| base::chain(&error).to_string())?.is_none() {
        return Ok(None);
    }
    tree.text(base, path).map(Some).map_err(|error| base::chain(&error).to_string())
}

/// Whether a directory holds a chart.
pub fn is_chart(tree: &Tree, at: &str) -> bool {
    tree.is_file(at, "Chart.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(helm: Helm) -> Result<String, String> {
        let tree = Tree::memory([
            ("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n"),
            ("chart/values.yaml", "colour: red\nsize: 1\n"),
            ("chart/store.yaml", "colour: blue\n"),
            (
                "chart/templates/map.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}\ndata: {colour: {{ .Values.colour | quote }}, size: {{ .Values.size | quote }}}\n",
            ),
        ]);
        let values = Tree::memory([("deep/v.yaml", "colour: green\n"), ("t.txt", "text")]);
        let others = BTreeMap::from([("values", &values)]);
        let around = Around { name: "app", namespace: "ns", revision: "abc", others: &others };
        let all = build(&tree, "chart", &helm, &around)?;
        Ok(all
            .iter()
            .map(|one| format!("{} {}", one.str_at(&["metadata", "name"]), one.get("data").unwrap()))
            .collect())
    }

    #[test]
    fn values_come_from_everywhere_in_order() {
        assert_eq!(render(Helm::default()).unwrap(), r#"app {"colour":"red","size":"1"}"#);
        let files = |files: &[&str]| Helm {
            value_files: files.iter().map(|one| one.to_string()).collect(),
            ..Helm::default()
        };
        assert_eq!(render(files(&["store.yaml"])).unwrap(), r#"app {"colour":"blue","size":"1"}"#);
        assert_eq!(
            render(files(&["store.yaml", "$values/deep/v.yaml"])).unwrap(),
            r#"app {"colour":"green","size":"1"}"#
        );
        assert_eq!(render(files(&["/chart/store.yaml"])).unwrap(), r#"app {"colour":"blue","size":"1"}"#);
        let over = Helm {
            release: "other".into(),
            values: "size: 2".into(),
            parameters: vec![Parameter {
                name: "colour".into(),
                value: "a,$ARGOCD_APP_NAME".into(),
                text: true,
            }],
            ..files(&["store.yaml"])
        };
        assert_eq!(render(over).unwrap(), r#"other {"colour":"a,app","size":"2"}"#);
        assert!(render(files(&["none.yaml"])).unwrap_err().contains("none.yaml: no such file"));
        assert!(render(files(&["$none/v.yaml"])).unwrap_err().contains("no source has `ref: none`"));
        assert!(render(Helm { ignore_missing: true, ..files(&["none.yaml"]) }).is_ok());
    }
}
