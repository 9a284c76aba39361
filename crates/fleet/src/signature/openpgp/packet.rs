//! Packets (RFC 9580, 4 and 5.2): where each begins and ends, and what a signature says.

pub(super) const SIGNATURE: u8 = 2;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;

/// One packet.
pub(super) struct Packet<'a> {
    pub tag: u8,
    pub body: &'a [u8],
}

/// Bytes that are read from the front.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("a PGP packet ends too early")?;
        self.0 = rest;
        Ok(taken)
    }
    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }
    pub fn number(&mut self, bytes: usize) -> Result<usize, String> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }
    /// A number of any size: its bits, and its bytes without zeros before them.
    pub fn mpi(&mut self) -> Result<&'a [u8], String> {
        let bits = self.number(2)?;
        let bytes = self.take(bits.div_ceil(8))?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(&bytes[zeros..])
    }
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
    /// A length in the form of new packets and of subpackets.
    fn length(&mut self) -> Result<usize, String> {
        Ok(match usize::from(self.byte()?) {
            first @ 0..192 => first,
            first @ 192..224 => ((first - 192) << 8) + usize::from(self.byte()?) + 192,
            255 => self.number(4)?,
            _ => return Err("PGP packets of partial length are not read".into()),
        })
    }
}

/// All packets of a block.
pub(super) fn all(bytes: &[u8]) -> Result<Vec<Packet<'_>>, String> {
    let mut bytes = Bytes(bytes);
    let mut all = Vec::new();
    while !bytes.0.is_empty() {
        let head = bytes.byte()?;
        let (tag, length) = match head {
            head if head & 0xc0 == 0xc0 => (head & 0x3f, bytes.length()?),
            head if head & 0x80 == 0x80 => {
                let length = match head & 3 {
                    0 => bytes.number(1)?,
                    1 => bytes.number(2)?,
                    2 => bytes.number(4)?,
                    _ => return Err("PGP packets without a length are not read".into()),
                };
                (head >> 2 & 0xf, length)
            }
            _ => return Err("this is no PGP packet".into()),
        };
        all.push(Packet { tag, body: bytes.take(length)? });
    }
    Ok(all)
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A version 4 signature.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub kind: u8,
    pub algorithm: u8,
    /// `None`: one that is not taken.
    pub hash: Option<Hash>,
    /// In seconds since the epoch.
    pub created: u64,
    /// Seconds after `created`; 0: never.
    pub lifetime: u64,
    /// Of the key, seconds after its making; 0: never.
    pub key_lifetime: u64,
    pub flags: Option<u8>,
    /// The key's id in 16 upper-case digits.
    pub issuer: Option<String>,
    /// A signature by the subkey over its primary key.
    pub back: Option<Box<Signature>>,
    /// Something critical in it is not known.
    pub strange: bool,
    /// What is hashed after the signed bytes.
    pub trailer: Vec<u8>,
    /// The signature proper: numbers, or bytes.
    pub value: Vec<u8>,
    /// The first two bytes of the hash.
    pub left: [u8; 2],
}

/// Which kind of signature a packet holds, of any version (RFC 9580, 5.2); `None`: it ends before it says so.
pub(super) fn kind(body: &[u8]) -> Option<u8> {
    let at = if body.first()? < &4 { 2 } else { 1 };
    body.get(at).copied()
}

impl Signature {
    pub fn read(body: &[u8]) -> Result<Signature, String> {
        Signature::read_below(body, 0)
    }

    fn read_below(body: &[u8], depth: usize) -> Result<Signature, String> {
        let mut bytes = Bytes(body);
        let version = bytes.byte()?;
        if version != 4 {
            return Err(format!("a PGP signature of version {version}; 4 is read"));
        }
        let (kind, algorithm, hash) = (bytes.byte()?, bytes.byte()?, bytes.byte()?);
        let length = bytes.number(2)?;
        let hashed = bytes.take(length)?;
        let mut trailer = body[..6 + length].to_vec();
        let hashed_size = u32::try_from(trailer.len()).map_err(|_| "a PGP signature that is too long")?;
        trailer.extend_from_slice(&[4, 0xff]);
        trailer.extend_from_slice(&hashed_size.to_be_bytes());
        let length = bytes.number(2)?;
        let unhashed = bytes.take(length)?;
        let left = bytes.take(2)?;
        let mut signature = Signature {
            kind,
            algorithm,
            hash: match hash {
                8 => Some(Hash::Sha256),
                9 => Some(Hash::Sha384),
                10 => Some(Hash::Sha512),
                _ => None,
            },
            created: 0,
            lifetime: 0,
            key_lifetime: 0,
            flags: None,
            issuer: None,
            back: None,
            strange: false,
            trailer,
            value: bytes.rest().to_vec(),
            left: [left[0], left[1]],
        };
        signature.subpackets(hashed, true, depth)?;
        signature.subpackets(unhashed, false, depth)?;
        Ok(signature)
    }

    /// Reads subpackets; those that are not hashed may only say who signed and hold the signature back.
    fn subpackets(&mut self, bytes: &[u8], hashed: bool, depth: usize) -> Result<(), String> {
        let mut bytes = Bytes(bytes);
        while !bytes.0.is_empty() {
            let length = bytes.length()?;
            let mut body = Bytes(bytes.take(length)?);
            let kind = body.byte()?;
            let seconds = |body: &mut Bytes<'_>| Ok::<_, String>(body.number(4)? as u64);
            match kind & 0x7f {
                2 if hashed => self.created = seconds(&mut body)?,
                3 if hashed => self.lifetime = seconds(&mut body)?,
                9 if hashed => self.key_lifetime = seconds(&mut body)?,
                27 if hashed => self.flags = Some(body.0.first().copied().unwrap_or_default()),
                16 if self.issuer.is_none() => self.issuer = Some(hex::encode_upper(body.take(8)?)),
                33 => {
                    if body.byte()? == 4 {
                        let fingerprint = body.take(20)?;
                        self.issuer = Some(hex::encode_upper(&fingerprint[12..]));
                    }
                }
                32 if depth == 0 => {
                    self.back = Some(Box::new(Signature::read_below(body.rest(), depth + 1)?));
                }
                // Preferences, notations, features and reasons change nothing here.
                2..=7 | 9 | 11 | 12 | 16 | 20..=35 | 39 => {}
                _ => self.strange |= hashed && kind & 0x80 != 0,
            }
        }
        Ok(())
    }

    /// Its own end has come.
    pub fn is_over(&self, now: u64) -> bool {
        self.lifetime != 0 && self.created.saturating_add(self.lifetime) <= now
    }
}
