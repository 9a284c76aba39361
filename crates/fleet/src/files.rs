//! Files that are whole or not there, also after a power cut.

use std::io::Write;
use std::path::Path;

use crate::cut;

/// Replaces a file: written beside it, synced, renamed, and the directory synced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    cut::agent_now("agent.file-made");
    sync(&file)?;
    cut::agent_now("agent.file-synced");
    std::fs::rename(&beside, path)?;
    cut::agent_now("agent.file-renamed");
    sync(&std::fs::File::open(directory)?)
}

/// Waits until the disk has a file: the one place that does, so that tests can count.
pub(crate) fn sync(file: &std::fs::File) -> std::io::Result<()> {
    cut::synced();
    file.sync_all()
}
