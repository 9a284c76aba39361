//! The wire format: varints, tags and lengths, read forward and written backward.

use smol_str::SmolStr;

use super::Error;

/// One field as it lies on the wire.
pub enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// Reads the fields of one message.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first().ok_or(Error::Wire("a number breaks off"))?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Error::Wire("a number is too long"))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Error> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.bytes.len());
        let (taken, rest) = self.bytes.split_at(count.ok_or(Error::Wire("a field breaks off"))?);
        self.bytes = rest;
        Ok(taken)
    }

    pub fn fixed64(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("because eight bytes were taken")))
    }

    /// The next field and its number; `None` at the end. Groups are skipped.
    pub fn field(&mut self) -> Result<Option<(u32, Field<'a>)>, Error> {
        loop {
            if self.bytes.is_empty() {
                return Ok(None);
            }
            let key = self.varint()?;
            let tag = u32::try_from(key >> 3).map_err(|_| Error::Wire("a tag is too large"))?;
            if tag == 0 {
                return Err(Error::Wire("a tag is zero"));
            }
            let field = match key & 7 {
                0 => Field::Varint(self.varint()?),
                1 => Field::Fixed64(self.fixed64()?),
                2 => {
                    let length = self.varint()?;
                    Field::Bytes(self.take(length)?)
                }
                3 => {
                    self.skip_group(tag)?;
                    continue;
                }
                5 => {
                    self.take(4)?;
                    Field::Fixed32
                }
                _ => return Err(Error::Wire("a field has an unknown wire type")),
            };
            return Ok(Some((tag, field)));
        }
    }

    /// Skips to the end of a group, the deprecated way to nest; no Kubernetes type has one.
    fn skip_group(&mut self, outer: u32) -> Result<(), Error> {
        let mut open = vec![outer];
        while let Some(&inner) = open.last() {
            let key = self.varint()?;
            let tag = u32::try_from(key >> 3).map_err(|_| Error::Wire("a tag is too large"))?;
            match key & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let length = self.varint()?;
                    self.take(length)?;
                }
                3 => open.push(tag),
                4 if tag == inner => drop(open.pop()),
                5 => drop(self.take(4)?),
                _ => return Err(Error::Wire("a group is not well-formed")),
            }
        }
        Ok(())
    }
}

/// A text; what is not UTF-8 becomes U+FFFD.
pub fn text(bytes: &[u8]) -> SmolStr {
    String::from_utf8_lossy(bytes).into()
}

/// Writes a message from its end to its start, so that each length is known when it is written. The bytes lie reversed
/// until [`Writer::finish`].
#[derive(Default)]
pub struct Writer {
    reversed: Vec<u8>,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Writer {
        Writer { reversed: Vec::with_capacity(bytes) }
    }

    /// The bytes in their order.
    pub fn finish(mut self) -> Vec<u8> {
        self.reversed.reverse();
        self.reversed
    }

    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.reversed.len()
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.reversed.extend(bytes.iter().rev());
    }

    pub fn varint(&mut self, mut number: u64) {
        let mut bytes = [0u8; 10];
        let mut count = 0;
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            bytes[count] = if number == 0 { low } else { low | 0x80 };
            count += 1;
            if number == 0 {
                break;
            }
        }
        self.raw(&bytes[..count]);
    }

    pub fn key(&mut self, tag: u32, wire: u64) {
        self.varint(u64::from(tag) << 3 | wire);
    }

    pub fn varint_field(&mut self, tag: u32, number: u64) {
        self.varint(number);
        self.key(tag, 0);
    }

    pub fn double_field(&mut self, tag: u32, number: f64) {
        self.raw(&number.to_bits().to_le_bytes());
        self.key(tag, 1);
    }

    pub fn bytes_field(&mut self, tag: u32, bytes: &[u8]) {
        self.raw(bytes);
        self.varint(bytes.len() as u64);
        self.key(tag, 2);
    }

    /// A nested message that `body` writes.
    pub fn nested(&mut self, tag: u32, body: impl FnOnce(&mut Writer)) {
        let before = self.written();
        body(self);
        self.varint((self.written() - before) as u64);
        self.key(tag, 2);
    }
}
