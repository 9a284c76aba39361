//! Type checking: names to variables, calls to overloads, every node to a type (cel-go's checker).
//!
//! Types of expressions are found by unification of type variables. What is `dyn` fits everywhere: such an expression may
//! still fail when it runs.

use smol_str::SmolStr;

use super::Issue;
use super::ast::{Access, Expr, Macro, MacroKind, Node};
use super::signatures::overloads;
use super::types::Type;

pub(super) struct Checker<'e> {
    pub vars: &'e [(SmolStr, Type)],
    /// Types by their names, for struct literals.
    pub structs: &'e dyn Fn(&str) -> Option<Type>,
    scopes: Vec<(SmolStr, Type)>,
    substitution: Vec<Option<Type>>,
    /// By id of the node.
    pub types: Vec<Type>,
    pub issues: Vec<Issue>,
    pub used: Vec<SmolStr>,
    /// Variables that nobody declared are of any type.
    pub undeclared: bool,
}

/// Names of types, which are values too.
const TYPE_NAMES: [&str; 13] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "optional_type",
];

pub(super) fn is_type_name(name: &str) -> bool {
    TYPE_NAMES.contains(&name)
        || matches!(
            name,
            "kubernetes.Quantity"
                | "kubernetes.URL"
                | "net.IP"
                | "net.CIDR"
                | "kubernetes.Semver"
                | "kubernetes.NamedFormat"
        )
}

