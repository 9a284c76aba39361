//! Tokens to nodes: libyaml's grammar, and anchors by name.

use std::collections::HashMap;
use std::rc::Rc;

use smol_str::SmolStr;

use super::scan::{Kind, Mark, Scanner, Style, fault};

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// As it was resolved: `!!str` is `tag:yaml.org,2002:str`.
    pub tag: String,
    pub body: Body,
    pub form: Form,
}

/// What Kustomize changes when it prints what it read, before it decodes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Written,
    /// Nothing is written where a value could be, within brackets.
    Gap,
    Folded,
    Literal,
    /// A plain text within brackets.
    Inside,
}

impl Node {
    fn new(body: Body, form: Form) -> Rc<Node> {
        Rc::new(Node { tag: String::new(), body, form })
    }
}

#[derive(Debug)]
pub(super) enum Body {
    /// Text, and whether it is plain and has no tag.
    Scalar(SmolStr, bool),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
    Alias(Rc<Node>),
}

pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    tags: Vec<(String, String)>,
    /// None is an anchor whose node is not complete.
    anchors: HashMap<String, Option<Rc<Node>>>,
    depth: usize,
    started: bool,
    /// An alias within its own anchor: told when the document is through, as what cannot be decoded and not what cannot be read.
    within_itself: Option<String>,
}

