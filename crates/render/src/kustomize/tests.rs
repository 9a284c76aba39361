//! Errors and edits; what is printed is compared with upstream in `tests/kustomize.rs`.

use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::memory(files.iter().map(|(path, text)| (*path, *text)))
}

fn fails(files: &[(&str, &str)], expected: &str) {
    let error = build(&tree(files), "top").unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn errors_name_file_and_field() {
    fails(&[("top/x", "")], "top: no kustomization.yaml");
    fails(&[("top/kustomization.yaml", "{}")], "top/kustomization.yaml: .: kustomization.yaml is empty");
    fails(&[("top/kustomization.yaml", "resource: [a]")], "unknown field `resource`");
    fails(
        &[("top/kustomization.yaml", "resources: [a.yaml]")],
        "top/kustomization.yaml: resources[0]: a.yaml: no such file",
    );
    fails(&[("top/kustomization.yaml", "resources: [../../x]")], "leads out of the source");
    fails(&[("top/kustomization.yaml", "resources: ['https://x/y']")], "is in another repository");
    fails(&[("top/kustomization.yaml", "resources: [../o.yaml]"), ("o.yaml", "a: b")], "is not in or below");
    fails(
        &[("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", "a: [\n")],
        "top/a.yaml: line 1",
    );
    fails(
        &[("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", "kind: Pod\n")],
        "top/a.yaml: metadata.name: missing",
    );
    fails(&[("top/kustomization.yaml", "vars: [{name: A}]")], "vars: var 'A' cannot be mapped to a field");
    fails(
        &[("top/kustomization.yaml", "transformers: ['{apiVersion: x/v1, kind: Sed, metadata: {name: a}}']")],
        "external plugins disabled; unable to load external plugin 'Sed'",
    );
    fails(
        &[("top/kustomization.yaml", "openapi: {version: v9}\nresources: []")],
        "the specified OpenAPI version is not built in",
    );
    fails(
        &[("top/kustomization.yaml", "resources: [../b]"), ("b/kustomization.yaml", "resources: [../top]")],
        "includes itself: top -> b -> top",
    );
    fails(
        &[(
            "top/kustomization.yaml",
            "patches: [{patch: '{apiVersion: v1, kind: Pod, metadata: {name: a}}'}]",
        )],
        "patches[0]: no resource matches",
    );
    fails(
        &[("top/kustomization.yaml", "replicas: [{name: web, count: 2}]")],
        "replicas: resource with name web",
    );
}

#[test]
fn explicit_empty_resources_are_no_error() {
    assert!(build(&tree(&[("top/kustomization.yaml", "resources: []")]), "top").unwrap().is_empty());
}

#[test]
fn edits_change_the_top() {
    let files = tree(&[
        ("top/kustomization.yaml", "resources: [a.yaml]\nimages: [{name: nginx, newTag: old}]"),
        (
            "top/a.yaml",
            "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: nginx}]}}",
        ),
    ]);
    let edits = Edits {
        name_prefix: "x-".into(),
        images: vec![ImageEdit::parse("nginx=mirror/nginx:1.27").unwrap()],
        common_labels: [("a".to_string(), "b".to_string())].into(),
        ..Edits::default()
    };
    let documents = build_with(&files, "top", &edits, Limits::default()).unwrap();
    let text = documents[0].to_string();
    assert!(
        text.contains(r#""name":"x-p""#) && text.contains("mirror/nginx:1.27") && text.contains(r#""a":"b""#),
        "{text}"
    );
    assert_eq!(ImageEdit::parse("nginx"), None);
}

#[test]
fn charts_in_the_source_are_rendered() {
    let files = tree(&[
        (
            "top/kustomization.yaml",
            "namespace: shop\nnamePrefix: x-\nhelmCharts:\n- name: web\n  releaseName: rel\n  valuesInline: {b: over, list: [1]}\n",
        ),
        ("top/charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("top/charts/web/values.yaml", "a: own\nb: own\n"),
        (
            "top/charts/web/templates/cm.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-cm\ndata:\n  a: {{ .Values.a }}\n  b: {{ .Values.b }}\n  ns: {{ .Release.Namespace }}\n",
        ),
    ]);
    let world = crate::go::world::Fixed::at(0);
    let options = Options { world: Some(&world), ..Options::default() };
    let documents = build_options(&files, "top", &options).unwrap();
    // As upstream, the namespace goes to the chart and not over its objects.
    let expected = "apiVersion: v1\ndata:\n  a: own\n  b: over\n  ns: shop\nkind: ConfigMap\nmetadata:\n  name: x-rel-cm\n";
    assert_eq!(crate::print(&documents), expected);
    let error = build(&files, "top").unwrap_err().to_string();
    assert!(error.contains("helmCharts[0]: charts are not rendered here"), "{error}");
}

/// Found in public repositories.
#[test]
fn what_nobody_wrote_goes_and_what_is_there_stays() {
    let build = |files: &[(&str, &str)]| {
        let tree = Tree::memory(files.iter().map(|(path, text)| (*path, text.as_bytes().to_vec())));
        crate::print(&build(&tree, "top").unwrap())
    };
    // A field without a value goes under a merge, a written null stays.
    let object = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  affinity:\n    a:\n      b:\n    c: null\n  x: 1\n";
    let patch = "patches: [{patch: '{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {x: 2}}'}]";
    assert_eq!(
        build(&[
            ("top/kustomization.yaml", &format!("resources: [a.yaml]\n{patch}")),
            ("top/a.yaml", object)
        ]),
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  affinity:\n    a: {}\n    c: null\n  x: 2\n"
    );
    // A Secret has data, also of nothing; a text keeps the line end that it has not.
    assert_eq!(
        build(&[
            (
                "top/kustomization.yaml",
                "resources: [a.yaml]\nsecretGenerator: [{name: s, options: {disableNameSuffixHash: true}}]"
            ),
            (
                "top/a.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  t: |\n    one\n    two"
            )
        ]),
        "apiVersion: v1\ndata:\n  t: |-\n    one\n    two\nkind: ConfigMap\nmetadata:\n  name: m\n---\napiVersion: v1\ndata: {}\nkind: Secret\nmetadata:\n  name: s\ntype: Opaque\n"
    );
    // A JSON patch replaces also what is not there.
    let replace = "patches: [{target: {kind: Pod}, patch: '[{op: replace, path: /spec/y, value: 3}]'}]";
    assert!(
        build(&[
            ("top/kustomization.yaml", &format!("resources: [a.yaml]\n{replace}")),
            ("top/a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {x: 1}\n")
        ])
        .ends_with("spec:\n  x: 1\n  \"y\": 3\n")
    );
}

/// As upstream's tests of its plugins write them.
#[test]
fn configurations_of_plugins_are_read_in_any_case() {
    let built = build(
        &tree(&[
            (
                "top/kustomization.yaml",
                "resources: [a.yaml]\ntransformers:\n- |-\n  apiVersion: builtin\n  kind: ImageTagTransformer\n  metadata: {name: t}\n  imageTag: {name: nginx, Digest: 'sha256:2'}\n- |-\n  apiVersion: builtin\n  kind: AnnotationsTransformer\n  metadata: {name: t}\n  annotations: {app: true, n: 1}\n  fieldSpecs: [{path: metadata/annotations, create: true}]\n- |-\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: t}\n  Path: p.yaml\n",
            ),
            ("top/p.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {x: 1}\n"),
            ("top/a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: 'nginx:1'}]}\n"),
        ]),
        "top",
    )
    .unwrap();
    assert_eq!(
        crate::print(&built),
        "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    app: \"true\"\n    \"n\": \"1\"\n  name: p\nspec:\n  containers:\n  - image: nginx@sha256:2\n  x: 1\n"
    );
}
