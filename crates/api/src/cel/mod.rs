//! CEL, the Common Expression Language, as Kubernetes has it: CRD rules, admission policies, match conditions, structured
//! authentication and authorization.
//!
//! An [`Env`] declares variables; [`Env::compile`] parses and type-checks an expression to a [`Program`], which tells what it
//! may cost at the worst ([`Program::max_cost`]) and runs over values of the API without copying them. Pure: what an
//! expression may ask beside its variables comes by [`Resolve`]. The `cel` crate was weighed and not taken: it neither checks
//! types nor estimates or limits costs, and upstream refuses rules by both.

pub mod admission;
mod ast;
pub mod authz;
mod check;
mod cost;
mod eval;
mod lex;
mod library;
mod parse;
mod signatures;
mod types;
mod value;

use std::fmt;

use smol_str::SmolStr;

pub use ast::Expr;
pub use cost::Sizes;
pub use eval::{Failure, OVER};
pub use library::format;
pub use library::semver::Semver;
pub use parse::{escape, is_reserved, unescape};
pub use types::{ObjectType, Type};
pub use value::Val;

/// Cost that one run of an expression may have (celconfig.PerCallLimit).
pub const CALL_LIMIT: u64 = 1_000_000;

/// What is wrong with an expression, and where, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    at: usize,
    text: String,
}

impl Issue {
    fn new(at: usize, text: String) -> Issue {
        Issue { at, text }
    }
}

/// Everything wrong with an expression, as cel-go prints it: place, line and a mark under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues(String);

impl Issues {
    fn of(text: &str, issues: &[Issue]) -> Issues {
        let shown = issues.iter().map(|issue| {
            let before: Vec<char> = text.chars().take(issue.at).collect();
            let line = before.iter().filter(|letter| **letter == '\n').count();
            let column = before.iter().rev().take_while(|letter| **letter != '\n').count();
            let source = text.split('\n').nth(line).unwrap_or_default();
            format!(
                "ERROR: <input>:{}:{}: {}\n | {source}\n | {}^",
                line + 1,
                // Nothing has no first column.
                column + usize::from(!text.is_empty()),
                issue.text,
                ".".repeat(column)
            )
        });
        Issues(shown.collect::<Vec<_>>().join("\n"))
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Issues {}

/// What an expression may name.
#[derive(Clone, Debug, Default)]
pub struct Env {
    vars: Vec<(SmolStr, Type)>,
    structs: Vec<(SmolStr, Type)>,
    /// Struct literals of any name that starts with this one are taken, with fields of any type.
    open: Option<SmolStr>,
    /// Variables that nobody declared are of any type.
    undeclared: bool,
}

/// What an expression is run with.
pub trait Resolve<'a> {
    /// A variable and what getting it cost; `None`: there is none.
    fn variable(&self, name: &str) -> Option<Result<(Val<'a>, u64), Failure>>;
    /// A question that `authorizer` puts.
    fn authorize(&self, question: &authz::Question<'_>) -> authz::Decision {
        let _ = question;
        authz::Decision { error: "no authorizer is here".into(), ..authz::Decision::default() }
    }
}

/// An expression that is well typed.
#[derive(Clone, Debug)]
pub struct Program {
    expr: Expr,
    types: Vec<Type>,
    output: Type,
    used: Vec<SmolStr>,
}

impl Env {
    pub fn new() -> Env {
        Env::default()
    }
    /// Adds a variable; its name may have dots (`variables.replicas`).
    pub fn with(mut self, name: &str, of: Type) -> Env {
        self.vars.retain(|(own, _)| own != name);
        self.vars.push((name.into(), of));
        self
    }
    /// Adds a type for struct literals.
    pub fn with_struct(mut self, name: &str, of: Type) -> Env {
        self.structs.push((name.into(), of));
        self
    }
    /// Takes struct literals of `name` and of everything below it, untyped.
    pub fn with_open_structs(mut self, name: &str) -> Env {
        self.open = Some(name.into());
        self
    }

    /// Takes variables that nobody declared, of any type: whether they are there is seen when the expression runs.
    pub fn with_undeclared(mut self) -> Env {
        self.undeclared = true;
        self
    }

    /// Parses and checks an expression.
    pub fn compile(&self, text: &str) -> Result<Program, Issues> {
        let (mut expr, nodes) = parse::parse(text).map_err(|issue| Issues::of(text, &[issue]))?;
        let structs = |name: &str| {
            if let Some((_, of)) = self.structs.iter().find(|(own, _)| own == name) {
                return Some(of.clone());
            }
            let open = self.open.as_ref()?;
            let below = name.strip_prefix(open.as_str())?;
            (below.is_empty() || below.starts_with('.')).then_some(Type::Dyn)
        };
        let mut checker = check::Checker::new(&self.vars, &structs, nodes);
        checker.undeclared = self.undeclared;
        let output = checker.run(&mut expr);
        match checker.issues.is_empty() {
            true => Ok(Program { types: checker.types, used: checker.used, expr, output }),
            false => Err(Issues::of(text, &checker.issues)),
        }
    }
}

impl Program {
    /// What it gives.
    pub fn output(&self) -> &Type {
        &self.output
    }
    /// It names this variable.
    pub fn uses(&self, name: &str) -> bool {
        self.used.iter().any(|own| own == name)
    }
    /// The most that a run may cost, with sizes of what variables hold from `sizes`.
    pub fn max_cost(&self, sizes: Sizes<'_>) -> u64 {
        cost::estimate(&self.expr, &self.types, sizes)
    }
    /// Runs it; gives the result and what it cost, which is over `limit` only if it was cancelled for that.
    pub fn run<'a>(&self, with: &dyn Resolve<'a>, limit: u64) -> (Result<Val<'a>, Failure>, u64) {
        let mut eval = eval::Eval::new(with, limit);
        let result = eval.run(&self.expr);
        (result, eval.cost)
    }
}

/// [`Resolve`] of a few variables.
pub struct Vars<'v, 'a>(pub &'v [(&'v str, Val<'a>)]);

impl<'a> Resolve<'a> for Vars<'_, 'a> {
    fn variable(&self, name: &str) -> Option<Result<(Val<'a>, u64), Failure>> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| Ok((value.clone(), 0)))
    }
}

#[cfg(test)]
mod tests;