type Done<T> = Result<T, String>;

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Done<Parser<'a>> {
        Ok(Parser {
            scanner: Scanner::new(text)?,
            tags: Vec::new(),
            anchors: HashMap::new(),
            depth: 0,
            started: false,
            within_itself: None,
        })
    }

    fn kind(&mut self) -> Done<Kind> {
        Ok(self.scanner.peek()?.kind.clone())
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
            while self.kind()? == Kind::DocumentEnd {
                self.scanner.skip();
            }
        }
        let implicit = !self.started;
        self.started = true;
        let kind = self.kind()?;
        if kind == Kind::StreamEnd {
            return Ok(None);
        }
        self.anchors.clear();
        let explicit =
            matches!(kind, Kind::Version(..) | Kind::TagDirective(..) | Kind::DocumentStart) || !implicit;
        let node = if explicit {
            self.directives()?;
            let start = self.mark()?;
            if self.kind()? != Kind::DocumentStart {
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
        if self.kind()? == Kind::DocumentEnd {
            self.scanner.skip();
        }
        self.tags.clear();
        match self.within_itself.take() {
            Some(text) => Err(text),
            None => Ok(Some(node)),
        }
    }

    fn directives(&mut self) -> Done<()> {
        let mut version = false;
        loop {
            let mark = self.mark()?;
            match self.kind()? {
                Kind::Version(major, minor) => {
                    if std::mem::replace(&mut version, true) {
                        return self.error("found duplicate %YAML directive", mark);
                    }
                    if (major, minor) != (1, 1) {
                        return self.error("found incompatible YAML document", mark);
                    }
                }
                Kind::TagDirective(handle, prefix) => {
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
    fn empty(&self) -> Done<Rc<Node>> {
        Ok(Node::new(Body::Scalar(SmolStr::default(), true), Form::Written))
    }

    /// The same within brackets.
    fn gap(&self) -> Done<Rc<Node>> {
        Ok(Node::new(Body::Scalar(SmolStr::default(), true), Form::Gap))
    }

    fn node(&mut self, block: bool, indentless: bool) -> Done<Rc<Node>> {
        let start = self.mark()?;
        if let Kind::Alias(name) = self.kind()? {
            self.scanner.skip();
            return match self.anchors.get(&name) {
                None => Err(format!("yaml: unknown anchor '{name}' referenced")),
                Some(None) => {
                    let text = || format!("yaml: anchor '{name}' value contains itself");
                    self.within_itself.get_or_insert_with(text);
                    self.empty()
                }
                Some(Some(node)) => Ok(Node::new(Body::Alias(node.clone()), Form::Written)),
            };
        }
        let (mut anchor, mut tag) = (None, None);
        for _ in 0..2 {
            match self.kind()? {
                Kind::Anchor(name) if anchor.is_none() => {
                    self.scanner.skip();
                    anchor = Some(name);
                }
                Kind::Tag(handle, suffix) if tag.is_none() => {
                    let prefix = if handle.is_empty() {
                        String::new()
                    } else {
                        match self.tags.iter().find(|(own, _)| *own == handle) {
                            Some((_, prefix)) => prefix.clone(),
                            None => return self.error("found undefined tag handle", start),
                        }
                    };
                    self.scanner.skip();
                    tag = Some(prefix + &suffix);
                }
                _ => {}
            }
        }
        if let Some(name) = &anchor {
            self.anchors.insert(name.clone(), None);
        }
        self.depth += 1;
        let body = self.body(block, indentless, &anchor, &tag, start);
        self.depth -= 1;
        let (body, form) = body?;
        let node = Rc::new(Node { tag: tag.unwrap_or_default(), body, form });
        if let Some(name) = anchor {
            self.anchors.insert(name, Some(node.clone()));
        }
        Ok(node)
    }

    fn body(
        &mut self,
        block: bool,
        indentless: bool,
        anchor: &Option<String>,
        tag: &Option<String>,
        start: Mark,
    ) -> Done<(Body, Form)> {
        if self.depth > super::DEPTH {
            return self.error("exceeded max depth of 10000", start);
        }
        let body = match self.kind()? {
            Kind::BlockEntry if indentless => self.indentless(),
            Kind::Scalar(text, style) => {
                self.scanner.skip();
                let implicit = style == Style::Plain && tag.as_deref().is_none_or(|tag| tag == "!");
                let form = match style {
                    Style::Folded => Form::Folded,
                    Style::Literal => Form::Literal,
                    Style::Plain if !block => Form::Inside,
                    Style::Plain | Style::Quoted => Form::Written,
                };
                return Ok((Body::Scalar(text, implicit), form));
            }
            Kind::FlowSequenceStart => self.flow_sequence(),
            Kind::FlowMappingStart => self.flow_mapping(),
            Kind::SequenceStart if block => self.sequence(),
            Kind::MappingStart if block => self.mapping(),
            _ if tag.is_some() => Ok(Body::Scalar(SmolStr::default(), false)),
            _ if anchor.is_some() => {
                let form = if block { Form::Written } else { Form::Gap };
                return Ok((Body::Scalar(SmolStr::default(), true), form));
            }
            _ => self.error("did not find expected node content", start),
        };
        body.map(|body| (body, Form::Written))
    }

    fn sequence(&mut self) -> Done<Body> {
        let start = self.mark()?;
        self.scanner.skip();
        let mut items = Vec::new();
        loop {
            match self.kind()? {
                Kind::BlockEntry => {
                    self.scanner.skip();
                    items.push(match self.kind()? {
                        Kind::BlockEntry | Kind::BlockEnd => self.empty()?,
                        _ => self.node(true, false)?,
                    });
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
        while self.kind()? == Kind::BlockEntry {
            self.scanner.skip();
            items.push(match self.kind()? {
                Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                _ => self.node(true, false)?,
            });
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
                    let key = match self.kind()? {
                        Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                        _ => self.node(true, true)?,
                    };
                    let value = if self.kind()? == Kind::Value {
                        self.scanner.skip();
                        match self.kind()? {
                            Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                            _ => self.node(true, true)?,
                        }
                    } else {
                        self.empty()?
                    };
                    pairs.push((key, value));
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
        let mut items = Vec::new();
        loop {
            if self.kind()? == Kind::FlowSequenceEnd {
                break;
            }
            if !items.is_empty() {
                if self.kind()? != Kind::FlowEntry {
                    return self.error("did not find expected ',' or ']'", start);
                }
                self.scanner.skip();
            }
            match self.kind()? {
                Kind::Key => {
                    self.scanner.skip();
                    let key = match self.kind()? {
                        Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd => self.gap()?,
                        _ => self.node(false, false)?,
                    };
                    let mut value = None;
                    if self.kind()? == Kind::Value {
                        self.scanner.skip();
                        if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowSequenceEnd) {
                            value = Some(self.node(false, false)?);
                        }
                    }
                    let value = match value {
                        Some(value) => value,
                        None => self.gap()?,
                    };
                    let body = Body::Mapping(vec![(key, value)]);
                    items.push(Node::new(body, Form::Written));
                }
                Kind::FlowSequenceEnd => break,
                _ => items.push(self.node(false, false)?),
            }
        }
        self.scanner.skip();
        Ok(Body::Sequence(items))
    }

    fn flow_mapping(&mut self) -> Done<Body> {
        let start = self.mark()?;
        self.scanner.skip();
        let mut pairs = Vec::new();
        loop {
            if self.kind()? == Kind::FlowMappingEnd {
                break;
            }
            if !pairs.is_empty() {
                if self.kind()? != Kind::FlowEntry {
                    return self.error("did not find expected ',' or '}'", start);
                }
                self.scanner.skip();
            }
            let key = match self.kind()? {
                Kind::Key => {
                    self.scanner.skip();
                    match self.kind()? {
                        Kind::Value | Kind::FlowEntry | Kind::FlowMappingEnd => self.gap()?,
                        _ => self.node(false, false)?,
                    }
                }
                Kind::FlowMappingEnd => break,
                _ => {
                    // A key alone has no value.
                    let key = self.node(false, false)?;
                    let value = self.gap()?;
                    pairs.push((key, value));
                    continue;
                }
            };
            let mut value = None;
            if self.kind()? == Kind::Value {
                self.scanner.skip();
                if !matches!(self.kind()?, Kind::FlowEntry | Kind::FlowMappingEnd) {
                    value = Some(self.node(false, false)?);
                }
            }
            let value = match value {
                Some(value) => value,
                None => self.gap()?,
            };
            pairs.push((key, value));
        }
        self.scanner.skip();
        Ok(Body::Mapping(pairs))
    }
}
