//! Dates and durations.

use api::time::duration;

use super::{Entries, text};
use crate::go::time::{self, Time, Zone};
use crate::go::{Value, float};
use crate::template::{Frame, function};

pub fn all() -> Entries {
    vec![
        ("now", function("", |frame, _| Ok(Value::Time(now(frame).into())))),
        ("date", function("sa", |frame, a| Ok(shown(frame, &text(a, 0), &a[1], "Local")))),
        ("date_in_zone", function("sas", |frame, a| Ok(shown(frame, &text(a, 0), &a[1], &text(a, 2))))),
        ("dateInZone", function("sas", |frame, a| Ok(shown(frame, &text(a, 0), &a[1], &text(a, 2))))),
        ("htmlDate", function("a", |frame, a| Ok(shown(frame, "2006-01-02", &a[0], "Local")))),
        ("htmlDateInZone", function("as", |frame, a| Ok(shown(frame, "2006-01-02", &a[0], &text(a, 1))))),
        ("date_modify", function("st", |_, a| Ok(modified(a).unwrap_or_else(|_| a[1].clone())))),
        ("dateModify", function("st", |_, a| Ok(modified(a).unwrap_or_else(|_| a[1].clone())))),
        ("must_date_modify", function("st", |_, a| modified(a))),
        ("mustDateModify", function("st", |_, a| modified(a))),
        (
            "toDate",
            function("ss", |frame, a| {
                let zone = zone(frame, "Local");
                let time = time::parse(&text(a, 0), &text(a, 1), &zone).unwrap_or(Time::utc(time::ZERO, 0));
                Ok(Value::Time(time.into()))
            }),
        ),
        (
            "mustToDate",
            function("ss", |frame, a| {
                let zone = zone(frame, "Local");
                Ok(Value::Time(time::parse(&text(a, 0), &text(a, 1), &zone)?.into()))
            }),
        ),
        (
            "unixEpoch",
            function("t", |_, a| {
                Ok(match &a[0] {
                    Value::Time(time) => time.seconds.to_string().into(),
                    _ => "".into(),
                })
            }),
        ),
        (
            "ago",
            function("a", |frame, a| {
                let then = match &a[0] {
                    Value::Time(time) => time.nanos(),
                    Value::Int(seconds) | Value::Int64(seconds) => i128::from(*seconds) * 1_000_000_000,
                    _ => frame.exec.world.now(),
                };
                let seconds = rounded(frame.exec.world.now() - then);
                Ok(duration::format(seconds).into())
            }),
        ),
        (
            "duration",
            function("a", |_, a| {
                let seconds = match &a[0] {
                    Value::Str(text) => float::parse_int(&text.text(), 10).unwrap_or(0),
                    Value::Int64(seconds) => *seconds,
                    _ => 0,
                };
                Ok(duration::format(seconds.wrapping_mul(1_000_000_000)).into())
            }),
        ),
        (
            "durationRound",
            function("a", |frame, a| {
                let length = match &a[0] {
                    Value::Str(text) => duration::parse(&text.text()).unwrap_or(0),
                    Value::Int64(nanoseconds) => *nanoseconds,
                    Value::Time(time) => clamp(frame.exec.world.now() - time.nanos()),
                    _ => 0,
                };
                Ok(coarse(length.unsigned_abs()).into())
            }),
        ),
    ]
}

fn clamp(nanoseconds: i128) -> i64 {
    nanoseconds.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// To whole seconds, half away from zero.
fn rounded(nanoseconds: i128) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let bounded = clamp(nanoseconds);
    let half = if bounded < 0 { -SECOND / 2 } else { SECOND / 2 };
    bounded.saturating_add(half) / SECOND * SECOND
}

fn coarse(nanoseconds: u64) -> String {
    const HOUR: u64 = 3_600_000_000_000;
    let units = [
        (HOUR * 24 * 365, "y"),
        (HOUR * 24 * 30, "mo"),
        (HOUR * 24, "d"),
        (HOUR, "h"),
        (HOUR / 60, "m"),
        (HOUR / 3600, "s"),
    ];
    let unit = units.into_iter().find(|(size, _)| nanoseconds > *size);
    unit.map_or("0s".into(), |(size, name)| format!("{}{name}", nanoseconds / size))
}

pub(super) fn now(frame: &Frame<'_, '_>) -> Time {
    let nanoseconds = frame.exec.world.now();
    Time {
        seconds: nanoseconds.div_euclid(1_000_000_000) as i64,
        nanoseconds: nanoseconds.rem_euclid(1_000_000_000) as u32,
        zone: zone(frame, "Local"),
    }
}

/// A zone by its name; one that nobody knows is UTC.
pub(crate) fn zone(frame: &Frame<'_, '_>, name: &str) -> Zone {
    if matches!(name, "" | "UTC") {
        return Zone::Utc;
    }
    // Go looks only below its directories of zones.
    if name.contains("..") || name.starts_with(['/', '\\']) {
        return Zone::Utc;
    }
    frame.exec.world.zone(name).and_then(|tzif| time::zone(name, &tzif)).unwrap_or(Zone::Utc)
}

fn shown(frame: &Frame<'_, '_>, layout: &str, date: &Value, name: &str) -> Value {
    let time = match date {
        Value::Time(time) => (**time).clone(),
        Value::Int(seconds) | Value::Int64(seconds) => Time::utc(*seconds, 0),
        _ => now(frame),
    };
    time.within(zone(frame, name)).format(layout).into()
}

fn modified(args: &[Value]) -> Result<Value, String> {
    let by = duration::parse(&text(args, 0)).map_err(|error| error.to_string())?;
    Ok(match &args[1] {
        Value::Time(time) => Value::Time(time.plus(by).into()),
        other => other.clone(),
    })
}
