//! The tree of a template, and how its parts are written in error messages.

use std::fmt::{Display, Formatter, Result, Write};
use std::rc::Rc;

use smol_str::SmolStr;

use super::slot::Function;
use crate::go::{Str, quote};

/// What errors tell of the text that trees were parsed from: its name, and where its lines are. The text itself is not kept.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    /// Where each line but the first begins.
    lines: Box<[u32]>,
    length: usize,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Source {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Source { name: name.into(), lines: ends.map(|(at, _)| at as u32 + 1).collect(), length: text.len() }
    }

    /// `name:line:column`, the column counted from 0 in bytes.
    pub fn location(&self, pos: u32) -> String {
        let pos = pos.min(self.length as u32);
        let line = self.lines.partition_point(|start| *start <= pos);
        let start = line.checked_sub(1).map_or(0, |at| self.lines[at]);
        format!("{}:{}:{}", self.name, line + 1, pos - start)
    }
}

/// One named template.
#[derive(Debug)]
pub struct Tree {
    pub name: String,
    pub source: Rc<Source>,
    pub root: Vec<Node>,
}

impl Tree {
    /// Whether nothing but space is there.
    pub fn is_empty(&self) -> bool {
        self.root.iter().all(|node| match &node.kind {
            Kind::Text(text) => crate::go::text::trim_space(text.bytes()).is_empty(),
            _ => false,
        })
    }
}

#[derive(Debug)]
pub struct Node {
    pub pos: u32,
    pub kind: Kind,
}

/// Names to follow one after another.
pub type Names = Box<[SmolStr]>;

/// A text as it was written, and what it stands for.
#[derive(Debug)]
pub struct Literal {
    pub written: SmolStr,
    pub text: Str,
}

/// What a node is; what is large is boxed, since there are many nodes.
#[derive(Debug)]
pub enum Kind {
    Text(Str),
    Action(Box<Pipe>),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template(SmolStr, Option<Box<Pipe>>),
    Break,
    Continue,
    Bool(bool),
    Dot,
    Nil,
    Number(Box<Number>),
    String(Box<Literal>),
    /// The name of a function, and which it is.
    Identifier(&'static str, &'static Function),
    /// `.a.b`
    Field(Names),
    /// `$x.a.b`, the variable first.
    Variable(Names),
    /// `(pipeline).a.b`
    Chain(Box<Node>, Names),
    Pipe(Box<Pipe>),
    /// Only while parsing.
    End,
    Else,
}

#[derive(Debug)]
pub struct Branch {
    pub pipe: Pipe,
    pub list: Box<[Node]>,
    pub otherwise: Option<Box<[Node]>>,
}

#[derive(Debug)]
pub struct Pipe {
    pub pos: u32,
    pub assign: bool,
    pub decl: Box<[Node]>,
    pub commands: Box<[Command]>,
}

#[derive(Debug)]
pub struct Command {
    pub pos: u32,
    pub args: Box<[Node]>,
}

/// A number as Go's template constants are: whatever it can be.
#[derive(Clone, Debug)]
pub struct Number {
    pub text: String,
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
}

/// Something an error can be about.
#[derive(Clone, Copy)]
pub enum At<'t> {
    Node(&'t Node),
    Pipe(&'t Pipe),
    Command(&'t Command),
}

impl At<'_> {
    pub fn pos(&self) -> u32 {
        match self {
            At::Node(node) => node.pos,
            At::Pipe(pipe) => pipe.pos,
            At::Command(command) => command.pos,
        }
    }
}

impl Display for At<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            At::Node(node) => node.fmt(f),
            At::Pipe(pipe) => pipe.fmt(f),
            At::Command(command) => command.fmt(f),
        }
    }
}

fn names(names: &[SmolStr], f: &mut Formatter<'_>) -> Result {
    names.iter().try_for_each(|name| write!(f, ".{name}"))
}

fn list(nodes: &[Node], f: &mut Formatter<'_>) -> Result {
    nodes.iter().try_for_each(|node| node.fmt(f))
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.kind {
            Kind::Text(text) => f.write_str(&text.text()),
            Kind::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            Kind::If(branch) => branch.write("if", f),
            Kind::With(branch) => branch.write("with", f),
            Kind::Range(branch) => branch.write("range", f),
            Kind::Template(name, pipe) => {
                write!(f, "{{{{template {}", quote::quote(name.as_bytes()))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Kind::Break => f.write_str("{{break}}"),
            Kind::Continue => f.write_str("{{continue}}"),
            Kind::Bool(flag) => write!(f, "{flag}"),
            Kind::Dot => f.write_char('.'),
            Kind::Nil => f.write_str("nil"),
            Kind::Number(number) => f.write_str(&number.text),
            Kind::String(literal) => f.write_str(&literal.written),
            Kind::Identifier(name, _) => f.write_str(name),
            Kind::Field(fields) => names(fields, f),
            Kind::Variable(parts) => {
                f.write_str(&parts[0])?;
                names(&parts[1..], f)
            }
            Kind::Chain(node, fields) => {
                match &node.kind {
                    Kind::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => node.fmt(f)?,
                }
                names(fields, f)
            }
            Kind::Pipe(pipe) => pipe.fmt(f),
            Kind::End => f.write_str("{{end}}"),
            Kind::Else => f.write_str("{{else}}"),
        }
    }
}

impl Branch {
    fn write(&self, word: &str, f: &mut Formatter<'_>) -> Result {
        write!(f, "{{{{{word} {}}}}}", self.pipe)?;
        list(&self.list, f)?;
        if let Some(otherwise) = &self.otherwise {
            f.write_str("{{else}}")?;
            list(otherwise, f)?;
        }
        f.write_str("{{end}}")
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (at, variable) in self.decl.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            variable.fmt(f)?;
        }
        if !self.decl.is_empty() {
            f.write_str(if self.assign { " = " } else { " := " })?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (at, arg) in self.args.iter().enumerate() {
            if at > 0 {
                f.write_char(' ')?;
            }
            match &arg.kind {
                Kind::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => arg.fmt(f)?,
            }
        }
        Ok(())
    }
}
