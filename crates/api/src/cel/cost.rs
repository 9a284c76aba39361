//! What expressions cost: what a step costs when it runs, and the most that a whole can cost, by the greatest sizes of what
//! it reads (cel-go's checker/cost.go and interpreter/runtimecost.go, k8s.io/apiserver/pkg/cel/library/cost.go). The figures
//! decide which CRDs and policies are taken, so they are upstream's.

use smol_str::SmolStr;

use super::ast::{Access, Expr, Macro, MacroKind, Node};
use super::types::Type;
use super::value::Val;

pub(super) const LIST: u64 = 10;
pub(super) const MAP: u64 = 30;
pub(super) const STRUCT: u64 = 40;

/// The greatest size of what a path leads to, from the variable on: field names, `@items`, `@keys`, `@values`. `None`: not
/// known, which is as large as it can be.
pub type Sizes<'s> = &'s dyn Fn(&[SmolStr]) -> Option<u64>;

fn tenth(size: u64) -> u64 {
    part(size, 0.1)
}

fn part(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// Of one call that ran.
pub(super) fn of_call(function: &str, args: &[Val<'_>], result: &Val<'_>) -> u64 {
    let size = |at: usize| args.get(at).map_or(1, Val::size);
    match function {
        "check" => 350_000,
        "fieldSelector" | "labelSelector" => {
            let length = size(1);
            LIST + tenth(length) + part(part(length, 0.5), (LIST + STRUCT) as f64)
        }
        "isSorted" | "sum" | "max" | "min" => traversal(args.first()),
        "indexOf" | "lastIndexOf" => traversal(args.first()),
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "jsonpatch.escapeKey" => tenth(size(0)),
        "replace" | "split" => part(size(0), 0.2),
        "join" => part(result.size(), 0.2),
        "find" | "findAll" | "matches" => tenth(size(0) + 1).saturating_mul(part(size(1), 0.25)),
        "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => tenth(size(0)),
        "ip" => {
            if matches!(args.first(), Some(Val::Cidr(_))) {
                1
            } else {
                tenth(size(0))
            }
        }
        "ip.isCanonical" => part(size(0), 0.2),
        "containsIP" => {
            let text = matches!(args.get(1), Some(Val::String(_)));
            tenth(2 * size(0)) + if text { tenth(size(1)) } else { 0 }
        }
        "containsCIDR" => {
            let text = matches!(args.get(1), Some(Val::String(_)));
            tenth(2 * size(0)) + tenth(size(0)) + 1 + if text { tenth(size(1)) } else { 0 }
        }
        "validate" => match args.first() {
            Some(Val::Format(format)) => tenth(size(1) + 1).saturating_mul(part(format.regex, 0.25)),
            _ => 1,
        },
        "startsWith" | "endsWith" => tenth(size(0)),
        "contains" => tenth(size(0)).saturating_mul(tenth(size(1))),
        "bytes" | "string" if matches!(args.first(), Some(Val::String(_) | Val::Bytes(_))) => tenth(size(0)),
        "strings.quote" | "format" => tenth(size(0)),
        "@in" if args.get(1).is_some_and(|range| range.items().is_some()) => size(1),
        "_<_" | "_<=_" | "_>_" | "_>=_" if matches!(args.first(), Some(Val::String(_) | Val::Bytes(_))) => {
            tenth(size(0).min(size(1)))
        }
        "_==_" | "_!=_" => match args.first() {
            Some(
                Val::Quantity(_) | Val::Ip(_) | Val::Cidr(_) | Val::Format(_) | Val::Url(_) | Val::Semver(_),
            ) => 1,
            _ => tenth(size(0).min(size(1))),
        },
        "_+_" if matches!(args.first(), Some(Val::String(_) | Val::Bytes(_))) => tenth(size(0) + size(1)),
        "sets.contains" | "sets.intersects" => 1 + size(0).saturating_mul(size(1)),
        "sets.equivalent" => 1 + 2 * size(0).saturating_mul(size(1)),
        _ => 1,
    }
}

fn traversal(value: Option<&Val<'_>>) -> u64 {
    match value {
        Some(text @ (Val::String(_) | Val::Bytes(_))) => tenth(text.size()),
        Some(list) => match list.items() {
            Some(items) => {
                let inner = items.first().map_or(0, |item| match item {
                    Val::String(_) | Val::Bytes(_) => tenth(item.size()),
                    _ => 1,
                });
                (items.len() as u64).saturating_mul(inner.max(1))
            }
            None => 1,
        },
        None => 0,
    }
}

/// Of a macro that runs, as its expansion would count: once, and for each element before and after its body ran.
pub(super) fn of_macro(kind: MacroKind) -> (u64, (u64, u64)) {
    match kind {
        MacroKind::All => (1, (3, 0)),
        MacroKind::Exists => (1, (4, 0)),
        MacroKind::ExistsOne => (2, (1, 0)),
        MacroKind::Map => (LIST + 1, (0, LIST + 2)),
        MacroKind::Filter => (LIST + 1, (1, LIST + 2)),
        MacroKind::TransformMap | MacroKind::TransformMapEntry => (MAP + 1, (0, 3)),
        MacroKind::OptMap | MacroKind::OptFlatMap => (0, (0, 0)),
    }
}

/// The most that an expression may cost.
pub(super) fn estimate(expr: &Expr, types: &[Type], sizes: Sizes<'_>) -> u64 {
    Coster { types, sizes, locals: Vec::new() }.cost(expr).cost
}

/// What is known of a node: its greatest cost, and its size where that is told by how it is made.
#[derive(Clone, Default)]
struct Known {
    cost: u64,
    size: Option<Range>,
    /// Sizes of keys (or indices) and of values.
    entries: Option<(Range, Range)>,
    /// Where it comes from.
    path: Option<Vec<SmolStr>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    min: u64,
    max: u64,
}

impl Range {
    fn fixed(size: u64) -> Range {
        Range { min: size, max: size }
    }
    const UNKNOWN: Range = Range { min: 0, max: u64::MAX };
    fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
    fn add(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }
    fn mul(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }
}

struct Local {
    name: SmolStr,
    path: Option<Vec<SmolStr>>,
    size: Option<Range>,
}

struct Coster<'c> {
    types: &'c [Type],
    sizes: Sizes<'c>,
    locals: Vec<Local>,
}

fn plus(costs: &[u64]) -> u64 {
    costs.iter().fold(0, |sum, cost| sum.saturating_add(*cost))
}

impl Coster<'_> {
    fn of(&self, expr: &Expr) -> &Type {
        &self.types[expr.id]
    }

    /// The size of a node, by what is known of it.
    fn size(&self, expr: &Expr, known: &Known) -> Range {
        if let Some(size) = known.size {
            return size;
        }
        let exact = match &expr.node {
            Node::String(text) => Some(text.chars().count() as u64),
            Node::Bytes(bytes) => Some(bytes.len() as u64),
            Node::Bool(_) | Node::Int(_) | Node::Uint(_) | Node::Double(_) | Node::Null => Some(1),
            Node::List(items) => Some(items.len() as u64),
            Node::Map(entries) => Some(entries.len() as u64),
            _ => None,
        };
        if let Some(size) = exact {
            return Range::fixed(size);
        }
        if let Some(max) = known.path.as_ref().and_then(|path| (self.sizes)(path)) {
            return Range { min: 0, max };
        }
        match self.of(expr).is_scalar() {
            true => Range::fixed(1),
            false => Range::UNKNOWN,
        }
    }

    fn cost(&mut self, expr: &Expr) -> Known {
        match &expr.node {
            Node::Null
            | Node::Bool(_)
            | Node::Int(_)
            | Node::Uint(_)
            | Node::Double(_)
            | Node::String(_)
            | Node::Bytes(_) => Known::default(),
            Node::Ident(name) => match self.locals.iter().rev().find(|local| local.name == *name) {
                Some(local) => Known { cost: 1, size: local.size, path: local.path.clone(), entries: None },
                None => Known { cost: 1, path: Some(vec![name.clone()]), ..Known::default() },
            },
            Node::Select { operand, field, mode } => {
                let inner = self.cost(operand);
                let fields = matches!(
                    self.of(operand),
                    Type::Map(..) | Type::Object(_) | Type::Dyn | Type::Optional(_)
                );
                let own = match mode {
                    Access::Test => return Known { cost: inner.cost, ..Known::default() },
                    Access::Optional => 1,
                    Access::Plain => u64::from(fields && !matches!(self.of(operand), Type::Dyn)),
                };
                let path = inner.path.map(|mut path| {
                    path.push(field.clone());
                    path
                });
                Known { cost: inner.cost.saturating_add(own), path, ..Known::default() }
            }
            Node::List(items) => {
                let (mut cost, mut each) = (LIST, Range { min: u64::MAX, max: 0 });
                for (item, _) in items {
                    let known = self.cost(item);
                    cost = cost.saturating_add(known.cost);
                    each = each.union(self.size(item, &known));
                }
                if items.is_empty() {
                    each.min = 0;
                }
                Known { cost, entries: Some((Range::fixed(1), each)), ..Known::default() }
            }
            Node::Map(entries) => {
                let mut cost = MAP;
                let (mut keys, mut values) = (Range { min: 0, max: 0 }, Range { min: 0, max: 0 });
                for (key, value, _) in entries {
                    let (of_key, of_value) = (self.cost(key), self.cost(value));
                    cost = plus(&[cost, of_key.cost, of_value.cost]);
                    keys = keys.union(self.size(key, &of_key));
                    values = values.union(self.size(value, &of_value));
                }
                Known { cost, entries: Some((keys, values)), ..Known::default() }
            }
            Node::Struct { fields, .. } => {
                let costs: Vec<u64> = fields.iter().map(|(_, value, _)| self.cost(value).cost).collect();
                Known { cost: plus(&costs).saturating_add(STRUCT), ..Known::default() }
            }
            Node::Call { function, target, args } => self.call(function, target.as_deref(), args),
            Node::Macro(inner) => self.comprehend(inner),
        }
    }

    fn comprehend(&mut self, inner: &Macro) -> Known {
        use MacroKind as Kind;
        let range = self.cost(&inner.range);
        let count = self.size(&inner.range, &range);
        if matches!(inner.kind, Kind::OptMap | Kind::OptFlatMap) {
            self.locals.push(Local { name: inner.first.clone(), path: range.path, size: range.size });
            let body = self.cost(&inner.body);
            self.locals.pop();
            return Known { cost: plus(&[range.cost, body.cost, 4]), ..Known::default() };
        }
        let list = !matches!(self.of(&inner.range), Type::Map(..));
        let below = |name: &'static str| {
            range.path.clone().map(|mut path| {
                path.push(SmolStr::new_static(name));
                path
            })
        };
        let depth = self.locals.len();
        let (keys, values) = (range.entries.map(|(key, _)| key), range.entries.map(|(_, value)| value));
        match &inner.second {
            Some(second) => {
                let key = if list { below("@indices") } else { below("@keys") };
                let value = if list { below("@items") } else { below("@values") };
                self.locals.push(Local { name: inner.first.clone(), path: key, size: keys });
                self.locals.push(Local { name: second.clone(), path: value, size: values });
            }
            None if list => {
                self.locals.push(Local { name: inner.first.clone(), path: below("@items"), size: values });
            }
            None => self.locals.push(Local { name: inner.first.clone(), path: below("@keys"), size: keys }),
        }
        let filter = inner.filter.as_ref().map_or(0, |filter| self.cost(filter).cost);
        let body = self.cost(&inner.body);
        let body_size = self.size(&inner.body, &body);
        self.locals.truncate(depth);
        let (base, step) = match inner.kind {
            Kind::All => (1, 3),
            Kind::Exists => (1, 4),
            Kind::ExistsOne => (2, 2),
            Kind::Map => (LIST + 1, LIST + 2),
            Kind::Filter => (LIST + 1, LIST + 3),
            Kind::TransformMap | Kind::TransformMapEntry => (MAP + 1, 3),
            Kind::OptMap | Kind::OptFlatMap => (0, 0),
        };
        let each = plus(&[step, filter, body.cost]);
        let cost = plus(&[range.cost, base, count.max.saturating_mul(each)]);
        let (size, entries) = match inner.kind {
            Kind::All | Kind::Exists | Kind::ExistsOne => (Some(Range::fixed(1)), None),
            Kind::Map => (Some(count), Some((Range::fixed(1), body_size))),
            Kind::Filter => (Some(count), range.entries),
            _ => (Some(count), None),
        };
        Known { cost, size, entries, path: None }
    }

    fn call(&mut self, function: &str, target: Option<&Expr>, args: &[Expr]) -> Known {
        let all: Vec<&Expr> = target.into_iter().chain(args).collect();
        let known: Vec<Known> = all.iter().map(|arg| self.cost(arg)).collect();
        let costs = plus(&known.iter().map(|one| one.cost).collect::<Vec<_>>());
        let sizes: Vec<Range> = all.iter().zip(&known).map(|(arg, known)| self.size(arg, known)).collect();
        let size = |at: usize| sizes.get(at).copied().unwrap_or(Range::fixed(1));
        let of = |at: usize| all.get(at).map(|arg| self.of(arg).clone()).unwrap_or(Type::Dyn);
        let texts = |at: usize| matches!(of(at), Type::String | Type::Bytes | Type::Dyn);
        let same = |cost: u64, size: Option<Range>| Known {
            cost: costs.saturating_add(cost),
            size,
            ..Known::default()
        };
        match function {
            "_?_:_" => {
                let branch = known[1].cost.max(known[2].cost);
                let entries = match (known[1].entries, known[2].entries) {
                    (Some(one), Some(two)) => Some((one.0.union(two.0), one.1.union(two.1))),
                    _ => None,
                };
                Known {
                    cost: known[0].cost.saturating_add(branch),
                    size: Some(size(1).union(size(2))),
                    entries,
                    path: None,
                }
            }
            "_&&_" | "_||_" => same(0, None),
            "dyn" => Known { cost: costs.saturating_add(1), size: Some(size(0)), ..known[0].clone() },
            "_[_]" | "_[?_]" => {
                let list = !matches!(of(0), Type::Map(..));
                let path = known[0].path.clone().map(|mut path| {
                    path.push(SmolStr::new_static(if list { "@items" } else { "@values" }));
                    path
                });
                Known {
                    cost: costs.saturating_add(1),
                    size: known[0].entries.map(|(_, value)| value),
                    entries: None,
                    path,
                }
            }
            "check" => same(350_000, None),
            "fieldSelector" | "labelSelector" => {
                let length = size(1).max;
                same(plus(&[LIST, tenth(length), part(part(length, 0.5), (LIST + STRUCT) as f64)]), None)
            }
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let element = match of(0) {
                    Type::List(element) => Some((*element).clone()),
                    _ => None,
                };
                match element {
                    Some(Type::String | Type::Bytes) => {
                        let each = self.element_size(&known[0]);
                        same(size(0).max.saturating_mul(tenth(each.max).saturating_add(1)), None)
                    }
                    Some(_) => same(size(0).max, None),
                    None => same(tenth(size(0).max), None),
                }
            }
            "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "jsonpatch.escapeKey" => {
                same(tenth(size(0).max), Some(size(0)))
            }
            "replace" => same(part(size(0).max, 0.2), Some(replaced(size(0), size(1), size(2)))),
            "split" => {
                let most = match args.get(1).map(|limit| &limit.node) {
                    Some(Node::Int(limit)) if *limit >= 0 => *limit as u64,
                    _ => size(0).max,
                };
                same(part(size(0).max, 0.2), Some(Range { min: 0, max: most }))
            }
            "join" => {
                let each = self.element_size(&known[0]);
                let mut whole = size(0).mul(each);
                if args.len() == 1 {
                    let gaps =
                        Range { min: size(0).min.saturating_sub(1), max: size(0).max.saturating_sub(1) };
                    whole = whole.add(gaps.mul(size(1)));
                }
                same(part(whole.max, 0.2), Some(whole))
            }
            "find" | "findAll" | "matches" => {
                let cost = tenth(size(0).max.saturating_add(1)).saturating_mul(part(size(1).max, 0.25));
                let result = match function {
                    "matches" => None,
                    _ => Some(Range { min: 0, max: size(0).max }),
                };
                same(cost, result)
            }
            "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                same(tenth(size(0).max), None)
            }
            "ip" if matches!(of(0), Type::String | Type::Dyn) => same(tenth(size(0).max), None),
            "ip.isCanonical" => same(part(size(0).max, 0.2), None),
            "containsIP" | "containsCIDR" => {
                let text = if texts(1) { tenth(size(1).max) } else { 0 };
                same(if function == "containsIP" { 4 } else { 7 } + text, None)
            }
            "validate" => same(tenth(size(1).max.saturating_add(1)).saturating_mul(part(128, 0.25)), None),
            "startsWith" | "endsWith" => same(tenth(size(1).max), None),
            "contains" => same(tenth(size(0).max).saturating_mul(tenth(size(1).max)), None),
            "bytes" if texts(0) => {
                same(tenth(size(0).max), Some(Range { min: size(0).min, max: size(0).max.saturating_mul(4) }))
            }
            "string" if matches!(of(0), Type::Bytes) => {
                same(tenth(size(0).max), Some(Range { min: size(0).min / 4, max: size(0).max }))
            }
            "strings.quote" => {
                let max = size(0).max.saturating_mul(2).saturating_add(2);
                same(tenth(size(0).max), Some(Range { min: size(0).min + 2, max }))
            }
            "format" => same(tenth(size(0).max), None),
            "@in" if !matches!(of(1), Type::Map(..)) => same(size(1).max, None),
            "_<_" | "_<=_" | "_>_" | "_>=_" if texts(0) => same(tenth(size(0).max.min(size(1).max)), None),
            "_==_" | "_!=_" => match of(0) {
                Type::Opaque(_) => same(1, None),
                _ => same(tenth(size(0).max.min(size(1).max)), None),
            },
            "_+_" => {
                let sum = size(0).add(size(1));
                let entries = match (known[0].entries, known[1].entries) {
                    (Some(one), Some(two)) => Some((one.0.union(two.0), one.1.union(two.1))),
                    _ => None,
                };
                let own = if texts(0) && texts(1) { tenth(sum.max) } else { 1 };
                let sized = !of(0).is_scalar();
                Known { cost: costs.saturating_add(own), size: sized.then_some(sum), entries, path: None }
            }
            "sets.contains" | "sets.intersects" => {
                same(size(0).max.saturating_mul(size(1).max).saturating_add(1), None)
            }
            "sets.equivalent" => {
                same(size(0).max.saturating_mul(size(1).max).saturating_mul(2).saturating_add(1), None)
            }
            _ => same(1, None),
        }
    }

    /// The size of one element of a list.
    fn element_size(&self, list: &Known) -> Range {
        if let Some((_, each)) = list.entries {
            return each;
        }
        let path = list.path.clone().map(|mut path| {
            path.push(SmolStr::new_static("@items"));
            path
        });
        match path.and_then(|path| (self.sizes)(&path)) {
            Some(max) => Range { min: 0, max },
            None => Range::UNKNOWN,
        }
    }
}

/// The length after every `from` became `to`.
fn replaced(text: Range, from: Range, to: Range) -> Range {
    let most = match from.min {
        0 => text.max.saturating_add(1).saturating_mul(to.max).saturating_add(text.max),
        _ if to.max <= from.min => text.max,
        least => text.max.div_ceil(least).saturating_mul(to.max),
    };
    let least = match from.max {
        0 => text.min.saturating_add(1).saturating_mul(to.min).saturating_add(text.min),
        _ if from.max <= to.min => text.min,
        longest => text.min.div_ceil(longest).saturating_mul(to.min),
    };
    Range { min: least, max: most }
}
