//! Tokens to nodes: libyaml's grammar, and anchors by name.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use smol_str::SmolStr;

use super::scan::{Kind, Mark, Scanner, Style, fault};

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// As it was resolved: `!!str` is `tag:yaml.org,2002:str`.
    pub tag: String,
    pub body: Body,
    pub form: Form,
    /// Where it begins, counted from 1; 0 where it is not written.
    pub line: u32,
}

/// How it is written, as far as Kustomize changes it when it prints what it read, before it decodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In quotes, plain, or as lines of values.
    Other,
    Folded,
    Literal,
    /// A list or a map in brackets.
    Brackets,
}

impl Form {
    /// Lines of a text below `|` or `>`.
    pub fn is_block(self) -> bool {
        matches!(self, Form::Folded | Form::Literal)
    }
}

impl Node {
    fn new(body: Body, form: Form) -> Rc<Node> {
        Rc::new(Node { tag: String::new(), body, form, line: 0 })
    }
}

#[derive(Debug)]
pub(super) enum Body {
    /// Text, and whether it is plain and has no tag.
    Scalar(SmolStr, bool),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
    Alias(Rc<Node>),
    /// An alias within the node that it names.
    Within(Rc<Anchor>),
}

/// The name of a node and, once that is complete, the node. It does not keep it: it may lie within it.
#[derive(Debug)]
pub(super) struct Anchor {
    pub name: String,
    node: OnceCell<Weak<Node>>,
}

impl Anchor {
    /// The node, for as long as its document is there.
    pub fn node(&self) -> Option<Rc<Node>> {
        self.node.get()?.upgrade()
    }
}

pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    tags: Vec<(String, String)>,
    /// By name, and their nodes that are complete.
    anchors: HashMap<String, (Rc<Anchor>, Option<Rc<Node>>)>,
    depth: usize,
    started: bool,
    head: Head,
}

/// What is read where only some fields of a document's map are wanted: the others are looked through and not kept.
struct Head {
    /// Names of the wanted fields, in any case; all are kept if there are none.
    wanted: &'static [&'static str],
    /// Whether what is here is not kept, and whether it is a key.
    skips: bool,
    key: bool,
    /// There is something that has to be decoded to be known for right.
    unclear: bool,
    /// What stands for nodes that are not kept.
    nothing: Rc<Node>,
}

type Done<T> = Result<T, String>;

