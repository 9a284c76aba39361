//! Regular expressions. Those without `must` panic on a pattern that is none, which a template sees as an error with another text.

use regex::bytes::Regex;

use super::{Entries, int, made, str, text};
use crate::go::value::{List, ListType};
use crate::go::{Value, regexp};
use crate::template::function;

pub fn all() -> Entries {
    let mut all: Entries = vec![
        (
            "regexMatch",
            function("ss", |_, a| {
                let matched =
                    regexp::compile(&text(a, 0)).is_ok_and(|regex| regex.is_match(str(a, 1).bytes()));
                Ok(Value::Bool(matched))
            }),
        ),
        (
            "mustRegexMatch",
            function("ss", |_, a| Ok(Value::Bool(regexp::compile(&text(a, 0))?.is_match(str(a, 1).bytes())))),
        ),
        (
            "regexQuoteMeta",
            function("s", |_, a| Ok(Value::Str(regexp::quote_meta(str(a, 0).bytes()).into()))),
        ),
    ];
    macro_rules! pair {
        ($name:literal, $must:literal, $types:literal, $body:expr) => {
            all.push((
                $name,
                function($types, |frame, a| {
                    let body: Body = $body;
                    body(frame, &regexp::must(&text(a, 0))?, a)
                }),
            ));
            all.push((
                $must,
                function($types, |frame, a| {
                    let body: Body = $body;
                    body(frame, &regexp::compile(&text(a, 0))?, a)
                }),
            ));
        };
    }
    pair!("regexFindAll", "mustRegexFindAll", "ssi", |_, regex, a| {
        let subject = str(a, 1);
        let found = regexp::find_all(regex, subject.bytes(), int(a, 2));
        if found.is_empty() {
            return Ok(Value::List(List { ty: ListType::Strings, items: None }));
        }
        Ok(Value::strings(found.into_iter().map(|(from, to)| &subject.bytes()[from..to])))
    });
    pair!("regexFind", "mustRegexFind", "ss", |_, regex, a| {
        let subject = str(a, 1);
        Ok(Value::Str(regex.find(subject.bytes()).map_or("".into(), |found| found.as_bytes().into())))
    });
    pair!("regexReplaceAll", "mustRegexReplaceAll", "sss", |frame, regex, a| {
        room(frame, regex, a)?;
        made(frame, regexp::replace_all(regex, str(a, 1).bytes(), str(a, 2).bytes()))
    });
    pair!("regexReplaceAllLiteral", "mustRegexReplaceAllLiteral", "sss", |frame, regex, a| {
        room(frame, regex, a)?;
        made(frame, regexp::replace_all_literal(regex, str(a, 1).bytes(), str(a, 2).bytes()))
    });
    pair!("regexSplit", "mustRegexSplit", "ssi", |_, regex, a| {
        Ok(match regexp::split(regex, str(a, 1).bytes(), int(a, 2)) {
            Some(parts) => Value::strings(parts),
            None => Value::List(List { ty: ListType::Strings, items: None }),
        })
    });
    all
}

/// Refuses a replacement that would grow too large, before it is made: each match gives the text, and each `$` of it a part of the match.
fn room(frame: &crate::template::Frame<'_, '_>, regex: &Regex, args: &[Value]) -> Result<(), String> {
    let (subject, with) = (str(args, 1), str(args, 2));
    let groups = with.bytes().iter().filter(|byte| **byte == b'$').count();
    let matches = if with.len() > 16 { regex.find_iter(subject.bytes()).count() } else { 0 };
    let most = matches.saturating_mul(with.len()).saturating_add(groups.saturating_mul(subject.len()));
    if most > 1 << 20 { frame.exec.wrote(most) } else { Ok(()) }
}

type Body = fn(&crate::template::Frame<'_, '_>, &Regex, &[Value]) -> Result<Value, String>;
