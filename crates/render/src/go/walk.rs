//! How much a walk through a value, and the making of values, may cost: a map can hold itself, a list another one many times, and a
//! walk that recurs would not come back.
//!
//! Walkers enter each list and map; what is too deep or too much is left out, and whoever called the walker asks [`taken`] whether that
//! was so. Counts are of the thread, which is that of one rendering.

use std::cell::Cell;

/// Lists and maps in one another.
pub const DEPTH: usize = 1_000;
/// Bytes that one walk may look at; a value itself counts [`VALUE`].
const WALK: usize = 64 << 20;
/// About what a value takes in a list or a map.
pub const VALUE: usize = 64;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
    static LEFT: Cell<usize> = const { Cell::new(WALK) };
    static BROKEN: Cell<bool> = const { Cell::new(false) };
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// Being inside a list or map; ends with its drop.
#[must_use]
pub struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        HERE.set(HERE.get() - 1);
    }
}

/// Goes into a list or map of so many values; `None` if that is too deep or too much.
pub fn enter(values: usize) -> Option<Inside> {
    if HERE.get() == 0 {
        LEFT.set(WALK);
    }
    if BROKEN.get() || HERE.get() >= DEPTH || !bytes(values.saturating_mul(VALUE)) {
        BROKEN.set(true);
        return None;
    }
    HERE.set(HERE.get() + 1);
    Some(Inside(()))
}

/// Counts the bytes of a text in a walk; false if that is too much.
pub fn bytes(count: usize) -> bool {
    if HERE.get() == 0 {
        return true;
    }
    let left = LEFT.get().checked_sub(count);
    LEFT.set(left.unwrap_or(0));
    if left.is_none() {
        BROKEN.set(true);
    }
    left.is_some()
}

/// Whether a list or map this deep may be gone into, where being too deep has an answer of its own.
pub fn fits() -> bool {
    HERE.get() < DEPTH
}

/// Counts values that were put into lists and maps.
pub fn made(values: usize) {
    MADE.set(MADE.get().saturating_add(values.saturating_mul(VALUE)));
}

/// The bytes that [`made`] counted since it was asked last, or an error if a walk did not come to its end.
pub fn taken() -> Result<usize, String> {
    let made = MADE.take();
    if BROKEN.take() {
        return Err(format!(
            "a value is too large, holds itself, or lies more than {DEPTH} deep in others, and is not walked through"
        ));
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use crate::go::{Map, MapType, Value, print};

    #[test]
    fn what_holds_itself_is_left() {
        let map = Map::new(MapType::Any);
        map.put("a", Value::Map(map.clone()));
        map.put("b", Value::Map(map.clone()));
        assert!(print::display(&Value::Map(map.clone())).starts_with("map[a:map["));
        assert!(super::taken().unwrap_err().contains("holds itself"));
        assert!(super::taken().is_ok());
        map.remove(b"a");
        map.remove(b"b");
    }

    #[test]
    fn long_chains_are_dropped() {
        let mut value = Value::Nil;
        for at in 0..1_000_000 {
            value = match at % 2 {
                0 => Value::list(vec![value]),
                _ => Value::Map(Map::any([("a", value)])),
            };
        }
        drop(value);
        assert!(super::taken().unwrap() >= 1_000_000 * super::VALUE);
    }
}
