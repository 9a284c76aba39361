#![no_main]
//! Quantities, and sums of them.

use api::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(2, ' ');
    let mut next = || parts.next()?.parse::<Quantity>().ok();
    let Some(one) = next() else { return };
    let written = one.to_string();
    let again: Quantity = written.parse().expect("because it was written");
    assert_eq!(again.to_string(), written);
    assert_eq!(
        (again.value(), again.milli_value(), again.sign()),
        (one.value(), one.milli_value(), one.sign())
    );
    let Some(other) = next() else { return };
    let (mut sum, mut difference) = (one.clone(), one.clone());
    sum.add(&other);
    difference.sub(&other);
    let _ = (sum.to_string(), difference.to_string(), sum.as_f64());
    assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
});
