//! Scalars, keys and words of generated YAML documents: what readers of YAML disagree about.

use crate::chance::Chance;

/// Plain texts that are numbers, dates, booleans or nothing to one reader and texts to another.
const PLAIN: &[&str] = &[
    "a",
    "b c",
    "text",
    "some text",
    "a-b_c",
    "/path/x",
    "http://a.b:80/c?d=e",
    "https://a.b/c?d=e#f",
    "sha256:abc",
    "500m",
    "1Gi",
    "50%",
    "*/5",
    "yes",
    "Yes",
    "YES",
    "no",
    "No",
    "on",
    "On",
    "ON",
    "off",
    "true",
    "True",
    "TRUE",
    "tRue",
    "false",
    "y",
    "Y",
    "n",
    "N",
    "~",
    "null",
    "Null",
    "NULL",
    "nUll",
    "",
    "0x1F",
    "0X1f",
    "-0x1F",
    "0o17",
    "0O17",
    "017",
    "0777",
    "-017",
    "08",
    "09",
    "0b11",
    "-0b11",
    "0b2",
    "1_000",
    "1__0",
    "_1",
    "1_",
    "+1",
    "-0",
    "+0",
    "-7",
    ".5",
    "-.5",
    "+.5",
    "5.",
    "1.0",
    "1.50",
    "1e3",
    "1E3",
    "1e+3",
    "1.e3",
    ".5e1",
    "-1.5e-7",
    "1e30",
    "1e400",
    "123456789012345678",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "12345678901234567890123",
    ".inf",
    "-.inf",
    "+.inf",
    ".Inf",
    ".INF",
    ".iNf",
    ".nan",
    ".NaN",
    ".NAN",
    "nan",
    "inf",
    "2001-01-01",
    "2001-1-1",
    "2001-13-01",
    "2001-02-30",
    "2001-01-01T10:00:00Z",
    "2001-01-01t10:00:00.5+02:00",
    "2001-01-01 10:00:00",
    "2001-01-01 10:00:00.123456789",
    "2001-01-01 10:00:00 +1",
    "2001-12-14 21:59:43.10 -5",
    "12:30:45",
    "1:20",
    "190:20:30",
    "190:20:30.15",
    "-1:30",
    "0:0",
    "0.1",
    "100000",
    "1000000",
    "10000000.5",
    "1e21",
    "1e20",
    "123456789.125",
    "0.00001",
    "0.000001234",
    "1e-7",
    "<<",
    "=",
    "--",
    "?a",
    "::",
    ":a",
    "a:b",
    "a #b",
    "a# b",
    "a'b",
    "a\"b",
    "1.2.3",
    "v1",
    "v1.2.3",
    "0.0.0.0",
    "1_0.5",
    "1_000.5_0",
    "0x",
    "0x_1",
    "1e",
    "e1",
    "+",
    "+a",
    "1,2",
    "a,b",
    "\\",
    "é",
    "日本",
    "😀",
    "a\u{a0}b",
    "a\tb",
    "\u{feff}a",
    "a\u{2028}b",
    "a\u{85}b",
    "---",
    "...",
    "a ---",
    "null a",
    "~a",
    "1 2",
    "0 ",
    "{}",
    "[]",
    "$(A)",
    "${A}",
    "C:\\d",
    "''",
    "\"\"",
    "'s'",
    "\"q\"",
    "'it''s'",
    "\"a\\n\\tb\"",
    "\"\\u263a\\x41\\U0001F600\"",
    "\"\\e\\0\\a\\b\\v\\f\\r\\N\\_\\L\\P\"",
    "\"\\/\"",
];

/// What no plain text is.
const BROKEN: &[&str] = &[
    "-",
    "- a",
    "? a",
    "?",
    ":",
    "a:",
    "a: b",
    "#",
    "'x",
    "\"x",
    "%a",
    "&a b",
    "@a",
    "`a",
    "|",
    ">",
    "!",
    "*",
    "&",
    "[a",
    "{a",
    "[a, b",
    "]",
    "}",
    ",",
    "a]",
    "a}",
    "a\u{7f}b",
    "--- a",
    "{{ x }}",
    "{{x}}: y",
    "\"\\q\"",
    "\"\\ud83d\"",
    "\"a\\",
];

