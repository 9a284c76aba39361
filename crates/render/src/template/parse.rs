//! Items to trees: the main template of a text and those that it defines.

use std::rc::Rc;

use smol_str::SmolStr;

use super::lex::{Item, Kind as Token, lex};
use super::node::{Branch, Command, Kind, Literal, Names, Node, Number, Pipe, Source, Tree};
use super::{Functions, STACK, stack_position};
use crate::go::{float, quote};

/// The trees of a text. The error has Go's text, `template: NAME:LINE: …`.
pub fn parse(name: &str, text: &str, functions: &'static Functions) -> Result<Vec<Rc<Tree>>, String> {
    if u32::try_from(text.len()).is_err() {
        return Err(format!("template: {name}: the text is longer than 4 GB"));
    }
    let source = Rc::new(Source::new(name, text));
    let mut parser = Parser {
        items: lex(text),
        at: 0,
        fetched: 0,
        source,
        functions,
        trees: Vec::new(),
        scope: Scope::default(),
        base: stack_position(),
    };
    parser.scope.vars.push("$".into());
    let root = parser.main()?;
    parser.add(name.into(), root)?;
    Ok(parser.trees)
}

/// What a `define` has of its own.
#[derive(Default)]
struct Scope {
    vars: Vec<SmolStr>,
    ranges: usize,
    parens: usize,
    /// The line where the action began that is being read; 0 outside.
    action: usize,
}

struct Parser<'t> {
    items: Vec<Item<'t>>,
    at: usize,
    /// How many items were ever looked at: errors give the line of the last.
    fetched: usize,
    source: Rc<Source>,
    functions: &'static Functions,
    trees: Vec<Rc<Tree>>,
    scope: Scope,
    base: usize,
}

type Parsed<T> = Result<T, String>;

