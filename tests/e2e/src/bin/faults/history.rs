//! What clients asked, what they were told and when, and the judgement of it.
//!
//! Revisions are the server's, times are this process' own. What is held against the answers: an acknowledged write is seen by every
//! watch at its revision; every event has one cause, which began before it; a write over a revision replaced that revision and no other;
//! what was refused did not happen; a read shows a state that was current between its begin and its end; a list is the state at its
//! revision, whole; a watch shows each event once and in order, over its own restarts. Not judged: how long anything took.

use std::collections::{BTreeMap, HashMap, HashSet};

/// `data` of an object.
pub type Data = BTreeMap<String, String>;

/// The field that a create and an update write; a patch writes another.
pub const FIELD: &str = "v";

/// A write that was asked for. `id` is in no other.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Create {
        name: String,
        id: String,
    },
    /// An update that names the revision that it replaces.
    Put {
        name: String,
        over: u64,
        id: String,
    },
    /// A merge patch of one field, which names no revision.
    Patch {
        name: String,
        field: String,
        id: String,
    },
    /// A delete that names the revision that it ends.
    Delete {
        name: String,
        over: u64,
    },
}

/// What a write was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With its revision; a delete is told none.
    Done(Option<u64>),
    /// 4xx.
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

/// Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Asked {
    pub begun: u64,
    pub ended: u64,
    pub write: Write,
    pub end: End,
}

#[derive(Clone, Debug)]
pub enum Seen {
    One(String, Option<(u64, Data)>),
    /// A list's revision and objects; `true`: it had to be current.
    All(u64, BTreeMap<String, (u64, Data)>, bool),
}

#[derive(Clone, Debug)]
pub struct Read {
    pub begun: u64,
    pub ended: u64,
    pub seen: Seen,
}

/// What a watch was sent.
#[derive(Clone, Debug)]
pub enum Line {
    Event {
        at: u64,
        revision: u64,
        name: String,
        /// ADDED or MODIFIED, with all of it; `None`: DELETED.
        data: Option<Data>,
    },
    Bookmark(u64),
}

#[derive(Default)]
pub struct History {
    pub asked: Vec<Asked>,
    pub reads: Vec<Read>,
    /// By watch.
    pub watches: Vec<Vec<Line>>,
    /// Revisions that other answers showed, and when.
    pub shown: Vec<(u64, u64)>,
    /// What was wrong at sight: an answer that there must not be.
    pub wrong: Vec<String>,
}

/// Objects by name at one revision.
type State = BTreeMap<String, (u64, Data)>;

/// Every event, by revision.
type Truth = BTreeMap<u64, (String, Option<Data>)>;

