//! Reads TOML in the order in which the library does, so that of several faults the same one is told, with the key that was read last.
//!
//! Invariant: what is read is [`Map`]s, `int64`, `float64`, times with the library's names of local zones, and `[]interface {}`; arrays of
//! tables that are written with `[[…]]` are `[]map[string]interface {}`.

mod numbers;
mod texts;

use super::cursor::{Cursor, END, Read, is_bare, is_blank, is_line};
use super::tables::{Key, Tables, shown};
use crate::go::{Map, MapType, Value, quote};
use texts::{without_first_line, without_line_ends};

/// Zones of times that have none, and how those are printed.
pub(super) const LOCAL: [(&str, &str); 3] = [
    ("datetime-local", "2006-01-02T15:04:05.999999999"),
    ("date-local", "2006-01-02"),
    ("time-local", "15:04:05.999999999"),
];

/// Forms of dates and times, each with its place in [`LOCAL`] if it has no zone.
const TIMES: [(&str, Option<usize>); 7] = [
    ("2006-01-02T15:04:05.999999999Z07:00", None),
    ("2006-01-02T15:04:05.999999999", Some(0)),
    ("2006-01-02", Some(1)),
    ("15:04:05.999999999", Some(2)),
    ("2006-01-02T15:04Z07:00", None),
    ("2006-01-02T15:04", Some(0)),
    ("15:04", Some(2)),
];

/// How deep arrays and inline tables may lie in one another; the library has no bound.
const DEPTH: usize = 200;

/// A text as a map, or the library's error.
pub(super) fn read(text: &[u8]) -> Result<Map, String> {
    let text = match text {
        [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] => rest,
        text => text,
    };
    if text.iter().take(6).any(|byte| *byte == 0) {
        return Err(
            "toml: line 1: files cannot contain NULL bytes; probably using UTF-16; TOML files must be UTF-8"
                .into(),
        );
    }
    let mut reader = Reader {
        cursor: Cursor::new(text),
        tables: Tables::new(),
        current: String::new(),
        key_line: 1,
        depth: 0,
    };
    match reader.document() {
        Ok(()) => Ok(reader.tables.root),
        Err((line, text)) => Err(match reader.last_key() {
            key if key.is_empty() => format!("toml: line {line}: {text}"),
            key => format!("toml: line {line} (last key {}): {text}", quote::quote(key.as_bytes())),
        }),
    }
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    tables: Tables,
    /// The last part of the key whose value is read.
    current: String,
    /// Of the key that was begun last.
    key_line: i64,
    depth: usize,
}

/// A text, and the line on which it ends.
struct Token {
    text: String,
    line: i64,
}

fn shown_char(char: char) -> String {
    quote::quote_char(char)
}

fn or_end(char: char) -> String {
    if char == END { "end of file".into() } else { format!("'{char}'") }
}

