//! Functions of lists: Kubernetes' own, cel-go's `ext.Lists` version 3 and `ext.Sets`.

use std::cmp::Ordering;

use super::Out;
use crate::cel::value::Val;

/// Most elements that `lists.range` makes.
const MOST: i64 = 1_000_000;

pub(super) fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Out<'a>> {
    use Val as V;
    if function == "lists.range" {
        return match args {
            [V::Int(count)] if *count <= MOST => Some(Ok(V::list((0..*count).map(V::Int).collect()))),
            [V::Int(count)] => Some(Err(format!("range of {count} elements is too large"))),
            _ => None,
        };
    }
    let items = args.first()?.items()?;
    Some(match (function, &args[1..]) {
        ("isSorted", []) => {
            let mut sorted = true;
            for pair in items.windows(2) {
                sorted &= pair[0].order(&pair[1])? != Ordering::Greater;
            }
            Ok(V::Bool(sorted))
        }
        ("sum", []) => sum(&items),
        ("min" | "max", []) => {
            let wanted = if function == "min" { Ordering::Less } else { Ordering::Greater };
            let mut best: Option<V<'a>> = None;
            for item in items {
                let better = match &best {
                    Some(known) => item.order(known)? == wanted,
                    None => true,
                };
                if better {
                    best = Some(item);
                }
            }
            best.ok_or_else(|| format!("{function} called on empty list"))
        }
        ("indexOf", [wanted]) => {
            Ok(V::Int(items.iter().position(|item| item.equals(wanted)).map_or(-1, |at| at as i64)))
        }
        ("lastIndexOf", [wanted]) => {
            Ok(V::Int(items.iter().rposition(|item| item.equals(wanted)).map_or(-1, |at| at as i64)))
        }
        ("first", []) => Ok(V::maybe(items.first().cloned())),
        ("last", []) => Ok(V::maybe(items.last().cloned())),
        ("unwrapOpt" | "optional.unwrap", []) => {
            let mut all = Vec::new();
            for item in items {
                let V::Optional(inner) = item else { return None };
                all.extend(inner.map(|inner| (*inner).clone()));
            }
            Ok(V::list(all))
        }
        ("slice", [V::Int(start), V::Int(end)]) => slice(items, *start, *end),
        ("flatten", rest) => {
            let depth = match rest {
                [] => 1,
                [V::Int(depth)] => *depth,
                _ => return None,
            };
            if depth < 0 {
                return Some(Err("level must be non-negative".into()));
            }
            let mut all = Vec::new();
            flatten(items, depth, &mut all);
            Ok(V::list(all))
        }
        ("sort", []) => {
            let mut all = items;
            if all.windows(2).any(|pair| pair[0].order(&pair[1]).is_none()) {
                return Some(Err("list elements must have the same type".into()));
            }
            all.sort_by(|one, other| one.order(other).unwrap_or(Ordering::Equal));
            Ok(V::list(all))
        }
        ("distinct", []) => {
            let mut all: Vec<V<'a>> = Vec::new();
            for item in items {
                if !all.iter().any(|known| known.equals(&item)) {
                    all.push(item);
                }
            }
            Ok(V::list(all))
        }
        ("reverse", []) => Ok(V::list(items.into_iter().rev().collect())),
        ("sets.contains", [other]) => Ok(V::Bool(contains(&items, &other.items()?))),
        ("sets.equivalent", [other]) => {
            let other = other.items()?;
            Ok(V::Bool(contains(&items, &other) && contains(&other, &items)))
        }
        ("sets.intersects", [other]) => {
            let other = other.items()?;
            Ok(V::Bool(items.iter().any(|item| other.iter().any(|own| own.equals(item)))))
        }
        _ => return None,
    })
}

fn contains(all: &[Val<'_>], part: &[Val<'_>]) -> bool {
    part.iter().all(|item| all.iter().any(|own| own.equals(item)))
}

fn sum<'a>(items: &[Val<'a>]) -> Out<'a> {
    let Some(first) = items.first() else { return Ok(Val::Int(0)) };
    let mut total = first.clone();
    for item in &items[1..] {
        let next = super::operators::call("_+_", &[total, item.clone()]);
        total = next.unwrap_or_else(|| Err("no such overload".into()))?;
    }
    Ok(total)
}

fn slice<'a>(items: Vec<Val<'a>>, start: i64, end: i64) -> Out<'a> {
    match (start, end) {
        (start, end) if start < 0 || end < 0 => {
            Err(format!("cannot slice({start}, {end}), negative indexes not supported"))
        }
        (start, end) if start > end => {
            Err(format!("cannot slice({start}, {end}), start index must be less than or equal to end index"))
        }
        (start, end) if end > items.len() as i64 => {
            Err(format!("cannot slice({start}, {end}), list is length {}", items.len()))
        }
        (start, end) => Ok(Val::list(items[start as usize..end as usize].to_vec())),
    }
}

fn flatten<'a>(items: Vec<Val<'a>>, depth: i64, out: &mut Vec<Val<'a>>) {
    for item in items {
        match item.items() {
            Some(inner) if depth > 0 => flatten(inner, depth - 1, out),
            _ => out.push(item),
        }
    }
}
