//! Git's lines of a pack in small pieces: a server sends up to 64 KiB in one, and what came of one that broke off is still part of
//! the pack. Lines of other kinds pass as they are, and so does what is no line at all.

use std::io::Read;

/// See the module.
pub(super) struct Pieces<R> {
    inner: R,
    /// Of the line that is cut into pieces.
    left: usize,
    /// What is to be read next.
    out: Vec<u8>,
    at: usize,
    raw: bool,
}

/// Bytes of a piece.
const PIECE: usize = 4096;
/// The length and the number of the band.
const HEAD: usize = 5;
/// The band of packs.
const DATA: u8 = 1;

impl<R: Read> Pieces<R> {
    pub fn new(inner: R) -> Pieces<R> {
        Pieces { inner, left: 0, out: Vec::new(), at: 0, raw: false }
    }

    /// Reads on until there is something; nothing: the end.
    fn fill(&mut self) -> std::io::Result<()> {
        self.at = 0;
        self.out.clear();
        if self.left > 0 {
            let mut piece = [0; PIECE];
            let most = self.left.min(PIECE);
            let count = self.inner.read(&mut piece[..most])?;
            if count > 0 {
                self.left -= count;
                self.out.extend_from_slice(format!("{:04x}", count + HEAD).as_bytes());
                self.out.push(DATA);
                self.out.extend_from_slice(&piece[..count]);
                return Ok(());
            }
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut digits = [0; 4];
        let mut have = 0;
        while have < digits.len() {
            match self.inner.read(&mut digits[have..])? {
                0 => break,
                count => have += count,
            }
        }
        self.out.extend_from_slice(&digits[..have]);
        let length = std::str::from_utf8(&digits).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(length) = length.filter(|_| have == digits.len()) else {
            self.raw = true;
            return Ok(());
        };
        if length <= digits.len() {
            return Ok(());
        }
        let mut band = [0];
        self.inner.read_exact(&mut band)?;
        if band[0] == DATA && length > HEAD {
            self.left = length - HEAD;
            return self.fill();
        }
        self.out.push(band[0]);
        let before = self.out.len();
        self.out.resize(before + length - HEAD, 0);
        self.inner.read_exact(&mut self.out[before..])
    }
}

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.out.len() {
            if self.raw {
                return self.inner.read(out);
            }
            self.fill()?;
        }
        let rest = &self.out[self.at..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(data: &[u8]) -> Vec<u8> {
        [format!("{:04x}", data.len() + 4).as_bytes(), data].concat()
    }

    fn read(bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        let whole = Pieces::new(bytes).read_to_end(&mut all).is_ok();
        (all, whole)
    }

    #[test]
    fn packs_come_in_pieces_and_the_rest_as_it_is() {
        let pack = [&[DATA], vec![7; 10_000].as_slice()].concat();
        let told = [&[2], vec![8; 6000].as_slice()].concat();
        let all =
            [line(b"packfile\n"), line(&told), b"0001".to_vec(), line(&pack), b"0000".to_vec()].concat();
        let (out, whole) = read(&all);
        let piece = |count: usize| line(&[&[DATA], vec![7; count].as_slice()].concat());
        let expected =
            [line(b"packfile\n"), line(&told), b"0001".to_vec(), piece(4096), piece(4096), piece(1808)];
        assert_eq!((out, whole), ([expected.concat(), b"0000".to_vec()].concat(), true));
        // What came of a line that breaks off is there.
        let cut = all.len() - 4 - 5000;
        let (out, whole) = read(&all[..cut]);
        assert!(out.ends_with(&piece(904)) && !whole, "{}", out.len());
        // No lines.
        for raw in [b"PACK and more".as_slice(), b"00", b""] {
            assert_eq!(read(raw), (raw.to_vec(), true));
        }
    }
}
