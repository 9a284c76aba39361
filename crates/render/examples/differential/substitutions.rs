//! Generated objects with `${…}` in them, and variables: what Flux makes of them after a build, and what this does.

use render::goyaml::kyaml;
use render::substitute::{Options, Variables, substitute};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::compare::{Layer, both};
use crate::oracle::Answer;

pub fn run(count: usize, seed: u64) -> bool {
    let layer = Layer {
        name: "substitutions",
        ours: &ours,
        same: &|theirs, ours| match (theirs, ours) {
            // Found out by a function here, and there by who reads what it gave.
            (Err(theirs), Err(ours)) if theirs.contains("UTF-8 octet") => ours.contains("cuts a character"),
            (theirs, ours) => theirs == ours,
        },
        tell: &|asked, theirs, ours| {
            let text = asked["text"].as_str().unwrap_or_default();
            let options = format!("strict {}, always {}", asked["strict"], asked["always"]);
            format!("{text}{}\n{options}\n{}", asked["vars"], both(theirs, ours))
        },
        shown: 40,
        known: &[],
    };
    layer.run(count, seed, question)
}

fn ours(asked: &Value) -> Answer {
    let documents = kyaml::documents(asked["text"].as_str().unwrap_or_default())?;
    let documents = documents.into_iter().map(|document| document.value).collect();
    let variables: Variables = serde_json::from_value(asked["vars"].clone()).unwrap();
    let options = Options { strict: asked["strict"] == true, always: asked["always"] == true };
    // Which object it was is told by who calls upstream.
    let done = substitute(documents, &variables, options).map_err(|error| {
        let text = error.to_string();
        let from = text.find("envsubst error").or_else(|| text.find("UnmarshalJSON"));
        text[from.unwrap_or_default()..].to_string()
    })?;
    let printed = |document| render::print(&[document]) + "---\n";
    Ok(done.into_iter().map(printed).collect::<String>().into())
}

fn question(number: usize, seed: u64) -> Value {
    let mut chance = Chance::new(seed.wrapping_mul(5_000_011).wrapping_add(number as u64));
    let chance = &mut chance;
    let mut vars = serde_json::Map::new();
    for name in ["a", "b", "long_name", "_x", "n1"] {
        if !chance.one_in(4) {
            vars.insert(name.into(), value(chance).into());
        }
    }
    if chance.one_in(60) {
        vars.insert(chance.pick(&["1a", "a-b", "é", ""]).into(), "x".into());
    }
    let mut text = String::new();
    for at in 0..1 + chance.below(2) {
        if at > 0 {
            text.push_str("---\n");
        }
        text.push_str(&object(chance));
    }
    json!({"id": number, "kind": "substitute", "text": text, "vars": vars, "strict": chance.one_in(3), "always": chance.one_in(3)})
}

fn value(chance: &mut Chance) -> &'static str {
    chance.pick(&[
        "some text",
        "",
        "abcdEFGH28ij",
        "/home/bozo/ideas/thoughts.for.today",
        "x/y.z",
        "foo.bar.foo",
        "12",
        "007",
        "1.50",
        "1e3",
        "true",
        "no",
        "null",
        "~",
        "a: b",
        "a: b: c",
        "[1, 2]",
        "{a: 1}",
        "- x",
        "'",
        "\"",
        "it's",
        "#x",
        "a #b",
        "é",
        "日本",
        "two\nlines",
        "\n",
        " padded ",
        "$a",
        "${b}",
        "$$",
        "\\",
        "2001-01-01",
        "0x1F",
        "*x",
        "&x y",
        "%",
        "@",
        "ǆ",
        "ß",
    ])
}

