//! Writing and reading netlink messages: a header, fixed fields, then attributes that may nest (RFC 3549, 2.2).
//!
//! Lengths are written when a message or nest ends, so what comes out is always well formed. An attribute holds less
//! than 64 KiB: callers split what may be longer.

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;

/// One or more messages in a row.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    sequence: u32,
}

impl Writer {
    /// Messages are numbered from `first` on.
    pub fn new(first: u32) -> Writer {
        Writer { buffer: Vec::with_capacity(512), sequence: first }
    }

    /// Appends a message and returns its sequence number.
    pub fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Writer)) -> u32 {
        let start = self.buffer.len();
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(&flags.to_ne_bytes());
        self.buffer.extend_from_slice(&sequence.to_ne_bytes());
        self.buffer.extend_from_slice(&[0; 4]);
        body(self);
        self.pad();
        let length = u32::try_from(self.buffer.len() - start).expect("because a message is far below 4 GiB");
        self.buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        sequence
    }

    /// Adds `flags` to the message that starts at `offset`.
    pub fn add_flags(&mut self, offset: usize, flags: u16) {
        let old = u16::from_ne_bytes([self.buffer[offset + 6], self.buffer[offset + 7]]);
        self.buffer[offset + 6..offset + 8].copy_from_slice(&(old | flags).to_ne_bytes());
    }

    /// Bytes written so far, where the next message will start.
    pub fn offset(&self) -> usize {
        self.buffer.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Fixed fields, or padding that the caller knows.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Writer {
        self.buffer.extend_from_slice(bytes);
        self
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Writer {
        let length = u16::try_from(value.len() + 4).expect("because callers keep attributes below 64 KiB");
        self.buffer.extend_from_slice(&length.to_ne_bytes());
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(value);
        self.pad();
        self
    }

    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Writer {
        self.attribute(kind, &[value])
    }

    /// In the machine's byte order, as rtnetlink has it.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Writer {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// In network byte order, as nftables and conntrack have it.
    pub fn u32_be(&mut self, kind: u16, value: u32) -> &mut Writer {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub fn u64_be(&mut self, kind: u16, value: u64) -> &mut Writer {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// With the closing zero byte.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Writer {
        let length = u16::try_from(value.len() + 5).expect("because names are short");
        self.buffer.extend_from_slice(&length.to_ne_bytes());
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(value.as_bytes());
        self.buffer.push(0);
        self.pad();
        self
    }

    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Writer)) -> &mut Writer {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        self.buffer.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        body(self);
        let length =
            u16::try_from(self.buffer.len() - start).expect("because callers keep attributes below 64 KiB");
        self.buffer[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn pad(&mut self) {
        self.buffer.resize(self.buffer.len().next_multiple_of(4), 0);
    }
}

/// The attributes of a message or a nest, as `(kind, value)`. Stops at the first that is malformed.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let header = self.0.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The first attribute of a kind.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    Attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

pub fn u32_ne(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

pub fn u16_be(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?))
}

/// Splits a datagram into messages: `(kind, flags, sequence, payload)`.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, u16, u32, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.get(..HEADER)?;
        let length = usize::try_from(u32_ne(header)?).ok()?;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let flags = u16::from_ne_bytes([header[6], header[7]]);
        let sequence = u32_ne(&header[8..])?;
        let payload = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, flags, sequence, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::new(7);
        writer.message(16, 5, |message| {
            message.raw(&[1, 2, 3, 4]).text(3, "eth0").nest(18, |nest| {
                nest.u32(1, 9).u8(2, 8);
            });
        });
        writer.message(17, 0, |_| {});
        let found: Vec<_> = messages(writer.bytes()).collect();
        assert_eq!(found.len(), 2);
        let (kind, flags, sequence, payload) = found[0];
        assert_eq!((kind, flags, sequence), (16, 5, 7));
        assert_eq!(attribute(&payload[4..], 3), Some(&b"eth0\0"[..]));
        let nest = attribute(&payload[4..], 18).unwrap();
        assert_eq!(u32_ne(attribute(nest, 1).unwrap()), Some(9));
        assert_eq!(attribute(nest, 2), Some(&[8][..]));
        assert_eq!(found[1].2, 8);
    }

    #[test]
    fn what_is_cut_short_ends_the_walk() {
        for bytes in [&[][..], &[8, 0, 1, 0, 1][..], &[2, 0, 1, 0][..], &[255, 255, 0, 0, 1, 1, 1, 1][..]] {
            assert_eq!(Attributes(bytes).count(), 0, "{bytes:?}");
            assert_eq!(messages(bytes).count(), 0, "{bytes:?}");
        }
    }
}
