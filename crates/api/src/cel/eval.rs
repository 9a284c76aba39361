//! Running an expression. `&&` and `||` answer in spite of an error on one side where the other decides. Every step counts
//! what cel-go's cost tracker counts, and what costs more than the limit is cancelled.

use std::sync::Arc;

use smol_str::SmolStr;

use super::Resolve;
use super::ast::{Access, Expr, Macro, MacroKind, Node};
use super::check::is_type_name;
use super::value::Val;
use super::{cost, library};

/// What went wrong, in cel-go's words.
pub type Failure = String;

/// The text of what costs too much.
pub const OVER: &str = "operation cancelled: actual cost limit exceeded";

pub(super) struct Eval<'a, 'r> {
    pub resolve: &'r dyn Resolve<'a>,
    pub limit: u64,
    pub cost: u64,
    locals: Vec<(SmolStr, Val<'a>)>,
}

type Out<'a> = Result<Val<'a>, Failure>;

impl<'a, 'r> Eval<'a, 'r> {
    pub fn new(resolve: &'r dyn Resolve<'a>, limit: u64) -> Eval<'a, 'r> {
        Eval { resolve, limit, cost: 0, locals: Vec::new() }
    }

    fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(OVER.into()) } else { Ok(()) }
    }

    pub fn run(&mut self, expr: &Expr) -> Out<'a> {
        match &expr.node {
            Node::Null => Ok(Val::Null),
            Node::Bool(flag) => Ok(Val::Bool(*flag)),
            Node::Int(number) => Ok(Val::Int(*number)),
            Node::Uint(number) => Ok(Val::Uint(*number)),
            Node::Double(number) => Ok(Val::Double(*number)),
            Node::String(text) => Ok(Val::String(text.clone())),
            Node::Bytes(bytes) => Ok(Val::Bytes(bytes.as_slice().into())),
            Node::Ident(name) => {
                self.charge(1)?;
                self.variable(name)
            }
            Node::Select { operand, field, mode } => self.select(operand, field, *mode),
            Node::Call { function, target, args } => self.call(function, target.as_deref(), args),
            Node::List(items) => {
                let mut all = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    let value = self.run(item)?;
                    all.extend(present(value, *optional)?);
                }
                self.charge(cost::LIST)?;
                Ok(Val::list(all))
            }
            Node::Map(entries) => {
                let mut all: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
                for (key, value, optional) in entries {
                    let key = self.run(key)?;
                    let value = self.run(value)?;
                    if all.iter().any(|(known, _)| known.equals(&key)) {
                        return Err(format!("Failed with repeated key: {}", library::show(&key)));
                    }
                    all.extend(present(value, *optional)?.map(|value| (key, value)));
                }
                self.charge(cost::MAP)?;
                Ok(Val::Map(Arc::new(all)))
            }
            Node::Struct { name, fields } => {
                let mut all = Vec::with_capacity(fields.len());
                for (field, value, optional) in fields {
                    let value = self.run(value)?;
                    all.extend(present(value, *optional)?.map(|value| (field.clone(), value)));
                }
                self.charge(cost::STRUCT)?;
                Ok(Val::Struct(name.clone(), Arc::new(all)))
            }
            Node::Macro(inner) => self.comprehend(inner),
        }
    }

    fn variable(&mut self, name: &SmolStr) -> Out<'a> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(own, _)| own == name) {
            return Ok(value.clone());
        }
        match self.resolve.variable(name) {
            Some(value) => {
                let (value, cost) = value?;
                self.charge(cost)?;
                Ok(value)
            }
            None if is_type_name(name) => Ok(Val::Type(name.clone())),
            None => Err(format!("no such attribute(s): {name}")),
        }
    }

    fn select(&mut self, operand: &Expr, field: &SmolStr, mode: Access) -> Out<'a> {
        let value = self.run(operand)?;
        // A presence test is free.
        if mode != Access::Test {
            self.charge(1)?;
        }
        let (value, chained) = match value {
            Val::Optional(None) if mode == Access::Test => return Ok(Val::Bool(false)),
            Val::Optional(None) => return Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => ((*inner).clone(), true),
            value => (value, false),
        };
        if !value.has_fields() {
            return Err("no such overload".into());
        }
        let found = value.field(field);
        match mode {
            Access::Test => {
                Ok(Val::Bool(found.is_some_and(|value| !matches!(value, Val::Null) || !typed(&value))))
            }
            Access::Optional => Ok(Val::maybe(found)),
            Access::Plain if chained => Ok(Val::maybe(found)),
            Access::Plain => found.ok_or_else(|| format!("no such key: {field}")),
        }
    }

    fn call(&mut self, function: &SmolStr, target: Option<&Expr>, args: &[Expr]) -> Out<'a> {
        match function.as_str() {
            "_&&_" => return self.logic(&args[0], &args[1], false),
            "_||_" => return self.logic(&args[0], &args[1], true),
            "_?_:_" => {
                return match self.run(&args[0])? {
                    Val::Bool(true) => self.run(&args[1]),
                    Val::Bool(false) => self.run(&args[2]),
                    _ => Err("no such overload".into()),
                };
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target {
            values.push(self.run(target)?);
        }
        // `or` and `orValue` look at their argument only if they need it.
        if matches!(function.as_str(), "or" | "orValue")
            && let Some(Val::Optional(inner)) = values.first()
        {
            self.charge(1)?;
            return match (inner, function.as_str()) {
                (Some(_), "or") => Ok(values.remove(0)),
                (Some(inner), _) => Ok((**inner).clone()),
                (None, _) => self.run(&args[0]),
            };
        }
        for arg in args {
            values.push(self.run(arg)?);
        }
        let result = library::call(function, &values, self.resolve)?;
        self.charge(cost::of_call(function, &values, &result))?;
        Ok(result)
    }

    /// `decides` on one side is the answer.
    fn logic(&mut self, left: &Expr, right: &Expr, decides: bool) -> Out<'a> {
        let one = match self.run(left) {
            Ok(Val::Bool(flag)) if flag == decides => return Ok(Val::Bool(decides)),
            Ok(Val::Bool(_)) => None,
            Ok(_) => Some("no such overload".to_string()),
            Err(error) if error == OVER => return Err(error),
            Err(error) => Some(error),
        };
        match self.run(right) {
            Ok(Val::Bool(flag)) if flag == decides => Ok(Val::Bool(decides)),
            Ok(Val::Bool(flag)) => one.map_or(Ok(Val::Bool(flag)), Err),
            Ok(_) => Err(one.unwrap_or_else(|| "no such overload".into())),
            Err(error) if error == OVER => Err(error),
            Err(error) => Err(one.unwrap_or(error)),
        }
    }

    fn comprehend(&mut self, inner: &Macro) -> Out<'a> {
        use MacroKind as Kind;
        let range = self.run(&inner.range)?;
        if matches!(inner.kind, Kind::OptMap | Kind::OptFlatMap) {
            self.charge(3)?;
            let Val::Optional(value) = range else { return Err("no such overload".into()) };
            let Some(value) = value else { return Ok(Val::Optional(None)) };
            self.locals.push((inner.first.clone(), (*value).clone()));
            let body = self.run(&inner.body);
            self.locals.pop();
            return match inner.kind {
                Kind::OptMap => body.map(Val::some),
                _ => body,
            };
        }
        let two = inner.second.is_some();
        // Pairs of what the first and the second variable are.
        let pairs: Vec<(Val<'a>, Val<'a>)> = if let Some(items) = range.items() {
            match two {
                true => items.into_iter().enumerate().map(|(at, item)| (Val::Int(at as i64), item)).collect(),
                false => items.into_iter().map(|item| (item, Val::Null)).collect(),
            }
        } else if let Some(entries) = range.entries() {
            entries
        } else {
            return Err("no such overload".into());
        };
        let (base, each) = cost::of_macro(inner.kind);
        self.charge(base)?;
        let depth = self.locals.len();
        let mut list = Vec::new();
        let mut map: Vec<(Val<'a>, Val<'a>)> = Vec::new();
        let (mut found, mut error) = (0, None);
        for (first, second) in pairs {
            self.locals.truncate(depth);
            self.locals.push((inner.first.clone(), first.clone()));
            if let Some(name) = &inner.second {
                self.locals.push((name.clone(), second));
            }
            self.charge(each.0)?;
            if let Some(filter) = &inner.filter
                && !self.truth(filter)?
            {
                continue;
            }
            match inner.kind {
                Kind::All | Kind::Exists => match self.truth(&inner.body) {
                    Ok(flag) if flag == (inner.kind == Kind::Exists) => {
                        self.locals.truncate(depth);
                        return Ok(Val::Bool(flag));
                    }
                    Ok(_) => {}
                    Err(why) if why == OVER => return Err(why),
                    Err(why) => error = error.or(Some(why)),
                },
                Kind::ExistsOne => found += usize::from(self.truth(&inner.body)?),
                Kind::Filter => {
                    if self.truth(&inner.body)? {
                        self.charge(each.1)?;
                        list.push(first);
                    }
                }
                Kind::Map => {
                    list.push(self.run(&inner.body)?);
                    self.charge(each.1)?;
                }
                Kind::TransformMap => {
                    let value = self.run(&inner.body)?;
                    self.charge(each.1)?;
                    map.push((first, value));
                }
                Kind::TransformMapEntry => {
                    let made = self.run(&inner.body)?;
                    self.charge(each.1)?;
                    for (key, value) in made.entries().unwrap_or_default() {
                        if map.iter().any(|(known, _)| known.equals(&key)) {
                            return Err(format!("insert failed: key {} already exists", library::show(&key)));
                        }
                        map.push((key, value));
                    }
                }
                Kind::OptMap | Kind::OptFlatMap => {}
            }
        }
        self.locals.truncate(depth);
        match (inner.kind, error) {
            (Kind::All | Kind::Exists, Some(error)) => Err(error),
            (Kind::All, None) => Ok(Val::Bool(true)),
            (Kind::Exists, None) => Ok(Val::Bool(false)),
            (Kind::ExistsOne, _) => Ok(Val::Bool(found == 1)),
            (Kind::TransformMap | Kind::TransformMapEntry, _) => Ok(Val::Map(Arc::new(map))),
            _ => Ok(Val::list(list)),
        }
    }

    fn truth(&mut self, expr: &Expr) -> Result<bool, Failure> {
        match self.run(expr)? {
            Val::Bool(flag) => Ok(flag),
            _ => Err("no such overload".into()),
        }
    }
}

/// `has` of a field that is null is true where there is no schema.
fn typed(value: &Val<'_>) -> bool {
    matches!(value, Val::Tree(_, Some(_)))
}

/// What an optional element adds.
fn present<'a>(value: Val<'a>, optional: bool) -> Result<Option<Val<'a>>, Failure> {
    match (optional, value) {
        (false, value) => Ok(Some(value)),
        (true, Val::Optional(inner)) => Ok(inner.map(|inner| (*inner).clone())),
        (true, _) => Err("no such overload".into()),
    }
}