impl<'a> Parser<'a> {
    /// As go-yaml 2 reads a text.
    pub fn new(text: &'a str) -> Done<Parser<'a>> {
        Parser::with(Scanner::new(text, 0)?)
    }

    /// As go-yaml 3 does, which looks two tokens further for comments.
    pub fn ahead(text: &'a str) -> Done<Parser<'a>> {
        Parser::with(Scanner::new(text, 2)?)
    }

    fn with(scanner: Scanner<'a>) -> Done<Parser<'a>> {
        let nothing = Node::new(Body::Scalar(SmolStr::default(), true), Form::Other);
        let head = Head { wanted: &[], skips: false, key: false, unclear: false, nothing };
        Ok(Parser { scanner, tags: Vec::new(), anchors: HashMap::new(), depth: 0, started: false, head })
    }

    /// The first document with no more than these fields of its map; none if it has to be read whole to be known for right.
    pub fn head(text: &'a str, wanted: &'static [&'static str]) -> Option<Rc<Node>> {
        let mut parser = Parser::new(text).ok()?;
        parser.head.wanted = wanted;
        let node = parser.document().ok()??;
        (!parser.head.unclear).then_some(node)
    }

    fn kind(&mut self) -> Done<&Kind> {
        Ok(&self.scanner.peek()?.kind)
    }

    fn mark(&mut self) -> Done<Mark> {
        Ok(self.scanner.peek()?.start)
    }

    fn error<T>(&mut self, problem: &str, context: Mark) -> Done<T> {
        let line = self.mark()?.line;
        fault(if line == 0 { context.line } else { line }, problem)
    }

    /// The next document; none at the end of the text.
    pub fn document(&mut self) -> Done<Option<Rc<Node>>> {
        if self.started {
            while *self.kind()? == Kind::DocumentEnd {
                self.scanner.skip();
            }
        }
        let implicit = !self.started;
        self.started = true;
        let kind = self.kind()?;
        if *kind == Kind::StreamEnd {
            return Ok(None);
        }
        let explicit =
            matches!(kind, Kind::Version(..) | Kind::TagDirective(..) | Kind::DocumentStart) || !implicit;
        self.anchors.clear();
        let node = if explicit {
            self.directives()?;
            let start = self.mark()?;
            if *self.kind()? != Kind::DocumentStart {
                return self.error("did not find expected <document start>", start);
            }
            self.scanner.skip();
            match self.kind()? {
                Kind::Version(..)
                | Kind::TagDirective(..)
                | Kind::DocumentStart
                | Kind::DocumentEnd
                | Kind::StreamEnd => self.empty()?,
                _ => self.node(true, false)?,
            }
        } else {
            self.directives()?;
            self.node(true, false)?
        };
        if *self.kind()? == Kind::DocumentEnd {
            self.scanner.skip();
        }
        self.tags.clear();
        Ok(Some(node))
    }

    fn directives(&mut self) -> Done<()> {
        let mut version = false;
        loop {
            let mark = self.mark()?;
            match self.kind()? {
                Kind::Version(major, minor) => {
                    let known = (*major, *minor) == (1, 1);
                    if std::mem::replace(&mut version, true) {
                        return self.error("found duplicate %YAML directive", mark);
                    }
                    if !known {
                        return self.error("found incompatible YAML document", mark);
                    }
                }
                Kind::TagDirective(directive) => {
                    let (handle, prefix) = (**directive).clone();
                    if self.tags.iter().any(|(own, _)| *own == handle) {
                        return self.error("found duplicate %TAG directive", mark);
                    }
                    self.tags.push((handle, prefix));
                }
                _ => break,
            }
            self.scanner.skip();
        }
        for (handle, prefix) in [("!", "!"), ("!!", "tag:yaml.org,2002:")] {
            if !self.tags.iter().any(|(own, _)| own == handle) {
                self.tags.push((handle.into(), prefix.into()));
            }
        }
        Ok(())
    }

    /// A null that is not written.
    fn empty(&mut self) -> Done<Rc<Node>> {
        if self.head.skips {
            self.head.unclear |= self.head.key;
            return Ok(self.head.nothing.clone());
        }
        Ok(Node::new(Body::Scalar(SmolStr::default(), true), Form::Other))
    }

    fn node(&mut self, block: bool, indentless: bool) -> Done<Rc<Node>> {
        let start = self.mark()?;
        if let Kind::Alias(name) = self.kind()? {
            let name = name.clone();
            self.head.unclear = true;
            self.scanner.skip();
            return match self.anchors.get(&name) {
                None => Err(format!("yaml: unknown anchor '{name}' referenced")),
                Some((anchor, None)) => Ok(Node::new(Body::Within(anchor.clone()), Form::Other)),
                Some((_, Some(node))) => Ok(Node::new(Body::Alias(node.clone()), Form::Other)),
            };
        }
        let (mut anchor, mut tag) = (None, None);
        for _ in 0..2 {
            match self.kind()? {
                Kind::Anchor(name) if anchor.is_none() => {
                    anchor = Some(name.clone());
                    self.scanner.skip();
                }
                Kind::Tag(named) if tag.is_none() => {
                    let (handle, suffix) = (**named).clone();
                    let line = self.mark()?.line;
                    self.scanner.skip();
                    tag = Some((handle, suffix, line));
                }
                _ => {}
            }
        }
        let tag = match tag {
            None => None,
            Some((handle, suffix, line)) => {
                // What follows is looked at first, and its faults are told.
                self.kind()?;
                let prefix = self.tags.iter().find(|(own, _)| *own == handle);
                match prefix {
                    _ if handle.is_empty() => Some(suffix),
                    Some((_, prefix)) => Some(format!("{prefix}{suffix}")),
                    None => {
                        let line = if line == 0 { start.line } else { line };
                        return fault(line, "found undefined tag handle");
                    }
                }
            }
        };
        self.head.unclear |= anchor.is_some() || tag.is_some();
        let anchor = anchor.map(|name| Rc::new(Anchor { name, node: OnceCell::new() }));
        if let Some(anchor) = &anchor {
            self.anchors.insert(anchor.name.clone(), (anchor.clone(), None));
        }
        self.depth += 1;
        let body = self.body(block, indentless, anchor.is_some(), &tag, start);
        self.depth -= 1;
        let (body, form) = body?;
        if self.head.skips {
            return Ok(self.head.nothing.clone());
        }
        let line = start.line as u32 + 1;
        let node = Rc::new(Node { tag: tag.unwrap_or_default(), body, form, line });
        if let Some(anchor) = anchor {
            let _ = anchor.node.set(Rc::downgrade(&node));
            // A node of the same name may lie within it, and is what the name means from there on.
            if let Some((own, complete)) = self.anchors.get_mut(&anchor.name)
                && Rc::ptr_eq(own, &anchor)
            {
                *complete = Some(node.clone());
            }
        }
        Ok(node)
    }

    fn body(
        &mut self,
        block: bool,
        indentless: bool,
        named: bool,
        tag: &Option<String>,
        start: Mark,
    ) -> Done<(Body, Form)> {
        if self.depth > super::DEPTH {
            return self.error("exceeded max depth of 10000", start);
        }
        // A list or map as a key has texts of its own for what is wrong.
        self.head.unclear |= self.head.key && !matches!(self.kind()?, Kind::Scalar(..));
        let body = match self.kind()? {
            Kind::BlockEntry if indentless => self.indentless(),
            Kind::Scalar(text, style) => {
                let (text, style) = (text.clone(), *style);
                self.scanner.skip();
                let implicit = style == Style::Plain && tag.as_deref().is_none_or(|tag| tag == "!");
                if self.head.skips && implicit {
                    self.head.unclear |= !super::decode::is_clear(&text, self.head.key);
                }
                let form = match style {
                    Style::Folded => Form::Folded,
                    Style::Literal => Form::Literal,
                    Style::Plain | Style::Quoted => Form::Other,
                };
                return Ok((Body::Scalar(text, implicit), form));
            }
            Kind::FlowSequenceStart => return Ok((self.flow_sequence()?, Form::Brackets)),
            Kind::FlowMappingStart => return Ok((self.flow_mapping()?, Form::Brackets)),
            Kind::SequenceStart if block => self.sequence(),
            Kind::MappingStart if block => self.mapping(),
            _ if tag.is_some() => Ok(Body::Scalar(SmolStr::default(), tag.as_deref() == Some("!"))),
            _ if named => Ok(Body::Scalar(SmolStr::default(), true)),
            _ => self.error("did not find expected node content", start),
        };
        body.map(|body| (body, Form::Other))
    }

    /// Puts something into a list of what is kept.
    fn keep<T>(&self, all: &mut Vec<T>, one: T) {
        if !self.head.skips {
            all.push(one);
        }
    }

    /// Whether the value of a key of a map that is kept is kept too.
    fn wants(&mut self, key: &Node) -> bool {
        if self.depth > 1 || self.head.wanted.is_empty() {
            return true;
        }
        match &key.body {
            Body::Scalar(name, _) => {
                self.head.unclear |= super::decode::is_merge(key);
                self.head.wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
            }
            _ => true,
        }
    }

    fn sequence(&mut self) -> Done<Body> {
        let start = self.mark()?;
        self.scanner.skip();
        let mut items = Vec::new();
        loop {
            match self.kind()? {
                Kind::BlockEntry => {
                    self.scanner.skip();
                    let item = match self.kind()? {
                        Kind::BlockEntry | Kind::BlockEnd => self.empty()?,
                        _ => self.node(true, false)?,
                    };
                    self.keep(&mut items, item);
                }
                Kind::BlockEnd => {
                    self.scanner.skip();
                    return Ok(Body::Sequence(items));
                }
                _ => return self.error("did not find expected '-' indicator", start),
            }
        }
    }

    fn indentless(&mut self) -> Done<Body> {
        let mut items = Vec::new();
        while *self.kind()? == Kind::BlockEntry {
            self.scanner.skip();
            let item = match self.kind()? {
                Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                _ => self.node(true, false)?,
            };
            self.keep(&mut items, item);
        }
        Ok(Body::Sequence(items))
    }

    fn mapping(&mut self) -> Done<Body> {
        let start = self.mark()?;
        self.scanner.skip();
        let mut pairs = Vec::new();
        loop {
            match self.kind()? {
                Kind::Key => {
                    self.scanner.skip();
                    self.head.key = self.head.skips;
                    let key = match self.kind()? {
                        Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                        _ => self.node(true, true)?,
                    };
                    self.head.key = false;
                    let kept = !self.head.skips;
                    self.head.skips = !kept || !self.wants(&key);
                    let value = if *self.kind()? == Kind::Value {
                        self.scanner.skip();
                        match self.kind()? {
                            Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                            _ => self.node(true, true)?,
                        }
                    } else {
                        self.empty()?
                    };
                    self.head.skips = !kept;
                    self.keep(&mut pairs, (key, value));
                }
                Kind::BlockEnd => {
                    self.scanner.skip();
                    return Ok(Body::Mapping(pairs));
                }
                _ => return self.error("did not find expected key", start),
            }
        }
    }

    fn flow_sequence(&mut self) -> Done<Body> {
        let start = self.mark()?;
        self.scanner.skip();
        let (mut items, mut first) = (Vec::new(), true);
        loop {
            if *self.kind()? == Kind::FlowSequenceEnd {
                break;
            }
            if !std::mem::take(&mut first) {
                if *self.kind()? != Kind::FlowEntry {
                    return self.error("did not find expected ',' or ']'", start);
                }
                self.scanner.skip();
            }
            match self.kind()? {
                Kind::Key => {
                    self.scanner.skip();
                    self.head.unclear |= self.head.skips;
                    let key = match self.kind()? {
                        Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd => {
                            // Upstream passes over what it only looked at.
                            self.scanner.skip();
                            self.empty()?
                        }
                        _ => self.node(false, false)?,
                    };
                    let mut value = None;
                    if *self.kind()? == Kind::Value {
                        self.scanner.skip();
                        if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowSequenceEnd) {
                            value = Some(self.node(false, false)?);
                        }
                    }
                    let value = match value {
                        Some(value) => value,
                        None => self.empty()?,
                    };
                    let body = Body::Mapping(vec![(key, value)]);
                    items.push(Node::new(body, Form::Brackets));
                }
                Kind::FlowSequenceEnd => break,
                _ => {
                    let item = self.node(false, false)?;
                    self.keep(&mut items, item);
                }
            }
        }
        self.scanner.skip();
        Ok(Body::Sequence(items))
    }

    fn flow_mapping(&mut self) -> Done<Body> {
        let start = self.mark()?;
        self.scanner.skip();
        let (mut pairs, mut first) = (Vec::new(), true);
        loop {
            if *self.kind()? == Kind::FlowMappingEnd {
                break;
            }
            if !std::mem::take(&mut first) {
                if *self.kind()? != Kind::FlowEntry {
                    return self.error("did not find expected ',' or '}'", start);
                }
                self.scanner.skip();
            }
            self.head.key = self.head.skips;
            let key = match self.kind()? {
                Kind::Key => {
                    self.scanner.skip();
                    match self.kind()? {
                        Kind::Value | Kind::FlowEntry | Kind::FlowMappingEnd => self.empty()?,
                        _ => self.node(false, false)?,
                    }
                }
                Kind::FlowMappingEnd => break,
                _ => {
                    // A key alone has no value.
                    let key = self.node(false, false)?;
                    self.head.key = false;
                    let value = self.empty()?;
                    self.keep(&mut pairs, (key, value));
                    continue;
                }
            };
            self.head.key = false;
            let mut value = None;
            if *self.kind()? == Kind::Value {
                self.scanner.skip();
                if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowMappingEnd) {
                    value = Some(self.node(false, false)?);
                }
            }
            let value = match value {
                Some(value) => value,
                None => self.empty()?,
            };
            self.keep(&mut pairs, (key, value));
        }
        self.head.key = false;
        self.scanner.skip();
        Ok(Body::Mapping(pairs))
    }
}