/// Tags, right ones and wrong ones, before whatever comes.
const TAGS: &[&str] = &[
    "!!str",
    "!!int",
    "!!float",
    "!!bool",
    "!!null",
    "!!binary",
    "!!map",
    "!!seq",
    "!!timestamp",
    "!!merge",
    "!!set",
    "!foo",
    "!",
    "!<tag:yaml.org,2002:str>",
    "!<tag:yaml.org,2002:int>",
    "!<!foo>",
    "!e!x",
    "!!",
    "!%41",
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
    "1e3",
    "true",
    "k.e/y",
    "&k k",
    "2001-01-01",
    "0x1F",
    "0777",
    "=",
    "a b",
    "!!str 1",
    "y",
    "\"\\u00e9\"",
    "日本",
    "a:b",
    "x-",
    "\"\"",
    "1_0",
    "-1",
    "1.0",
];

/// Keys that one reader or both refuse.
const ODD_KEYS: &[&str] =
    &["~", "null", "? x", "-", "[x]", "{y: 1}", "1e400", "", "!!int \"1\"", ".inf", "*a0", "!foo k", ".nan"];

const WORDS: &[&str] = &[
    "word",
    "a",
    "longer-word",
    "x: y",
    "x:",
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
    "[c",
    "😀",
    "C:\\d",
    "- d",
    "text",
    "more,",
    "*x",
    "&x",
    "!x",
    "%",
    "`",
    "?",
    ": ",
    "\u{a0}",
    "'",
];

/// Words that a plain text may hold anywhere but at its start.
const PLAIN_WORDS: &[&str] = &[
    "word",
    "a",
    "longer-word",
    "é",
    "日本",
    "it's",
    "\"q\"",
    "-",
    "1",
    "$(A)",
    "C:\\d",
    "text",
    "%",
    "`",
    "\u{a0}",
    "x:y",
    "a#b",
    "😀",
];

const WORDS_BETWEEN: &[&str] = &[" ", " ", " ", " ", " ", " ", " ", "  ", "\t"];

pub fn words(chance: &mut Chance, most: usize) -> String {
    let mut text = String::new();
    for at in 0..1 + chance.below(most) {
        if at > 0 {
            text.push_str(chance.pick(WORDS_BETWEEN));
        }
        text.push_str(chance.pick(WORDS));
    }
    text
}

/// Words of a plain text.
fn plain_words(chance: &mut Chance, most: usize) -> String {
    let mut text = String::from("plain");
    for _ in 0..chance.below(most) {
        text.push_str(chance.pick(WORDS_BETWEEN));
        let all = if chance.one_in(300) { WORDS } else { PLAIN_WORDS };
        text.push_str(chance.pick(all));
    }
    text
}

fn number(chance: &mut Chance) -> String {
    let sign = chance.pick(&["", "", "", "-", "+"]);
    match chance.below(8) {
        0 => format!("{sign}{}", chance.below(100_000)),
        1 => format!("{sign}{}.{}", chance.below(1000), chance.below(100_000)),
        2 => format!("{sign}{}e{}", chance.below(100), chance.below(30)),
        3 => format!("{sign}{}.{}e-{}", chance.below(10), chance.below(10_000_000), chance.below(25)),
        4 => format!("{sign}{}", chance.bits() >> 1),
        5 => format!("{sign}0{}{:o}", chance.pick(&["", "o"]), chance.below(4096)),
        6 => format!("{sign}0x{:x}", chance.bits() >> 1),
        _ => format!("{sign}{}", f64::from_bits(chance.bits())),
    }
}

