//! Every function of Sprig and Helm with arguments of every type, right ones and wrong ones, asked as templates.

use serde_json::{Value, json};

use crate::answer;
use crate::chance::Chance;
use crate::oracle::{Answer, ask};

/// Functions whose answers depend on chance, the clock, or the order of a Go map are not here.
const NAMES: &[&str] = &[
    "hello", "date", "date_in_zone", "date_modify", "dateInZone", "dateModify", "duration", "durationRound", "htmlDate",
    "htmlDateInZone", "must_date_modify", "mustDateModify", "mustToDate", "toDate", "unixEpoch", "abbrev", "abbrevboth",
    "trunc", "trim", "upper", "lower", "title", "untitle", "substr", "repeat", "trimall", "trimAll", "trimSuffix",
    "trimPrefix", "nospace", "initials", "swapcase", "snakecase", "camelcase", "kebabcase", "wrap", "wrapWith",
    "contains", "hasPrefix", "hasSuffix", "quote", "squote", "cat", "indent", "nindent", "replace", "plural", "sha1sum",
    "sha256sum", "sha512sum", "adler32sum", "toString", "atoi", "int64", "int", "float64", "seq", "toDecimal", "split",
    "splitList", "splitn", "toStrings", "until", "untilStep", "add1", "add", "sub", "div", "mod", "mul", "add1f", "addf",
    "subf", "divf", "mulf", "biggest", "max", "min", "maxf", "minf", "ceil", "floor", "round", "join", "sortAlpha",
    "default", "empty", "coalesce", "all", "any", "compact", "mustCompact", "fromJson", "toJson", "toPrettyJson",
    "toRawJson", "mustFromJson", "mustToJson", "mustToPrettyJson", "mustToRawJson", "ternary", "deepCopy",
    "mustDeepCopy", "typeOf", "typeIs", "typeIsLike", "kindOf", "kindIs", "deepEqual", "base", "dir", "clean", "ext",
    "isAbs", "osBase", "osClean", "osDir", "osExt", "osIsAbs", "b64enc", "b64dec", "b32enc", "b32dec", "tuple", "list",
    "dict", "get", "set", "unset", "hasKey", "pluck", "pick", "omit", "merge", "mergeOverwrite", "mustMerge",
    "mustMergeOverwrite", "append", "push", "mustAppend", "mustPush", "prepend", "mustPrepend", "first", "mustFirst",
    "rest", "mustRest", "last", "mustLast", "initial", "mustInitial", "reverse", "mustReverse", "uniq", "mustUniq",
    "without", "mustWithout", "has", "mustHas", "slice", "mustSlice", "concat", "dig", "chunk", "mustChunk", "semver",
    "semverCompare", "fail", "required", "regexMatch", "mustRegexMatch", "regexFindAll", "mustRegexFindAll", "regexFind",
    "mustRegexFind", "regexReplaceAll", "mustRegexReplaceAll", "regexReplaceAllLiteral", "mustRegexReplaceAllLiteral",
    "regexSplit", "mustRegexSplit", "regexQuoteMeta", "urlParse", "urlJoin", "toToml", "fromToml", "toYaml",
    "toYamlPretty", "fromYaml", "fromYamlArray", "fromJsonArray", "buildCustomCert", "decryptAES", "html", "js",
    "urlquery", "print", "println", "printf", "index", "len", "not", "eq", "ne", "lt", "le", "gt", "ge", "and", "or",
];

/// Small enough that no function makes much of them.
const ARGUMENTS: &[&str] = &[
    ".Values.s", ".Values.e", ".Values.n", ".Values.i", ".Values.l", ".Values.f", ".Values.g", ".Values.t", ".Values.b",
    ".Values.ls", ".Values.li", ".Values.ss", ".Values.m", ".Values.em", ".Values.el", ".Values.by", ".Values.u",
    ".Values.ml", ".Values.sv", ".Values.num", ".Values.hex", ".Values.url", ".Values.mm", "1", "-2", "0", "5", "1.5",
    "\"a\"", "\"\"", "\"b,a\"", "true", "nil", "\"1.2.3\"", "\">=1.0.0\"", "\"[a-z]+\"", "\"02 Jan 06\"", "(list 1 \"a\")",
    "(dict \"k\" \"v\")", ".Values.nosuch", "(.Values.nosuch)", "(int64 7)", "(float64 2)", "(splitList \",\" \"a,b\")",
    "(toDate \"2006-01-02\" \"2024-02-29\")", "(semver \"1.2.3\")",
];

pub(crate) fn data() -> Value {
    json!({
        "s": "Hello World", "e": "", "n": null, "i": {"$int": "7"}, "l": {"$int64": "-3"}, "f": 3.0, "g": 1.5, "t": true,
        "b": false, "ls": ["b", "a", "c", "a", ""], "li": [1.0, 2.5, 0.0, null, "x", true], "ss": {"$strings": ["z", "y"]},
        "m": {"a": 1.0, "b": "two", "c": {"d": null, "e": [1.0]}}, "em": {}, "el": [], "by": {"$bytes": "raw"},
        "u": "ünïcödé ☃", "ml": "line one\nline two\n\n  three", "sv": "1.2.3-beta.1+x", "num": "42", "hex": "0x1F",
        "url": "https://u:p@example.com:8080/a/b?x=1#frag",
        "mm": {"x": {"y": {"z": 1.0}}, "l": [{"k": "v"}], "b": true, "nil": null, "s": "text: yes", "num": 1_234_567.0},
    })
}

fn call(name: &str, chance: &mut Chance) -> String {
    let count = [0, 1, 1, 1, 2, 2, 2, 3, 3, 4][chance.below(10)];
    let arguments: String = (0..count).map(|_| format!(" {}", chance.pick(ARGUMENTS))).collect();
    let call = format!("{name}{arguments}");
    match chance.below(3) {
        0 => format!("{{{{ {call} }}}}"),
        1 => format!("{{{{ $r := {call} }}}}{{{{ printf \"%T|%v\" $r $r }}}}"),
        _ => format!("{{{{ ({call}) | toJson }}}}"),
    }
}

fn question(number: usize, seed: u64) -> Value {
    let mut chance = Chance::new(seed ^ (number as u64).wrapping_mul(0x1000_0001));
    let text = call(NAMES[number % NAMES.len()], &mut chance);
    json!({"id": number, "kind": "template", "name": "t", "text": text, "data": data()})
}

/// Asks `count` questions; true if every answer is the same.
pub fn run(count: usize, seed: u64) -> bool {
    let mut differ = 0;
    ask((0..count).map(move |number| question(number, seed)), |number, theirs| {
        let asked = question(number, seed);
        let ours = answer::answer(&asked);
        let same = match (&theirs, &ours) {
            (Answer::Out(theirs), Ok(ours)) => theirs == ours || theirs.is_null() && ours == "",
            (Answer::Error(theirs), Err(ours)) => theirs == ours,
            _ => false,
        };
        if !same {
            differ += 1;
            if differ <= 40 {
                let theirs = match theirs {
                    Answer::Out(out) => format!("{out}"),
                    Answer::Error(error) => format!("error {error}"),
                };
                println!("{}\n  upstream {theirs}\n  here     {ours:?}", asked["text"].as_str().unwrap_or_default());
            }
        }
    });
    println!("{count} calls of {} functions, {differ} differ", NAMES.len());
    differ == 0
}
