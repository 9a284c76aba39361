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
fn endless_templates_end() {
    let recursive = "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}";
    let error = render(&[("templates/a.yaml", recursive)], &[]).unwrap_err();
    assert!(error.ends_with("exceeded maximum template depth (100000)"), "{error}");
    let included = "{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}";
    let error = render(&[("templates/a.yaml", included)], &[]).unwrap_err();
    assert!(error.contains("rendering template has a nested reference name: x"), "{}", &error[..200]);
    let large = "{{ repeat 1000000000 \"x\" }}";
    let error = render(&[("templates/a.yaml", large)], &[]).unwrap_err();
    assert!(error.contains("write more than"), "{error}");
    let long = "{{ range until 100000000 }}x{{ end }}";
    let error = render(&[("templates/a.yaml", long)], &[]).unwrap_err();
    assert!(error.contains("more than"), "{error}");
}
