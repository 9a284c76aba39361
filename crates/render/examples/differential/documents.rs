//! Generated YAML documents: read and printed here and by kyaml, compared byte for byte.
//!
//! Left out, because upstream changes them when it prints them for itself: an empty value in a flow map (`{a: }`) and
//! folded texts that keep their last line ends (`>+`). Integers beyond 64 bits signed are floats here.

use std::fmt::Write;

use render::goyaml::kyaml;
use render::yaml;
use serde_json::json;

use crate::chance::Chance;
use crate::oracle::{self, Answer};
use crate::trees::first_difference;

pub fn run(count: usize, seed: u64) -> bool {
    println!("yaml: {count} documents from seed {seed}");
    let questions =
        (0..count).map(move |number| json!({"id": number, "kind": "kyaml", "text": document(seed, number)}));
    let (mut same, mut failed, mut wrong) = (0, 0, 0);
    oracle::ask(questions, |number, answer| {
        let text = document(seed, number);
        let ours = kyaml::first(&text).map(|value| {
            let mut out = String::new();
            yaml::emit(&value, &mut out);
            out
        });
        let reason = match (&ours, &answer) {
            (Ok(ours), Answer::Out(theirs)) if Some(ours.as_str()) == theirs.as_str() => {
                same += 1;
                return;
            }
            (Err(_), Answer::Error(_)) => {
                failed += 1;
                return;
            }
            (Ok(ours), Answer::Out(theirs)) => first_difference(ours, theirs.as_str().unwrap_or_default()),
            (Err(error), Answer::Out(_)) => format!("we fail: {error}"),
            (Ok(_), Answer::Error(error)) => format!("they fail: {error}"),
        };
        wrong += 1;
        if wrong <= 40 {
            println!("OTHER #{number}: {reason}\n<<<\n{text}>>>");
        }
    });
    println!("yaml: {same} same, {failed} refused by both, {wrong} other");
    wrong == 0
}

fn document(seed: u64, number: usize) -> String {
    let mut chance = Chance::new(seed.wrapping_mul(7_000_003).wrapping_add(number as u64));
    let mut out = String::new();
    for at in 0..1 + chance.below(4) {
        let key = key(&mut chance, at);
        let _ = write!(out, "{key}:");
        value(&mut chance, 1, &mut out);
    }
    out
}

fn key(chance: &mut Chance, at: usize) -> String {
    match chance.below(8) {
        0 => format!("k{}", chance.below(200)),
        1 => format!("\"a b{at}\""),
        2 => format!("'{at}'"),
        3 => format!("a.b/c{at}"),
        4 => format!("K{at}"),
        5 => format!("_x{at}"),
        _ => format!("key{at}"),
    }
}

fn value(chance: &mut Chance, level: usize, out: &mut String) {
    let indent = "  ".repeat(level);
    match chance.below(if level < 4 { 12 } else { 8 }) {
        0..=4 => {
            let _ = writeln!(out, " {}", plain(chance));
        }
        5 => {
            let _ = writeln!(out, " {}", quoted(chance));
        }
        6 => {
            let _ = writeln!(out, " {}", chance.pick(&["|", "|-", "|+", ">", ">-"]));
            for _ in 0..1 + chance.below(4) {
                if chance.one_in(5) {
                    out.push('\n');
                } else {
                    let _ = writeln!(out, "{indent}{}", words(chance));
                }
            }
        }
        7 => {
            let _ = writeln!(
                out,
                " {}",
                chance.pick(&["{}", "[]", "[1, a, \"b\"]", "{a: 1, b: [x]}", "[[1], {a: ~}]"])
            );
        }
        8 | 9 => {
            out.push('\n');
            for at in 0..1 + chance.below(3) {
                let _ = write!(out, "{indent}{}:", key(chance, at));
                value(chance, level + 1, out);
            }
        }
        _ => {
            out.push('\n');
            for _ in 0..1 + chance.below(3) {
                let _ = write!(out, "{indent}-");
                value(chance, level + 1, out);
            }
        }
    }
}

fn words(chance: &mut Chance) -> String {
    let mut text = String::new();
    for at in 0..1 + chance.below(24) {
        if at > 0 {
            text.push_str(if chance.one_in(9) { "  " } else { " " });
        }
        text.push_str(chance.pick(&[
            "word",
            "a",
            "longer-word",
            "x: y",
            "#no",
            "é",
            "日本",
            "it's",
            "\"q\"",
            "-",
            "1",
            "@",
            "$(A)",
            "{b}",
            "😀",
            "C:\\d",
        ]));
    }
    text
}

fn plain(chance: &mut Chance) -> String {
    match chance.below(6) {
        0 => format!("{}", chance.below(100_000)),
        1 => format!("{}.{}", chance.below(1000), chance.below(1000)),
        2 => format!("{}e{}", chance.below(100), chance.below(30)),
        3 => {
            let many: &[&str] = &[
                "yes",
                "no",
                "on",
                "off",
                "true",
                "True",
                "~",
                "null",
                "",
                "0x1F",
                "0o17",
                "017",
                "08",
                "0b11",
                "1_000",
                "+1",
                "-0",
                ".5",
                "-.5",
                "5.",
                "1.0",
                "1e3",
                "1E3",
                "1e+3",
                "-1.5e-7",
                "123456789012345678",
                "9223372036854775807",
                "18446744073709551616",
                ".inf",
                "-.inf",
                ".nan",
                "2001-01-01",
                "2001-1-1",
                "2001-01-01T10:00:00Z",
                "2001-01-01 10:00:00",
                "12:30:45",
                "1:20",
                "190:20:30",
                "0.1",
                "100000",
                "1000000",
                "10000000.5",
                "1e21",
                "1e20",
                "0.00001",
                "0.000001234",
                "y",
                "N",
                "<<",
                "=",
                "!!str 1",
                "!!int \"3\"",
                "!!float 3",
                "-",
                "- a",
                "?",
                "a b",
                "a:b",
                "a #b",
                "a# b",
                "'x",
                "1.2.3",
                "v1",
                "0.0.0.0",
                "1_0.5",
                "0x",
                "0b2",
                "1e",
                "e1",
                "+",
                "+a",
                "1,2",
                "%a",
                "&a b",
                "@a",
                "`a",
            ];
            chance.pick(many).into()
        }
        4 => words(chance),
        _ => chance
            .pick(&[
                "text",
                "some text",
                "a-b_c",
                "/path/x",
                "http://a.b:80/c?d=e",
                "sha256:abc",
                "500m",
                "1Gi",
                "50%",
                "*/5",
            ])
            .into(),
    }
}

fn quoted(chance: &mut Chance) -> String {
    let text = if chance.one_in(2) { plain(chance) } else { words(chance) };
    if chance.one_in(2) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        let text = match chance.below(6) {
            0 => text.replacen(' ', "\\n", 1),
            1 => text.replacen(' ', "\\t", 1),
            2 => text + "\\n",
            3 => format!(" {text} "),
            4 => text + "\\u00e9\\x01",
            _ => text,
        };
        format!("\"{text}\"")
    }
}
