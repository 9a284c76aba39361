//! How much of a source may come, and how much of the disk stays free: a repository that is too large ends in a clear error, and
//! is not fetched again and again to end the same.
//!
//! What was refused is written down beside the clone. Another commit, a larger limit or more room on the disk let it be tried again.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use gix::ObjectId;

/// Bytes of the disk that a fetch leaves free, or a tenth of the disk if that is less.
const FREE: u64 = 1 << 30;
/// Bytes that come between two looks at the disk; less than that is fetched onto any disk.
const STEP: u64 = 16 << 20;
/// Bytes of a file that can be taken in: it is in the child's memory as a whole, and two at a time are.
pub(super) const LARGEST: usize = 320 << 20;

/// What there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// More than the configured limit.
    Limit,
    Disk,
    File,
}

/// The room that one goal has.
pub(super) struct Room<'a> {
    home: &'a Path,
    most: u64,
    came: Cell<u64>,
    looked: Cell<u64>,
    why: RefCell<Option<Why>>,
}

impl<'a> Room<'a> {
    /// `most` bytes, 0: any number; `begun` of them are here already.
    pub fn new(home: &'a Path, most: u64, begun: u64) -> Room<'a> {
        Room { home, most, came: Cell::new(begun), looked: Cell::new(begun), why: RefCell::new(None) }
    }

    /// Whether so many bytes more may come.
    pub fn take(&self, bytes: usize) -> bool {
        let came = self.came.get().saturating_add(bytes as u64);
        self.came.set(came);
        if self.most > 0 && came > self.most {
            self.refuse(Why::Limit);
        } else if came - self.looked.get() >= STEP {
            self.looked.set(came);
            if disk(self.home).is_some_and(|(free, floor)| free < floor) {
                self.refuse(Why::Disk);
            }
        }
        !self.is_full()
    }

    /// A file of the repository cannot be held.
    pub fn file_is_too_large(&self) {
        self.refuse(Why::File);
    }

    fn refuse(&self, why: Why) {
        *self.why.borrow_mut() = Some(why);
    }

    /// No more may come.
    pub fn is_full(&self) -> bool {
        self.why.borrow().is_some()
    }

    /// Why no more may come.
    pub fn refused(&self) -> Option<String> {
        let why = (*self.why.borrow())?;
        Some(told(why, self.home, self.most, self.came.get()))
    }

    /// Writes down that this goal has no room.
    pub fn write_down(&self, goal: ObjectId) {
        if let Some(why) = *self.why.borrow() {
            // Without the note it is only fetched in vain once more.
            let _ = std::fs::write(note(self.home), format!("{goal} {} {why:?}\n", self.came.get()));
        }
    }
}

fn note(home: &Path) -> PathBuf {
    home.with_extension("refused")
}

/// Why a goal that was refused would be refused again; asking for it is left.
pub(super) fn refusal(home: &Path, most: u64, goal: ObjectId) -> Option<String> {
    let text = std::fs::read_to_string(note(home)).ok()?;
    let mut words = text.split_whitespace();
    let same = ObjectId::from_hex(words.next()?.as_bytes()).ok()? == goal;
    let came: u64 = words.next()?.parse().ok()?;
    let why = match words.next()? {
        "Limit" if most > 0 && came > most => Why::Limit,
        "Disk" if disk(home).is_some_and(|(free, floor)| free < floor.saturating_add(came)) => Why::Disk,
        "File" => Why::File,
        _ => return None,
    };
    same.then(|| told(why, home, most, came))
}

/// Bytes that are free on the disk of a place, and that stay so.
fn disk(place: &Path) -> Option<(u64, u64)> {
    let place = place.ancestors().find(|place| place.exists())?;
    let told = nix::sys::statvfs::statvfs(place).ok()?;
    let unit = told.fragment_size() as u64;
    let (free, all) = (told.blocks_available() as u64 * unit, told.blocks() as u64 * unit);
    Some((free, FREE.min(all / 10)))
}

fn told(why: Why, home: &Path, most: u64, came: u64) -> String {
    match why {
        Why::Limit => format!(
            "the repository needs more than {} at this commit, which is the limit of a source; raise it with --source-bytes (of a skiff server: --fleet-source-bytes), or move what no manifest needs out of the repository",
            shown(most)
        ),
        Why::Disk => {
            let (free, floor) = disk(home).unwrap_or_default();
            format!(
                "the repository needs more than {} at this commit, the disk of {} has {} free, and {} of them stay so; make room there, or move what no manifest needs out of the repository",
                shown(came),
                home.display(),
                shown(free),
                shown(floor)
            )
        }
        Why::File => format!(
            "the repository holds a file of more than {} at this commit, and cannot be taken in; move it out of the repository, to Git LFS for example",
            shown(LARGEST as u64)
        ),
    }
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{bytes} bytes"),
        1_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_asked_for_again_once_it_may_fit() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("clone");
        let goal = |digit: char| ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap();
        let room = Room::new(&home, 1000, 0);
        assert!(room.take(1000) && room.refused().is_none());
        assert!(!room.take(1) && room.is_full());
        let text = room.refused().unwrap();
        assert!(text.contains("more than 1000 bytes") && text.contains("--source-bytes"), "{text}");
        room.write_down(goal('a'));
        assert_eq!(refusal(&home, 1000, goal('a')), Some(text));
        assert_eq!(refusal(&home, 2000, goal('a')), None, "the limit is larger now");
        assert_eq!(refusal(&home, 1000, goal('b')), None, "the branch moved on");
        // A file that is too large stays so.
        let room = Room::new(&home, 0, 0);
        room.file_is_too_large();
        room.write_down(goal('a'));
        assert!(refusal(&home, 0, goal('a')).unwrap().contains("Git LFS"));
        // No disk has room for all that: what is free now decides.
        std::fs::write(note(&home), format!("{} {} Disk\n", goal('a'), u64::MAX / 2)).unwrap();
        assert!(refusal(&home, 0, goal('a')).unwrap().contains("free"));
        std::fs::write(note(&home), format!("{} 0 Disk\n", goal('a'))).unwrap();
        assert_eq!(
            refusal(&home, 0, goal('a')).is_none(),
            disk(&home).is_none_or(|(free, floor)| free >= floor)
        );
    }
}
