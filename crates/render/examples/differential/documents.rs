//! Generated YAML documents, read and printed here and by both decoders of upstream: what Helm reads (sigs.k8s.io/yaml), with
//! its errors word for word, and what Kustomize reads as resources (kyaml), whose errors are only counted.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::compare::{Known, Layer};
use crate::decoders::{ours, pairs, same};
use crate::oracle::{Answer, ask};
use crate::scalars;

pub fn run(count: usize, seed: u64) -> bool {
    let layer = Layer { name: "documents", ours: &ours, same: &same, tell: &tell, shown: 60, known: KNOWN };
    layer.run(count, seed, question)
}

/// What of Kustomize's reader is not followed, or of both: what it does with comments when it prints what it read, where it looks
/// for a mark of the byte order, that it passes over lines of tabs between comments, and all digits of whole numbers above 2^63.
const KNOWN: &[Known] = &[
    Known {
        name: "other without their comments",
        without: |asked| {
            asked["bare"] = true.into();
            asked["text"].as_str().is_some_and(|text| text.contains('#'))
        },
    },
    Known {
        name: "other without a mark of the byte order",
        without: |asked| replace(asked, "\u{feff}", "x"),
    },
    Known { name: "other without whole numbers of 64 bits", without: small },
    Known { name: "other without tabs", without: |asked| replace(asked, "\t", " ") },
];

/// Leaves eighteen digits of a run of nineteen or twenty.
fn small(asked: &mut Value) -> bool {
    let text = asked["text"].as_str().unwrap_or_default();
    let digits = regex::Regex::new("([0-9]{17})[0-9]{2,3}").unwrap();
    let changed = digits.replace_all(text, "$1").into_owned();
    let any = changed != text;
    asked["text"] = changed.into();
    any
}

fn replace(asked: &mut Value, from: &str, to: &str) -> bool {
    let text = asked["text"].as_str().unwrap_or_default();
    let changed = text.replace(from, to);
    let any = changed != text;
    asked["text"] = changed.into();
    any
}

/// One document, printed, to look at.
pub fn show(seed: u64, number: usize) {
    print!("{}", text(seed, number));
}

/// Writes the documents of these numbers with upstream's answers, as `crates/render/tests/yaml.jsonl` keeps them.
pub fn keep(seed: u64, numbers: &[&str]) {
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    let asked = numbers.clone();
    ask(asked.into_iter().map(move |number| question(number, seed)), |at, theirs| {
        let text = text(seed, numbers[at]);
        println!("{}", json!({"text": text, "upstream": theirs.unwrap()}));
    });
}

fn question(number: usize, seed: u64) -> Value {
    json!({"id": number, "kind": "document", "text": text(seed, number)})
}

fn tell(asked: &Value, theirs: &Answer, ours: &Answer) -> String {
    let mut out = format!("<<<\n{}>>>\n{:?}\n", asked["text"].as_str().unwrap_or_default(), asked["text"]);
    for (name, (theirs, ours)) in ["helm", "kustomize"].into_iter().zip(pairs(theirs, ours)) {
        if theirs != ours {
            let _ = write!(out, "  {name}\n    upstream {theirs}\n    here     {ours}\n");
        }
    }
    out
}

/// The text of a number: one document or a few, some of them damaged.
pub fn text(seed: u64, number: usize) -> String {
    let mut chance = Chance::new(seed.wrapping_mul(7_000_003).wrapping_add(number as u64));
    let chance = &mut chance;
    let mut out = String::new();
    if chance.one_in(12) {
        out.push_str(chance.pick(&[
            "---\n",
            "# c\n",
            "%YAML 1.1\n---\n",
            "%YAML 1.2\n---\n",
            "%TAG ! tag:x,1:\n---\n",
            "%TAG !e! tag:x,1:\n---\n",
            "\n\n",
            "--- # c\n",
            "--- a\n",
            "\t",
            " ",
            "\u{feff}",
            "---\n---\n",
            "%FOO x\n---\n",
        ]));
    }
    let documents = if chance.one_in(8) { 2 + chance.below(2) } else { 1 };
    for at in 0..documents {
        if at > 0 {
            out.push_str(chance.pick(&[
                "---\n",
                "---\n",
                "---\n",
                "--- # c\n",
                "---  \n",
                "...\n",
                "...\n---\n",
                "---\n---\n",
                "---\n# c\n---\n",
                "--- {}\n",
            ]));
        }
        Document { chance, anchors: 0 }.whole(&mut out);
    }
    if chance.one_in(12) {
        damage(chance, &mut out);
    }
    match chance.below(40) {
        0 => out = out.replace('\n', "\r\n"),
        1..=4 => out.truncate(out.trim_end_matches('\n').len()),
        5 => out.push('\n'),
        _ => {}
    }
    out
}

