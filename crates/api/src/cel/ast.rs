//! The tree of an expression. Macros stay what they are: the evaluator runs them as loops of its own, and counts what their
//! expansion would have cost.

use smol_str::SmolStr;

/// One node. `id` counts from 0 over the whole expression; `at` is where it stands, in characters.
#[derive(Clone, Debug)]
pub struct Expr {
    pub id: usize,
    pub at: usize,
    pub node: Node,
}

#[derive(Clone, Debug)]
pub enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(SmolStr),
    Bytes(Vec<u8>),
    /// A variable, or a name with dots that the checker resolved to one.
    Ident(SmolStr),
    Select {
        operand: Box<Expr>,
        field: SmolStr,
        mode: Access,
    },
    /// Operators have the names of CEL's specification: `_+_`, `_?_:_`, `_[_]`, `@in`.
    Call {
        function: SmolStr,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// Elements, with whether each is `?element`.
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    Struct {
        name: SmolStr,
        fields: Vec<(SmolStr, Expr, bool)>,
    },
    Macro(Box<Macro>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Plain,
    /// `has(a.b)`.
    Test,
    /// `a.?b`.
    Optional,
}

#[derive(Clone, Debug)]
pub struct Macro {
    pub kind: MacroKind,
    pub range: Expr,
    pub first: SmolStr,
    /// The second variable: key and value, or index and element.
    pub second: Option<SmolStr>,
    pub filter: Option<Expr>,
    /// The predicate of `all`, `exists` and `exists_one`; what `map` makes.
    pub body: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacroKind {
    All,
    Exists,
    ExistsOne,
    /// Also `transformList`.
    Map,
    Filter,
    /// `transformMap`: the key stays.
    TransformMap,
    /// `transformMapEntry`: the body is a map of one entry.
    TransformMapEntry,
    /// `x.optMap(v, e)`.
    OptMap,
    /// `x.optFlatMap(v, e)`.
    OptFlatMap,
}

impl Expr {
    /// The name that a chain of plain selections on an identifier spells: `a.b.c`.
    pub fn dotted(&self) -> Option<String> {
        match &self.node {
            Node::Ident(name) => Some(name.to_string()),
            Node::Select { operand, field, mode: Access::Plain } => {
                Some(format!("{}.{field}", operand.dotted()?))
            }
            _ => None,
        }
    }

    /// Calls `visit` on this node and all below it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(self);
        match &self.node {
            Node::Select { operand, .. } => operand.walk(visit),
            Node::Call { target, args, .. } => {
                target.iter().for_each(|target| target.walk(visit));
                args.iter().for_each(|arg| arg.walk(visit));
            }
            Node::List(items) => items.iter().for_each(|(item, _)| item.walk(visit)),
            Node::Map(entries) => entries.iter().for_each(|(key, value, _)| {
                key.walk(visit);
                value.walk(visit);
            }),
            Node::Struct { fields, .. } => fields.iter().for_each(|(_, value, _)| value.walk(visit)),
            Node::Macro(inner) => {
                inner.range.walk(visit);
                inner.filter.iter().for_each(|filter| filter.walk(visit));
                inner.body.walk(visit);
            }
            _ => {}
        }
    }
}