impl<'t> Parser<'t> {
    fn item(&self, at: usize) -> &Item<'t> {
        self.items.get(at).unwrap_or_else(|| self.items.last().expect("because a text has an end"))
    }

    fn next(&mut self) -> Item<'t> {
        let item = self.item(self.at).clone();
        self.at += 1;
        self.fetched = self.fetched.max(self.at);
        item
    }

    fn peek(&mut self) -> Token {
        self.fetched = self.fetched.max(self.at + 1);
        self.item(self.at).kind
    }

    fn next_non_space(&mut self) -> Item<'t> {
        loop {
            let item = self.next();
            if item.kind != Token::Space {
                return item;
            }
        }
    }

    /// Skips space and looks at what follows.
    fn peek_non_space(&mut self) -> &Item<'t> {
        while self.peek() == Token::Space {
            self.at += 1;
        }
        self.item(self.at)
    }

    fn error<T>(&self, text: impl std::fmt::Display) -> Parsed<T> {
        let line = self.item(self.fetched.saturating_sub(1)).line;
        Err(format!("template: {}:{line}: {text}", self.source.name))
    }

    fn unexpected<T>(&self, item: &Item<'_>, context: &str) -> Parsed<T> {
        if item.kind == Token::Error {
            let mut extra = String::new();
            if self.scope.action != 0 && self.scope.action != item.line {
                extra = format!(" in action started at {}:{}", self.source.name, self.scope.action);
                if item.text.ends_with(" action") {
                    extra = extra[" in action".len()..].into();
                }
            }
            return self.error(format!("{item}{extra}"));
        }
        self.error(format!("unexpected {item} in {context}"))
    }

    fn expect(&mut self, kind: Token, context: &str) -> Parsed<Item<'t>> {
        let item = self.next_non_space();
        if item.kind != kind { self.unexpected(&item, context) } else { Ok(item) }
    }

    fn bounded(&self) -> Parsed<()> {
        if self.base.abs_diff(stack_position()) > STACK / 4 {
            return self.error("max expression depth exceeded");
        }
        Ok(())
    }

    fn add(&mut self, name: String, root: Vec<Node>) -> Parsed<()> {
        let tree = Rc::new(Tree { name, source: self.source.clone(), root });
        match self.trees.iter().position(|other| other.name == tree.name) {
            None => self.trees.push(tree),
            Some(at) if self.trees[at].is_empty() => self.trees[at] = tree,
            Some(_) if tree.is_empty() => {}
            Some(_) => {
                return self.error(format!(
                    "template: multiple definition of template {}",
                    quote::quote(tree.name.as_bytes())
                ));
            }
        }
        Ok(())
    }

    fn main(&mut self) -> Parsed<Vec<Node>> {
        let mut root = Vec::new();
        while self.peek() != Token::Eof {
            if self.peek() == Token::LeftDelim {
                let back = self.at;
                self.next();
                if self.next_non_space().kind == Token::Define {
                    self.definition()?;
                    continue;
                }
                self.at = back;
            }
            let node = self.text_or_action()?;
            if matches!(node.kind, Kind::End | Kind::Else) {
                return self.error(format!("unexpected {node}"));
            }
            root.push(node);
        }
        Ok(root)
    }

    /// A `define` or `block` has variables, ranges and action lines of its own.
    fn scoped<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = std::mem::take(&mut self.scope);
        self.scope.vars.push("$".into());
        let done = inner(self);
        self.scope = outer;
        done
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let item = self.next_non_space();
        if !matches!(item.kind, Token::String | Token::RawString) {
            return self.scoped(|parser| parser.unexpected(&item, CONTEXT));
        }
        let name = self.unquoted(&item)?;
        self.scoped(|parser| {
            parser.expect(Token::RightDelim, CONTEXT)?;
            let (root, end) = parser.item_list()?;
            if !matches!(end.kind, Kind::End) {
                return parser.error(format!("unexpected {end} in {CONTEXT}"));
            }
            parser.add(name, root)
        })
    }

    fn unquoted(&self, item: &Item<'_>) -> Parsed<String> {
        match quote::unquote(&item.text) {
            Some(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            None => self.error("invalid syntax"),
        }
    }

    fn item_list(&mut self) -> Parsed<(Vec<Node>, Node)> {
        self.bounded()?;
        let mut list = Vec::new();
        while self.peek_non_space().kind != Token::Eof {
            let node = self.text_or_action()?;
            if matches!(node.kind, Kind::End | Kind::Else) {
                return Ok((list, node));
            }
            list.push(node);
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Node> {
        let item = self.next_non_space();
        match item.kind {
            Token::Text => Ok(node(item.pos, Kind::Text(item.text.as_bytes().into()))),
            Token::LeftDelim => {
                self.scope.action = item.line;
                let node = self.action()?;
                self.scope.action = 0;
                Ok(node)
            }
            _ => self.unexpected(&item, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Node> {
        let item = self.next_non_space();
        let pos = item.pos;
        match item.kind {
            Token::Block => return self.block(),
            Token::Break | Token::Continue => {
                let (word, kind) = match item.kind {
                    Token::Break => ("{{break}}", Kind::Break),
                    _ => ("{{continue}}", Kind::Continue),
                };
                self.expect(Token::RightDelim, word)?;
                if self.scope.ranges == 0 {
                    return self.error(format!("{word} outside {{{{range}}}}"));
                }
                return Ok(node(pos, kind));
            }
            Token::Else => {
                let next = self.peek_non_space();
                if matches!(next.kind, Token::If | Token::With) {
                    return Ok(node(next.pos, Kind::Else));
                }
                let end = self.expect(Token::RightDelim, "else")?;
                return Ok(node(end.pos, Kind::Else));
            }
            Token::End => {
                let end = self.expect(Token::RightDelim, "end")?;
                return Ok(node(end.pos, Kind::End));
            }
            Token::If => return self.control("if"),
            Token::Range => return self.control("range"),
            Token::With => return self.control("with"),
            Token::Template => return self.template(),
            _ => {}
        }
        self.at -= 1;
        self.peek();
        let pipe = self.pipeline("command", Token::RightDelim)?;
        Ok(node(pos, Kind::Action(Box::new(pipe))))
    }

    fn control(&mut self, word: &str) -> Parsed<Node> {
        self.bounded()?;
        let vars = self.scope.vars.len();
        let pipe = self.pipeline(word, Token::RightDelim)?;
        self.scope.ranges += usize::from(word == "range");
        let (list, next) = self.item_list()?;
        self.scope.ranges -= usize::from(word == "range");
        let mut otherwise = None;
        if matches!(next.kind, Kind::Else) {
            let again = matches!((word, self.peek()), ("if", Token::If) | ("with", Token::With));
            otherwise = Some(if again {
                self.next();
                Box::from([self.control(word)?])
            } else {
                let (list, next) = self.item_list()?;
                if !matches!(next.kind, Kind::End) {
                    return self.error(format!("expected end; found {next}"));
                }
                list.into()
            });
        }
        self.scope.vars.truncate(vars);
        let pos = pipe.pos;
        let branch = Box::new(Branch { pipe, list: list.into(), otherwise });
        let kind = match word {
            "if" => Kind::If(branch),
            "with" => Kind::With(branch),
            _ => Kind::Range(branch),
        };
        Ok(Node { pos, kind })
    }

    fn template_name(&mut self, item: &Item<'_>, context: &str) -> Parsed<String> {
        match item.kind {
            Token::String | Token::RawString => self.unquoted(item),
            _ => self.unexpected(item, context),
        }
    }

    fn template(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, CONTEXT)?;
        let mut pipe = None;
        if self.next_non_space().kind != Token::RightDelim {
            self.at -= 1;
            pipe = Some(self.pipeline(CONTEXT, Token::RightDelim)?);
        }
        Ok(node(item.pos, Kind::Template(name.into(), pipe.map(Box::new))))
    }

    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Token::RightDelim)?;
        let own = name.clone();
        self.scoped(|parser| {
            let (root, end) = parser.item_list()?;
            if !matches!(end.kind, Kind::End) {
                return parser.error(format!("unexpected {end} in {CONTEXT}"));
            }
            parser.add(own, root)
        })?;
        Ok(node(item.pos, Kind::Template(name.into(), Some(Box::new(pipe)))))
    }

    fn pipeline(&mut self, context: &str, end: Token) -> Parsed<Pipe> {
        let first = self.peek_non_space();
        let (pos, mut assign) = (first.pos as u32, false);
        let (mut decl, mut commands) = (Vec::new(), Vec::new());
        loop {
            if self.peek_non_space().kind != Token::Variable {
                break;
            }
            let variable = self.peek_non_space().clone();
            let back = self.at;
            self.next();
            self.peek();
            let next = self.peek_non_space();
            let kind = next.kind;
            let declares = matches!(kind, Token::Assign | Token::Declare);
            let lists = kind == Token::Char && &*next.text == ",";
            if !declares && !lists {
                self.at = back;
                break;
            }
            self.next_non_space();
            decl.push(node(variable.pos, Kind::Variable(split_names(&variable.text))));
            self.scope.vars.push(SmolStr::new(&variable.text));
            if declares {
                assign = kind == Token::Assign;
                break;
            }
            if context == "range" && decl.len() < 2 {
                match self.peek_non_space().kind {
                    Token::Variable | Token::RightDelim | Token::RightParen => continue,
                    _ => return self.error("range can only initialize variables"),
                }
            }
            return self.error(format!("too many declarations in {context}"));
        }
        loop {
            let item = self.next_non_space();
            match item.kind {
                kind if kind == end => {
                    self.check(&commands, context)?;
                    return Ok(Pipe { pos, assign, decl: decl.into(), commands: commands.into() });
                }
                Token::Bool
                | Token::CharConstant
                | Token::Complex
                | Token::Dot
                | Token::Field
                | Token::Identifier
                | Token::Number
                | Token::Nil
                | Token::RawString
                | Token::String
                | Token::Variable
                | Token::LeftParen => {
                    self.at -= 1;
                    let command = self.command()?;
                    commands.push(command);
                }
                _ => return self.unexpected(&item, context),
            }
        }
    }

    fn check(&self, commands: &[Command], context: &str) -> Parsed<()> {
        if commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (at, command) in commands.iter().enumerate().skip(1) {
            if let Kind::Bool(_) | Kind::Dot | Kind::Nil | Kind::Number(_) | Kind::String(..) =
                command.args[0].kind
            {
                return self.error(format!("non executable command in pipeline stage {}", at + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_non_space().pos as u32;
        let mut args = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let item = self.next();
            match item.kind {
                Token::Space => continue,
                Token::RightDelim | Token::RightParen => self.at -= 1,
                Token::Pipe => {}
                _ => return self.unexpected(&item, "operand"),
            }
            break;
        }
        if args.is_empty() {
            return self.error("empty command");
        }
        // Trees are kept until all is rendered, and most lists have one item: none has room for more.
        Ok(Command { pos, args: args.into() })
    }

    fn operand(&mut self) -> Parsed<Option<Node>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek() != Token::Field {
            return Ok(Some(term));
        }
        let pos = self.item(self.at).pos;
        let mut fields = Vec::new();
        while self.peek() == Token::Field {
            fields.push(SmolStr::new(&self.next().text[1..]));
        }
        let joined =
            |names: Names, fields: Vec<SmolStr>| -> Names { names.into_iter().chain(fields).collect() };
        let kind = match term.kind {
            Kind::Field(names) => Kind::Field(joined(names, fields)),
            Kind::Variable(names) => Kind::Variable(joined(names, fields)),
            Kind::Bool(_) | Kind::String(..) | Kind::Number(_) | Kind::Nil | Kind::Dot => {
                let shown = quote::quote(term.to_string().as_bytes());
                return self.error(format!("unexpected . after term {shown}"));
            }
            _ => Kind::Chain(Box::new(term), fields.into()),
        };
        Ok(Some(node(pos, kind)))
    }

    fn term(&mut self) -> Parsed<Option<Node>> {
        let item = self.next_non_space();
        let kind = match item.kind {
            Token::Identifier => {
                let Some((name, function)) = self.functions.get_key_value(&*item.text) else {
                    let shown = quote::quote(item.text.as_bytes());
                    return self.error(format!("function {shown} not defined"));
                };
                Kind::Identifier(name, function)
            }
            Token::Dot => Kind::Dot,
            Token::Nil => Kind::Nil,
            Token::Variable => {
                let names = split_names(&item.text);
                if !self.scope.vars.contains(&names[0]) {
                    return self.error(format!("undefined variable {}", quote::quote(names[0].as_bytes())));
                }
                Kind::Variable(names)
            }
            Token::Field => Kind::Field(Box::from([SmolStr::new(&item.text[1..])])),
            Token::Bool => Kind::Bool(&*item.text == "true"),
            Token::CharConstant | Token::Complex | Token::Number => match number(&item) {
                Ok(number) => Kind::Number(Box::new(number)),
                Err(error) => return self.error(error),
            },
            Token::LeftParen => {
                self.bounded()?;
                if self.scope.parens >= 10_000 {
                    return self.error("max expression depth exceeded");
                }
                self.scope.parens += 1;
                let pipe = self.pipeline("parenthesized pipeline", Token::RightParen)?;
                self.scope.parens -= 1;
                return Ok(Some(Node { pos: pipe.pos, kind: Kind::Pipe(Box::new(pipe)) }));
            }
            Token::String | Token::RawString => match quote::unquote(&item.text) {
                Some(bytes) => {
                    Kind::String(Box::new(Literal { written: SmolStr::new(&item.text), text: bytes.into() }))
                }
                None => return self.error("invalid syntax"),
            },
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(node(item.pos, kind)))
    }
}

fn node(pos: usize, kind: Kind) -> Node {
    Node { pos: pos as u32, kind }
}

fn split_names(text: &str) -> Names {
    text.split('.').map(SmolStr::new).collect()
}

fn number(item: &Item<'_>) -> Result<Number, String> {
    let text = &*item.text;
    let shown = || quote::quote(text.as_bytes());
    let mut number = Number { text: text.into(), int: None, uint: None, float: None };
    if item.kind == Token::CharConstant {
        let bytes = quote::unquote(text).ok_or_else(|| {
            let inner = text.trim_matches('\'');
            if inner.chars().count() > 1 && !inner.starts_with('\\') {
                format!("malformed character constant: {text}")
            } else {
                "invalid syntax".into()
            }
        })?;
        let code = crate::go::text::first(&bytes).map_or(0, |(char, _)| char as u32);
        number.int = Some(i64::from(code));
        number.uint = Some(u64::from(code));
        number.float = Some(f64::from(code));
        return Ok(number);
    }
    if item.kind == Token::Complex || text.ends_with('i') {
        return Err(format!("complex numbers are not served: {}", shown()));
    }
    number.uint = float::parse_uint(text, 0);
    number.int = float::parse_int(text, 0);
    if number.int == Some(0) {
        number.uint = Some(0);
    }
    if let Some(int) = number.int {
        number.float = Some(int as f64);
    } else if let Some(uint) = number.uint {
        number.float = Some(uint as f64);
    } else if let Some(float) = float::parse(&text.replace('_', "")) {
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", shown()));
        }
        number.float = Some(float);
        if float.fract() == 0.0 && float.abs() < 9.2e18 {
            number.int = Some(float as i64);
        }
        if float.fract() == 0.0 && (0.0..1.8e19).contains(&float) {
            number.uint = Some(float as u64);
        }
    } else {
        return Err(format!("illegal number syntax: {}", shown()));
    }
    Ok(number)
}
