//! A container's log in CRI's format: `<time> <stdout|stderr> <F|P> <line>`, one file a container.
//!
//! A line over 16 KiB is written in pieces tagged `P`, the last of them `F`; so is what had no newline when the stream
//! ended, so that a reader gives back exactly the bytes that were written. Rotation is the kubelet's: it renames the file
//! and asks for [`Log::reopen`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a line that stay in one piece, as in containerd.
const PIECE: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    /// What came after the last newline, by stream.
    rest: [Vec<u8>; 2],
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

impl Log {
    pub(crate) fn open(path: &Path) -> io::Result<Log> {
        Ok(Log { path: path.to_owned(), file: open(path)?, rest: [Vec::new(), Vec::new()] })
    }

    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    /// Adds what a stream gave. A full disk loses log lines and never stops the container.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut out = Vec::with_capacity(bytes.len() + 128);
        split(&mut self.rest[stream as usize], bytes, |tag, line| record(&mut out, now(), stream, tag, line));
        let _ = self.file.write_all(&out);
    }

    /// Writes what had no newline at the end of the streams.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.rest[stream as usize]);
            if !rest.is_empty() {
                let mut out = Vec::new();
                record(&mut out, now(), stream, b'P', &rest);
                let _ = self.file.write_all(&out);
            }
        }
    }
}

/// Cuts `bytes` after what is in `rest` to pieces with their tag, and leaves in `rest` what is not finished.
fn split(rest: &mut Vec<u8>, bytes: &[u8], mut piece: impl FnMut(u8, &[u8])) {
    let mut bytes = bytes;
    while !bytes.is_empty() {
        let room = PIECE - rest.len();
        let window = &bytes[..bytes.len().min(room + 1)];
        match window.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                if rest.is_empty() {
                    piece(b'F', &bytes[..end]);
                } else {
                    rest.extend_from_slice(&bytes[..end]);
                    piece(b'F', &std::mem::take(rest));
                }
                bytes = &bytes[end + 1..];
            }
            None if window.len() > room => {
                rest.extend_from_slice(&bytes[..room]);
                piece(b'P', &std::mem::take(rest));
                bytes = &bytes[room..];
            }
            None => {
                rest.extend_from_slice(bytes);
                bytes = &[];
            }
        }
    }
}

fn record(out: &mut Vec<u8>, at: Duration, stream: Stream, tag: u8, line: &[u8]) {
    timestamp(out, at);
    out.extend_from_slice(match stream {
        Stream::Stdout => b" stdout ",
        Stream::Stderr => b" stderr ",
    });
    out.extend_from_slice(&[tag, b' ']);
    out.extend_from_slice(line);
    out.push(b'\n');
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// RFC 3339 with nine digits of a second, UTC.
fn timestamp(out: &mut Vec<u8>, at: Duration) {
    let (days, second) = (at.as_secs() / 86_400, at.as_secs() % 86_400);
    // Days since 1 March of the year 0, in eras of 400 years: the leap day is then a year's last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        at.subsec_nanos()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(parts: &[&[u8]]) -> (Vec<(char, usize)>, usize) {
        let (mut rest, mut found) = (Vec::new(), Vec::new());
        for part in parts {
            split(&mut rest, part, |tag, line| found.push((char::from(tag), line.len())));
        }
        (found, rest.len())
    }

    #[test]
    fn lines_are_cut_as_containerd_cuts_them() {
        assert_eq!(pieces(&[b"a\nbc\n\nd"]), (vec![('F', 1), ('F', 2), ('F', 0)], 1));
        assert_eq!(pieces(&[b"ab", b"c\n"]), (vec![('F', 3)], 0));
        let long = vec![b'x'; PIECE];
        assert_eq!(pieces(&[&long, b"\n"]), (vec![('F', PIECE)], 0));
        assert_eq!(pieces(&[&long, b"y\n"]), (vec![('P', PIECE), ('F', 1)], 0));
        let longer = vec![b'x'; 2 * PIECE + 3];
        assert_eq!(pieces(&[&longer]), (vec![('P', PIECE), ('P', PIECE)], 3));
    }

    #[test]
    fn times_are_rfc_3339() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (1_795_267_892, "2026-11-21T13:31:32.000000007Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000007Z"),
        ] {
            let mut out = Vec::new();
            timestamp(&mut out, Duration::new(seconds, 7));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
