//! `resource.Quantity` read as numbers. Reading rounds up, as upstream's `Value` and `MilliValue` do.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// In whole units, rounded up.
pub fn value(text: &str) -> Option<i64> {
    scaled(text, 0)
}

/// In thousandths, rounded up.
pub fn milli(text: &str) -> Option<i64> {
    scaled(text, 3)
}

/// Thousandths of one resource of a list; 0 when it is absent or unreadable.
pub fn milli_of(list: Option<&BTreeMap<String, Quantity>>, name: &str) -> i64 {
    list.and_then(|list| list.get(name)).and_then(|quantity| milli(&quantity.0)).unwrap_or(0)
}

/// Whole units of one resource of a list.
pub fn value_of(list: Option<&BTreeMap<String, Quantity>>, name: &str) -> Option<i64> {
    list.and_then(|list| list.get(name)).and_then(|quantity| value(&quantity.0))
}

/// `text` times ten to `digits`, rounded up and held within `i64`.
fn scaled(text: &str, digits: i32) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|letter: char| !matches!(letter, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (binary, decimal) = match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|power| power.abs() < 30)?),
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = &fraction[..fraction.len().min(12)];
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut amount = mantissa.checked_mul(1 << binary)?;
    let power = decimal + digits - i32::try_from(fraction.len()).ok()?;
    if power >= 0 {
        amount = 10i128
            .checked_pow(power.unsigned_abs())
            .and_then(|by| amount.checked_mul(by))
            .unwrap_or(i128::MAX);
    } else {
        let by = 10i128.checked_pow(power.unsigned_abs())?;
        amount = amount / by + i128::from(amount % by != 0);
    }
    Some(sign * i64::try_from(amount).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_upstream() {
        for (text, whole, thousandths) in [
            ("1", Some(1), Some(1000)),
            ("100m", Some(1), Some(100)),
            ("0.5", Some(1), Some(500)),
            ("1.5Gi", Some(1610612736), Some(1610612736000)),
            ("64Mi", Some(67108864), Some(67108864000)),
            ("1e3", Some(1000), Some(1000000)),
            ("12E", Some(i64::MAX), Some(i64::MAX)),
            ("-2", Some(-2), Some(-2000)),
            ("2k", Some(2000), Some(2000000)),
            ("x", None, None),
            ("1x", None, None),
        ] {
            assert_eq!((value(text), milli(text)), (whole, thousandths), "{text}");
        }
    }
}