impl Reader<'_> {
    fn last_key(&self) -> String {
        let context = &self.tables.context;
        match (context.is_empty(), self.current.is_empty()) {
            (_, true) => shown(context),
            (true, _) => self.current.clone(),
            _ => format!("{}.{}", shown(context), self.current),
        }
    }

    /// A fault that is of the key.
    fn of_key<T>(&self, done: Result<T, String>) -> Read<T> {
        done.map_err(|text| (self.key_line, text))
    }

    fn document(&mut self) -> Read<()> {
        loop {
            match self.cursor.next()? {
                END => return Ok(()),
                char if is_blank(char) || is_line(char) => {
                    self.cursor.start = self.cursor.pos;
                    continue;
                }
                '#' => {
                    self.comment()?;
                    continue;
                }
                '[' => self.table()?,
                _ => {
                    self.cursor.backup();
                    let outer = self.tables.context.clone();
                    self.assignment()?;
                    self.tables.context = outer;
                    self.current.clear();
                }
            }
            loop {
                match self.cursor.next()? {
                    END => return Ok(()),
                    char if is_blank(char) => {}
                    char if is_line(char) => break,
                    '#' => {
                        self.comment()?;
                        break;
                    }
                    other => {
                        let other = shown_char(other);
                        return self.cursor.fault(format!(
                            "expected a top-level item to end with a newline, comment, or EOF, but got {other} instead"
                        ));
                    }
                }
            }
            self.cursor.start = self.cursor.pos;
        }
    }

    fn comment(&mut self) -> Read<()> {
        self.cursor.take(|char| !is_line(char) && char != END)?;
        self.cursor.start = self.cursor.pos;
        Ok(())
    }

    fn table(&mut self) -> Read<()> {
        let several = self.cursor.accept('[')?;
        let mut key = Key::new();
        loop {
            self.cursor.skip_blanks()?;
            match self.cursor.peek()? {
                ']' | END => {
                    return self.cursor.fault("unexpected end of table name (table names cannot be empty)");
                }
                '.' => return self.cursor.fault("unexpected table separator (table names cannot be empty)"),
                _ => self.name(&mut key)?,
            }
            self.cursor.skip_blanks()?;
            match self.cursor.next()? {
                '.' => {}
                ']' => break,
                other => {
                    let other = shown_char(other);
                    return self
                        .cursor
                        .fault(format!("expected '.' or ']' to end table name, but got {other} instead"));
                }
            }
        }
        if several {
            let next = self.cursor.next()?;
            if next != ']' {
                let next = shown_char(next);
                return self.cursor.fault(format!(
                    "expected end of table array name delimiter ']', but got {next} instead"
                ));
            }
        }
        let entered = self.tables.enter(&key, several);
        self.of_key(entered)?;
        self.tables.mark("", false);
        Ok(())
    }

    /// One part of a key.
    fn name(&mut self, key: &mut Key) -> Read<()> {
        self.cursor.start = self.cursor.pos;
        let token = match self.cursor.peek()? {
            '"' => {
                self.cursor.next()?;
                let token = self.basic()?;
                self.begin_key(key, token.line);
                self.escapes(&token)?
            }
            '\'' => {
                self.cursor.next()?;
                let token = self.literal()?;
                self.begin_key(key, token.line);
                token.text
            }
            _ => {
                self.cursor.take(is_bare)?;
                self.begin_key(key, self.cursor.line);
                self.cursor.current()
            }
        };
        self.cursor.start = self.cursor.pos;
        key.push(token);
        Ok(())
    }

    fn begin_key(&mut self, key: &Key, line: i64) {
        if key.is_empty() {
            self.key_line = line;
        }
    }

    /// The parts of a key before its `=`.
    fn key(&mut self) -> Read<Key> {
        self.cursor.skip_blanks()?;
        match self.cursor.peek()? {
            '=' | END => return self.cursor.fault("unexpected '=': key name appears blank"),
            '.' => return self.cursor.fault("unexpected '.': keys cannot start with a '.'"),
            _ => {}
        }
        let mut key = Key::new();
        loop {
            self.cursor.skip_blanks()?;
            match self.cursor.peek()? {
                '=' | END => return self.cursor.fault("unexpected '='"),
                '.' => return self.cursor.fault("unexpected '.'"),
                _ => self.name(&mut key)?,
            }
            self.cursor.skip_blanks()?;
            match self.cursor.next()? {
                '.' => {}
                '=' => break,
                END => return self.cursor.fault("unexpected EOF; expected key separator '='"),
                other => {
                    let text = format!("expected '.' or '=', but got {} instead", shown_char(other));
                    return if other == '\n' {
                        self.cursor.fault_before(text)
                    } else {
                        self.cursor.fault(text)
                    };
                }
            }
        }
        self.cursor.start = self.cursor.pos;
        Ok(key)
    }

    /// A key and its value, set in the table that assignments go to; gives both.
    fn assignment(&mut self) -> Read<(Key, Value)> {
        let key = self.key()?;
        let (last, above) = key.split_last().expect("because a key has a part");
        self.current = last.clone();
        for name in above {
            let mut context = self.tables.context.clone();
            context.push(name.clone());
            let entered = self.tables.enter_implied(&context);
            self.of_key(entered)?;
        }
        let value = self.value(false)?;
        let array = matches!(value, Value::List(_));
        let set = self.tables.set(last, value.clone());
        self.of_key(set)?;
        self.tables.mark(last, array);
        Ok((key, value))
    }

    fn value(&mut self, in_array: bool) -> Read<Value> {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.cursor.fault("values lie too deep in one another");
        }
        self.cursor.skip_blanks()?;
        let char = self.cursor.next()?;
        let value = match char {
            '0'..='9' => self.number_or_date(char)?,
            '[' => self.array()?,
            '{' => self.inline_table(in_array)?,
            '"' => {
                if self.doubled('"')? {
                    let token = self.long_basic()?;
                    let text = without_line_ends(without_first_line(&token.text));
                    self.escapes(&Token { text, line: token.line })?.into()
                } else {
                    let token = self.basic()?;
                    self.escapes(&token)?.into()
                }
            }
            '\'' => {
                if self.doubled('\'')? {
                    without_first_line(&self.long_literal()?.text).into()
                } else {
                    self.literal()?.text.into()
                }
            }
            '.' => return self.cursor.fault("floats must start with a digit, not '.'"),
            '-' | '+' => self.signed()?,
            char => self.word(char)?,
        };
        self.cursor.start = self.cursor.pos;
        self.depth -= 1;
        Ok(value)
    }

    /// Two more quotes: a text of several lines.
    fn doubled(&mut self, quote: char) -> Read<bool> {
        if self.cursor.accept(quote)? {
            if self.cursor.accept(quote)? {
                return Ok(true);
            }
            self.cursor.backup();
        }
        Ok(false)
    }

    fn word(&mut self, char: char) -> Read<Value> {
        let cursor = &mut self.cursor;
        if matches!(char, 'i' | 'n')
            && (cursor.accept('n')? && cursor.accept('f')? || cursor.accept('a')? && cursor.accept('n')?)
        {
            return self.float();
        }
        if char.is_alphabetic() {
            self.cursor.backup();
            let from = self.cursor.pos;
            self.cursor.take(char::is_alphabetic)?;
            self.cursor.start = self.cursor.start.max(from);
            let word = self.cursor.current();
            return match word.as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => {
                    let word = quote::quote(word.as_bytes());
                    self.cursor.fault(format!("expected value but found {word} instead"))
                }
            };
        }
        if char == END {
            return self.cursor.fault("unexpected EOF; expected value");
        }
        let text = format!("expected value but found {} instead", shown_char(char));
        if char == '\n' { self.cursor.fault_before(text) } else { self.cursor.fault(text) }
    }

    fn array(&mut self) -> Read<Value> {
        let current = self.current.clone();
        self.tables.mark(&current, true);
        let mut items = Vec::new();
        loop {
            match self.cursor.next()? {
                char if is_blank(char) || is_line(char) => continue,
                '#' => {
                    self.comment()?;
                    continue;
                }
                ',' => return self.cursor.fault("unexpected comma"),
                ']' => return Ok(Value::list(items)),
                _ => self.cursor.backup(),
            }
            self.cursor.start = self.cursor.pos;
            items.push(self.value(true)?);
            loop {
                match self.cursor.next()? {
                    char if is_blank(char) || is_line(char) => {}
                    '#' => self.comment()?,
                    ',' => break,
                    ']' => return Ok(Value::list(items)),
                    other => {
                        let other = or_end(other);
                        return self.cursor.fault(format!(
                            "expected a comma (',') or array terminator (']'), but got {other}"
                        ));
                    }
                }
            }
        }
    }

    fn inline_table(&mut self, in_array: bool) -> Read<Value> {
        let own = Map::new(MapType::Any);
        let outer = (self.tables.context.clone(), std::mem::take(&mut self.current));
        let mut inner = outer.0.clone();
        inner.push(outer.1.clone());
        self.tables.context.clone_from(&inner);
        self.tables.imply(&inner);
        let entered = self.tables.enter(&inner, in_array);
        self.of_key(entered)?;
        'pairs: loop {
            match self.cursor.next()? {
                char if is_blank(char) || is_line(char) => continue,
                '#' => {
                    self.comment()?;
                    continue;
                }
                ',' => return self.cursor.fault("unexpected comma"),
                '}' => break,
                _ => self.cursor.backup(),
            }
            let (key, value) = self.assignment()?;
            self.put_inside(&own, &key, value)?;
            self.tables.context.clone_from(&inner);
            loop {
                match self.cursor.next()? {
                    char if is_blank(char) || is_line(char) => {}
                    '#' => self.comment()?,
                    '}' => break 'pairs,
                    ',' => {
                        self.cursor.skip_blanks()?;
                        if self.cursor.peek()? != '}' {
                            break;
                        }
                    }
                    other => {
                        let other = or_end(other);
                        return self.cursor.fault(format!(
                            "expected a comma or an inline table terminator '}}', but got {other} instead"
                        ));
                    }
                }
            }
        }
        (self.tables.context, self.current) = outer;
        Ok(Value::Map(own))
    }

    fn put_inside(&self, table: &Map, key: &[String], value: Value) -> Read<()> {
        let (last, above) = key.split_last().expect("because a key has a part");
        let mut here = table.clone();
        for name in above {
            here = match here.get(name.as_bytes()) {
                Some(Value::Map(map)) => map,
                None => {
                    let made = Map::new(MapType::Any);
                    here.put(name.as_str(), Value::Map(made.clone()));
                    made
                }
                Some(_) => {
                    let parts = self.tables.context.iter().map(|part| quote::quote(part.as_bytes()));
                    let parts = parts.collect::<Vec<_>>().join(" ");
                    return Err((self.key_line, format!("[{parts}] is not a table")));
                }
            };
        }
        here.put(last.as_str(), value);
        Ok(())
    }

    // Texts: each is read to its closing quote, which is not part of it.
}
