//! Charts that want all of the machine: each ends in an error that says which bound it met, and takes little on the way.

use super::*;
use crate::go::world::Fixed;

fn fails(files: &[(&str, &str)]) -> String {
    let mut all = vec![("Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n")];
    all.retain(|(name, _)| !files.iter().any(|(own, _)| own == name));
    all.extend_from_slice(files);
    let chart = Chart::from_files(all.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())));
    let mut options = Options::new("r", "ns");
    options.bounds = Bounds { output: 8 << 20, steps: 3_000_000, memory: 16 << 20, ..Bounds::default() };
    match template(&chart, &options, &Fixed::at(0)) {
        Ok(rendered) => panic!("{files:?} gives {} bytes", rendered.text.len()),
        Err(error) => error.to_string(),
    }
}

/// Templates, and what their error says.
const TEMPLATES: &[(&str, &str)] = &[
    // What calls itself.
    (
        r#"{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}"#,
        "exceeded maximum template depth",
    ),
    (r#"{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}"#, "nested reference name: x"),
    (
        r#"{{ define "x" }}{{ tpl "{{ include \"x\" . }}" . }}{{ end }}{{ include "x" . }}"#,
        "nested reference name: x",
    ),
    (
        r#"{{ $_ := set .Values "t" "{{ tpl .Values.t . }}" }}{{ tpl .Values.t . }}"#,
        "tpl calls itself more than 1000 times",
    ),
    // Long ways.
    ("{{ range until 100000000 }}x{{ end }}", "steps"),
    ("{{ range 1000000000 }}x{{ end }}", "steps"),
    ("{{ untilStep 0 1000000000 1 | len }}", "steps"),
    ("{{ seq 1 1000000000 | len }}", "steps"),
    ("{{ randAlphaNum 1000000000 | len }}", "steps"),
    (r#"{{ range 1000000 }}{{ $x := htpasswd "u" "p" }}{{ end }}"#, "steps"),
    (r#"{{ $s := repeat 1000000 "a" }}{{ range 1000000 }}{{ $x := upper $s }}{{ end }}"#, "steps"),
    (r#"{{ $s := repeat 1000000 "a" }}{{ range 1000000 }}{{ $x := regexMatch "b$" $s }}{{ end }}"#, "steps"),
    // Texts that grow.
    (r#"{{ repeat 1000000000 "x" }}"#, "write more than 8388608 bytes"),
    (r#"{{ indent 1000000000 "x" }}"#, "write more than"),
    (r#"{{ $s := "x" }}{{ range 60 }}{{ $s = print $s $s }}{{ end }}"#, "write more than"),
    (r#"{{ $s := "x" }}{{ range 60 }}{{ $s = cat $s $s }}{{ end }}"#, "write more than"),
    (r#"{{ $s := "x" }}{{ range 60 }}{{ $s = quote $s $s }}{{ end }}"#, "write more than"),
    (r#"{{ $s := "x" }}{{ range 60 }}{{ $s = replace "x" "xx" $s }}{{ end }}"#, "write more than"),
    (r#"{{ regexReplaceAll "a" (repeat 100000 "a") (repeat 100000 "b") }}"#, "write more than"),
    (r#"{{ regexReplaceAll "a+" (repeat 100000 "a") (repeat 10000 "${0}") }}"#, "write more than"),
    // Lists and maps that grow, or that hold themselves.
    ("{{ $l := list 1 }}{{ range 40 }}{{ $l = concat $l $l }}{{ end }}", "of lists and maps"),
    (
        r#"{{ $m := dict }}{{ range $i, $_ := until 500000 }}{{ $_ := set $m (toString $i) (dict) }}{{ end }}"#,
        "of lists and maps",
    ),
    (r#"{{ splitList "" (repeat 5000000 "x") | len }}"#, "of lists and maps"),
    (
        r#"{{ $s := "x" }}{{ range 60 }}{{ $s = list $s $s }}{{ end }}{{ toJson $s }}"#,
        "is too large, holds itself",
    ),
    (
        r#"{{ $s := "x" }}{{ range 60 }}{{ $s = list $s $s }}{{ end }}{{ toYaml $s }}"#,
        "is too large, holds itself",
    ),
    (r#"{{ $s := "x" }}{{ range 60 }}{{ $s = list $s $s }}{{ end }}{{ $s }}"#, "is too large, holds itself"),
    (
        r#"{{ $s := repeat 1000000 "x" }}{{ range 10 }}{{ $s = list $s $s }}{{ end }}{{ toJson $s }}"#,
        "is too large, holds itself",
    ),
    (r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ $m }}"#, "holds itself"),
    (
        r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ $_ := set $m "b" $m }}{{ printf "%v" $m }}"#,
        "holds itself",
    ),
    (r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ toString $m }}"#, "holds itself"),
    (r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ deepCopy $m }}"#, "holds itself"),
    (r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ toToml $m }}"#, "holds itself"),
    (r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ toYamlPretty $m }}"#, "holds itself"),
    (
        r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ $n := dict }}{{ $_ := set $n "a" $n }}{{ deepEqual $m $n }}"#,
        "holds itself",
    ),
    (r#"{{ $m := dict }}{{ $_ := set $m "a" $m }}{{ mustToJson $m }}"#, "encountered a cycle"),
];

#[test]
fn templates_end() {
    let wrong = TEMPLATES.iter().filter_map(|(text, expected)| {
        let error = fails(&[("templates/a.yaml", text)]);
        (!error.contains(expected)).then(|| format!("{text}: {}", &error[..error.len().min(400)]))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_map_that_holds_itself_is_nothing_as_json_or_yaml() {
    let text = r#"a: {{ $m := dict }}{{ $_ := set $m "a" $m }}{{ toJson $m }}{{ toYaml $m }}x"#;
    let files = [("Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n"), ("templates/a.yaml", text)];
    let chart = Chart::from_files(files.map(|(name, text)| (name, text.as_bytes().to_vec())));
    let rendered = template(&chart, &Options::new("r", "ns"), &Fixed::at(0)).expect("it renders");
    assert_eq!(rendered.text, "---\n# Source: c/templates/a.yaml\na: x\n");
}

#[test]
fn long_chains_are_let_go() {
    let text = "{{ $s := list }}{{ range 100000 }}{{ $s = list $s }}{{ end }}{{ $m := dict }}{{ range 50000 }}{{ $m = dict \"a\" $m }}{{ end }}{{ fail \"here\" }}";
    assert!(
        fails(&[("templates/a.yaml", text)]).ends_with("here\n\nUse --debug flag to render out invalid YAML")
    );
}

#[test]
fn aliases_in_values_are_counted() {
    let mut values = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for at in 1..9 {
        let before = format!("*a{}", at - 1);
        values.push_str(&format!("a{at}: &a{at} [{}]\n", vec![before; 9].join(",")));
    }
    assert!(fails(&[("values.yaml", &values)]).contains("excessive aliasing"));
}

#[test]
fn charts_in_charts_end() {
    // A dependency under its own name and as an alias of itself, and charts deeper than anybody needs.
    let own = "apiVersion: v2\nname: c\nversion: 0.1.0\ndependencies: [{name: c, version: '*', alias: d}]\n";
    assert!(fails(&[("Chart.yaml", own)]).contains("missing in charts/ directory: c"));
    let mut at = String::new();
    let mut files = Vec::new();
    for level in 0..200 {
        at.push_str(&format!("charts/c{level}/"));
        files.push((format!("{at}Chart.yaml"), format!("apiVersion: v2\nname: c{level}\nversion: 0.1.0\n")));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(fails(&files).contains("deep in one another"));
}
