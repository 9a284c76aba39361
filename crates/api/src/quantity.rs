//! Quantities (`100m`, `1.5Gi`, `1e3`): parsing, upstream's canonical form, arithmetic.
//!
//! The value is `mantissa × 10^scale`, exact. Like upstream, anything finer than 10⁻⁹ is rounded away from zero, and a
//! text that is already in canonical form (or that upstream takes for it, `1.500` for one) is written as it came.

use std::cmp::Ordering;
use std::fmt;

use smol_str::SmolStr;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySI,
    /// `12M`
    #[default]
    DecimalSI,
}

/// A text that is no quantity; the texts are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    mantissa: i128,
    scale: i32,
    format: Format,
    /// The text it came from, if that is to be kept.
    text: Option<SmolStr>,
}

impl Quantity {
    pub fn from_int(value: i64, format: Format) -> Quantity {
        Quantity { mantissa: value.into(), scale: 0, format, text: None }
    }
    /// Thousandths, as CPU is counted.
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity { mantissa: value.into(), scale: -3, format, text: None }
    }
    pub fn format(&self) -> Format {
        self.format
    }
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }
    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.mantissa.signum() as i32
    }
    /// The value rounded up to a whole number, capped at what `i64` holds.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }
    /// The value in thousandths, rounded up, capped.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }
    /// The value in units of `10^scale`, rounded up, capped.
    pub fn scaled(&self, scale: i32) -> i64 {
        let whole = match self.scale - scale {
            up @ 0.. => saturating_scale(self.mantissa, up),
            down => match 10i128.checked_pow(down.unsigned_abs()) {
                Some(by) => self.mantissa.div_euclid(by) + i128::from(self.mantissa.rem_euclid(by) != 0),
                None => i128::from(self.mantissa > 0),
            },
        };
        whole.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
    /// An approximation, for autoscaling's ratios and metrics.
    pub fn as_f64(&self) -> f64 {
        self.mantissa as f64 * 10f64.powi(self.scale)
    }
    pub fn add(&mut self, other: &Quantity) {
        self.combine(other, i128::saturating_add);
    }
    pub fn sub(&mut self, other: &Quantity) {
        self.combine(other, i128::saturating_sub);
    }
    fn combine(&mut self, other: &Quantity, with: fn(i128, i128) -> i128) {
        if self.is_zero() {
            self.format = other.format;
        }
        let scale = self.scale.min(other.scale);
        let left = saturating_scale(self.mantissa, self.scale - scale);
        let right = saturating_scale(other.mantissa, other.scale - scale);
        (self.mantissa, self.scale, self.text) = (with(left, right), scale, None);
    }

    /// Mantissa without factors of ten, and a scale that is a multiple of three.
    fn canonical(&self) -> (i128, i32) {
        let (mut mantissa, mut scale) = (self.mantissa, self.scale);
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale += 1;
        }
        let more = scale.rem_euclid(3);
        (saturating_scale(mantissa, more), scale - more)
    }
}

fn saturating_scale(mantissa: i128, by: i32) -> i128 {
    match 10i128.checked_pow(by.unsigned_abs()) {
        Some(by) => mantissa.saturating_mul(by),
        None if mantissa == 0 => 0,
        None => {
            if mantissa > 0 {
                i128::MAX
            } else {
                i128::MIN
            }
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    /// By value; the format does not matter.
    fn cmp(&self, other: &Quantity) -> Ordering {
        let scale = self.scale.min(other.scale);
        let left = saturating_scale(self.mantissa, self.scale.saturating_sub(scale));
        left.cmp(&saturating_scale(other.mantissa, other.scale.saturating_sub(scale)))
    }
}

impl fmt::Display for Quantity {
    /// Upstream's canonical form.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return out.write_str(text);
        }
        if self.is_zero() {
            return out.write_str("0");
        }
        if self.format == Format::BinarySI {
            let whole =
                (self.scale >= 0).then(|| saturating_scale(self.mantissa, self.scale)).or_else(|| {
                    let by = 10i128.checked_pow(self.scale.unsigned_abs())?;
                    (self.mantissa % by == 0).then(|| self.mantissa / by)
                });
            if let Some(mut whole) = whole
                && !(-1023..=1023).contains(&whole)
            {
                let mut power = 0;
                while whole % 1024 == 0 && power < 6 {
                    whole /= 1024;
                    power += 1;
                }
                return write!(out, "{whole}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]);
            }
        }
        let (mantissa, scale) = self.canonical();
        write!(out, "{mantissa}")?;
        if self.format == Format::DecimalExponent {
            return if scale == 0 { Ok(()) } else { write!(out, "e{scale}") };
        }
        match scale {
            -9..=18 => {
                out.write_str(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][((scale + 9) / 3) as usize])
            }
            // Upstream drops the exponent here, which would change the value.
            _ => write!(out, "e{scale}"),
        }
    }
}

/// Most digits that upstream takes on its fast path, which is the one that keeps canonical texts.
const FAST_DIGITS: i32 = 18;

