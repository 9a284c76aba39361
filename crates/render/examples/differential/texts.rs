//! Generated YAML as Helm reads it (as JSON) and prints it again, and lines of `--set` and its kin.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::answer;
use crate::chance::Chance;
use crate::oracle::{Answer, ask};

const SCALARS: &[&str] = &[
    "a",
    "b c",
    "1",
    "-7",
    "0777",
    "0x1F",
    "0o17",
    "0b11",
    "1_000",
    "1.5",
    "1e3",
    "1e30",
    "12345678901234567890",
    "9223372036854775808",
    "-9223372036854775809",
    ".5",
    "5.",
    "yes",
    "No",
    "on",
    "~",
    "null",
    "",
    "true",
    "TRUE",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    "2001-1-1 1:1:1",
    "1:20",
    "12:30:45",
    "\"q\"",
    "'s'",
    "\"a\\n\\tb\"",
    "\"\\u263a\"",
    "''",
    "\"\"",
    "{}",
    "[]",
    "[1, a, {b: c}]",
    "{a: 1, b: [x], ? k : v}",
    "*x",
    "&x 1",
    "&y {p: 1}",
    "!!str 1",
    "!!int \"3\"",
    "!!float 3",
    "!!binary aGk=",
    "!foo bar",
    "a: b",
    "a #b",
    "- a",
    "? a",
    "@a",
    "`a",
    "%a",
    "<<",
    "=",
    "a,b",
    "[a",
    "{a",
    "'x",
    "\"x",
    "a'b",
    "https://a.b/c?d=e#f",
    "*nosuch",
    "é",
    "日本",
    "😀",
    "a\u{a0}b",
    ".inf",
    "-.inf",
    ".nan",
    "+1",
    "1e",
    "e1",
    "0x",
    "1__0",
    "v1.2.3",
    "a\tb",
    "#",
    "|",
    ">",
    "\\",
    "[a, b",
    "]",
];
const KEYS: &[&str] = &[
    "a",
    "b",
    "c1",
    "\"q k\"",
    "'k'",
    "on",
    "1",
    "1.5",
    "true",
    "~",
    "<<",
    "? x",
    "k.e/y",
    "-",
    "[x]",
    "{y: 1}",
    "&k k",
    "2001-01-01",
    "0x1F",
    "1e400",
    "=",
    "",
];

fn words(chance: &mut Chance) -> String {
    let all = [
        "text",
        "more",
        "a: b",
        "#c",
        "- d",
        "  in",
        "\ttab",
        "é",
        "longer words here",
        "'",
        "\"",
        "{{ x }}",
    ];
    (0..chance.below(7)).map(|_| chance.pick(&all)).collect::<Vec<_>>().join(" ")
}

fn node(chance: &mut Chance, level: usize, out: &mut String) {
    let indent = "  ".repeat(level);
    match chance.below(if level < 4 { 14 } else { 9 }) {
        0..=5 => {
            let _ = writeln!(out, " {}", chance.pick(SCALARS));
        }
        6 | 7 => {
            let head = chance.pick(&["|", "|-", "|+", ">", ">-", ">+", "|2", "|1-", "> # c", "|x"]);
            let _ = writeln!(out, " {head}");
            for _ in 0..chance.below(5) {
                match chance.below(6) {
                    0 => out.push('\n'),
                    1 => {
                        let _ = writeln!(out, "{indent}  {}", words(chance));
                    }
                    _ => {
                        let _ = writeln!(out, "{indent}{}", words(chance));
                    }
                }
            }
        }
        8 => {
            let _ = writeln!(out, " {}\n{indent}{}", words(chance), words(chance));
        }
        9..=11 => {
            out.push('\n');
            for _ in 0..1 + chance.below(3) {
                let _ = write!(out, "{indent}{}:", chance.pick(KEYS));
                node(chance, level + 1, out);
            }
        }
        _ => {
            out.push('\n');
            for _ in 0..1 + chance.below(3) {
                let _ = write!(out, "{indent}-");
                node(chance, level + 1, out);
            }
        }
    }
}

