//! An ordered set of objects whose copies cost one reference: sorted chunks, copied when written while shared.
//!
//! Invariant: keys are strictly ascending over all chunks, no chunk is empty, and each stands beside its first key (a search
//! then follows one pointer a step, not four). Writing while a copy is held costs
//! one chunk and one pointer a chunk; writing while none is held copies nothing.

use std::sync::Arc;

use api::{Key, Object};

/// Objects a chunk holds before it splits.
const MOST: usize = 128;

type Chunk = Vec<Arc<Object>>;

/// What is there is not older.
#[derive(Debug)]
pub(super) struct Stale;

/// See the module. Ordered by [`api::Key`]'s bytes.
#[derive(Clone, Default)]
pub(super) struct Tree {
    chunks: Arc<Vec<(Key, Arc<Chunk>)>>,
    len: usize,
}

impl Tree {
    /// `objects` in any order; of two with one key the last wins.
    pub(super) fn of(mut objects: Vec<Arc<Object>>) -> Tree {
        objects.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
        objects.dedup_by(|later, earlier| {
            let same = later.key == earlier.key;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let len = objects.len();
        // Two thirds full, so that the first inserts do not split every chunk.
        let chunks =
            objects.chunks(MOST * 2 / 3).map(|part| (part[0].key.clone(), Arc::new(part.to_vec()))).collect();
        Tree { chunks: Arc::new(chunks), len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The chunk that holds `key` if any does.
    fn chunk(&self, key: &str) -> usize {
        self.chunks.partition_point(|(first, _)| first.as_str() <= key).saturating_sub(1)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Arc<Object>> {
        let (_, chunk) = self.chunks.get(self.chunk(key))?;
        let at = chunk.binary_search_by(|object| object.key.as_str().cmp(key)).ok()?;
        Some(&chunk[at])
    }

    /// Puts `object` in unless what is there is as new; gives back what it replaces.
    pub(super) fn insert_newer(&mut self, object: Arc<Object>) -> Result<Option<Arc<Object>>, Stale> {
        self.put(object, |there, object| there.revision < object.revision)
    }

    /// Puts `object` in; gives back what it replaces.
    pub(super) fn insert(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        self.put(object, |_, _| true).unwrap_or_default()
    }

    fn put(
        &mut self,
        object: Arc<Object>,
        replaces: impl FnOnce(&Object, &Object) -> bool,
    ) -> Result<Option<Arc<Object>>, Stale> {
        let at = self.chunk(object.key.as_str());
        let found = self
            .chunks
            .get(at)
            .map(|(_, chunk)| chunk.binary_search_by(|other| other.key.as_str().cmp(object.key.as_str())));
        if let (Some(Ok(place)), Some((_, chunk))) = (found, self.chunks.get(at))
            && !replaces(&chunk[place], &object)
        {
            return Err(Stale);
        }
        let chunks = Arc::make_mut(&mut self.chunks);
        let (Some(found), Some((first, chunk))) = (found, chunks.get_mut(at)) else {
            chunks.push((object.key.clone(), Arc::new(vec![object])));
            self.len = 1;
            return Ok(None);
        };
        let chunk = Arc::make_mut(chunk);
        match found {
            Ok(place) => Ok(Some(std::mem::replace(&mut chunk[place], object))),
            Err(place) => {
                if place == 0 {
                    *first = object.key.clone();
                }
                chunk.insert(place, object);
                self.len += 1;
                if chunk.len() > MOST {
                    // Keys that only grow leave full chunks behind, others halves.
                    let split = if place + 1 == chunk.len() { MOST } else { MOST / 2 };
                    let rest = chunk.split_off(split);
                    chunks.insert(at + 1, (rest[0].key.clone(), Arc::new(rest)));
                }
                Ok(None)
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<Object>> {
        self.get(key)?;
        let at = self.chunk(key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let (first, chunk) = &mut chunks[at];
        let chunk = Arc::make_mut(chunk);
        let place = chunk.binary_search_by(|object| object.key.as_str().cmp(key)).ok()?;
        let gone = chunk.remove(place);
        self.len -= 1;
        let left = chunk.len();
        if left == 0 {
            chunks.remove(at);
            return Some(gone);
        }
        *first = chunk[0].key.clone();
        if at + 1 < chunks.len() && left + chunks[at + 1].1.len() <= MOST / 2 {
            let (_, next) = chunks.remove(at + 1);
            Arc::make_mut(&mut chunks[at].1).extend(next.iter().cloned());
        }
        Some(gone)
    }

    /// How many keys are less than `key`; looks at one chunk only.
    pub(super) fn rank(&self, key: &str) -> usize {
        let at = self.chunk(key);
        let before: usize = self.chunks.iter().take(at).map(|(_, chunk)| chunk.len()).sum();
        let inside =
            |(_, chunk): &(Key, Arc<Chunk>)| chunk.partition_point(|object| object.key.as_str() < key);
        before + self.chunks.get(at).map_or(0, inside)
    }

    /// From the first key that is at least `from`.
    pub(super) fn from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let chunk = self.chunk(from);
        let place = self
            .chunks
            .get(chunk)
            .map_or(0, |(_, chunk)| chunk.partition_point(|object| object.key.as_str() < from));
        let first = self.chunks.get(chunk).map_or(&[][..], |(_, chunk)| &chunk[place..]);
        let rest = self.chunks.get(chunk + 1..).unwrap_or_default();
        first.iter().chain(rest.iter().flat_map(|(_, chunk)| chunk.iter()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.chunks.iter().flat_map(|(_, chunk)| chunk.iter())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng, SeedableRng};

    use super::super::tests::object;
    use super::*;

    #[test]
    fn behaves_as_a_sorted_map_and_its_copies_stand_still() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
        let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
        let mut copies = Vec::new();
        for step in 0..6000u64 {
            let object = object("ns", &format!("{:04}", random.random_range(0..900)), step + 1);
            let key = object.key.to_string();
            if random.random_bool(if step < 3000 { 0.8 } else { 0.3 }) {
                tree.insert(object.clone());
                model.insert(key, object.revision);
            } else {
                assert_eq!(tree.remove(&key).map(|was| was.revision), model.remove(&key));
            }
            if step % 500 == 0 {
                copies.push((tree.clone(), model.clone()));
            }
        }
        copies.push((tree, model));
        for (tree, model) in copies {
            let all: Vec<_> = tree.iter().map(|object| (object.key.to_string(), object.revision)).collect();
            assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
            assert_eq!(tree.len(), model.len());
            for from in ["", "core/pods/ns/0300", "core/pods/ns/0899", "core/pods/o"] {
                let rest = tree.from(from).count();
                assert_eq!(rest, model.range(from.to_string()..).count(), "from {from}");
                assert_eq!(tree.rank(from), tree.len() - rest, "from {from}");
            }
        }
    }

    #[test]
    fn the_last_of_two_with_one_key_wins() {
        let tree = Tree::of(vec![object("a", "x", 1), object("a", "b", 2), object("a", "x", 3)]);
        let all: Vec<_> = tree.iter().map(|object| object.revision.0).collect();
        assert_eq!(all, [2, 3]);
    }
}
