//! A number of pods that is given as a count or as a share of another number. Pure.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The number that `value` means of `total`, a share rounded up or down; `None` if its text is no percentage.
pub fn of(value: &IntOrString, total: i32, up: bool) -> Option<i32> {
    match value {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let hundredfold = percent.checked_mul(i64::from(total))?;
            let exact = if up { hundredfold.checked_add(99)? } else { hundredfold };
            i32::try_from(exact.div_euclid(100)).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_as_asked() {
        let text = |text: &str| IntOrString::String(text.into());
        assert_eq!(of(&IntOrString::Int(3), 10, true), Some(3));
        assert_eq!(of(&text("25%"), 10, true), Some(3));
        assert_eq!(of(&text("25%"), 10, false), Some(2));
        assert_eq!(of(&text("100%"), 10, true), Some(10));
        assert_eq!(of(&text("25"), 10, true), None);
        assert_eq!(of(&text("999999999999999999%"), 10, true), None);
    }
}
