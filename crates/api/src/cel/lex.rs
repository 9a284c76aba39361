//! Text to tokens (CEL's language definition, "Syntax").

use super::Issue;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i64),
    /// The number after a minus sign may be one larger than an int.
    Large(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    Ident(String),
    /// `` `a-b` ``, after a dot only.
    Quoted(String),
    Sign(&'static str),
    End,
}

impl Token {
    pub fn text(&self) -> String {
        match self {
            Token::Int(number) => number.to_string(),
            Token::Large(number) => number.to_string(),
            Token::Uint(number) => format!("{number}u"),
            Token::Double(number) => number.to_string(),
            Token::String(text) => format!("{text:?}"),
            Token::Bytes(_) => "bytes".into(),
            Token::Ident(name) => name.clone(),
            Token::Quoted(name) => format!("`{name}`"),
            Token::Sign(sign) => (*sign).into(),
            Token::End => "<EOF>".into(),
        }
    }
}

/// Longest first.
const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", "<", ">", "+", "-", "*", "/", "%", "!",
    "?", ":", ".", ",", "=", "&",
];

pub(super) fn lex(chars: &[char]) -> Result<Vec<(Token, usize)>, Issue> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let letter = chars[at];
        if letter.is_ascii_whitespace() || letter == '\u{c}' {
            at += 1;
            continue;
        }
        if letter == '/' && chars.get(at + 1) == Some(&'/') {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
            continue;
        }
        let token = if let Some(end) = text_start(chars, at) {
            let (token, next) = text(chars, at, end)?;
            at = next;
            token
        } else if letter.is_ascii_digit()
            || (letter == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit) && !after_value(&tokens))
        {
            number(chars, &mut at)?
        } else if letter.is_ascii_alphabetic() || letter == '_' {
            while at < chars.len() && (chars[at].is_ascii_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            Token::Ident(chars[start..at].iter().collect())
        } else if letter == '`' {
            at += 1;
            while at < chars.len() && chars[at] != '`' {
                at += 1;
            }
            if at == chars.len() {
                return Err(unknown(start, letter));
            }
            at += 1;
            Token::Quoted(chars[start + 1..at - 1].iter().collect())
        } else {
            let starts = |sign: &&str| {
                sign.chars().enumerate().all(|(place, letter)| chars.get(at + place) == Some(&letter))
            };
            let sign = SIGNS.iter().copied().find(|sign| starts(sign)).ok_or_else(|| unknown(at, letter))?;
            if matches!(sign, "=" | "&") {
                return Err(unknown(at, letter));
            }
            at += sign.len();
            Token::Sign(sign)
        };
        tokens.push((token, start));
    }
    tokens.push((Token::End, chars.len()));
    Ok(tokens)
}

fn unknown(at: usize, letter: char) -> Issue {
    Issue::new(at, format!("Syntax error: token recognition error at: '{letter}'"))
}

/// A dot after these selects.
fn after_value(tokens: &[(Token, usize)]) -> bool {
    match tokens.last() {
        Some((Token::Sign(sign), _)) => matches!(*sign, ")" | "]" | "}"),
        Some(_) => true,
        None => false,
    }
}

struct Start {
    raw: bool,
    bytes: bool,
    quote: char,
    triple: bool,
    body: usize,
}

fn text_start(chars: &[char], at: usize) -> Option<Start> {
    let (mut raw, mut bytes, mut place) = (false, false, at);
    loop {
        match chars.get(place)? {
            'r' | 'R' if !raw => raw = true,
            'b' | 'B' if !bytes => bytes = true,
            quote @ ('"' | '\'') => {
                let triple = chars.get(place + 1) == Some(quote) && chars.get(place + 2) == Some(quote);
                let body = place + if triple { 3 } else { 1 };
                return Some(Start { raw, bytes, quote: *quote, triple, body });
            }
            _ => return None,
        }
        place += 1;
    }
}

