//! What upstream's own tests ask (fluxcd/pkg/envsubst), and objects.

use super::*;

fn variables(list: &[(&str, &str)]) -> Variables {
    list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn functions_of_bash() {
    let path = "/home/bozo/ideas/thoughts.for.today";
    for (name, value, input, output) in [
        ("a", "abcdEFGH28ij", "${#a}", "12"),
        ("a", "abcdEFGH28ij", "${a^} ${a^^}", "AbcdEFGH28ij ABCDEFGH28IJ"),
        ("a", "ABCDEFGH28IJ", "${a,} ${a,,}", "aBCDEFGH28IJ abcdefgh28ij"),
        ("a", path, "${a:11} ${a:11:5} ${a:-3:2} ${a:99}.", "ideas/thoughts.for.today ideas x."),
        ("a", "", "${a:-x} ${a:=y} ${a=z} ${b:=}.", "x y z ."),
        ("a", "abc", "${a=xyz} ${b=${a}} ${b=p${a}-s}", "abc abc pabc-s"),
        ("a", "abcABC123ABCabc", "${a/%abc/XYZ} ${a/#abc/XYZ}", "abcABC123ABCXYZ XYZABC123ABCabc"),
        ("a", "abcABC123ABCabc", "${a//abc/xyz} ${a/abc/xyz}", "xyzABC123ABCxyz xyzABC123ABCabc"),
        ("a", "bash.string.txt", "${a#*.} ${a##*.} ${a%.*} ${a%%.*}", "string.txt txt bash.string bash"),
        ("a", "/path/to/file", "${a#*/} ${a##*/}", "path/to/file file"),
        ("a", "x", "$${a} ${a}$${v$${a}$a${a}", "${a} x${v${a}$ax"),
        ("a", "foo/bar/baz", r"${a/\//-} ${a//\//-}", "foo-bar/baz foo-bar-baz"),
        ("a", "foo.bar", r"\\ ${a/./} $", r"\\ foobar $"),
        ("a", "abc", "${a#[a-b]} ${a#[^a]} ${a%?}", "bc abc ab"),
    ] {
        // The value of `-3:2` has no default operator: `:-` is one.
        let output = if input.contains(":-3:2") {
            output.replace(" x.", &format!(" {path} ."))
        } else {
            output.into()
        };
        assert_eq!(evaluate(input, &variables(&[(name, value)]), false), Ok(output), "{input}");
    }
}

#[test]
fn faults() {
    for (input, fault) in [
        ("${", Fault::Name),
        ("${a", Fault::Brace),
        ("${a-b}", Fault::Brace),
        ("${a:", Fault::Argument),
        ("${a#}", Fault::Argument),
        ("${a:=b", Fault::Argument),
        ("${#}", Fault::Bad),
        ("${a/b}", Fault::Bad),
        ("${missing}", Fault::NotSet("missing".into())),
        ("${missing^^}", Fault::NotSet("missing".into())),
    ] {
        assert_eq!(evaluate(input, &variables(&[("a", "1")]), true), Err(fault), "{input}");
    }
    assert_eq!(evaluate("${missing:-x}${missing=y}", &Variables::new(), true), Ok("xy".into()));
    let deep = format!("{}{}", "${a:=".repeat(1000), "}".repeat(1000));
    assert_eq!(evaluate(&deep, &Variables::new(), false), Err(Fault::Deep));
}

#[test]
fn lengths_below_zero_count_from_the_end() {
    let variables = variables(&[("a", "abcdef"), ("e", "é")]);
    for (input, output) in
        [("${a:1:-1}", "bcde"), ("${a:0:-6}", ""), ("${a:4:-3}", ""), ("${a:-2:1}", "abcdef")]
    {
        assert_eq!(evaluate(input, &variables, false), Ok(output.into()), "{input}");
    }
    assert_eq!(evaluate("${e:0:1}", &variables, false), Err(Fault::Cut));
    // A part of a character is one to a pattern.
    assert_eq!(evaluate("${e#[^a]*}", &variables, false), Err(Fault::Cut));
    assert_eq!(evaluate("x${e%?}", &variables, false), Ok("x\u{fffd}".into()));
    assert_eq!(evaluate("${a:é}", &variables, false), Err(Fault::Bad));
    assert_eq!(evaluate("${e:0:1}${e:1:1}", &variables, false), Ok("é".into()));
    // Other faults are told before it.
    assert_eq!(evaluate("${e:0:1} ${b}", &variables, true), Err(Fault::NotSet("b".into())));
    assert_eq!(evaluate("${a:=${e:0:1}}", &variables, false), Ok("abcdef".into()));
}

#[test]
fn bombs_end() {
    // Each level has a hundred of the one below.
    let mut text = String::from("x");
    for _ in 0..8 {
        text = format!("${{a//x/{text}}}");
    }
    let variables = variables(&[("a", &"x".repeat(100))]);
    assert_eq!(evaluate(&text, &variables, false), Err(Fault::Long));
    assert_eq!(evaluate(&"${a}".repeat(200_000), &variables, false), Err(Fault::Long));
}

#[test]
fn objects_change_unless_they_opt_out() {
    let text = "kind: A\nmetadata: {name: '${n}'}\nspec: {replicas: '${count:=3}'}\n---\n\
                kind: A\nmetadata: {name: '${n}', labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}}\n";
    let documents = yaml::parse(text, yaml::Dialect::V2).unwrap();
    let done = substitute(documents.clone(), &variables(&[("n", "x\ny")]), Options::default()).unwrap();
    assert_eq!(done[0].str_at(&["metadata", "name"]), "xy");
    assert_eq!(done[0].at(&["spec", "replicas"]), Some(&Value::Int(3)));
    assert_eq!(done[1].str_at(&["metadata", "name"]), "${n}");
    let same = substitute(documents.clone(), &Variables::new(), Options::default()).unwrap();
    assert_eq!(same, documents);
    let error = substitute(documents, &variables(&[("1n", "")]), Options::default()).unwrap_err();
    assert!(error.to_string().contains("'1n' var name is invalid"), "{error}");
}