impl History {
    /// What is wrong with it; the first few of each kind.
    pub fn judge(&self) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        let truth = self.truth(&mut wrong);
        let shown = Shown::new(self);
        self.watches(&truth, &mut wrong);
        let began = self.causes(&truth, &shown, &mut wrong);
        self.acknowledged(&truth, &shown, &mut wrong);
        self.reads(&truth, &shown, &began, &mut wrong);
        wrong.truncate(40);
        wrong
    }

    /// All that any watch saw.
    fn truth(&self, wrong: &mut Vec<String>) -> Truth {
        let mut truth = Truth::new();
        for line in self.watches.iter().flatten() {
            let Line::Event { revision, name, data, .. } = line else { continue };
            let event = (name.clone(), data.clone());
            if let Some(before) = truth.insert(*revision, event.clone()).filter(|before| *before != event) {
                wrong.push(format!("revision {revision} is {before:?} to one watch, {event:?} to another"));
            }
        }
        truth
    }

    fn watches(&self, truth: &Truth, wrong: &mut Vec<String>) {
        for (watch, lines) in self.watches.iter().enumerate() {
            let (mut last, mut events) = (0, Vec::new());
            for line in lines {
                match line {
                    Line::Event { revision, .. } => {
                        if *revision <= last {
                            wrong.push(format!("watch {watch} was sent {revision} after {last}"));
                        }
                        events.push(*revision);
                        last = *revision;
                    }
                    Line::Bookmark(revision) if *revision < last => {
                        wrong.push(format!("watch {watch} was sent a bookmark of {revision} after {last}"));
                    }
                    Line::Bookmark(revision) => last = *revision,
                }
            }
            let missed = truth.keys().filter(|revision| events.binary_search(revision).is_err());
            let missed: Vec<&u64> = missed.take(5).collect();
            if !missed.is_empty() {
                wrong.push(format!("watch {watch} was never sent {missed:?}"));
            }
        }
    }

    /// Every event has a cause, and follows from the state before it. Gives when the cause of each was asked for at the earliest.
    fn causes(&self, truth: &Truth, shown: &Shown, wrong: &mut Vec<String>) -> HashMap<u64, u64> {
        let mut by_id: HashMap<&str, &Asked> = HashMap::new();
        let mut deletes: HashMap<(&str, u64), Vec<&Asked>> = HashMap::new();
        for asked in &self.asked {
            match &asked.write {
                Write::Create { id, .. } | Write::Put { id, .. } | Write::Patch { id, .. } => {
                    by_id.insert(id, asked);
                }
                Write::Delete { name, over } => deletes.entry((name, *over)).or_default().push(asked),
            }
        }
        let (mut used, mut began) = (HashSet::new(), HashMap::new());
        let mut state = State::new();
        for (revision, (name, data)) in truth {
            let before = state.get(name);
            let Some(data) = data else {
                let causes = before.and_then(|(over, _)| deletes.get(&(name.as_str(), *over)));
                let causes = causes.into_iter().flatten();
                let possible = |one: &&&Asked| one.end != End::Refused && shown.before(one.begun) < *revision;
                match causes.filter(possible).map(|one| one.begun).min() {
                    Some(begun) => drop(began.insert(*revision, begun)),
                    None => {
                        wrong.push(format!("{name} was deleted at {revision} by nobody; it was {before:?}"))
                    }
                }
                state.remove(name);
                continue;
            };
            let changed =
                data.values().filter(|id| before.is_none_or(|(_, old)| !old.values().any(|had| had == *id)));
            let changed: Vec<&String> = changed.collect();
            let cause = match changed[..] {
                [id] => by_id.get(id.as_str()),
                _ => None,
            };
            let follows = cause.is_some_and(|asked| match (&asked.write, before) {
                (Write::Create { name: own, id }, None) => {
                    own == name && *data == Data::from([(FIELD.into(), id.clone())])
                }
                (Write::Put { name: own, over, id }, Some((was, _))) => {
                    own == name && over == was && *data == Data::from([(FIELD.into(), id.clone())])
                }
                (Write::Patch { name: own, field, id }, Some((_, old))) => {
                    let mut patched = old.clone();
                    patched.insert(field.clone(), id.clone());
                    own == name && *data == patched
                }
                _ => false,
            });
            match cause {
                Some(asked) if follows => {
                    began.insert(*revision, asked.begun);
                    if asked.end == End::Refused {
                        wrong.push(format!("{:?} was refused and done, at {revision}", asked.write));
                    }
                    if shown.before(asked.begun) >= *revision {
                        wrong.push(format!(
                            "{:?} was done at {revision}, which was shown before it was asked",
                            asked.write
                        ));
                    }
                    if !used.insert(changed[0]) {
                        wrong
                            .push(format!("{:?} was done twice, the second time at {revision}", asked.write));
                    }
                }
                _ => wrong.push(format!(
                    "{name} at {revision} is {data:?}, which follows from no write over {before:?}"
                )),
            }
            state.insert(name.clone(), (*revision, data.clone()));
        }
        began
    }

    /// What was told done is there, where it was told.
    fn acknowledged(&self, truth: &Truth, shown: &Shown, wrong: &mut Vec<String>) {
        let mut told = HashSet::new();
        let by_name = by_name(truth);
        for Asked { begun, write, end, .. } in &self.asked {
            let End::Done(revision) = end else { continue };
            let (name, id) = match write {
                Write::Create { name, id } | Write::Put { name, id, .. } | Write::Patch { name, id, .. } => {
                    (name, id)
                }
                Write::Delete { name, over } => {
                    let events = by_name.get(name.as_str()).map_or(&[][..], Vec::as_slice);
                    let at = events.iter().position(|(revision, _)| revision == over);
                    let next = at.and_then(|at| events.get(at + 1));
                    if !next.is_some_and(|(_, data)| data.is_none()) {
                        wrong.push(format!("{write:?} was acknowledged, and {next:?} came next"));
                    }
                    continue;
                }
            };
            let revision = revision.unwrap_or_default();
            if !told.insert(revision) {
                wrong.push(format!("revision {revision} was given twice, the second time to {write:?}"));
            }
            if shown.before(*begun) >= revision {
                wrong.push(format!("{write:?} was given {revision}, which was shown before it was asked"));
            }
            let there = truth.get(&revision);
            let same = there.is_some_and(|(own, data)| {
                own == name && data.as_ref().is_some_and(|data| data.values().any(|value| value == id))
            });
            if !same {
                wrong.push(format!("{write:?} was acknowledged at {revision}, where there is {there:?}"));
            }
        }
    }

    fn reads(&self, truth: &Truth, shown: &Shown, began: &HashMap<u64, u64>, wrong: &mut Vec<String>) {
        let by_name = by_name(truth);
        let mut lists = Vec::new();
        for Read { begun, ended, seen } in &self.reads {
            let known = shown.before(*begun);
            let (name, found) = match seen {
                Seen::All(revision, items, current) => {
                    if *current && *revision < known {
                        wrong.push(format!("a list was of {revision} after {known} was shown"));
                    }
                    lists.push((*revision, items));
                    continue;
                }
                Seen::One(name, found) => (name, found),
            };
            let events = by_name.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            // What it may show: the state at what was known, and what was asked for before it ended.
            let after = events.partition_point(|(revision, _)| *revision <= known);
            let known_state = after.checked_sub(1).map(|last| &events[last]);
            let later = events[after..]
                .iter()
                .filter(|(revision, _)| began.get(revision).is_none_or(|at| at < ended));
            let good = match found {
                Some((revision, data)) => known_state
                    .into_iter()
                    .chain(later)
                    .any(|(own, there)| own == revision && there.as_ref() == Some(data)),
                None => after == 0 || known_state.into_iter().chain(later).any(|(_, there)| there.is_none()),
            };
            if !good {
                wrong.push(format!(
                    "a read of {name} gave {found:?} after {known} was shown; it was {known_state:?}"
                ));
            }
        }
        // A list is the state at its revision.
        lists.sort_by_key(|(revision, _)| *revision);
        let (mut state, mut events) = (State::new(), truth.iter().peekable());
        for (of, items) in lists {
            while let Some((revision, (name, data))) = events.next_if(|(revision, _)| **revision <= of) {
                match data {
                    Some(data) => drop(state.insert(name.clone(), (*revision, data.clone()))),
                    None => drop(state.remove(name)),
                }
            }
            if *items != state {
                wrong.push(format!("the list of {of} is {items:?}, the state {state:?}"));
            }
        }
    }

    /// What there was to judge, for people.
    pub fn counts(&self) -> String {
        let done = self.asked.iter().filter(|asked| matches!(asked.end, End::Done(_))).count();
        let open = self.asked.iter().filter(|asked| asked.end == End::Unknown).count();
        let lists = self.reads.iter().filter(|read| matches!(read.seen, Seen::All(..))).count();
        let events: usize =
            self.watches.iter().flatten().filter(|line| matches!(line, Line::Event { .. })).count();
        format!(
            "{done} acknowledged writes ({open} without an answer), {} reads, {lists} lists, {events} events of {} watches",
            self.reads.len() - lists,
            self.watches.len()
        )
    }
}

