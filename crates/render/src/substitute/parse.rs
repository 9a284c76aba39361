//! Reading a text with substitutions and writing what it stands for.
//!
//! Rules of Flux's envsubst: `$$` is a dollar outside of functions and in the arguments of a replacement, where `\/` and
//! `\\` are escapes too; only defaults may hold several pieces with substitutions among them.

use super::{Fault, Variables, functions};

/// Levels of substitutions within substitutions.
pub(super) const DEPTH: usize = 64;

/// The text with every `${…}` replaced. Unless `strict`, a variable that is not set is empty.
pub fn evaluate(text: &str, variables: &Variables, strict: bool) -> Result<String, Fault> {
    // What cannot be read is told before what cannot be evaluated.
    Reader { text, at: 0, variables, strict, dry: true }.all()?;
    functions::whole(Reader { text, at: 0, variables, strict, dry: false }.all()?)
}

/// One pass over a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    variables: &'a Variables,
    strict: bool,
    /// Every substitution is empty.
    dry: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    /// `$$`, `\/` and `\\`.
    All,
}

impl Reader<'_> {
    fn all(&mut self) -> Result<String, Fault> {
        let mut out = String::with_capacity(self.text.len());
        while let Some(char) = self.peek() {
            if self.rest().starts_with("$$") {
                out.push('$');
                self.at += 2;
            } else if self.rest().starts_with("${") {
                out.push_str(&self.function(0)?);
                if out.len() > functions::LONGEST {
                    return Err(Fault::Long);
                }
            } else {
                out.push(char);
                self.at += char.len_utf8();
            }
        }
        Ok(out)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the longest run of characters that fit, at most `most`.
    fn run(&mut self, most: usize, fits: impl Fn(char) -> bool) -> String {
        let taken: String = self.rest().chars().take(most).take_while(|char| fits(*char)).collect();
        self.at += taken.len();
        taken
    }

    fn close(&mut self, fault: Fault) -> Result<(), Fault> {
        if self.peek() != Some('}') {
            return Err(fault);
        }
        self.at += 1;
        Ok(())
    }

    /// At a `${`: the value of all up to its `}`.
    fn function(&mut self, depth: usize) -> Result<String, Fault> {
        if depth > DEPTH {
            return Err(Fault::Deep);
        }
        self.at += 2;
        let is_name = |char: char| char.is_alphanumeric() || char == '_';
        if self.peek() == Some('#') {
            self.at += 1;
            let name = self.run(usize::MAX, is_name);
            if name.is_empty() {
                return Err(Fault::Bad);
            }
            self.close(Fault::Bad)?;
            return self.value(&name, "#", &[]);
        }
        let name = self.run(usize::MAX, is_name);
        if name.is_empty() {
            return Err(Fault::Name);
        }
        let mut arguments = Vec::new();
        let second = self.rest().chars().nth(1);
        let operator = match (self.peek(), second) {
            (Some(':'), Some('=' | '-' | '?' | '+')) | (Some('='), _) => {
                let length = if self.peek() == Some('=') { 1 } else { 2 };
                let operator = self.run(length, |_| true);
                let mut long = 0;
                while self.peek() != Some('}') {
                    arguments.push(self.argument(depth, Escapes::None, |char| char != '}')?);
                    long += arguments.last().map_or(0, String::len);
                    if long > functions::LONGEST {
                        return Err(Fault::Long);
                    }
                }
                operator
            }
            // Upstream steps back by as many bytes as the character behind has, and finds no colon.
            (Some(':'), Some(second)) if second.len_utf8() > 1 => return Err(Fault::Bad),
            (Some(':'), _) => {
                self.at += 1;
                arguments.push(self.argument(depth, Escapes::None, |char| char != ':' && char != '}')?);
                if self.peek() == Some(':') {
                    self.run(usize::MAX, |char| char == ':');
                    arguments.push(self.argument(depth, Escapes::None, |char| char != '}')?);
                }
                ":".into()
            }
            (Some(',' | '^'), _) => self.run(2, |char| char == ',' || char == '^'),
            (Some(mark @ ('#' | '%')), _) => {
                let operator = self.run(2, |char| char == mark);
                arguments.push(self.argument(depth, Escapes::None, |char| char != '}')?);
                operator
            }
            (Some('/'), second) => {
                let length = if matches!(second, Some('/' | '#' | '%')) { 2 } else { 1 };
                let operator = self.run(length, |_| true);
                arguments.push(self.argument(depth, Escapes::All, |char| char != '/')?);
                if self.run(usize::MAX, |char| char == '/').is_empty() {
                    return Err(Fault::Bad);
                }
                if self.peek() != Some('}') {
                    arguments.push(self.argument(depth, Escapes::All, |char| char != '}')?);
                }
                operator
            }
            _ => {
                self.close(Fault::Brace)?;
                return self.value(&name, "", &[]);
            }
        };
        self.close(Fault::Bad)?;
        self.value(&name, &operator, &arguments)
    }

    /// One piece: a substitution, or the characters that fit up to the next one.
    fn argument(
        &mut self,
        depth: usize,
        escapes: Escapes,
        fits: impl Fn(char) -> bool,
    ) -> Result<String, Fault> {
        if self.rest().starts_with("${") {
            return self.function(depth + 1);
        }
        let start = self.at;
        let mut out = String::new();
        while let Some(char) = self.peek() {
            let rest = self.rest();
            let escape = ["$$", r"\/", r"\\"].iter().any(|escape| rest.starts_with(escape));
            if escapes == Escapes::All && escape {
                out.extend(rest.chars().nth(1));
                self.at += 2;
            } else if rest.starts_with("${") || !fits(char) {
                break;
            } else {
                out.push(char);
                self.at += char.len_utf8();
            }
        }
        if self.at == start { Err(Fault::Argument) } else { Ok(out) }
    }

    fn value(&self, name: &str, operator: &str, arguments: &[String]) -> Result<String, Fault> {
        match self.variables.get(name) {
            _ if self.dry => Ok(String::new()),
            Some(text) => functions::call(operator, text, arguments),
            None if self.strict && !functions::is_default(operator) => Err(Fault::NotSet(name.into())),
            None => functions::call(operator, "", arguments),
        }
    }
}
