//! The nftables compiler: rules as data in, one atomic netlink transaction out.
//!
//! A [`Table`] is one kernel table of family `ip`, made of [`Fragment`]s: each owner (a Service, a pod, the base)
//! brings its chains, sets and elements. A change compares one owner's fragment with what it brought before, so its
//! cost does not grow with the number of owners (D8). Invariant: a table only ever moves from one whole state to the
//! next; a transaction that the kernel refuses is answered by rebuilding the table, also in one transaction.
//!
//! Only what skiff's rules need can be said: this is no general nftables library. Nothing is read back from the kernel
//! but the names of tables.

mod encode;
mod expression;
mod model;
mod plan;
mod table;
#[cfg(test)]
mod tests;

pub use model::{
    Chain, Datum, Element, Fragment, Hook, HookPoint, Key, MARK, Select, Set, SetKind, Statement, Type,
    Value, Verdict,
};
pub use plan::{Operation, Plan};
pub use table::{Table, tables};