fn text(chars: &[char], start: usize, form: Start) -> Result<(Token, usize), Issue> {
    let unfinished = || unknown(start, chars[start]);
    let mut at = form.body;
    let mut out: Vec<u8> = Vec::new();
    let put = |out: &mut Vec<u8>, letter: char| {
        let mut buffer = [0; 4];
        out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
    };
    loop {
        let letter = *chars.get(at).ok_or_else(unfinished)?;
        let closes = letter == form.quote
            && (!form.triple
                || (chars.get(at + 1) == Some(&form.quote) && chars.get(at + 2) == Some(&form.quote)));
        if closes {
            at += if form.triple { 3 } else { 1 };
            break;
        }
        if letter == '\n' && !form.triple {
            return Err(unfinished());
        }
        at += 1;
        if letter != '\\' || form.raw {
            put(&mut out, letter);
            if form.raw && letter == '\\' && chars.get(at) == Some(&form.quote) {
                put(&mut out, form.quote);
                at += 1;
            }
            continue;
        }
        let escape = *chars.get(at).ok_or_else(unfinished)?;
        at += 1;
        let digits = |count: usize, radix: u32, from: usize| -> Result<(u32, usize), Issue> {
            let text: String = chars.get(from..from + count).ok_or_else(unfinished)?.iter().collect();
            u32::from_str_radix(&text, radix).map(|code| (code, from + count)).map_err(|_| bad_escape(start))
        };
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '\'' | '"' | '`' | '?' => put(&mut out, escape),
            'x' | 'X' | '0'..='3' => {
                let hex = matches!(escape, 'x' | 'X');
                let (code, next) = if hex { digits(2, 16, at)? } else { digits(3, 8, at - 1)? };
                at = next;
                match form.bytes {
                    true => out.push(code as u8),
                    false => put(&mut out, char::from_u32(code).ok_or_else(|| bad_escape(start))?),
                }
            }
            'u' | 'U' if !form.bytes => {
                let (code, next) = digits(if escape == 'u' { 4 } else { 8 }, 16, at)?;
                at = next;
                put(&mut out, char::from_u32(code).ok_or_else(|| bad_escape(start))?);
            }
            _ => return Err(bad_escape(start)),
        }
    }
    let token = match form.bytes {
        true => Token::Bytes(out),
        false => Token::String(String::from_utf8(out).map_err(|_| bad_escape(start))?),
    };
    Ok((token, at))
}

fn bad_escape(at: usize) -> Issue {
    Issue::new(at, "Syntax error: invalid escape sequence in string literal".into())
}

fn number(chars: &[char], at: &mut usize) -> Result<Token, Issue> {
    let start = *at;
    let bad = |what: &str| Issue::new(start, format!("invalid {what} literal"));
    let run = |at: &mut usize, good: fn(&char) -> bool| {
        while chars.get(*at).is_some_and(good) {
            *at += 1;
        }
    };
    let unsigned = |at: &mut usize| {
        let is = matches!(chars.get(*at), Some('u' | 'U'));
        *at += usize::from(is);
        is
    };
    let hex = chars[start] == '0' && matches!(chars.get(start + 1), Some('x' | 'X'));
    if hex && chars.get(start + 2).is_some_and(char::is_ascii_hexdigit) {
        *at += 2;
        run(at, char::is_ascii_hexdigit);
        let digits: String = chars[start + 2..*at].iter().collect();
        let number = u64::from_str_radix(&digits, 16).map_err(|_| bad("int"))?;
        return Ok(match unsigned(at) {
            true => Token::Uint(number),
            false => i64::try_from(number).map_or(Token::Large(number), Token::Int),
        });
    }
    run(at, char::is_ascii_digit);
    let mut double = false;
    if chars.get(*at) == Some(&'.') && chars.get(*at + 1).is_some_and(char::is_ascii_digit) {
        double = true;
        *at += 1;
        run(at, char::is_ascii_digit);
    }
    if matches!(chars.get(*at), Some('e' | 'E')) {
        let signed = usize::from(matches!(chars.get(*at + 1), Some('+' | '-')));
        if chars.get(*at + 1 + signed).is_some_and(char::is_ascii_digit) {
            double = true;
            *at += 1 + signed;
            run(at, char::is_ascii_digit);
        }
    }
    let digits: String = chars[start..*at].iter().collect();
    if double {
        return digits.parse().map(Token::Double).map_err(|_| bad("double"));
    }
    let number: u64 = digits.parse().map_err(|_| bad("int"))?;
    Ok(match unsigned(at) {
        true => Token::Uint(number),
        false => i64::try_from(number).map_or(Token::Large(number), Token::Int),
    })
}