fn by_name(truth: &Truth) -> HashMap<&str, Vec<(u64, &Option<Data>)>> {
    let mut found: HashMap<&str, Vec<(u64, &Option<Data>)>> = HashMap::new();
    for (revision, (name, data)) in truth {
        found.entry(name).or_default().push((*revision, data));
    }
    found
}

/// The newest revision that anybody had been shown, by time.
struct Shown(Vec<(u64, u64)>);

impl Shown {
    fn new(history: &History) -> Shown {
        let mut all = history.shown.clone();
        all.extend(history.asked.iter().filter_map(|asked| match asked.end {
            End::Done(Some(revision)) => Some((asked.ended, revision)),
            _ => None,
        }));
        all.extend(history.reads.iter().filter_map(|read| match &read.seen {
            Seen::One(_, found) => Some((read.ended, found.as_ref()?.0)),
            Seen::All(revision, ..) => Some((read.ended, *revision)),
        }));
        all.extend(history.watches.iter().flatten().filter_map(|line| match line {
            Line::Event { at, revision, .. } => Some((*at, *revision)),
            Line::Bookmark(_) => None,
        }));
        all.sort_unstable();
        let mut newest = 0;
        for (_, revision) in &mut all {
            newest = newest.max(*revision);
            *revision = newest;
        }
        Shown(all)
    }

