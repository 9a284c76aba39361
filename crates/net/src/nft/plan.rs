//! From one state of a table to the next, as a list of operations in an order that the kernel accepts. Pure.
//!
//! Two owners may claim the same element (two Services with one external IP and port): the first by name has it, and
//! the other gets it when the first lets go. A plan remembers who claims what.

use std::collections::{BTreeMap, HashMap};

use super::model::{Datum, Element, Fragment, Hook, Key, Set, Statement};

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    AddTable,
    RemoveTable,
    AddSet(Set),
    RemoveSet(String),
    AddChain(String, Option<Hook>),
    /// Removes the rules of a chain.
    Flush(String),
    RemoveChain(String),
    AddRule(String, Vec<Statement>),
    AddElements(String, Vec<(Key, Datum)>),
    RemoveElements(String, Vec<Key>),
}

/// What a table holds, by owner.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    fragments: BTreeMap<String, Fragment>,
    claims: HashMap<(String, Key), BTreeMap<String, Datum>>,
}

impl Plan {
    pub fn new(fragments: impl IntoIterator<Item = (String, Fragment)>) -> Plan {
        let mut plan = Plan::default();
        plan.change(fragments.into_iter().map(|(owner, fragment)| (owner, Some(fragment))).collect());
        plan
    }

    pub fn fragment(&self, owner: &str) -> Option<&Fragment> {
        self.fragments.get(owner)
    }

    /// Everything, for a table that does not exist.
    pub fn build(&self) -> Vec<Operation> {
        let mut steps = Steps::default();
        for fragment in self.fragments.values() {
            steps.difference(&Fragment::default(), fragment);
        }
        for ((set, key), owners) in &self.claims {
            if let Some(datum) = owners.values().next() {
                steps.add.entry(set.clone()).or_default().push((key.clone(), datum.clone()));
            }
        }
        steps.ordered()
    }

    /// Takes new fragments in (`None`: the owner is gone) and returns what leads from the old state to the new.
    pub fn change(&mut self, changes: Vec<(String, Option<Fragment>)>) -> Vec<Operation> {
        let mut steps = Steps::default();
        let mut touched: BTreeMap<(String, Key), Option<Datum>> = BTreeMap::new();
        for (owner, new) in changes {
            let old = self.fragments.remove(&owner).unwrap_or_default();
            let wanted = new.clone().unwrap_or_default();
            if old != wanted {
                steps.difference(&old, &wanted);
                self.claim(&owner, &old.elements, &wanted.elements, &mut touched);
            }
            if let Some(new) = new {
                self.fragments.insert(owner, new);
            }
        }
        for (at, before) in touched {
            let after = self.claims.get(&at).and_then(|owners| owners.values().next());
            if before.as_ref() == after {
                continue;
            }
            let (set, key) = at;
            if before.is_some() {
                steps.remove.entry(set.clone()).or_default().push(key.clone());
            }
            if let Some(datum) = after {
                steps.add.entry(set).or_default().push((key, datum.clone()));
            }
        }
        steps.ordered()
    }

    /// Moves an owner's claims, and notes for each what the kernel has.
    fn claim(
        &mut self,
        owner: &str,
        old: &[Element],
        new: &[Element],
        touched: &mut BTreeMap<(String, Key), Option<Datum>>,
    ) {
        for element in old.iter().chain(new) {
            let at = (element.set.clone(), element.key.clone());
            let before = self.claims.get(&at).and_then(|owners| owners.values().next()).cloned();
            touched.entry(at).or_insert(before);
        }
        for element in old {
            let at = (element.set.clone(), element.key.clone());
            if let Some(owners) = self.claims.get_mut(&at) {
                owners.remove(owner);
                if owners.is_empty() {
                    self.claims.remove(&at);
                }
            }
        }
        for element in new {
            let at = (element.set.clone(), element.key.clone());
            self.claims.entry(at).or_default().insert(owner.to_owned(), element.datum.clone());
        }
    }
}

/// A transaction by kind of step. What is named must exist and what is removed must not be named: so sets and chains
/// are made first, then filled, and removed last.
#[derive(Default)]
struct Steps {
    make: Vec<Operation>,
    flush: Vec<Operation>,
    rules: Vec<Operation>,
    remove: BTreeMap<String, Vec<Key>>,
    add: BTreeMap<String, Vec<(Key, Datum)>>,
    drop_chains: Vec<Operation>,
    drop_sets: Vec<Operation>,
}

impl Steps {
    fn difference(&mut self, old: &Fragment, new: &Fragment) {
        for set in new.sets.iter().filter(|set| !old.sets.contains(set)) {
            self.make.push(Operation::AddSet(set.clone()));
        }
        for set in old.sets.iter().filter(|set| !new.sets.contains(set)) {
            self.drop_sets.push(Operation::RemoveSet(set.name.clone()));
        }
        let before: HashMap<&str, &[Vec<Statement>]> =
            old.chains.iter().map(|chain| (&*chain.name, &*chain.rules)).collect();
        for chain in &new.chains {
            match before.get(&*chain.name) {
                Some(rules) if **rules == *chain.rules => continue,
                Some(_) => self.flush.push(Operation::Flush(chain.name.clone())),
                None => self.make.push(Operation::AddChain(chain.name.clone(), chain.hook)),
            }
            let rules = chain.rules.iter().map(|rule| Operation::AddRule(chain.name.clone(), rule.clone()));
            self.rules.extend(rules);
        }
        for chain in old.chains.iter().filter(|old| !new.chains.iter().any(|new| new.name == old.name)) {
            // Its rules may name chains and sets that go too.
            self.flush.push(Operation::Flush(chain.name.clone()));
            self.drop_chains.push(Operation::RemoveChain(chain.name.clone()));
        }
    }

    fn ordered(self) -> Vec<Operation> {
        let remove = self.remove.into_iter().map(|(set, keys)| Operation::RemoveElements(set, keys));
        let add = self.add.into_iter().map(|(set, elements)| Operation::AddElements(set, elements));
        let mut steps = self.make;
        steps.extend(self.flush);
        steps.extend(self.rules);
        steps.extend(remove);
        steps.extend(add);
        steps.extend(self.drop_chains);
        steps.extend(self.drop_sets);
        steps
    }
}