impl std::str::FromStr for Quantity {
    type Err = Error;
    fn from_str(text: &str) -> Result<Quantity, Error> {
        let bytes = text.as_bytes();
        if text.is_empty() {
            return Err(Error::Format);
        }
        let negative = bytes[0] == b'-';
        let mut at = usize::from(matches!(bytes[0], b'-' | b'+'));
        let run = |from: usize, wanted: &dyn Fn(u8) -> bool| {
            from + bytes[from..].iter().take_while(|&&byte| wanted(byte)).count()
        };
        at = run(at, &|byte| byte == b'0');
        let end = run(at, &|byte| byte.is_ascii_digit());
        let number = if end == at { "0" } else { &text[at..end] };
        at = end;
        let mut fraction = "";
        if bytes.get(at) == Some(&b'.') {
            let end = run(at + 1, &|byte| byte.is_ascii_digit());
            fraction = &text[at + 1..end];
            at = end;
        }
        // A sign alone, or a point without digits, is zero for upstream; a text without any digit is not a number.
        if at == usize::from(matches!(bytes[0], b'-' | b'+')) && at < bytes.len() {
            return Err(Error::Format);
        }
        let start = at;
        at = run(at, &|byte| b"eEinumkKMGTP".contains(&byte));
        if at < bytes.len() && matches!(bytes[at], b'-' | b'+') {
            at += 1;
        }
        at = run(at, &|byte| byte.is_ascii_digit());
        if at < bytes.len() {
            return Err(Error::Format);
        }
        let (format, exponent) = suffix(&text[start..])?;
        build(text, negative, number, fraction, format, exponent)
    }
}

/// Format, and the power of ten or (for [`Format::BinarySI`]) of two.
fn suffix(text: &str) -> Result<(Format, i32), Error> {
    let decimal = |exponent| Ok((Format::DecimalSI, exponent));
    let binary = |exponent| Ok((Format::BinarySI, exponent));
    match text {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = text.strip_prefix(['e', 'E']).ok_or(Error::Suffix)?;
            let exponent: i32 = exponent.parse().map_err(|_| Error::Suffix)?;
            // Beyond this nothing can be counted with; upstream's big numbers go on.
            if exponent.abs() > 1000 { Err(Error::Suffix) } else { Ok((Format::DecimalExponent, exponent)) }
        }
    }
}

fn build(
    text: &str,
    negative: bool,
    number: &str,
    fraction: &str,
    format: Format,
    exponent: i32,
) -> Result<Quantity, Error> {
    let (digits, places) = ((number.len() + fraction.len()) as i32, fraction.len() as i32);
    let joined = format!("{number}{fraction}");
    let mut mantissa: i128 = joined.parse().map_err(|_| Error::Numeric)?;
    let mut scale = -places;
    let precision = match format {
        Format::BinarySI if fraction.is_empty() => {
            15 - number.len() as i32 - (exponent as f32 * 3.0 / 10.0) as i32 - 1
        }
        Format::BinarySI => -1,
        _ => FAST_DIGITS - digits,
    };
    let units = mantissa;
    if format == Format::BinarySI {
        mantissa = mantissa.saturating_mul(1i128 << exponent);
    } else {
        scale += exponent;
    }
    let fast = precision >= 0 && scale >= -9;
    let keep = fast
        && match format {
            Format::BinarySI => exponent % 10 == 0 && units & 7 != 0,
            _ => scale % 3 == 0 && !joined.ends_with("000") && !joined.starts_with('0'),
        };
    let mut format = format;
    if !fast {
        if scale < -9 {
            let by = 10i128.checked_pow((-9 - scale) as u32);
            mantissa = match by {
                Some(by) => mantissa / by + i128::from(mantissa % by != 0),
                None => i128::from(mantissa != 0),
            };
            scale = -9;
        }
        if format == Format::BinarySI {
            let cap = saturating_scale(i64::MAX.into(), -scale);
            mantissa = mantissa.min(cap);
            if mantissa > 0 && mantissa < saturating_scale(1, -scale) {
                format = Format::DecimalSI;
            }
        }
    }
    if negative {
        mantissa = -mantissa;
    }
    Ok(Quantity { mantissa, scale, format, text: (keep || text == "0").then(|| SmolStr::new(text)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn writes_the_canonical_form() {
        for (text, expected) in [
            ("0", "0"),
            ("0.0", "0"),
            ("1", "1"),
            ("1000", "1k"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1500m", "1500m"),
            ("100Mi", "100Mi"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("1023", "1023"),
            ("512", "512"),
            ("1024", "1024"),
            ("1048576Ki", "1Gi"),
            ("1e3", "1e3"),
            ("1000e0", "1e3"),
            ("12E", "12E"),
            ("1E3", "1E3"),
            ("100000", "100k"),
            ("0.1n", "1n"),
            ("1.23456789012", "1234567891n"),
            ("-5", "-5"),
            ("-1.5Gi", "-1536Mi"),
            ("0.001Ki", "1024m"),
            ("1.500", "1.500"),
            ("007", "007"),
            ("+5", "+5"),
            ("0.500", "500m"),
            ("9999999999Gi", "9223372036854775807"),
            ("2048Ki", "2Mi"),
            ("3Ki", "3Ki"),
            ("1.1Ki", "1126400m"),
            (".5", "500m"),
            ("5.", "5."),
        ] {
            assert_eq!(parse(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_upstream_refuses() {
        for (text, error) in [
            ("", Error::Format),
            ("abc", Error::Format),
            ("1.2.3", Error::Format),
            ("1x", Error::Format),
            ("1mi", Error::Suffix),
            ("1i", Error::Suffix),
            ("1e", Error::Suffix),
            ("1 Gi", Error::Format),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(parse("100m").milli_value(), 100);
        assert_eq!(parse("100m").value(), 1);
        assert_eq!(parse("1Gi").value(), 1 << 30);
        assert_eq!(parse("1Ei").milli_value(), i64::MAX);
        assert!(parse("1Gi") > parse("1G"));
        assert_eq!(parse("1024Mi"), parse("1Gi"));
        let mut sum = parse("100m");
        sum.add(&parse("1"));
        assert_eq!(sum.to_string(), "1100m");
        sum.sub(&parse("100m"));
        assert_eq!(sum.to_string(), "1");
        let mut sum = Quantity::default();
        sum.add(&parse("512Mi"));
        sum.add(&parse("512Mi"));
        assert_eq!(sum.to_string(), "1Gi");
    }
}
