//! The file of the audit log: an event a line, old files beside it as upstream's logger (lumberjack) names and keeps them:
//! `audit-2026-11-21T18-05-59.123.log`, `.gz` once compressed.
//!
//! Lines are written in batches off the async threads. When the server stops, what waits is written before the task ends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Clock;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Log;

/// Lines written at once.
const BATCH: usize = 256;
const DAY: i64 = 86_400;

/// See the module.
pub(super) struct Writer {
    receiver: mpsc::Receiver<Bytes>,
    output: Arc<Mutex<Output>>,
}

impl Writer {
    pub fn open(settings: &Log, clock: &Clock, receiver: mpsc::Receiver<Bytes>) -> io::Result<Writer> {
        let output = Output::open(settings.clone(), clock.clone())?;
        Ok(Writer { receiver, output: Arc::new(Mutex::new(output)) })
    }

    /// Runs for as long as it is polled; what waits when it is dropped is written then.
    pub async fn run(mut self) {
        let mut lines = Vec::new();
        while self.receiver.recv_many(&mut lines, BATCH).await > 0 {
            let batch = std::mem::take(&mut lines);
            let output = self.output.clone();
            if tokio::task::spawn_blocking(move || output.lock().write(&batch)).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.receiver.close();
        let mut rest = Vec::new();
        while let Ok(line) = self.receiver.try_recv() {
            rest.push(line);
        }
        // After the batch that is being written, if there is one.
        self.output.lock().write(&rest);
    }
}

struct Output {
    settings: Log,
    clock: Clock,
    file: Option<File>,
    size: u64,
}

impl Output {
    fn open(settings: Log, clock: Clock) -> io::Result<Output> {
        let (file, size) = match is_standard(&settings.path) {
            true => (None, 0),
            false => {
                if let Some(folder) = settings.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    fs::create_dir_all(folder)?;
                }
                let file = append(&settings.path)?;
                let size = file.metadata()?.len();
                (Some(file), size)
            }
        };
        Ok(Output { settings, clock, file, size })
    }

    fn write(&mut self, lines: &[Bytes]) {
        if let Err(error) = self.try_write(lines) {
            let path = self.settings.path.display();
            tracing::error!(%error, %path, lost = lines.len(), "the audit log cannot be written");
        }
    }

    fn try_write(&mut self, lines: &[Bytes]) -> io::Result<()> {
        let most = self.settings.max_size * 1024 * 1024;
        let mut text = Vec::new();
        for line in lines {
            let grown = self.size + (text.len() + line.len()) as u64 + 1;
            if self.file.is_some() && most > 0 && grown > most && grown > line.len() as u64 + 1 {
                self.put(&std::mem::take(&mut text))?;
                self.rotate()?;
            }
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        self.put(&text)
    }

    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(text)?,
            None => io::stdout().lock().write_all(text)?,
        }
        self.size += text.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        let (stem, extension) = parts(path);
        let at = self.clock.now().strftime("%Y-%m-%dT%H-%M-%S%.3f");
        fs::rename(path, path.with_file_name(format!("{stem}-{at}{extension}")))?;
        self.file = Some(append(path)?);
        self.size = 0;
        let (settings, now) = (self.settings.clone(), self.clock.now().as_second());
        // Compressing takes as long as it takes; lines go on meanwhile.
        let tidy = move || {
            if let Err(error) = tidy(&settings, now) {
                tracing::warn!(%error, "old audit logs cannot be tidied");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(tidy)),
            Err(_) => tidy(),
        }
        Ok(())
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// `audit` and `.log`.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map_or_else(String::new, |_| format!(".{}", text(path.extension())));
    (text(path.file_stem()), extension)
}

/// Removes old files past their number and age, and compresses the others.
fn tidy(settings: &Log, now: i64) -> io::Result<()> {
    let (stem, extension) = parts(&settings.path);
    let folder = settings.path.parent().filter(|own| !own.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut old: Vec<(i64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let stamp =
            plain.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(extension.as_str()));
        let Some(at) =
            stamp.and_then(|stamp| jiff::civil::DateTime::strptime("%Y-%m-%dT%H-%M-%S%.3f", stamp).ok())
        else {
            continue;
        };
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).map_err(io::Error::other)?;
        old.push((at.timestamp().as_millisecond(), path));
    }
    old.sort_by(|one, other| other.cmp(one));
    let oldest = (settings.max_age > 0).then(|| (now - settings.max_age as i64 * DAY) * 1000);
    for (place, (at, path)) in old.iter().enumerate() {
        let extra = settings.max_backups > 0 && place >= settings.max_backups;
        if extra || oldest.is_some_and(|oldest| *at < oldest) {
            fs::remove_file(path)?;
        } else if settings.compress && path.extension().is_none_or(|extension| extension != "gz") {
            compress(path)?;
        }
    }
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let mut to = path.as_os_str().to_owned();
    to.push(".gz");
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&to)?;
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn files_turn_over_at_their_size_and_few_old_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap());
        let mut settings = Log::new(folder.path().join("audit.log"));
        (settings.max_size, settings.max_backups) = (1, 2);
        let line = |byte: u8| Bytes::from(vec![byte; 700 * 1024]);
        let mut output = Output::open(settings.clone(), clock.clone()).unwrap();
        for byte in b'a'..=b'e' {
            output.write(&[line(byte)]);
            clock.advance(Duration::from_secs(60));
        }
        let expected =
            ["audit-2026-01-01T00-03-00.000.log", "audit-2026-01-01T00-04-00.000.log", "audit.log"];
        assert_eq!(names(folder.path()), expected);
        drop(output);

        // What is there is gone on with, and what is not of this log is left alone.
        fs::write(folder.path().join("audit-notes.log"), "mine").unwrap();
        settings.compress = true;
        settings.max_age = 1;
        clock.advance(Duration::from_secs(86_400 - 120));
        let mut output = Output::open(settings, clock).unwrap();
        output.write(&[line(b'f')]);
        let expected = [
            "audit-2026-01-01T00-04-00.000.log.gz",
            "audit-2026-01-02T00-03-00.000.log.gz",
            "audit-notes.log",
            "audit.log",
        ];
        assert_eq!(names(folder.path()), expected);
        let mut text = String::new();
        let packed = File::open(folder.path().join(expected[1])).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        assert_eq!(text.len(), 700 * 1024 + 1);
        assert!(text.starts_with('e'));
    }

    #[tokio::test]
    async fn what_waits_is_written_when_the_task_ends() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Log::new(folder.path().join("deep/audit.log"));
        let clock = Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap());
        let (sender, receiver) = mpsc::channel(16);
        let writer = Writer::open(&settings, &clock, receiver).unwrap();
        sender.send("one".into()).await.unwrap();
        sender.send("two".into()).await.unwrap();
        drop(writer.run());
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), "one\ntwo\n");
    }
}
