//! The tree of a template, and how its parts are written in error messages.

use std::fmt::{Display, Formatter, Result, Write};
use std::rc::Rc;

use crate::go::{Str, quote};

/// The text that trees were parsed from, and the name that errors give it.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
}

impl Source {
    /// `name:line:column`, the column counted from 0 in bytes.
    pub fn location(&self, pos: usize) -> String {
        let before = &self.text.as_bytes()[..pos.min(self.text.len())];
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("{}:{line}:{column}", self.name)
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
    pub pos: usize,
    pub kind: Kind,
}

/// What a node is; what is large is boxed, since there are many nodes.
#[derive(Debug)]
pub enum Kind {
    Text(Str),
    Action(Box<Pipe>),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template(String, Option<Box<Pipe>>),
    Break,
    Continue,
    Bool(bool),
    Dot,
    Nil,
    Number(Box<Number>),
    /// As it was written, and what it stands for.
    String(String, Str),
    Identifier(String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`, the variable first.
    Variable(Vec<String>),
    /// `(pipeline).a.b`
    Chain(Box<Node>, Vec<String>),
    Pipe(Box<Pipe>),
    /// Only while parsing.
    End,
    Else,
}

#[derive(Debug)]
pub struct Branch {
    pub pipe: Pipe,
    pub list: Vec<Node>,
    pub otherwise: Option<Vec<Node>>,
}

#[derive(Debug)]
pub struct Pipe {
    pub pos: usize,
    pub assign: bool,
    pub decl: Vec<Node>,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub struct Command {
    pub pos: usize,
    pub args: Vec<Node>,
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
    pub fn pos(&self) -> usize {
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

fn names(names: &[String], f: &mut Formatter<'_>) -> Result {
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
            Kind::String(quoted, _) => f.write_str(quoted),
            Kind::Identifier(name) => f.write_str(name),
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
