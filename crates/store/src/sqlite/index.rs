//! Which revisions of each key are on disk, in memory: so that a write costs no search in the file and no second tree
//! there, and a read goes straight to its row. Filled at the start by one walk over the log.
//!
//! Invariant: the revisions of a key ascend. It may name a row that a compaction has just removed, never lack one that is
//! to be read: readers check for a compaction after they have read.

use std::collections::BTreeMap;
use std::ops::Bound;

use api::{Key, Revision};

/// See the module.
#[derive(Default)]
pub(super) struct Index(BTreeMap<Key, Rows>);

/// Most keys have one row.
enum Rows {
    One(Row),
    Many(Vec<Row>),
}

/// A revision; the highest bit says that it is a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row(u64);

const DELETED: u64 = 1 << 63;

impl Row {
    pub fn revision(self) -> Revision {
        Revision(self.0 & !DELETED)
    }
    pub fn is_deleted(self) -> bool {
        self.0 & DELETED != 0
    }
}

impl Rows {
    fn all(&self) -> &[Row] {
        match self {
            Rows::One(row) => std::slice::from_ref(row),
            Rows::Many(rows) => rows,
        }
    }
}

fn newest(rows: &[Row], at: Revision) -> Option<Row> {
    rows[..rows.partition_point(|row| row.revision() <= at)].last().copied()
}

impl Index {
    pub fn insert(&mut self, key: &Key, revision: Revision, deleted: bool) {
        let row = Row(revision.0 | if deleted { DELETED } else { 0 });
        match self.0.get_mut(key) {
            None => drop(self.0.insert(key.clone(), Rows::One(row))),
            Some(rows) => {
                if let Rows::One(one) = *rows {
                    *rows = Rows::Many(vec![one]);
                }
                // A write that waited in memory may come after a newer one.
                let place = rows.all().partition_point(|other| other.revision() < revision);
                if let Rows::Many(all) = rows {
                    all.insert(place, row);
                }
            }
        }
    }

    /// The newest row of a key at or before a revision.
    pub fn newest(&self, key: &Key, at: Revision) -> Option<Row> {
        newest(self.0.get(key)?.all(), at)
    }

    /// Keys under `prefix` and greater than `after` that had a value at a revision, in order, at most `most`.
    pub fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        at: Revision,
        most: usize,
    ) -> Vec<(Key, Revision)> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        self.0
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.as_str().starts_with(prefix))
            .filter_map(|(key, rows)| Some((key, newest(rows.all(), at)?)))
            .filter(|(_, row)| !row.is_deleted())
            .take(most)
            .map(|(key, row)| (key.clone(), row.revision()))
            .collect()
    }

    /// A row is of no use once everything up to `to` is compacted: a later row up to there stands for it, or it is a deletion.
    pub fn is_past(&self, key: &Key, revision: Revision, to: Revision) -> bool {
        let rows = self.0.get(key).map_or(&[][..], Rows::all);
        let Some(at) = rows.iter().position(|row| row.revision() == revision) else { return false };
        rows[at].is_deleted() || rows.get(at + 1).is_some_and(|next| next.revision() <= to)
    }

    pub fn remove(&mut self, key: &Key, revision: Revision) {
        let Some(rows) = self.0.get_mut(key) else { return };
        match rows {
            Rows::One(row) if row.revision() == revision => drop(self.0.remove(key)),
            Rows::One(_) => {}
            Rows::Many(all) => {
                all.retain(|row| row.revision() != revision);
                match all[..] {
                    [] => drop(self.0.remove(key)),
                    [one] => *rows = Rows::One(one),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        format!("core/pods/{name}").parse().unwrap()
    }

    #[test]
    fn tells_what_was_there_when() {
        let mut index = Index::default();
        for (name, revision, deleted) in [
            ("a/x", 1, false),
            ("a/y", 2, false),
            ("a/x", 5, true),
            ("a/x", 9, false),
            ("b/z", 10, false),
            ("a/x", 7, false),
        ] {
            index.insert(&key(name), Revision(revision), deleted);
        }
        let at = |revision| {
            let found = index.range("core/pods/a/", None, Revision(revision), usize::MAX);
            found.into_iter().map(|(key, revision)| (key.name().to_string(), revision.0)).collect::<Vec<_>>()
        };
        let is =
            |rows: &[(&str, u64)]| rows.iter().map(|(name, at)| (name.to_string(), *at)).collect::<Vec<_>>();
        assert_eq!(at(0), is(&[]));
        assert_eq!(at(4), is(&[("x", 1), ("y", 2)]));
        assert_eq!(at(6), is(&[("y", 2)]));
        assert_eq!(at(8), is(&[("x", 7), ("y", 2)]));
        assert_eq!(at(99), is(&[("x", 9), ("y", 2)]));
        assert_eq!(index.range("core/", Some("core/pods/a/x"), Revision(99), 1), [(key("a/y"), Revision(2))]);
        assert_eq!(
            index.range("core/", Some("core/pods/a/y"), Revision(99), 9),
            [(key("b/z"), Revision(10))]
        );
        assert!(index.newest(&key("a/x"), Revision(6)).unwrap().is_deleted());
        let past = |revision, to| index.is_past(&key("a/x"), Revision(revision), Revision(to));
        assert!(past(1, 5) && past(5, 5) && past(7, 9) && !past(7, 8) && !past(9, 99) && !past(3, 99));
        for revision in [1, 5, 7] {
            index.remove(&key("a/x"), Revision(revision));
        }
        assert_eq!(index.newest(&key("a/x"), Revision(99)).map(Row::revision), Some(Revision(9)));
        assert_eq!(index.newest(&key("a/x"), Revision(8)), None);
        index.remove(&key("a/x"), Revision(9));
        assert_eq!(index.newest(&key("a/x"), Revision(99)), None);
    }
}
