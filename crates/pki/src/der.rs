//! The little of DER (X.690) that a certificate is written with. Values of less than 16 MB.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        0x100..0x1_0000 => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => out.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    value(0x30, &parts.concat())
}

/// `[number]` around a value.
pub(crate) fn tagged(number: u8, content: &[u8]) -> Vec<u8> {
    value(0xa0 | number, content)
}

/// `[number]` in the place of a primitive value's own tag.
pub(crate) fn implicit(number: u8, content: &[u8]) -> Vec<u8> {
    value(0x80 | number, content)
}

/// Of bytes, the highest first, whose first bit is 0.
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    value(0x02, bytes)
}

/// Of an identifier that is encoded already.
pub(crate) fn oid(bytes: &[u8]) -> Vec<u8> {
    value(0x06, bytes)
}

pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    value(0x04, bytes)
}

pub(crate) fn null() -> Vec<u8> {
    value(0x05, &[])
}

pub(crate) fn bits(bytes: &[u8], unused: u8) -> Vec<u8> {
    value(0x03, &[&[unused][..], bytes].concat())
}

/// Named bits, bit 0 first, without trailing zeros (X.690, 11.2.2); at least one of the first sixteen is set.
pub(crate) fn flags(set: u32) -> Vec<u8> {
    let highest = 31 - set.leading_zeros();
    let mut bytes = vec![0u8; highest as usize / 8 + 1];
    for bit in (0..=highest).filter(|bit| set & 1 << bit != 0) {
        bytes[bit as usize / 8] |= 0x80 >> (bit % 8);
    }
    bits(&bytes, 7 - (highest % 8) as u8)
}

/// Unix seconds as X.509 has them: two digits of a year before 2050, then four (RFC 5280, 4.1.2.5).
pub(crate) fn time(second: i64) -> Vec<u8> {
    let at = Timestamp::from_second(second).unwrap_or(Timestamp::MAX).to_zoned(jiff::tz::TimeZone::UTC);
    match at.year() {
        1950..2050 => value(0x17, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()),
        _ => value(0x18, at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()),
    }
}

pub(crate) fn extension(id: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(id)];
    if critical {
        parts.push(value(0x01, &[0xff]));
    }
    parts.push(value(0x04, content));
    sequence(&parts)
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("because base64 is ASCII"));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_standard_has_them() {
        assert_eq!(flags(1), [3, 2, 7, 0x80]);
        assert_eq!(flags(1 | 1 << 2), [3, 2, 5, 0xa0]);
        assert_eq!(flags(1 << 8), [3, 3, 7, 0x00, 0x80]);
        assert_eq!(&time(1_767_268_800)[2..], b"260101120000Z");
        assert_eq!(&time(2_524_608_000)[2..], b"20500101000000Z");
        assert_eq!(sequence(&[vec![0; 200]])[..3], [0x30, 0x81, 200]);
        assert_eq!(sequence(&[vec![0; 300]])[..4], [0x30, 0x82, 1, 44]);
    }
}
