//! shopspring/decimal as Sprig's `addf`, `subf`, `mulf`, `divf` use it: exact sums of the shortest decimal forms, quotients to
//! sixteen places, rounded half away from zero.

use num_bigint::{BigInt, Sign};

/// `value × 10^exponent`.
#[derive(Clone, Debug)]
pub struct Decimal {
    value: BigInt,
    exponent: i32,
}

const PLACES: i32 = 16;

fn power(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

impl Decimal {
    /// `decimal.NewFromFloat`; its panic for what is no number.
    pub fn from_float(number: f64) -> Result<Decimal, String> {
        if !number.is_finite() {
            let name = super::float::format(number, b'g', -1);
            return Err(format!("Cannot create a Decimal from {name}"));
        }
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        let value = mantissa.replace('.', "").parse::<BigInt>().unwrap_or_default();
        let exponent: i32 = exponent.parse().unwrap_or_default();
        Ok(Decimal { value, exponent: exponent - places })
    }

    fn aligned(&self, other: &Decimal) -> (BigInt, BigInt, i32) {
        let exponent = self.exponent.min(other.exponent);
        let scale = |one: &Decimal| &one.value * power((one.exponent - exponent) as u32);
        (scale(self), scale(other), exponent)
    }

    pub fn add(&self, other: &Decimal) -> Decimal {
        let (a, b, exponent) = self.aligned(other);
        Decimal { value: a + b, exponent }
    }

    pub fn sub(&self, other: &Decimal) -> Decimal {
        let (a, b, exponent) = self.aligned(other);
        Decimal { value: a - b, exponent }
    }

    pub fn mul(&self, other: &Decimal) -> Decimal {
        Decimal { value: &self.value * &other.value, exponent: self.exponent + other.exponent }
    }

    pub fn div(&self, other: &Decimal) -> Result<Decimal, String> {
        if other.value.sign() == Sign::NoSign {
            return Err("decimal division by 0".into());
        }
        let shift = self.exponent - other.exponent + PLACES;
        let (top, bottom) = if shift >= 0 {
            (&self.value * power(shift as u32), other.value.clone())
        } else {
            (self.value.clone(), &other.value * power(shift.unsigned_abs()))
        };
        let quotient = &top / &bottom;
        let rest = &top - &quotient * &bottom;
        let twice = rest.magnitude() + rest.magnitude();
        let value = if &twice >= bottom.magnitude() {
            if (top.sign() == Sign::Minus) == (bottom.sign() == Sign::Minus) {
                quotient + 1
            } else {
                quotient - 1
            }
        } else {
            quotient
        };
        Ok(Decimal { value, exponent: -PLACES })
    }

    /// Whether this is `of` times a whole number; nothing is a multiple of zero.
    pub fn is_multiple_of(&self, of: &Decimal) -> bool {
        let (value, of, _) = self.aligned(of);
        of.sign() != Sign::NoSign && (value % of).sign() == Sign::NoSign
    }

    pub fn to_float(&self) -> f64 {
        format!("{}e{}", self.value, self.exponent).parse().unwrap_or_default()
    }
}
