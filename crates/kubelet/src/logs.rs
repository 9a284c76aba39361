//! Container logs in CRI's format: `<RFC 3339 time> <stream> <F|P> <text>`, one line each.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;

/// One line of a log file. `partial` ones (`P`) go on in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time: Timestamp,
    /// The time as it is written, with all its digits.
    pub stamp: &'a str,
    pub stderr: bool,
    pub partial: bool,
    pub text: &'a [u8],
}

/// Reads a line without its newline; `None` if it is none of CRI's.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let stamp = std::str::from_utf8(parts.next()?).ok()?;
    let stderr = match parts.next()? {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    let tag = parts.next()?;
    let text = parts.next().unwrap_or_default();
    Some(Line { time: stamp.parse().ok()?, stamp, stderr, partial: tag.first() == Some(&b'P'), text })
}

/// The offset at which the last `lines` lines before `end` begin. Reads from there, so a long log costs nothing.
pub fn tail_offset(file: &mut std::fs::File, lines: u64, end: u64) -> std::io::Result<u64> {
    const BLOCK: u64 = 8192;
    if lines == 0 {
        return Ok(end);
    }
    let mut left = lines;
    let mut at = end;
    let mut block = Vec::new();
    while at > 0 {
        let size = BLOCK.min(at);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        block.resize(usize::try_from(size).unwrap_or(0), 0);
        file.read_exact(&mut block)?;
        for index in (0..block.len()).rev() {
            let position = at + index as u64;
            // A newline that ends the file ends the last line; it begins none.
            if block[index] == b'\n' && position + 1 != end {
                left -= 1;
                if left == 0 {
                    return Ok(position + 1);
                }
            }
        }
    }
    Ok(0)
}

/// The last output of a container as text, for `FallbackToLogsOnError`: at most 80 lines and 2048 bytes.
pub fn last_words(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let end = file.metadata()?.len();
    let offset = tail_offset(&mut file, 80, end)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut out = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter_map(parse) {
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
    }
    let start = out.len().saturating_sub(2048);
    Ok(String::from_utf8_lossy(&out[start..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_and_tails() {
        let line = parse(b"2026-11-21T12:00:00.123456789Z stderr P half a ").unwrap();
        assert!(line.stderr && line.partial && line.text == b"half a ");
        assert_eq!(parse(b"no log line"), None);
        let mut file = tempfile::tempfile().unwrap();
        for index in 0..1000 {
            writeln!(file, "2026-11-21T12:00:00Z stdout F line {index}").unwrap();
        }
        let length = file.metadata().unwrap().len();
        for (lines, expected) in [(1, "line 999\n"), (3, "line 997\n")] {
            let offset = tail_offset(&mut file, lines, length).unwrap();
            file.seek(SeekFrom::Start(offset)).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert!(text.lines().next().unwrap().ends_with(expected.trim_end()), "{text}");
            assert_eq!(text.lines().count() as u64, lines);
        }
        assert_eq!(tail_offset(&mut file, 0, length).unwrap(), length);
        assert_eq!(tail_offset(&mut file, 5000, length).unwrap(), 0);
    }
}
