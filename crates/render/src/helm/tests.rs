//! Small charts, and what `helm template` prints for them.

use super::*;
use crate::go::world::Fixed;

fn chart(files: &[(&str, &str)]) -> Chart {
    let mut all = vec![("Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n")];
    all.retain(|(name, _)| !files.iter().any(|(own, _)| own == name));
    all.extend_from_slice(files);
    Chart::from_files(all.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())))
}

fn render(files: &[(&str, &str)], set: &[&str]) -> Result<String, String> {
    let mut options = Options::new("r", "ns");
    options.set = set.iter().map(ToString::to_string).collect();
    template(&chart(files), &options, &Fixed::at(0))
        .map(|done| done.text)
        .map_err(|error| error.to_string().replace("\n\nUse --debug flag to render out invalid YAML", ""))
}

#[test]
fn renders_values_includes_and_order() {
    let files = [
        ("values.yaml", "a: 1\nb: {c: x, d: null}\n"),
        ("templates/_h.tpl", "{{ define \"l\" }}app: {{ .Release.Name }}-{{ .Chart.Name }}{{ end }}"),
        (
            "templates/z.yaml",
            "kind: Namespace\nmetadata:\n  labels:\n    {{- include \"l\" . | nindent 4 }}\n",
        ),
        ("templates/a.yaml", "kind: Pod\na: {{ .Values.a }}\n{{ toYaml .Values.b }}\n"),
    ];
    let expected = "---\n# Source: c/templates/z.yaml\nkind: Namespace\nmetadata:\n  labels:\n    app: r-c\n---\n# Source: c/templates/a.yaml\nkind: Pod\na: 2\nc: \"y\"\nd: null\n";
    assert_eq!(render(&files, &["a=2,b.c=y"]).unwrap(), expected);
}

#[test]
fn errors_are_upstreams() {
    let one = |text: &str| render(&[("templates/a.yaml", text)], &[]).unwrap_err();
    assert_eq!(
        one("a: {{ .Values.x.y }}"),
        "template: c/templates/a.yaml:1:13: executing \"c/templates/a.yaml\" at <.Values.x.y>: nil pointer evaluating interface {}.y"
    );
    assert_eq!(
        one("{{ required \"need it\" .Values.x }}"),
        "execution error at (c/templates/a.yaml:1:3): need it"
    );
    assert_eq!(one("{{ if }}"), "parse error at (c/templates/a.yaml:1): missing value for if");
    assert_eq!(one("{{ nosuch }}"), "parse error at (c/templates/a.yaml:1): function \"nosuch\" not defined");
}

#[test]
fn a_zero_below_zero_is_zero_in_yaml_alone() {
    let text = "{{ $zero := fromYaml \"a: -00.\" }}{{ $zero.a }} {{ toJson $zero }} {{ toYaml $zero }}";
    let text = format!("a: {{{{ tpl {} . | quote }}}}", crate::go::quote::quote(text.as_bytes()));
    let out = render(&[("templates/a.yaml", text.as_str())], &[]).unwrap();
    assert_eq!(out, "---\n# Source: c/templates/a.yaml\na: \"-0 {\\\"a\\\":-0} a: 0\"\n");
}

/// A gzipped tar of files of zeros; names are written as they are.
fn archive(entries: &[(&str, usize)]) -> Vec<u8> {
    let mut builder =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, size) in entries {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(*size as u64);
        header.set_cksum();
        builder.append(&header, std::io::Read::take(std::io::repeat(0), *size as u64)).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn fields_of_metadata_are_told_without_the_head() {
    let one = |metadata: &str| {
        let text = format!("apiVersion: v1\nkind: A\nmetadata: {metadata}\n");
        render(&[("templates/a.yaml", text.as_str())], &[]).unwrap_err()
    };
    assert!(one("{name: [a]}").contains("array into Go struct field .metadata.name of type string"));
    assert!(
        one("{annotations: x}").contains("Go struct field .metadata.annotations of type map[string]string")
    );
    assert!(one("x").contains("Go struct field SimpleHead.metadata of type struct"));
}

#[test]
fn archives_neither_lead_out_nor_grow() {
    let fails = |entries: &[(&str, usize)], expected: &str| {
        let error = Chart::from_archive(&archive(entries)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails(&[("c/../../x", 1)], "chart illegally references parent directory");
    fails(&[("c//etc/passwd", 1)], "chart illegally contains absolute paths");
    fails(&[("c/C:/x", 1)], "chart contains illegally named files");
    fails(&[("Chart.yaml", 1)], "content outside the base directory");
    fails(&[("c/large", (5 << 20) + 1)], "larger than the maximum file size");
    let names: Vec<String> = (0..21).map(|at| format!("c/{at}")).collect();
    let many: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 5 << 20)).collect();
    fails(&many, "decompressed chart is larger than the maximum file size");
    assert!(Chart::from_archive(b"no archive").is_err());
}

#[test]
fn links_of_a_chart_lead_nowhere_outside() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n");
    put("shared/a.yaml", "a: {{ .Release.Name }}\n");
    std::fs::create_dir_all(dir.path().join("chart/templates")).unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
    link("../../shared/a.yaml", "chart/templates/a.yaml");
    let render =
        || template_at(&Tree::directory(dir.path()), "chart", &Options::new("r", "ns"), &Fixed::at(0));
    assert_eq!(render().unwrap().text, "---\n# Source: c/templates/a.yaml\na: r\n");
    link("/etc/passwd", "chart/templates/b.yaml");
    assert!(render().unwrap_err().to_string().contains("leads out of the source"));
}