impl<'e> Checker<'e> {
    pub fn new(
        vars: &'e [(SmolStr, Type)],
        structs: &'e dyn Fn(&str) -> Option<Type>,
        nodes: usize,
    ) -> Checker<'e> {
        Checker {
            vars,
            structs,
            scopes: Vec::new(),
            substitution: Vec::new(),
            types: vec![Type::Dyn; nodes],
            issues: Vec::new(),
            used: Vec::new(),
            undeclared: false,
        }
    }

    /// The type of the whole; afterwards [`Checker::types`] holds no variable.
    pub fn run(&mut self, expr: &mut Expr) -> Type {
        let result = self.check(expr);
        for at in 0..self.types.len() {
            self.types[at] = self.settle(&self.types[at].clone());
        }
        self.settle(&result)
    }

    fn fresh(&mut self) -> Type {
        self.substitution.push(None);
        Type::Var(self.substitution.len() - 1)
    }

    fn resolve(&self, of: &Type) -> Type {
        let mut of = of.clone();
        while let Type::Var(at) = of {
            match &self.substitution[at] {
                Some(known) => of = known.clone(),
                None => return Type::Var(at),
            }
        }
        of
    }

    /// With all variables replaced; what stayed open is dyn.
    fn settle(&self, of: &Type) -> Type {
        match self.resolve(of) {
            Type::Var(_) => Type::Dyn,
            Type::List(inner) => Type::list(self.settle(&inner)),
            Type::Optional(inner) => Type::optional(self.settle(&inner)),
            Type::Map(key, value) => Type::map(self.settle(&key), self.settle(&value)),
            other => other,
        }
    }

    fn issue(&mut self, at: usize, text: String) -> Type {
        self.issues.push(Issue::new(at, text));
        Type::Dyn
    }

    fn variable(&self, name: &str) -> Option<Type> {
        let local = self.scopes.iter().rev().find(|(own, _)| own == name);
        local.or_else(|| self.vars.iter().find(|(own, _)| own == name)).map(|(_, of)| of.clone())
    }

    fn check(&mut self, expr: &mut Expr) -> Type {
        let of = self.node(expr);
        self.types[expr.id] = of.clone();
        of
    }

    fn node(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        match &mut expr.node {
            Node::Null => Type::Null,
            Node::Bool(_) => Type::Bool,
            Node::Int(_) => Type::Int,
            Node::Uint(_) => Type::Uint,
            Node::Double(_) => Type::Double,
            Node::String(_) => Type::String,
            Node::Bytes(_) => Type::Bytes,
            Node::Ident(name) => match self.variable(name) {
                Some(of) => {
                    self.used.push(name.clone());
                    of
                }
                None if is_type_name(name) => Type::Type,
                None if self.undeclared => {
                    self.used.push(name.clone());
                    Type::Dyn
                }
                None => {
                    let text = format!("undeclared reference to '{name}' (in container '')");
                    self.issue(at, text)
                }
            },
            Node::Select { .. } => self.select(expr),
            Node::Call { .. } => self.call(expr),
            Node::List(items) => {
                let mut element: Option<Type> = None;
                for (item, optional) in items {
                    let mut of = self.check(item);
                    if *optional {
                        of = self.unwrap(&of);
                    }
                    element = Some(self.join(element, of));
                }
                let element = element.unwrap_or_else(|| self.fresh());
                Type::list(element)
            }
            Node::Map(entries) => {
                let (mut keys, mut values) = (None, None);
                for (key, value, optional) in entries {
                    let key_type = self.check(key);
                    if !matches!(
                        self.resolve(&key_type),
                        Type::Int | Type::Uint | Type::Bool | Type::String | Type::Dyn | Type::Var(_)
                    ) {
                        let text = format!("unsupported key type: {}", self.settle(&key_type));
                        self.issue(key.at, text);
                    }
                    let mut value_type = self.check(value);
                    if *optional {
                        value_type = self.unwrap(&value_type);
                    }
                    keys = Some(self.join(keys, key_type));
                    values = Some(self.join(values, value_type));
                }
                let key = keys.unwrap_or_else(|| self.fresh());
                let value = values.unwrap_or_else(|| self.fresh());
                Type::map(key, value)
            }
            Node::Struct { name, fields } => {
                let name = name.clone();
                let known = (self.structs)(&name);
                for (field, value, optional) in fields.iter_mut() {
                    let mut given = self.check(value);
                    if *optional {
                        given = self.unwrap(&given);
                    }
                    if let Some(Type::Object(object)) = &known {
                        match object.fields.get(field) {
                            None => {
                                self.issue(value.at, format!("undefined field '{field}'"));
                            }
                            Some(wanted) if !self.fits(&given, wanted) => {
                                let text = format!(
                                    "expected type of field '{field}' is '{wanted}' but provided type is '{}'",
                                    self.settle(&given)
                                );
                                self.issue(value.at, text);
                            }
                            Some(_) => {}
                        }
                    }
                }
                match known {
                    Some(of) => of,
                    None => self.issue(at, format!("undeclared reference to '{name}' (in container '')")),
                }
            }
            Node::Macro(inner) => self.macro_type(at, inner),
        }
    }

    fn unwrap(&mut self, of: &Type) -> Type {
        match self.resolve(of) {
            Type::Optional(inner) => (*inner).clone(),
            _ => Type::Dyn,
        }
    }

    /// One type for the elements of a literal.
    fn join(&mut self, known: Option<Type>, more: Type) -> Type {
        match known {
            None => more,
            Some(known) if self.fits(&more, &known) => match self.resolve(&known) {
                Type::Null => more,
                _ => known,
            },
            Some(known) if self.fits(&known, &more) => more,
            Some(_) => Type::Dyn,
        }
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        // A name with dots is a variable or a type first, then fields of one.
        if let Some(name) = expr.dotted() {
            if let Some(of) = self.variable(&name) {
                self.used.push(name.as_str().into());
                expr.node = Node::Ident(name.into());
                return of;
            }
            let root = name.split('.').next().unwrap_or_default();
            if is_type_name(&name) && self.variable(root).is_none() {
                expr.node = Node::Ident(name.into());
                return Type::Type;
            }
        }
        let Node::Select { operand, field, mode } = &mut expr.node else { return Type::Dyn };
        let (field, mode) = (field.clone(), *mode);
        let of = self.check(operand);
        let of = self.resolve(&of);
        let (of, optional) = match of {
            Type::Optional(inner) => (self.resolve(&inner), true),
            other => (other, mode == Access::Optional),
        };
        let found = match &of {
            Type::Dyn => Type::Dyn,
            Type::Var(var) => {
                self.substitution[*var] = Some(Type::Dyn);
                Type::Dyn
            }
            Type::Map(key, value) => {
                if !self.fits(&Type::String, key) {
                    let text = format!("type '{}' does not support field selection", self.settle(&of));
                    self.issue(at, text);
                }
                (**value).clone()
            }
            Type::Object(object) => match object.fields.get(&field) {
                Some(found) => found.clone(),
                None => self.issue(at, format!("undefined field '{field}'")),
            },
            other => {
                let text = format!("type '{}' does not support field selection", self.settle(other));
                self.issue(at, text)
            }
        };
        match mode {
            Access::Test => Type::Bool,
            _ if optional => Type::optional(found),
            _ => found,
        }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        // `sets.contains(…)`: a function with a dot in its name, unless the name is a variable.
        let Node::Call { function, target, args } = &mut expr.node else { return Type::Dyn };
        if let Some(receiver) = target
            && let Some(space) = receiver.dotted()
            && self.variable(space.split('.').next().unwrap_or_default()).is_none()
        {
            let name = format!("{space}.{function}");
            if overloads(&name).is_some_and(|all| all.iter().any(|one| !one.member)) {
                *function = name.into();
                *target = None;
            }
        }
        let name = function.clone();
        let member = target.is_some();
        let mut given = Vec::new();
        if let Some(target) = target {
            given.push(self.check(target));
        }
        for arg in args.iter_mut() {
            given.push(self.check(arg));
        }
        let Some(all) = overloads(&name) else {
            return self.issue(at, format!("undeclared reference to '{name}' (in container '')"));
        };
        let mut result: Option<Type> = None;
        let mut commit: Option<Vec<Option<Type>>> = None;
        let mut matches = 0;
        for overload in all.iter().filter(|own| own.member == member && own.params.len() == given.len()) {
            let saved = self.substitution.clone();
            let base = self.substitution.len();
            self.substitution.extend([None, None]);
            let lift = |of: &Type| lift(of, base);
            let good = given.iter().zip(&overload.params).all(|(own, wanted)| self.fits(own, &lift(wanted)));
            if good {
                matches += 1;
                let found = lift(&overload.result);
                let settled = self.partly(&found);
                result = Some(match result {
                    None => settled,
                    Some(known) if known == settled => known,
                    Some(_) => Type::Dyn,
                });
                if commit.is_none() {
                    commit = Some(std::mem::take(&mut self.substitution));
                }
            }
            self.substitution = saved;
        }
        // Where several fit, because something is dyn, nothing is learnt of the variables.
        if matches == 1
            && let Some(commit) = commit
        {
            self.substitution = commit;
        } else if matches > 1
            && let Some(commit) = commit
        {
            let known = self.substitution.len();
            self.substitution.extend(commit.into_iter().skip(known).map(|_| Some(Type::Dyn)));
        }
        match result {
            Some(result) => result,
            None => {
                let shown: Vec<String> = given.iter().map(|own| self.settle(own).to_string()).collect();
                let text = match member {
                    true => format!(
                        "found no matching overload for '{name}' applied to '{}.({})'",
                        shown[0],
                        shown[1..].join(", ")
                    ),
                    false => {
                        format!("found no matching overload for '{name}' applied to '({})'", shown.join(", "))
                    }
                };
                self.issue(at, text)
            }
        }
    }

    /// Resolved as far as it is known, with variables that are still open kept.
    fn partly(&self, of: &Type) -> Type {
        match self.resolve(of) {
            Type::List(inner) => Type::list(self.partly(&inner)),
            Type::Optional(inner) => Type::optional(self.partly(&inner)),
            Type::Map(key, value) => Type::map(self.partly(&key), self.partly(&value)),
            other => other,
        }
    }

    fn macro_type(&mut self, at: usize, inner: &mut Macro) -> Type {
        use MacroKind as Kind;
        let range = self.check(&mut inner.range);
        let range = self.resolve(&range);
        if matches!(inner.kind, Kind::OptMap | Kind::OptFlatMap) {
            let of = match &range {
                Type::Optional(inner) => (**inner).clone(),
                Type::Dyn => Type::Dyn,
                other => {
                    let text = format!(
                        "found no matching overload for 'optMap' applied to '{}'",
                        self.settle(other)
                    );
                    self.issue(at, text)
                }
            };
            self.scopes.push((inner.first.clone(), of));
            let body = self.check(&mut inner.body);
            self.scopes.pop();
            return match inner.kind {
                Kind::OptMap => Type::optional(body),
                _ => body,
            };
        }
        let (first, second) = match (&range, inner.second.is_some()) {
            (Type::List(element), false) => ((**element).clone(), None),
            (Type::List(element), true) => (Type::Int, Some((**element).clone())),
            (Type::Map(key, _), false) => ((**key).clone(), None),
            (Type::Map(key, value), true) => ((**key).clone(), Some((**value).clone())),
            (Type::Dyn | Type::Var(_), two) => (Type::Dyn, two.then_some(Type::Dyn)),
            (other, _) => {
                let text = format!(
                    "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)",
                    self.settle(other)
                );
                self.issue(inner.range.at, text);
                (Type::Dyn, inner.second.is_some().then_some(Type::Dyn))
            }
        };
        let depth = self.scopes.len();
        self.scopes.push((inner.first.clone(), first.clone()));
        if let (Some(name), Some(of)) = (&inner.second, &second) {
            self.scopes.push((name.clone(), of.clone()));
        }
        if let Some(filter) = &mut inner.filter {
            self.boolean(filter);
        }
        let result = match inner.kind {
            Kind::All | Kind::Exists | Kind::ExistsOne => {
                self.boolean(&mut inner.body);
                Type::Bool
            }
            Kind::Filter => {
                self.boolean(&mut inner.body);
                Type::list(first.clone())
            }
            Kind::Map => Type::list(self.check(&mut inner.body)),
            Kind::TransformMap => {
                let body = self.check(&mut inner.body);
                Type::map(first.clone(), body)
            }
            Kind::TransformMapEntry | Kind::OptMap | Kind::OptFlatMap => self.check(&mut inner.body),
        };
        self.scopes.truncate(depth);
        result
    }

    fn boolean(&mut self, expr: &mut Expr) {
        let of = self.check(expr);
        if !self.fits(&of, &Type::Bool) {
            let text = format!("expected type 'bool' but found '{}'", self.settle(&of));
            self.issue(expr.at, text);
        }
    }

    /// A value of `given` may stand where `wanted` is; variables are bound by it.
    fn fits(&mut self, given: &Type, wanted: &Type) -> bool {
        let (given, wanted) = (self.resolve(given), self.resolve(wanted));
        match (&given, &wanted) {
            (Type::Var(one), Type::Var(other)) if one == other => true,
            (Type::Var(var), other) | (other, Type::Var(var)) => {
                if occurs(*var, other, self) {
                    return false;
                }
                self.substitution[*var] = Some(other.clone());
                true
            }
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (
                Type::Null,
                Type::Object(_) | Type::Opaque(_) | Type::Timestamp | Type::Duration | Type::Optional(_),
            )
            | (
                Type::Object(_) | Type::Opaque(_) | Type::Timestamp | Type::Duration | Type::Optional(_),
                Type::Null,
            ) => true,
            (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => {
                self.fits(one, other)
            }
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                self.fits(key, other_key) && self.fits(value, other_value)
            }
            (one, other) => one == other,
        }
    }
}

fn occurs(var: usize, of: &Type, checker: &Checker<'_>) -> bool {
    match checker.resolve(of) {
        Type::Var(own) => own == var,
        Type::List(inner) | Type::Optional(inner) => occurs(var, &inner, checker),
        Type::Map(key, value) => occurs(var, &key, checker) || occurs(var, &value, checker),
        _ => false,
    }
}

/// The parameters of a declaration as variables of this check.
fn lift(of: &Type, base: usize) -> Type {
    match of {
        Type::Var(at) => Type::Var(base + at),
        Type::List(inner) => Type::list(lift(inner, base)),
        Type::Optional(inner) => Type::optional(lift(inner, base)),
        Type::Map(key, value) => Type::map(lift(key, base), lift(value, base)),
        other => other.clone(),
    }
}