    /// 0: none.
    fn before(&self, time: u64) -> u64 {
        let count = self.0.partition_point(|(at, _)| *at < time);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(fields: &[(&str, &str)]) -> Data {
        fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn event(at: u64, revision: u64, data: Option<Data>) -> Line {
        Line::Event { at, revision, name: "n".into(), data }
    }

    fn asked(begun: u64, write: Write, end: End) -> Asked {
        Asked { begun, ended: begun + 5, write, end }
    }

    fn read(begun: u64, seen: Seen) -> Read {
        Read { begun, ended: begun + 2, seen }
    }

    fn one(found: Option<(u64, Data)>) -> Seen {
        Seen::One("n".into(), found)
    }

    /// A create at 5, a patch at 7, an update at 9, a delete at 11, another create at 13 of which nobody was told.
    fn good() -> History {
        let (name, id) = (|| "n".to_string(), |text: &str| text.to_string());
        let patched = data(&[("v", "a"), ("p", "b")]);
        let lines = vec![
            event(12, 5, Some(data(&[("v", "a")]))),
            event(22, 7, Some(patched.clone())),
            Line::Bookmark(8),
            event(32, 9, Some(data(&[("v", "c")]))),
            event(42, 11, None),
            event(52, 13, Some(data(&[("v", "d")]))),
        ];
        History {
            asked: vec![
                asked(10, Write::Create { name: name(), id: id("a") }, End::Done(Some(5))),
                asked(20, Write::Patch { name: name(), field: "p".into(), id: id("b") }, End::Done(Some(7))),
                asked(30, Write::Put { name: name(), over: 7, id: id("c") }, End::Done(Some(9))),
                asked(33, Write::Put { name: name(), over: 7, id: id("x") }, End::Refused),
                asked(40, Write::Delete { name: name(), over: 9 }, End::Done(None)),
                asked(50, Write::Create { name: name(), id: id("d") }, End::Unknown),
            ],
            reads: vec![
                read(1, one(None)),
                read(17, one(Some((5, data(&[("v", "a")]))))),
                read(26, Seen::All(8, BTreeMap::from([(name(), (7, patched))]), true)),
                read(46, one(None)),
                read(60, Seen::All(13, BTreeMap::from([(name(), (13, data(&[("v", "d")])))]), true)),
                read(70, Seen::All(11, BTreeMap::new(), false)),
            ],
            watches: vec![lines.clone(), lines],
            shown: vec![(47, 12)],
            wrong: Vec::new(),
        }
    }

    #[test]
    fn a_good_history_is_good() {
        assert_eq!(good().judge(), Vec::<String>::new());
    }

    #[test]
    fn a_history_that_is_bent_in_one_place_is_found_out() {
        let check = |what: &str, bend: &dyn Fn(&mut History)| {
            let mut history = good();
            bend(&mut history);
            assert!(!history.judge().is_empty(), "{what} was not found out");
        };
        let name = || "n".to_string();
        check("a lost write", &|history| {
            history.asked.push(asked(
                54,
                Write::Patch { name: name(), field: "p".into(), id: "y".into() },
                End::Done(Some(14)),
            ));
        });
        check("a moved write", &|history| history.asked[0].end = End::Done(Some(7)));
        check("a revision that was shown", &|history| history.shown.push((9, 6)));
        check("an invented write", &|history| drop(history.asked.remove(5)));
        check("a write that was refused", &|history| history.asked[5].end = End::Refused);
        check("a lost update", &|history| {
            history.asked[2].write = Write::Put { name: name(), over: 5, id: "c".into() };
        });
        check("a delete of another revision", &|history| {
            history.asked[4].write = Write::Delete { name: name(), over: 7 };
        });
        check("a delete that did not happen", &|history| {
            history.asked.push(asked(55, Write::Delete { name: name(), over: 13 }, End::Done(None)));
        });
        check("a missed event", &|history| drop(history.watches[1].remove(3)));
        check("a missed last event", &|history| drop(history.watches[1].pop()));
        check("a reordered event", &|history| history.watches[1].swap(0, 1));
        check("a doubled event", &|history| {
            let line = history.watches[0][0].clone();
            history.watches[0].insert(1, line);
        });
        check("an event before its bookmark", &|history| history.watches[0].swap(2, 3));
        check("an event of another content", &|history| {
            history.watches[0][0] = event(12, 5, Some(data(&[("v", "z")])));
        });
        check("a stale read", &|history| {
            history.reads.push(read(36, one(Some((7, data(&[("v", "a"), ("p", "b")]))))))
        });
        check("a stale absence", &|history| history.reads.push(read(36, one(None))));
        check("a read of another content", &|history| {
            history.reads[1] = read(17, one(Some((5, data(&[("v", "b")])))))
        });
        check("a stale list", &|history| history.reads[4] = read(60, Seen::All(12, BTreeMap::new(), true)));
        check("a list that lacks one", &|history| {
            history.reads[2] = read(26, Seen::All(8, BTreeMap::new(), true))
        });
    }
}
