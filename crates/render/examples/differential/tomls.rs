//! TOML by chance: mostly sound, often with one thing wrong.

use crate::chance::Chance;

const KEYS: &[&str] = &[
    "a",
    "b",
    "c.d",
    "a.b",
    "\"q k\"",
    "'l'",
    "\"\"",
    "1",
    "a . b",
    "é",
    "-x_1",
    "a.\"b.c\".d",
    "",
    ".a",
    "a.",
];
const VALUES: &[&str] = &[
    "1",
    "-7",
    "+3",
    "0",
    "00",
    "01",
    "0x1F",
    "0xg",
    "0o17",
    "0o8",
    "0b101",
    "0b2",
    "1_000",
    "1__0",
    "1_",
    "_1",
    "-0x1",
    "9223372036854775807",
    "9223372036854775808",
    "1.5",
    "1.",
    ".5",
    "1e3",
    "1E-3",
    "1.e2",
    "1e",
    "1.5.6",
    "1e999",
    "03.5",
    "1_0.5",
    "inf",
    "-inf",
    "+nan",
    "infx",
    "in",
    "nan",
    "true",
    "false",
    "tru",
    "True",
    "\"s\"",
    "\"a\\n\\tb\"",
    "\"\\u263a\"",
    "\"\\ud800\"",
    "\"\\U0001F600\"",
    "\"\\x41\"",
    "\"\\x4\"",
    "\"\\q\"",
    "\"\\e\"",
    "\"open",
    "'raw\\n'",
    "'open",
    "\"\"",
    "''",
    "\"\"\"\nlong\nline \\\n   on\"\"\"",
    "'''\nraw\n''q'''",
    "\"\"\"a\"\"b\"\"\"\"",
    "\"\"\"a\"\"\"\"\"\"",
    "'''a''''''",
    "\"\"\"open",
    "\"\"\"a \\ b\"\"\"",
    "\"\"\"a \\q\"\"\"",
    "\"two\nlines\"",
    "2024-02-29",
    "2024-02-30",
    "2024-2-9",
    "2024-02-29T01:02:03Z",
    "2024-02-29t01:02:03.5z",
    "2024-02-29 01:02:03",
    "2024-02-29T01:02:03+01:00",
    "01:02:03",
    "01:02",
    "1:02:03",
    "25:00:00",
    "2024-02-29T01:02",
    "2024-02-29T01:02:03-00:30 ",
    "[]",
    "[1, 2]",
    "[1, \"a\",]",
    "[ # c\n 1,\n\n 2 # d\n]",
    "[1 2]",
    "[1,,2]",
    "[,]",
    "[1",
    "[[1], ['a']]",
    "{}",
    "{a = 1}",
    "{a = 1, b.c = 'x'}",
    "{a = 1,}",
    "{a = 1 b = 2}",
    "{, }",
    "{a = 1",
    "{\n a = 1,\n b = 2 # c\n}",
    "[{a = 1}, {a = 2}]",
    "{a = {b = {c = 1}}}",
    "{a = 1, a = 2}",
    "{a.b = 1, a.c = 2}",
    "{a = 1, a.b = 2}",
    "[{a = [{b = 1}]}]",
    "",
    "word",
    "é",
    "#",
    "\t",
    "1 # c",
    "1 2",
    "\"s\" x",
];

fn key(chance: &mut Chance) -> String {
    let many = if chance.one_in(6) { KEYS.len() } else { 8 };
    chance.pick(&KEYS[..many]).to_string()
}

/// A text of a few lines.
pub fn text(chance: &mut Chance) -> String {
    let mut out = String::new();
    if chance.one_in(30) {
        out.push_str(chance.pick(&["\u{feff}", "\n\n", "# c\n", "\t", "\r\n", "\0", "\r", "\u{1}"]));
    }
    for _ in 0..1 + chance.below(6) {
        match chance.below(8) {
            0 => out.push_str(&format!("[{}]", key(chance))),
            1 => out.push_str(&format!("[[{}]]", key(chance))),
            2 if chance.one_in(4) => out.push_str(chance.pick(&[
                "[]",
                "[[a]",
                "[a",
                "[a]]",
                "[ a . b ]",
                "[a] x",
                "[a] # c",
                "=",
                "= 1",
                "x",
                "x y",
                "# only",
            ])),
            _ => {
                let equals = chance.pick(&[" = ", " = ", " = ", "=", " =\t", " ", " == "]);
                out.push_str(&format!("{}{equals}{}", key(chance), chance.pick(VALUES)));
            }
        }
        out.push_str(if chance.one_in(12) {
            chance.pick(&["", "\r\n", " \n", "\n\n", " # c\n"])
        } else {
            "\n"
        });
    }
    out
}
