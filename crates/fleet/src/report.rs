//! What happened here, for whoever asks later (D15): each transition is one line of a small ring on disk.

use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One transition of one application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub site: String,
    /// The kernel's boot id: sequences start again after a reboot that lost the ring.
    pub boot: String,
    pub sequence: u64,
    pub time: Timestamp,
    pub application: String,
    pub revision: String,
    pub digest: String,
    pub sync: String,
    pub health: String,
    pub objects: usize,
    pub failed: usize,
    pub error: String,
    /// What others had changed and the sync undoes: one line a field.
    #[serde(default)]
    pub undone: Vec<String>,
    /// Bytes to and from all sources of the site this month.
    #[serde(default)]
    pub bytes: u64,
    /// `system`: nobody vouched for the time.
    pub clock: String,
}

/// The ring: two files, of which the older is dropped when the newer is full.
#[derive(Debug)]
pub struct Ring {
    file: PathBuf,
    site: String,
    boot: String,
    next: u64,
}

const FULL: u64 = 128 << 10;

impl Ring {
    /// Goes on after what is on disk.
    pub fn open(directory: &std::path::Path, site: &str) -> Ring {
        let file = directory.join("report.jsonl");
        let boot =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string();
        let mut ring = Ring { file, site: site.into(), boot, next: 1 };
        if let Some(last) = ring.entries().last() {
            ring.next = last.sequence + 1;
        }
        ring
    }

    /// Oldest first. A line that a power cut left half written is passed over.
    pub fn entries(&self) -> Vec<Report> {
        let mut all = Vec::new();
        for file in [self.file.with_extension("old"), self.file.clone()] {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            all.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        all
    }

    /// Appends; site, boot and sequence are filled in. A report is a courtesy: a full disk loses it, and nothing else.
    pub fn push(&mut self, mut report: Report) {
        report.site = self.site.clone();
        report.boot = self.boot.clone();
        report.sequence = self.next;
        self.next += 1;
        let size = std::fs::metadata(&self.file).map_or(0, |meta| meta.len());
        if size > FULL {
            let _ = std::fs::rename(&self.file, self.file.with_extension("old"));
        }
        let mut line = serde_json::to_vec(&report).expect("because a report is plain data");
        line.push(b'\n');
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(&self.file);
        if let Err(error) = opened.and_then(|mut file| file.write_all(&line)) {
            tracing::warn!(%error, file = %self.file.display(), "cannot write a report");
        }
    }
}
