//! Tests of YAML as Go reads and writes it.

use super::{Dialect, emit};

fn parse(text: &str) -> Result<Vec<crate::Value>, super::Error> {
    super::parse(text, Dialect::V3)
}

fn check(input: &str, expected: &str) {
    let documents = parse(input).unwrap_or_else(|error| panic!("{input}: {error}"));
    let mut out = String::new();
    emit(&documents[0], &mut out);
    assert_eq!(out, expected, "{input}");
}

#[test]
fn scalars_come_out_as_go_prints_them() {
    check(
        "a: 0777\nb: 0x1f\nc: 1_000\nd: 1e3\ne: 1.5\nf: 1234567.5\n",
        "a: 511\nb: 31\nc: 1000\nd: 1000\ne: 1.5\nf: 1.2345675e+06\n",
    );
    check(
        "a: yes\nb: on\nc: true\nd: 'true'\ne: ~\nf:\n",
        "a: \"yes\"\nb: \"on\"\nc: true\nd: \"true\"\ne: null\nf: null\n",
    );
    check(
        "a: '2001-01-01'\nb: '1'\nc: 1:20\nd: ''\ne: 12:30:45\n",
        "a: \"2001-01-01\"\nb: \"1\"\nc: \"1:20\"\nd: \"\"\ne: \"12:30:45\"\n",
    );
    check(
        "a: '#x'\nb: 'x: y'\nc: it''s\nd: '- x'\ne: \"tab\\there\"\nf: '*'\n",
        "a: '#x'\nb: 'x: y'\nc: it''s\nd: '- x'\ne: \"tab\\there\"\nf: '*'\n",
    );
    check(
        "a: |\n  one\n  two\nb: |-\n  one\n  two\nc: |+\n  one\n\n",
        "a: |\n  one\n  two\nb: |-\n  one\n  two\nc: |+\n  one\n\n",
    );
    check("a: \"one \\ntwo\"\n", "a: \"one \\ntwo\"\n");
    check("a: 12e03\nb: 0o17\nc: 089\nd: .5\ne: -0x10\n", "a: 12000\nb: 15\nc: 89\nd: 0.5\ne: -16\n");
}

#[test]
fn what_only_resembles_a_number_needs_no_quotes() {
    check(
        "a: '21:59:43.10 -5'\nb: '.1e3211'\nc: '21:59:43.10'\nd: -0.0\n",
        "a: 21:59:43.10 -5\nb: .1e3211\nc: \"21:59:43.10\"\nd: 0\n",
    );
}

#[test]
fn of_two_shortest_texts_the_even_one_is_printed() {
    for (number, expected) in [
        (1426376601799334.3, "1426376601799334.2"),
        (-207106788572.14063, "-207106788572.14062"),
        (0.3, "0.3"),
        (123456789012345.67, "123456789012345.67"),
    ] {
        let (mantissa, exponent) =
            super::shortest(number).split_once('e').map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
        let (wanted, power) = super::shortest(expected.parse().unwrap())
            .split_once('e')
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .unwrap();
        assert_eq!((&mantissa, &exponent), (&wanted, &power));
        let digits: String = expected.chars().filter(char::is_ascii_digit).collect();
        assert!(digits.ends_with(&mantissa.replace(['.', '-'], "")), "{mantissa} {expected}");
    }
}

#[test]
fn unicodes_line_ends_are_line_ends() {
    let list = crate::Value::Array(vec!["x\u{2028}y\n".into(), "x\ny\u{2029}".into(), "z".into()]);
    let mut out = String::new();
    emit(&list, &mut out);
    assert_eq!(out, "- |\n  x\u{2028}  y\n- |\n  x\n  y\u{2029}- z\n");
}

#[test]
fn long_keys_are_written_as_upstream_writes_them() {
    let key = format!("{} {}", "x".repeat(90), "y".repeat(90));
    check(
        &format!("{key}: [{{a: 1, b: [2, 3]}}, 4]\n"),
        &format!("? {}\n  {}\n: - a: 1\n    b:\n    - 2\n    - 3\n  - 4\n", "x".repeat(90), "y".repeat(90)),
    );
}

#[test]
fn keys_without_an_order_are_printed_all_the_same() {
    // As yaml.v2 compares them, some of these come before each other in circles.
    let parts = ["0", "00", "1", "01", "a", "A", "_", ".", "9", "\u{665}", "é", "-"];
    let mut map = crate::Map::new();
    for left in parts {
        for middle in parts {
            for right in parts {
                map.insert(format!("{left}{middle}{right}"), crate::Value::Int(1));
            }
        }
    }
    let count = map.len();
    let mut out = String::new();
    emit(&crate::Value::Object(map.clone()), &mut out);
    assert_eq!(out.lines().count(), count);
    let mut turned = crate::Map::new();
    for (key, value) in map.iter().collect::<Vec<_>>().into_iter().rev() {
        turned.insert(key.clone(), value.clone());
    }
    let mut again = String::new();
    emit(&crate::Value::Object(turned), &mut again);
    assert_eq!(again, out);
    // Many keys that have an order.
    let mut map = crate::Map::new();
    for at in 0..1000 {
        map.insert(format!("k{}", (at * 7919) % 1000), crate::Value::Int(1));
    }
    let mut out = String::new();
    emit(&crate::Value::Object(map), &mut out);
    let expected: Vec<String> = (0..1000).map(|at| format!("k{at}: 1")).collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn structure() {
    check(
        "b: [1, [2, 3], {x: 1, a: 2}]\na: {}\nc: []\n",
        "a: {}\nb:\n- 1\n- - 2\n  - 3\n- a: 2\n  x: 1\nc: []\n",
    );
    check("a10: 1\na2: 2\nA: 3\n_b: 4\n", "_b: 4\nA: 3\na2: 2\na10: 1\n");
    check("x: &x {a: 1, b: 2}\nz: {<<: *x, b: 3}\n", "x:\n  a: 1\n  b: 2\nz:\n  a: 1\n  b: 3\n");
}

#[test]
fn bombs_and_faults_are_told() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let below = level - 1;
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{below}"); 10].join(","));
    }
    assert!(parse(&bomb).unwrap_err().text.contains("aliases"));
    assert!(parse("a: 1\na: 2\n").unwrap_err().text.contains("twice"));
    assert!(parse("a: b\nc: [\n").unwrap_err().line >= 2);
    assert_eq!(parse("a: 1\n---\n---\nb: 2\n").unwrap().len(), 3);
}
