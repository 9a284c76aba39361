//! Numbers.

use super::{Done, Entries, int};
use crate::go::cast::{to_float64, to_int64};
use crate::go::decimal::Decimal;
use crate::go::value::{List, ListType};
use crate::go::{Value, float, print};
use crate::template::{Frame, function};

const DIVIDE: &str = "runtime error: integer divide by zero";

pub fn all() -> Entries {
    vec![
        ("atoi", function("s", |_, a| Ok(Value::Int(float::parse_int(&super::text(a, 0), 10).unwrap_or(0))))),
        ("int64", function("a", |_, a| Ok(Value::Int64(to_int64(&a[0]))))),
        ("int", function("a", |_, a| Ok(Value::Int(to_int64(&a[0]))))),
        ("float64", function("a", |_, a| Ok(Value::Float(to_float64(&a[0]))))),
        (
            "toDecimal",
            function("a", |_, a| {
                let text = print::display(&a[0]);
                Ok(Value::Int64(float::parse_int(&text, 8).unwrap_or(0)))
            }),
        ),
        ("seq", function("i*", seq)),
        (
            "until",
            function("i", |frame, a| {
                let count = int(a, 0);
                until(frame, 0, count, if count < 0 { -1 } else { 1 }).map(ints)
            }),
        ),
        ("untilStep", function("iii", |frame, a| until(frame, int(a, 0), int(a, 1), int(a, 2)).map(ints))),
        ("add1", function("a", |_, a| Ok(Value::Int64(to_int64(&a[0]).wrapping_add(1))))),
        (
            "add",
            function("a*", |_, a| Ok(Value::Int64(a.iter().fold(0, |sum, v| sum.wrapping_add(to_int64(v)))))),
        ),
        ("sub", function("aa", |_, a| Ok(Value::Int64(to_int64(&a[0]).wrapping_sub(to_int64(&a[1])))))),
        (
            "div",
            function("aa", |_, a| match to_int64(&a[1]) {
                0 => Err(DIVIDE.into()),
                by => Ok(Value::Int64(to_int64(&a[0]).wrapping_div(by))),
            }),
        ),
        (
            "mod",
            function("aa", |_, a| match to_int64(&a[1]) {
                0 => Err(DIVIDE.into()),
                by => Ok(Value::Int64(to_int64(&a[0]).wrapping_rem(by))),
            }),
        ),
        (
            "mul",
            function("aa*", |_, a| {
                Ok(Value::Int64(a[1..].iter().fold(to_int64(&a[0]), |all, v| all.wrapping_mul(to_int64(v)))))
            }),
        ),
        ("add1f", function("a", |_, a| decimal(&a[0], &[Value::Int(1)], |x, y| Ok(x.add(y))))),
        ("addf", function("a*", |_, a| decimal(&Value::Float(0.0), a, |x, y| Ok(x.add(y))))),
        ("subf", function("aa*", |_, a| decimal(&a[0], &a[1..], |x, y| Ok(x.sub(y))))),
        ("mulf", function("aa*", |_, a| decimal(&a[0], &a[1..], |x, y| Ok(x.mul(y))))),
        ("divf", function("aa*", |_, a| decimal(&a[0], &a[1..], Decimal::div))),
        ("biggest", function("aa*", |_, a| Ok(Value::Int64(a.iter().map(to_int64).max().unwrap_or(0))))),
        ("max", function("aa*", |_, a| Ok(Value::Int64(a.iter().map(to_int64).max().unwrap_or(0))))),
        ("min", function("aa*", |_, a| Ok(Value::Int64(a.iter().map(to_int64).min().unwrap_or(0))))),
        ("maxf", function("aa*", |_, a| Ok(Value::Float(fold(a, f64::max))))),
        ("minf", function("aa*", |_, a| Ok(Value::Float(fold(a, f64::min))))),
        ("ceil", function("a", |_, a| Ok(Value::Float(to_float64(&a[0]).ceil())))),
        ("floor", function("a", |_, a| Ok(Value::Float(to_float64(&a[0]).floor())))),
        (
            "round",
            function("aif*", |_, a| {
                let on = a.get(2).map_or(0.5, to_float64);
                let power = 10f64.powi(int(a, 1).clamp(-400, 400) as i32);
                let digit = power * to_float64(&a[0]);
                let fraction = digit.fract();
                let rounded = if fraction >= on { digit.ceil() } else { digit.floor() };
                Ok(Value::Float(rounded / power))
            }),
        ),
        (
            "randInt",
            function("ii", |frame, a| {
                let (low, high) = (int(a, 0), int(a, 1));
                let span = u64::try_from(high.wrapping_sub(low)).ok().filter(|span| *span > 0);
                let span = span.ok_or("invalid argument to Intn")?;
                Ok(Value::Int(low + below(frame, span) as i64))
            }),
        ),
    ]
}

/// A number below a bound, each as likely.
pub(super) fn below(frame: &Frame<'_, '_>, bound: u64) -> u64 {
    let limit = u64::MAX - u64::MAX % bound;
    for _ in 0..1000 {
        let mut bytes = [0; 8];
        frame.exec.world.random(&mut bytes);
        let number = u64::from_le_bytes(bytes);
        if number < limit {
            return number % bound;
        }
    }
    0
}

/// `math.Max` and `math.Min` give NaN if there is one.
fn fold(values: &[Value], pick: fn(f64, f64) -> f64) -> f64 {
    let mut numbers = values.iter().map(to_float64);
    let first = numbers.next().unwrap_or(0.0);
    numbers.fold(first, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) })
}

fn decimal(
    first: &Value,
    others: &[Value],
    apply: fn(&Decimal, &Decimal) -> Result<Decimal, String>,
) -> Done {
    let mut result = Decimal::from_float(to_float64(first))?;
    for other in others {
        result = apply(&result, &Decimal::from_float(to_float64(other))?)?;
    }
    Ok(Value::Float(result.to_float()))
}

fn ints(numbers: Vec<i64>) -> Value {
    Value::List(List::new(ListType::Ints, numbers.into_iter().map(Value::Int).collect()))
}

fn until(frame: &Frame<'_, '_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, String> {
    let mut numbers = Vec::new();
    if (stop < start) != (step < 0) || step == 0 {
        return Ok(numbers);
    }
    let count = stop.abs_diff(start).div_ceil(step.unsigned_abs());
    frame.exec.step(count)?;
    frame.exec.wrote(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(16))?;
    let mut at = start;
    while if step > 0 { at < stop } else { at > stop } {
        numbers.push(at);
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(numbers)
}

fn seq(frame: &Frame<'_, '_>, args: &[Value]) -> Done {
    let (start, step, end) = match args.len() {
        1 => (1, None, int(args, 0)),
        2 => (int(args, 0), None, int(args, 1)),
        3 => (int(args, 0), Some(int(args, 1)), int(args, 2)),
        _ => return Ok("".into()),
    };
    let way = if end < start { -1 } else { 1 };
    if step.is_some_and(|step| end < start && step > 0) {
        return Ok("".into());
    }
    let numbers = until(frame, start, end.wrapping_add(way), step.unwrap_or(way))?;
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Ok(words.join(" ").into())
}