fn date(chance: &mut Chance) -> String {
    let mut text = format!("{:04}-{:02}-{:02}", chance.below(3000), chance.below(14), chance.below(33));
    if chance.one_in(2) {
        text.push_str(chance.pick(&["T", "t", " ", "  "]));
        text.push_str(&format!("{:02}:{:02}:{:02}", chance.below(26), chance.below(62), chance.below(62)));
        if chance.one_in(3) {
            text.push_str(&format!(".{}", chance.below(10_000)));
        }
        text.push_str(chance.pick(&["", "Z", "z", "+01:00", "-5", " Z", "+0100"]));
    }
    text
}

/// One line without a line end; perhaps with a tag before.
pub fn line(chance: &mut Chance) -> String {
    let tag = if chance.one_in(40) { format!("{} ", chance.pick(TAGS)) } else { String::new() };
    let text = match chance.below(10) {
        0 => number(chance),
        1 => date(chance),
        2 => plain_words(chance, 24),
        3 | 4 => quoted(chance),
        _ if chance.one_in(90) => chance.pick(BROKEN).to_string(),
        _ => chance.pick(PLAIN).to_string(),
    };
    tag + &text
}

fn quoted(chance: &mut Chance) -> String {
    let text = match chance.below(3) {
        0 => chance.pick(PLAIN).to_string(),
        1 => number(chance),
        _ => words(chance, 24),
    };
    if chance.one_in(2) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    let text = match chance.below(8) {
        0 => text.replacen(' ', "\\n", 2),
        1 => text.replacen(' ', "\\t", 1),
        2 => text + "\\n",
        3 => format!(" {text} "),
        4 => text + "\\u00e9\\x01",
        5 => format!("\\n{text}\\n\\n"),
        6 => format!("{text}: {text}\\n- x\\n"),
        _ => text,
    };
    format!("\"{text}\"")
}

/// A text over several lines, plain or in quotes; each but the first is indented so.
pub fn lines(chance: &mut Chance, indent: &str) -> String {
    let quote = chance.pick(&["", "", "'", "\""]);
    let mut text = String::from(quote);
    for at in 0..2 + chance.below(3) {
        if at > 0 {
            text.push_str(chance.pick(&["\n", "\n", "\n", "\n\n", " \n", "\n \t\n", "\n\n\n"]));
            text.push_str(indent);
            text.push_str(chance.pick(&["", "", "", " ", "\t"]));
        }
        let words = if quote.is_empty() { plain_words(chance, 8) } else { words(chance, 8) };
        text.push_str(&match quote {
            "'" => words.replace('\'', "''"),
            "\"" => words.replace('\\', "\\\\").replace('"', "\\\"") + chance.pick(&["", "", "\\", "\\n"]),
            _ => words,
        });
    }
    text + quote
}

/// A literal or folded text, with its header.
pub fn block(chance: &mut Chance, indent: &str) -> String {
    const HEADS: &[&str] = &[
        "|", "|", "|", "|-", "|-", "|+", ">", ">", ">", ">-", ">-", ">+", "|2", "|1-", ">2+", "|-2", "> # c",
    ];
    const WRONG_HEADS: &[&str] = &["|# c", "|x", "|0", ">-+", "| x"];
    let all = if chance.one_in(60) { WRONG_HEADS } else { HEADS };
    let mut text = chance.pick(all).to_string();
    text.push('\n');
    for _ in 0..chance.below(6) {
        match chance.below(9) {
            0 | 1 => text.push_str(chance.pick(&["\n", "\n", " \n", "         \n", "\t\n"])),
            2 => text.push_str(&format!("{indent}  {}\n", words(chance, 12))),
            3 => text.push_str(&format!("{indent}\t{}\n", words(chance, 4))),
            4 => text.push_str(&format!("{indent}{} \n", words(chance, 4))),
            _ => text.push_str(&format!("{indent}{}\n", words(chance, 24))),
        }
    }
    text.pop();
    text
}

pub fn key(chance: &mut Chance, at: usize) -> String {
    match chance.below(6) {
        0 if chance.one_in(12) => chance.pick(ODD_KEYS).to_string(),
        0 | 1 => chance.pick(KEYS).to_string(),
        2 => format!("\"a b{at}\""),
        3 => format!("K{}", chance.below(200)),
        _ => format!("key{at}"),
    }
}
