//! A disk whose power can be cut: files in memory, of which only what was flushed is sure to be there afterwards.
//!
//! A write counts in sectors of 512 bytes. At a cut each sector that was written after the last flush of its file is there
//! or is not, by chance: writes are lost, torn and reordered as an SD card does it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::Rng;
use rand::rngs::StdRng;

const SECTOR: usize = 512;

#[derive(Default)]
pub struct File {
    /// What a read sees.
    pub now: Vec<u8>,
    /// What a cut cannot take.
    flushed: Vec<u8>,
    flushes: u64,
    /// Sectors written since the flush.
    dirty: Vec<usize>,
    /// Connections that hold SQLite's shared lock, and whether one holds more.
    pub shared: usize,
    pub reserved: bool,
    pub exclusive: bool,
    /// The shared memory of the write-ahead log's index, in regions, and its eight locks: readers, or -1 for a writer.
    pub regions: Vec<Box<[u8]>>,
    pub slots: [i32; 8],
    pub mapped: usize,
}

impl File {
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
    }

    pub fn truncate(&mut self, length: usize) {
        self.now.truncate(length);
        self.dirty.push(length / SECTOR);
    }

    pub fn flush(&mut self) {
        self.flushes += 1;
        self.flushed.clone_from(&self.now);
        self.dirty.clear();
    }

    fn after_cut(&self, random: &mut StdRng) -> Vec<u8> {
        let mut dirty = self.dirty.clone();
        dirty.sort_unstable();
        dirty.dedup();
        let mut left = self.flushed.clone();
        for sector in dirty {
            if random.random_bool(0.5) {
                continue;
            }
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.now.len());
            if from >= to {
                // The file was cut short here, and that reached the disk.
                left.truncate(self.now.len());
                continue;
            }
            if left.len() < to {
                left.resize(to, 0);
            }
            left[from..to].copy_from_slice(&self.now[from..to]);
        }
        left
    }
}

/// The files of one time that the machine is up. After [`Disk::cut`] every write to it is lost.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub files: HashMap<String, File>,
    pub dead: bool,
}

impl Disk {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Flushes so far, of all files.
    pub fn flushes(&self) -> u64 {
        self.state().files.values().map(|file| file.flushes).sum()
    }

    /// Takes the power away; gives the disk as the next start finds it.
    pub fn cut(&self, random: &mut StdRng) -> Disk {
        let mut state = self.state();
        state.dead = true;
        // In order of names, so that one seed makes one outcome.
        let mut names: Vec<String> = state.files.keys().cloned().collect();
        names.sort();
        let mut next = State::default();
        for name in names {
            // The file itself stays: connections of the dead machine still point into its shared memory.
            let left = state.files[&name].after_cut(random);
            next.files.insert(name, File { now: left.clone(), flushed: left, ..File::default() });
        }
        Disk(Arc::new(Mutex::new(next)))
    }
}