/// Cut, doubled or marked somewhere.
fn damage(chance: &mut Chance, out: &mut String) {
    for _ in 0..1 + chance.below(2) {
        let at = chance.below(out.len() + 1);
        let at = (at..out.len()).find(|at| out.is_char_boundary(*at)).unwrap_or(0);
        match chance.below(5) {
            0 => out.truncate(at),
            1 if at < out.len() => drop(out.remove(at)),
            2 => {
                // A line more or less indented.
                if let Some(start) = out[at..].find('\n') {
                    out.insert_str(at + start + 1, chance.pick(&[" ", "  ", "\t", "- ", "    "]));
                }
            }
            _ => out.insert_str(
                at,
                chance.pick(&[
                    ":", "\n", " ", "-", "'", "\"", "#", "\t", "---\n", "...\n", "}", "]", ": ", "- ", "{",
                    "[", ",", "&a ", "*a0 ", "!", "|", "?", "\u{1}", "\u{85}", "<<: ", "%",
                ]),
            ),
        }
    }
}

/// A document while it is made.
struct Document<'a> {
    chance: &'a mut Chance,
    /// Anchors so far: `a0`, `a1`, …
    anchors: usize,
}

impl Document<'_> {
    fn whole(&mut self, out: &mut String) {
        match self.chance.below(30) {
            0 => {
                let text = scalars::line(self.chance);
                let _ = writeln!(out, "{text}");
            }
            1 | 2 => self.sequence("", out),
            3 => {
                let text = self.flow(0);
                let _ = writeln!(out, "{text}");
            }
            _ => self.mapping("", out),
        }
    }

    fn comment(&mut self, indent: &str, out: &mut String) {
        if self.chance.one_in(16) {
            let deeper = self.chance.pick(&["", "", "  ", "    "]);
            let _ = writeln!(out, "{indent}{deeper}# {}", scalars::words(self.chance, 3));
        }
    }

    /// The end of a line, perhaps with a comment.
    fn end(&mut self, out: &mut String) {
        out.push_str(match self.chance.below(24) {
            0 => " # c\n",
            1 => "  \n",
            2 => " #\n",
            _ => "\n",
        });
    }

    fn anchor(&mut self) -> String {
        if !self.chance.one_in(10) {
            return String::new();
        }
        self.anchors += 1;
        format!(" &a{}", self.anchors - 1)
    }

    /// An anchor that is there, or once in a while one that is not.
    fn alias(&mut self) -> String {
        let most = if self.chance.one_in(30) { self.anchors + 1 } else { self.anchors.max(1) };
        format!("*a{}", self.chance.below(most))
    }

    fn mapping(&mut self, indent: &str, out: &mut String) {
        for at in 0..1 + self.chance.below(4) {
            self.comment(indent, out);
            if self.anchors > 0 && self.chance.one_in(12) {
                let one = self.alias();
                let other = self.alias();
                let merge = match self.chance.below(6) {
                    0 => format!("[{one}, {other}]"),
                    1 => "{m: 1, key0: 2}".into(),
                    2 => format!("[{one}, {{n: 1}}]"),
                    _ => one,
                };
                let _ = writeln!(out, "{indent}<<: {merge}");
                continue;
            }
            let key = scalars::key(self.chance, at);
            if self.chance.one_in(30) {
                let _ = write!(out, "{indent}? {key}\n{indent}:");
            } else {
                let _ = write!(out, "{indent}{key}:");
            }
            self.value(indent, out);
        }
    }

    fn sequence(&mut self, indent: &str, out: &mut String) {
        for _ in 0..1 + self.chance.below(4) {
            self.comment(indent, out);
            let _ = write!(out, "{indent}-");
            if self.chance.one_in(6) {
                // A map or a list that begins on the line of the dash.
                let below = format!("{indent}  ");
                let mut text = String::new();
                if self.chance.one_in(3) {
                    self.sequence(&below, &mut text)
                } else {
                    self.mapping(&below, &mut text)
                }
                let _ = write!(out, " {}", text.trim_start_matches(' '));
                continue;
            }
            self.value(indent, out);
        }
    }

    /// What follows a `:` or a `-`, with the line's end.
    fn value(&mut self, indent: &str, out: &mut String) {
        let deeper = self.chance.pick(&["  ", "  ", "  ", "  ", "  ", " ", "   ", "    "]);
        let below = format!("{indent}{deeper}");
        let anchor = self.anchor();
        out.push_str(&anchor);
        match self.chance.below(if indent.len() < 8 { 20 } else { 13 }) {
            0..=5 => {
                let _ = write!(out, " {}", scalars::line(self.chance));
                self.end(out);
            }
            6 => {
                if self.anchors > 0 && anchor.is_empty() {
                    let _ = write!(out, " {}", self.alias());
                }
                self.end(out);
            }
            7 => {
                let _ = write!(out, " {}", scalars::lines(self.chance, &below));
                self.end(out);
            }
            8 | 9 => {
                let _ = writeln!(out, " {}", scalars::block(self.chance, &below));
            }
            10 | 11 => {
                let _ = write!(out, " {}", self.flow(0));
                self.end(out);
            }
            12 => {
                // On a line of its own.
                let _ = write!(out, "\n{below}{}", scalars::line(self.chance));
                self.end(out);
            }
            13..=16 => {
                if self.chance.one_in(20) {
                    out.push_str(self.chance.pick(&[" !!map", " !foo", " !!seq", " !!set", " !!omap"]));
                }
                self.end(out);
                self.mapping(&below, out);
            }
            _ => {
                if self.chance.one_in(20) {
                    out.push_str(self.chance.pick(&[" !!seq", " !foo", " !!map"]));
                }
                self.end(out);
                // A list may stand as deep as its key.
                let at = if self.chance.one_in(2) { indent.to_string() } else { below };
                self.sequence(&at, out);
            }
        }
    }

    /// Brackets, which may go over lines.
    fn flow(&mut self, depth: usize) -> String {
        let gap = |chance: &mut Chance| {
            chance
                .pick(&["", "", "", "", " ", " ", "\n  ", "\n        ", " # c\n   ", "\n", "\t"])
                .to_string()
        };
        let is_map = self.chance.one_in(2);
        let mut out = String::from(if is_map { "{" } else { "[" });
        let count = self.chance.below(4);
        for at in 0..count {
            out.push_str(&gap(self.chance));
            if is_map || self.chance.one_in(12) {
                let key = scalars::key(self.chance, at);
                out.push_str(if self.chance.one_in(20) { "? " } else { "" });
                out.push_str(&key);
                if self.chance.one_in(15) {
                    out.push(',');
                    continue;
                }
                out.push_str(self.chance.pick(&[": ", ": ", ": ", ": ", ":", " : ", ":\n   "]));
            }
            out.push_str(self.anchor().trim_start());
            out.push(' ');
            match self.chance.below(10) {
                0 | 1 if depth < 3 => out.push_str(&self.flow(depth + 1)),
                2 if self.anchors > 0 => out.push_str(&self.alias()),
                3 => {}
                4 => out.push_str(&scalars::lines(self.chance, "    ")),
                _ => out.push_str(&scalars::line(self.chance)),
            }
            out.push_str(&gap(self.chance));
            if at + 1 < count || self.chance.one_in(8) {
                out.push(',');
            }
        }
        out.push_str(&gap(self.chance));
        out.push(if is_map { '}' } else { ']' });
        out
    }
}