#[test]
fn notes_are_the_charts_own_unless_those_of_subcharts_are_asked_for() {
    let files = [
        ("templates/NOTES.txt", "Thanks for {{ .Chart.Name }}"),
        ("charts/low/Chart.yaml", "apiVersion: v2\nname: low\nversion: 0.1.0\n"),
        ("charts/low/templates/NOTES.txt", "Below {{ .Release.Name }}"),
    ];
    let mut options = Options::new("r", "ns");
    let notes = |options: &Options| template(&chart(&files), options, &Fixed::at(0)).unwrap().notes;
    assert_eq!(notes(&options), "Thanks for c");
    options.render_subchart_notes = true;
    assert_eq!(notes(&options), "Below r\nThanks for c");
}

/// A world with a cluster that has one ConfigMap.
struct Cluster;

impl World for Cluster {
    fn now(&self) -> i128 {
        0
    }
    fn random(&self, _: &mut [u8]) {}
    fn zone(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn lookup(&self, wanted: &Lookup<'_>) -> Result<Option<Value>, String> {
        let object = Value::Object(api::Map::from_iter([("replicas", Value::Int(3))]));
        match (wanted.api_version, wanted.kind, wanted.namespace, wanted.name) {
            ("v1", "ConfigMap", "ns", "own") => Ok(Some(object)),
            ("v1", "ConfigMap", ..) => Ok(None),
            (_, kind, ..) => Err(format!("no kind {kind}")),
        }
    }
}

#[test]
fn lookup_asks_the_worlds_cluster() {
    let of = |text: &str, world: &dyn World| {
        let files = [("templates/a.yaml", text)];
        template(&chart(&files), &Options::new("r", "ns"), world)
            .map(|done| done.text.lines().nth(2).unwrap_or_default().to_string())
            .map_err(|error| error.to_string())
    };
    let own = "a: {{ (lookup \"v1\" \"ConfigMap\" \"ns\" \"own\").replicas | printf \"%T\" }}";
    assert_eq!(of(own, &Cluster).unwrap(), "a: int64");
    let none = "a: {{ lookup \"v1\" \"ConfigMap\" \"ns\" \"none\" }}";
    assert_eq!(of(none, &Cluster).unwrap(), "a: map[]");
    assert_eq!(of(none, &Fixed::at(0)).unwrap(), "a: map[]");
    let unknown = "a: {{ lookup \"v2\" \"Widget\" \"\" \"\" }}";
    assert!(of(unknown, &Cluster).unwrap_err().contains("error calling lookup: no kind Widget"));
}

#[test]
fn a_post_renderer_is_a_kustomization_over_the_objects() {
    let files = [
        ("templates/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: own\n"),
        (
            "templates/h.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: hook\n  annotations: {helm.sh/hook: test}\n",
        ),
    ];
    let tree = || Tree::memory([("over/kustomization.yaml", "resources: [all.yaml]\nnamePrefix: pre-\n")]);
    let then = |objects: String| kustomized(tree(), "over", &objects);
    let done = template_then(&chart(&files), &Options::new("r", "ns"), &Fixed::at(0), &then).unwrap();
    // Hooks are not given to it, as upstream does not.
    assert_eq!(
        done.text,
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: pre-own\n---\n# Source: c/templates/h.yaml\napiVersion: v1\nkind: Pod\nmetadata:\n  name: hook\n  annotations: {helm.sh/hook: test}\n"
    );
    let fails = |_: String| kustomized(tree(), "nowhere", "");
    assert!(template_then(&chart(&files), &Options::new("r", "ns"), &Fixed::at(0), &fails).is_err());
}

#[test]
fn what_lies_below_an_alias_keeps_its_path() {
    let files = [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: c\nversion: 0.1.0\ndependencies: [{name: mid, version: '*', alias: a}]\n",
        ),
        ("charts/mid/Chart.yaml", "apiVersion: v2\nname: mid\nversion: 0.1.0\n"),
        ("charts/mid/templates/m.yaml", "kind: Mid"),
        ("charts/mid/charts/low/Chart.yaml", "apiVersion: v2\nname: low\nversion: 0.1.0\n"),
        ("charts/mid/charts/low/templates/l.yaml", "kind: Low"),
    ];
    assert_eq!(
        render(&files, &[]).unwrap(),
        "---\n# Source: c/charts/mid/charts/low/templates/l.yaml\nkind: Low\n---\n# Source: c/charts/a/templates/m.yaml\nkind: Mid\n"
    );
    let declared = files.map(|(name, text)| match name {
        "charts/mid/Chart.yaml" => {
            (name, "apiVersion: v2\nname: mid\nversion: 0.1.0\ndependencies: [{name: low, version: '*'}]\n")
        }
        _ => (name, text),
    });
    assert!(render(&declared, &[]).unwrap().contains("# Source: c/charts/a/charts/low/templates/l.yaml\n"));
}
