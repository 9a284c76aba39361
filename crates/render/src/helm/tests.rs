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
