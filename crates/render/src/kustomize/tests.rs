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
        "top/kustomization.yaml:1: resources[0]: a.yaml: no such file",
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

/// What grows, turns in a circle, or leads out: an error that names the place, and soon.
#[test]
fn bad_input_is_refused() {
    let object = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: {x: x}\n";
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    fails(
        &[("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", &format!("{object}{bomb}"))],
        "top/a.yaml: more than 2000000 values after aliases are expanded",
    );
    fails(&[("top/kustomization.yaml", &bomb)], "top/kustomization.yaml: ");
    let deep = format!("{object}b: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    fails(&[("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", &deep)], "exceeded max depth");
    fails(
        &[("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", "a: &a [*a]\n")],
        "anchor 'a' value contains itself",
    );
    // Copies that double the object, texts that double themselves.
    let doubling: String =
        (0..60).map(|at| format!("- {{op: copy, from: /spec, path: /spec/y{at}}}\n")).collect();
    let patch = format!(
        "resources: [a.yaml]\npatches:\n- target: {{kind: A}}\n  patch: |\n    {}",
        doubling.replace('\n', "\n    ")
    );
    fails(&[("top/kustomization.yaml", &patch), ("top/a.yaml", object)], "copy operations copy more than");
    let doubling = "- source: {kind: A, fieldPath: spec.x}\n  targets: [{select: {kind: A}, fieldPaths: [spec.x], options: {delimiter: '/', index: 99}}]\n";
    let replacements = format!("resources: [a.yaml]\nreplacements:\n{}", doubling.repeat(40));
    fails(
        &[("top/kustomization.yaml", &replacements), ("top/a.yaml", object)],
        "the text would be longer than",
    );
    let long = format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\nlong: {}\n", "x".repeat(1 << 16));
    let many = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: i, args: ['{}']}}]}}\n",
        "$(L)".repeat(1 << 10)
    );
    let vars = "resources: [a.yaml, p.yaml]\nvars: [{name: L, objref: {apiVersion: v1, kind: A, name: a}, fieldref: {fieldPath: long}}]";
    fails(
        &[("top/kustomization.yaml", vars), ("top/a.yaml", &long), ("top/p.yaml", &many)],
        "a text with variables would be longer than",
    );
    fails(
        &[
            ("top/kustomization.yaml", "resources: [../b]\ncomponents: [../c]"),
            ("b/kustomization.yaml", "resources: []"),
            (
                "c/kustomization.yaml",
                "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncomponents: [../c]",
            ),
        ],
        "includes itself: top -> c -> c",
    );
    fails(&[("top/kustomization.yaml", "resources: [.]")], "includes itself: top -> top");
    fails(&[("top/kustomization.yaml", "resources: [/etc]")], "leads out of the source");
    fails(
        &[("top/kustomization.yaml", "configMapGenerator: [{name: a, files: [../../x]}]")],
        "leads out of the source",
    );
}

#[test]
fn output_is_bounded() {
    let objects: String =
        (0..20).map(|at| format!("---\napiVersion: v1\nkind: A\nmetadata: {{name: a{at}}}\n")).collect();
    let files = tree(&[("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", &objects)]);
    let with = |limits: Limits| build_with(&files, "top", &Edits::default(), limits).map(|all| all.len());
    assert_eq!(with(Limits { objects: 20, output: 1 << 20 }).unwrap(), 20);
    let error = with(Limits { objects: 19, output: 1 << 20 }).unwrap_err().to_string();
    assert_eq!(error, "the output holds more than 19 objects; split the application");
    let error = with(Limits { objects: 20, output: 500 }).unwrap_err().to_string();
    assert_eq!(error, "the output is larger than 500 bytes; split the application");
    // Grown by what every object is given, not by what is read.
    let files = tree(&[
        (
            "top/kustomization.yaml",
            &format!("resources: [a.yaml]\ncommonAnnotations: {{a: {}}}", "x".repeat(1000)),
        ),
        ("top/a.yaml", &objects),
    ]);
    let error =
        build_with(&files, "top", &Edits::default(), Limits { objects: 20, output: 10_000 }).unwrap_err();
    assert!(matches!(error, crate::Error::TooLarge { .. }), "{error}");
}

/// Links are followed inside of the source, and nowhere else.
#[test]
fn links_stay_inside() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("source");
    std::fs::create_dir_all(root.join("top")).unwrap();
    std::fs::write(folder.path().join("secret.yaml"), "apiVersion: v1\nkind: A\nmetadata: {name: s}\n")
        .unwrap();
    std::fs::write(root.join("top/real.yaml"), "apiVersion: v1\nkind: A\nmetadata: {name: a}\n").unwrap();
    let link =
        |target: &str, name: &str| std::os::unix::fs::symlink(target, root.join("top").join(name)).unwrap();
    link("../../secret.yaml", "out.yaml");
    link("/etc/hostname", "absolute.yaml");
    link("loop.yaml", "loop.yaml");
    link("real.yaml", "fine.yaml");
    let build = |name: &str| {
        std::fs::write(root.join("top/kustomization.yaml"), format!("resources: [{name}]")).unwrap();
        super::build(&Tree::directory(&root), "top").map(|all| all.len()).map_err(|error| error.to_string())
    };
    assert_eq!(build("fine.yaml"), Ok(1));
    for (name, expected) in [
        ("out.yaml", "leads out of the source"),
        ("absolute.yaml", "leads out of the source"),
        ("loop.yaml", "links"),
    ] {
        let error = build(name).unwrap_err();
        assert!(error.contains(expected), "{name}: {error}");
    }
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
    let chart = "helmCharts:\n- name: web\n  nameTemplate: '{{ upper \"a\" | lower }}-b'\n";
    let files = files.with_file("top/kustomization.yaml", chart.into());
    let documents = build_options(&files, "top", &options).unwrap();
    assert_eq!(documents[0].str_at(&["metadata", "name"]), "a-b-cm");
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