fn document(chance: &mut Chance) -> String {
    let mut out = String::new();
    if chance.one_in(12) {
        out.push_str(chance.pick(&[
            "---\n",
            "# c\n",
            "%YAML 1.1\n---\n",
            "%TAG ! tag:x,1:\n---\n",
            "\n\n",
            "--- a\n",
            "\t",
        ]));
    }
    for _ in 0..1 + chance.below(4) {
        let _ = write!(out, "{}:", chance.pick(KEYS));
        node(chance, 1, &mut out);
    }
    if chance.one_in(6) && !out.is_empty() {
        // Cut, doubled or marked somewhere.
        let at = chance.below(out.len());
        let at = (at..out.len()).find(|at| out.is_char_boundary(*at)).unwrap_or(0);
        match chance.below(3) {
            0 => out.truncate(at),
            1 => out.insert_str(
                at,
                chance.pick(&[":", "\n", " ", "-", "'", "\"", "#", "\t", "---\n", "...\n", "}", "]"]),
            ),
            _ => drop(out.remove(at)),
        }
    }
    out
}

fn line(chance: &mut Chance) -> String {
    let parts = [
        "a",
        "b",
        "a.b",
        "c[0]",
        "c[1].d",
        "e[0][1]",
        "=",
        "=1",
        "=x",
        "=true",
        "=null",
        "={1,2}",
        "={}",
        "={a",
        ",",
        "\\,",
        "\\.",
        ".",
        "[",
        "]",
        "[-1]",
        "[x]",
        "=0",
        "=007",
        "=1.5",
        "=9223372036854775808",
        "=a=b",
        " ",
        "=é",
        "\"q\"",
        "={\"j\":[1]}",
        "=[1,{\"k\":null}]",
        "=\"s\"",
        "a.b.c.d",
        "[99999]",
    ];
    (0..1 + chance.below(6)).map(|_| chance.pick(&parts)).collect()
}

fn question(number: usize, seed: u64) -> Value {
    let mut chance = Chance::new(seed ^ (number as u64).wrapping_mul(0x1000_0005));
    let chance = &mut chance;
    if number % 8 != 7 {
        return json!({"id": number, "kind": "yaml", "text": document(chance)});
    }
    let files = json!({
        "Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n",
        "values.yaml": "a: {b: 1, c: [1, 2]}\nb: text\nc: [x, {d: 1}]\ne: null\n",
        "templates/a.yaml": "{{ toJson .Values }}",
    });
    let mut asked = json!({"id": number, "kind": "helm", "files": files, "name": "rel", "namespace": "ns"});
    let flag = chance.pick(&["set", "set", "set", "setString", "setJSON", "setLiteral"]);
    asked[flag] = json!([line(chance)]);
    asked
}

/// Asks `count` texts (one in eight a flag's line); true if every answer is the same.
pub fn run(count: usize, seed: u64) -> bool {
    let (mut differ, mut failed) = (0, 0);
    ask((0..count).map(move |number| question(number, seed)), |number, theirs| {
        let asked = question(number, seed);
        let ours = answer::answer(&asked);
        let same = match (&theirs, &ours) {
            (Answer::Out(theirs), Ok(ours)) => theirs == ours,
            (Answer::Error(theirs), Err(ours)) => {
                failed += 1;
                theirs == ours
            }
            _ => false,
        };
        if !same {
            differ += 1;
            if differ <= 60 {
                let theirs = match theirs {
                    Answer::Out(out) => format!("{out}"),
                    Answer::Error(error) => format!("error {error}"),
                };
                let mut about = asked;
                if let Some(about) = about.as_object_mut() {
                    about.remove("files");
                }
                println!("{about}\n  upstream {theirs}\n  here     {ours:?}");
            }
        }
    });
    println!("{count} texts and lines ({failed} refused by both), {differ} differ");
    differ == 0
}
