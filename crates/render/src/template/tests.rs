//! Templates, and what Go's text/template prints for them or says is wrong.

use std::rc::Rc;

use super::*;
use crate::go::world::Fixed;
use crate::go::{Map, Value};

fn run(text: &str) -> Result<String, String> {
    let functions: &'static Functions = Box::leak(Box::new(builtin::functions()));
    let world = Fixed::at(0);
    let exec = Exec::new(&world, functions, Bounds { stack: 1 << 20, ..Bounds::default() });
    let set = Rc::new(Set::default());
    set.add(parse::parse("t", text, functions)?);
    let data = Map::any([("a", Value::Int(3)), ("l", Value::list(vec!["x".into(), "y".into()]))]);
    let tree = set.find("t").expect("the template that was parsed");
    execute(&exec, &set, &tree, Value::Map(data)).map(|out| String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn the_language() {
    let check = |text: &str, expected: &str| assert_eq!(run(text).unwrap(), expected, "{text}");
    check("{{- /* c */ -}} a {{- 1 }} {{ 1.50 }} {{ 'a' }} {{ `r` }}", "a1 1.5 97 r");
    check("{{ range $i, $e := .l }}{{ $i }}{{ $e }}{{ else }}none{{ end }}", "0x1y");
    check("{{ range 3 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "02");
    check("{{ with $x := .a }}{{ $x }}{{ else with 2 }}{{ . }}{{ end }}", "3");
    check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2");
    check(
        "{{ define \"d\" }}<{{ . }}>{{ end }}{{ template \"d\" .a }}{{ block \"b\" 4 }}{{ . }}{{ end }}",
        "<3>4",
    );
    check("{{ printf \"%05d|%-4s|%q|%v|%T\" 42 \"ab\" \"x\" .l 1.0 }}", "00042|ab  |\"x\"|[x y]|float64");
    check("{{ and 1 0 .nosuch }}{{ or 0 \"\" 5 }}{{ not 0 }}{{ index .l 1 }}{{ len .l }}", "05truey2");
}

#[test]
fn faults_have_gos_texts() {
    let check = |text: &str, expected: &str| assert_eq!(run(text).unwrap_err(), expected, "{text}");
    check(
        "{{ .a.b }}",
        "template: t:1:5: executing \"t\" at <.a.b>: can't evaluate field b in type interface {}",
    );
    check(
        "{{ index .l 5 }}",
        "template: t:1:3: executing \"t\" at <index .l 5>: error calling index: index out of range: 5",
    );
    check("x\n{{ end }}", "template: t:2: unexpected {{end}}");
    check("{{ if 1 }}", "template: t:1: unexpected EOF");
    check(
        "{{ template \"no\" }}",
        "template: t:1:12: executing \"t\" at <{{template \"no\"}}>: template \"no\" not defined",
    );
}