fn object(chance: &mut Chance) -> String {
    let mut text = String::from("apiVersion: v1\nkind: ");
    // Neither is empty in what a build gives.
    let some = |text: String| if text == "''" { "x".into() } else { text };
    text.push_str(&if chance.one_in(40) { some(quoted(chance)) } else { "ConfigMap".into() });
    text.push_str("\nmetadata:\n  name: ");
    text.push_str(&if chance.one_in(6) { some(quoted(chance)) } else { "x".into() });
    match chance.below(12) {
        0 => text.push_str("\n  labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}"),
        1 => text.push_str("\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}"),
        2 => text.push_str("\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: enabled}"),
        _ => {}
    }
    text.push_str("\ndata:\n");
    for at in 0..1 + chance.below(4) {
        let key = if chance.one_in(15) { quoted(chance) } else { format!("k{at}") };
        text.push_str(&format!("  {key}: {}\n", quoted(chance)));
    }
    if chance.one_in(6) {
        text.push_str(&format!("  block: |\n    one {}\n    two\n", expression(chance, 0)));
    }
    if chance.one_in(6) {
        text.push_str(&format!("  list: [1, {}, 2.50, 1000000]\n", quoted(chance)));
    }
    text
}

/// A text with expressions among words, as a scalar in quotes.
fn quoted(chance: &mut Chance) -> String {
    let mut text = String::new();
    for _ in 0..1 + chance.below(3) {
        text.push_str(chance.pick(&["", "", "", "x", " ", "a-", "$", "$$", "$a", "}", ".", "1"]));
        text.push_str(&expression(chance, 0));
    }
    if chance.one_in(40) {
        let at = chance.below(text.len() + 1);
        if text.is_char_boundary(at) {
            match chance.below(3) {
                0 => text.truncate(at),
                1 if at < text.len() && text.is_char_boundary(at + 1) => drop(text.remove(at)),
                _ => text.insert_str(at, chance.pick(&["$", "{", "}", ":", "/", "#", "\\", "${", " "])),
            }
        }
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn expression(chance: &mut Chance, depth: usize) -> String {
    let name = match chance.below(40) {
        0 => chance.pick(&["1a", "é", "a-b", ""]),
        1..=3 => "unset",
        _ => chance.pick(&["a", "b", "long_name", "_x", "n1"]),
    };
    let pattern = |chance: &mut Chance| {
        chance
            .pick(&[
                "*", "?", "a", "*.", ".*", "*/", "/*", "[a-z]", "[^a]*", "s*e", "foo", "??", "\\*", "[",
                "[]", "[a-", "*o*", "x", "**", "[!a]", "[a-c]?", "",
            ])
            .to_string()
    };
    let argument = |chance: &mut Chance| match chance.below(6) {
        0 if depth < 3 => expression(chance, depth + 1),
        1 if depth < 3 => format!("p{}s", expression(chance, depth + 1)),
        _ => chance
            .pick(&[
                "x",
                "two words",
                "1",
                "",
                "a/b",
                "\\/",
                "\\\\",
                "$$",
                "$",
                "a}b",
                "é",
                ":",
                "-",
                "=",
                "y:z",
                "'q'",
            ])
            .to_string(),
    };
    match chance.below(16) {
        0..=3 => format!("${{{name}}}"),
        4 => format!("${{#{name}}}"),
        5 => format!("${{{name}{}}}", chance.pick(&["^", "^^", ",", ",,", "^", "^^", ",,", "^,"])),
        6 => {
            let number =
                |chance: &mut Chance| chance.pick(&["0", "1", "3", "99", "-1", " -2", "x", "", "2", "5"]);
            match chance.below(3) {
                0 => format!("${{{name}:{}}}", number(chance)),
                1 => format!("${{{name}:{}:{}}}", number(chance), number(chance)),
                _ => format!("${{{name}:{}::{}}}", number(chance), number(chance)),
            }
        }
        7 | 8 => format!("${{{name}{}{}}}", chance.pick(&["#", "##", "%", "%%", "###"]), pattern(chance)),
        9 | 10 => {
            let operator = chance.pick(&["/", "//", "/#", "/%", "///"]);
            let (old, new) = (argument(chance), argument(chance));
            match chance.below(6) {
                0 => format!("${{{name}{operator}{old}}}"),
                1 => format!("${{{name}{operator}{}/{new}}}", pattern(chance)),
                2 => format!("${{{name}{operator}{old}/{new}/{new}}}"),
                _ => format!("${{{name}{operator}{old}/{new}}}"),
            }
        }
        _ => {
            let operator = match chance.below(60) {
                0 => chance.pick(&["-", "+", "?", ":"]),
                _ => chance.pick(&[":-", ":=", "=", ":-", ":=", "=", ":+", ":?"]),
            };
            format!("${{{name}{operator}{}}}", argument(chance))
        }
    }
}
