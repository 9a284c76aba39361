//! Tokens to a tree, with macros told apart (CEL's language definition, "Syntax" and "Macros"; cel-go's two-variable
//! comprehensions and optionals).

use smol_str::SmolStr;

use super::Issue;
use super::ast::{Access, Expr, Macro, MacroKind, Node};
use super::lex::{Token, lex};

/// As deep as a tree may be: cel-go's limit.
const DEPTH: usize = 250;
/// Characters of an expression.
const LONGEST: usize = 100_000;

/// Words of the language, and those that it keeps for later ("Syntax", IDENT).
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The word cannot be an identifier.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

type Parsed = Result<Expr, Issue>;

struct Parser {
    tokens: Vec<(Token, usize)>,
    place: usize,
    next_id: usize,
    depth: usize,
}

/// The tree, and how many nodes have an id.
pub(super) fn parse(text: &str) -> Result<(Expr, usize), Issue> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > LONGEST {
        return Err(Issue::new(
            0,
            format!("expression code point size exceeds limit: size: {}, limit {LONGEST}", chars.len()),
        ));
    }
    let mut parser = Parser { tokens: lex(&chars)?, place: 0, next_id: 0, depth: 0 };
    let expr = parser.expr()?;
    match parser.peek() {
        Token::End => Ok((expr, parser.next_id)),
        other => {
            let text = other.text();
            Err(parser.error(format!("extraneous input '{text}' expecting <EOF>")))
        }
    }
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.place].0
    }
    fn at(&self) -> usize {
        self.tokens[self.place].1
    }
    fn advance(&mut self) -> Token {
        let token = self.tokens[self.place].0.clone();
        if self.place + 1 < self.tokens.len() {
            self.place += 1;
        }
        token
    }
    fn eat(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Token::Sign(own) if *own == sign);
        if is {
            self.advance();
        }
        is
    }
    fn expect(&mut self, sign: &str) -> Result<(), Issue> {
        match self.eat(sign) {
            true => Ok(()),
            false => {
                let text = self.peek().text();
                Err(self.error(format!("mismatched input '{text}' expecting '{sign}'")))
            }
        }
    }
    fn error(&self, what: String) -> Issue {
        Issue::new(self.at(), format!("Syntax error: {what}"))
    }
    fn make(&mut self, at: usize, node: Node) -> Expr {
        self.next_id += 1;
        Expr { id: self.next_id - 1, at, node }
    }
    fn call(&mut self, at: usize, function: &str, args: Vec<Expr>) -> Expr {
        self.make(at, Node::Call { function: function.into(), target: None, args })
    }

    fn expr(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Issue::new(self.at(), format!("expression recursion limit exceeded: {DEPTH}")));
        }
        let condition = self.or()?;
        let at = self.at();
        let expr = if self.eat("?") {
            let then = self.or()?;
            self.expect(":")?;
            let other = self.expr()?;
            self.call(at, "_?_:_", vec![condition, then, other])
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        loop {
            let at = self.at();
            if !self.eat("||") {
                return Ok(left);
            }
            let right = self.and()?;
            left = self.call(at, "_||_", vec![left, right]);
        }
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.relation()?;
        loop {
            let at = self.at();
            if !self.eat("&&") {
                return Ok(left);
            }
            let right = self.relation()?;
            left = self.call(at, "_&&_", vec![left, right]);
        }
    }

    fn relation(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let at = self.at();
            let function = match self.peek() {
                Token::Sign(sign @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => format!("_{sign}_"),
                Token::Ident(name) if name == "in" => "@in".into(),
                _ => return Ok(left),
            };
            self.advance();
            let right = self.sum()?;
            left = self.call(at, &function, vec![left, right]);
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let at = self.at();
            let Token::Sign(sign @ ("+" | "-")) = *self.peek() else { return Ok(left) };
            self.advance();
            let right = self.product()?;
            left = self.call(at, &format!("_{sign}_"), vec![left, right]);
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let at = self.at();
            let Token::Sign(sign @ ("*" | "/" | "%")) = *self.peek() else { return Ok(left) };
            self.advance();
            let right = self.unary()?;
            left = self.call(at, &format!("_{sign}_"), vec![left, right]);
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        let mut count = 0;
        let Token::Sign(sign @ ("!" | "-")) = *self.peek() else { return self.member() };
        while self.eat(sign) {
            count += 1;
        }
        // The sign is part of a number.
        if sign == "-" && count == 1 {
            let number = match *self.peek() {
                Token::Int(number) => Some(Node::Int(-number)),
                Token::Large(number) if number == 1 << 63 => Some(Node::Int(i64::MIN)),
                Token::Double(number) => Some(Node::Double(-number)),
                _ => None,
            };
            if let Some(number) = number {
                self.advance();
                let literal = self.make(at, number);
                return self.members(literal);
            }
        }
        let operand = self.member()?;
        match count % 2 {
            0 => Ok(operand),
            _ => Ok(self.call(at, if sign == "!" { "!_" } else { "-_" }, vec![operand])),
        }
    }

    fn member(&mut self) -> Parsed {
        let primary = self.primary()?;
        self.members(primary)
    }

    fn members(&mut self, mut expr: Expr) -> Parsed {
        loop {
            let at = self.at();
            if self.eat(".") {
                let optional = self.eat("?");
                let field = match self.advance() {
                    Token::Ident(name) => SmolStr::from(name),
                    Token::Quoted(name) => {
                        let operand = Box::new(expr);
                        let mode = if optional { Access::Optional } else { Access::Plain };
                        expr = self.make(at, Node::Select { operand, field: escape(&name).into(), mode });
                        continue;
                    }
                    other => {
                        self.place -= usize::from(other != Token::End);
                        let text = other.text();
                        return Err(self.error(format!("no viable alternative at input '.{text}'")));
                    }
                };
                let open = self.at();
                if !optional && self.eat("(") {
                    let args = self.arguments(")")?;
                    expr = self.method(open, expr, field, args)?;
                    continue;
                }
                let mode = if optional { Access::Optional } else { Access::Plain };
                expr = self.make(at, Node::Select { operand: Box::new(expr), field, mode });
            } else if self.eat("[") {
                let optional = self.eat("?");
                let index = self.expr()?;
                self.expect("]")?;
                expr = self.call(at, if optional { "_[?_]" } else { "_[_]" }, vec![expr, index]);
            } else if matches!(self.peek(), Token::Sign("{")) && expr.dotted().is_some() {
                self.advance();
                let name = expr.dotted().expect("because it was just seen").into();
                let mut fields = Vec::new();
                while !self.eat("}") {
                    let optional = self.eat("?");
                    let field = match self.advance() {
                        Token::Ident(name) => SmolStr::from(name),
                        Token::Quoted(name) => escape(&name).into(),
                        other => {
                            return Err(
                                self.error(format!("mismatched input '{}' expecting '}}'", other.text()))
                            );
                        }
                    };
                    self.expect(":")?;
                    fields.push((field, self.expr()?, optional));
                    if !self.eat(",") {
                        self.expect("}")?;
                        break;
                    }
                }
                expr = self.make(at, Node::Struct { name, fields });
            } else {
                return Ok(expr);
            }
        }
    }

    fn arguments(&mut self, close: &str) -> Result<Vec<Expr>, Issue> {
        let mut args = Vec::new();
        if self.eat(close) {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if !self.eat(",") {
                self.expect(close)?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        match self.advance() {
            Token::Int(number) => Ok(self.make(at, Node::Int(number))),
            Token::Large(_) => Err(Issue::new(at, "invalid int literal".into())),
            Token::Uint(number) => Ok(self.make(at, Node::Uint(number))),
            Token::Double(number) => Ok(self.make(at, Node::Double(number))),
            Token::String(text) => Ok(self.make(at, Node::String(text.into()))),
            Token::Bytes(bytes) => Ok(self.make(at, Node::Bytes(bytes))),
            Token::Ident(name) => match name.as_str() {
                "true" => Ok(self.make(at, Node::Bool(true))),
                "false" => Ok(self.make(at, Node::Bool(false))),
                "null" => Ok(self.make(at, Node::Null)),
                "in" => Err(Issue::new(at, "Syntax error: mismatched input 'in' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}".into())),
                reserved if is_reserved(reserved) => {
                    Err(Issue::new(at, format!("reserved identifier: {reserved}")))
                }
                _ => {
                    let open = self.at();
                    if self.eat("(") {
                        let args = self.arguments(")")?;
                        return self.function(open, name, args);
                    }
                    Ok(self.make(at, Node::Ident(name.into())))
                }
            },
            // A leading dot names from the root; there is no other container here.
            Token::Sign(".") => self.primary(),
            Token::Sign("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("[") => {
                let mut items = Vec::new();
                while !self.eat("]") {
                    let optional = self.eat("?");
                    items.push((self.expr()?, optional));
                    if !self.eat(",") {
                        self.expect("]")?;
                        break;
                    }
                }
                Ok(self.make(at, Node::List(items)))
            }
            Token::Sign("{") => {
                let mut entries = Vec::new();
                while !self.eat("}") {
                    let optional = self.eat("?");
                    let key = self.expr()?;
                    self.expect(":")?;
                    entries.push((key, self.expr()?, optional));
                    if !self.eat(",") {
                        self.expect("}")?;
                        break;
                    }
                }
                Ok(self.make(at, Node::Map(entries)))
            }
            other => {
                let text = other.text();
                Err(Issue::new(at, format!("Syntax error: mismatched input '{text}' expecting {{'[', '{{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}}")))
            }
        }
    }

    /// `f(…)`, or the macro `has`.
    fn function(&mut self, at: usize, name: String, mut args: Vec<Expr>) -> Parsed {
        if name == "has" && args.len() == 1 {
            let arg = args.remove(0);
            return match arg.node {
                Node::Select { operand, field, mode: Access::Plain } => {
                    Ok(self.make(at, Node::Select { operand, field, mode: Access::Test }))
                }
                _ => Err(Issue::new(at, "invalid argument to has() macro".into())),
            };
        }
        Ok(self.call(at, &name, args))
    }

    /// `x.f(…)`, or a macro.
    fn method(&mut self, at: usize, target: Expr, name: SmolStr, mut args: Vec<Expr>) -> Parsed {
        use MacroKind as Kind;
        let (kind, variables, filter) = match (name.as_str(), args.len()) {
            ("all", 2) => (Kind::All, 1, false),
            ("all", 3) => (Kind::All, 2, false),
            ("exists", 2) => (Kind::Exists, 1, false),
            ("exists", 3) => (Kind::Exists, 2, false),
            ("exists_one" | "existsOne", 2) => (Kind::ExistsOne, 1, false),
            ("existsOne", 3) => (Kind::ExistsOne, 2, false),
            ("map", 2) => (Kind::Map, 1, false),
            ("map", 3) => (Kind::Map, 1, true),
            ("filter", 2) => (Kind::Filter, 1, false),
            ("transformList", 3) => (Kind::Map, 2, false),
            ("transformList", 4) => (Kind::Map, 2, true),
            ("transformMap", 3) => (Kind::TransformMap, 2, false),
            ("transformMap", 4) => (Kind::TransformMap, 2, true),
            ("transformMapEntry", 3) => (Kind::TransformMapEntry, 2, false),
            ("transformMapEntry", 4) => (Kind::TransformMapEntry, 2, true),
            ("optMap", 2) => (Kind::OptMap, 1, false),
            ("optFlatMap", 2) => (Kind::OptFlatMap, 1, false),
            _ => {
                let target = Some(Box::new(target));
                return Ok(self.make(at, Node::Call { function: name, target, args }));
            }
        };
        let mut names = Vec::new();
        for arg in &args[..variables] {
            match &arg.node {
                Node::Ident(name) => names.push(name.clone()),
                _ => return Err(Issue::new(arg.at, "argument must be a simple name".into())),
            }
        }
        if names.len() == 2 && names[0] == names[1] {
            return Err(Issue::new(args[1].at, format!("duplicate variable name: {}", names[1])));
        }
        let body = args.pop().expect("because the macro has arguments");
        let filter = if filter { args.pop() } else { None };
        let mut names = names.into_iter();
        let inner = Macro {
            kind,
            range: target,
            first: names.next().unwrap_or_default(),
            second: names.next(),
            filter,
            body,
        };
        Ok(self.make(at, Node::Macro(Box::new(inner))))
    }
}

/// A property's name as an identifier (k8s.io/apiserver/pkg/cel/escaping.go).
pub fn escape(name: &str) -> String {
    if name == "__" {
        return "__underscores__".into();
    }
    if is_reserved(name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// The property that an identifier stands for.
pub fn unescape(name: &str) -> SmolStr {
    if !name.contains("__") {
        return name.into();
    }
    if let Some(word) = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && !word.is_empty()
        && !matches!(word, "underscores" | "dot" | "dash" | "slash")
        && escape(word) == name
    {
        return word.into();
    }
    name.replace("__dot__", ".")
        .replace("__dash__", "-")
        .replace("__slash__", "/")
        .replace("__underscores__", "__")
        .into()
}
