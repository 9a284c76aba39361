//! What a driving object asks for by annotations of ours, whoever's object it is: its owner has no field for it.
//!
//! A guard that is not understood stops the application; a delay that is not understood delays nothing.

use std::time::Duration;

use api::Value;
use jiff::Timestamp;

use crate::app::{App, Fault};

/// `forward-only`: a commit that does not come after the last one is refused.
pub const HISTORY: &str = "skiff-fleet/history";
/// `20%` or `5`: a sync that would delete more of its objects deletes none.
pub const SHRINK: &str = "skiff-fleet/shrink-threshold";
/// A time: nothing is changed before it, unless somebody asks for a sync by hand.
pub const NOT_NOW: &str = "skiff-fleet/not-now";
/// `last-healthy`: what does not become healthy gives way to what was.
pub const ROLLBACK: &str = "skiff-fleet/rollback";
/// How long it has for that.
pub const ROLLBACK_AFTER: &str = "skiff-fleet/rollback-after";

/// For how long a site may say "not now". A longer delay (or a clock that is decades off) delays nothing.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many of an application's objects a sync may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrink {
    Percent(u64),
    Objects(u64),
}

impl Shrink {
    fn parse(text: &str) -> Option<Shrink> {
        match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim().parse().ok().map(Shrink::Percent),
            None => text.trim().parse().ok().map(Shrink::Objects),
        }
    }

    /// Whether so many of so many are within it.
    pub fn allows(self, gone: usize, all: usize) -> bool {
        let (gone, all) = (gone as u64, all as u64);
        match self {
            Shrink::Percent(percent) => gone.saturating_mul(100) <= all.saturating_mul(percent),
            Shrink::Objects(most) => gone <= most,
        }
    }
}

impl std::fmt::Display for Shrink {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Shrink::Percent(percent) => write!(out, "{percent}%"),
            Shrink::Objects(most) => write!(out, "{most}"),
        }
    }
}

/// Takes an object's annotations into what is read of it.
///
/// # Errors
/// A guard says what is not known.
pub fn heed(object: &Value, app: &mut App, now: Timestamp) -> Result<(), Fault> {
    let text = |name: &str| object.str_at(&["metadata", "annotations", name]);
    let unknown =
        |name: &str, use_| Fault::spec(format!("annotation {name}: {:?} is not known; {use_}", text(name)));
    match text(HISTORY) {
        "" => {}
        "forward-only" => app.forward_only = true,
        _ => return Err(unknown(HISTORY, "use forward-only")),
    }
    if !text(SHRINK).is_empty() {
        let shrink = Shrink::parse(text(SHRINK));
        app.policy.shrink = Some(shrink.ok_or_else(|| unknown(SHRINK, "use a number of objects, or 20%"))?);
    }
    match text(ROLLBACK) {
        "" => {}
        "last-healthy" => {
            app.roll_back = true;
            app.policy.wait = true;
            if !text(ROLLBACK_AFTER).is_empty() {
                let after = crate::frontends::argocd::read::duration(text(ROLLBACK_AFTER));
                app.policy.timeout = after.ok_or_else(|| unknown(ROLLBACK_AFTER, "use a time like 10m"))?;
            }
        }
        _ => return Err(unknown(ROLLBACK, "use last-healthy")),
    }
    if !text(NOT_NOW).is_empty() {
        not_now(text(NOT_NOW), app, now);
    }
    Ok(())
}

fn not_now(text: &str, app: &mut App, now: Timestamp) {
    let Ok(until) = text.parse::<Timestamp>() else {
        let text = format!(
            "annotation {NOT_NOW}: {text:?} is no time like 2026-12-24T18:00:00Z, and delays nothing"
        );
        app.warnings.push(Fault::warning(text));
        return;
    };
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    if left.is_zero() {
        return;
    }
    if left > LONGEST {
        let days = LONGEST.as_secs() / (24 * 3600);
        let text = format!("annotation {NOT_NOW}: {text} is more than {days} days away, and delays nothing");
        app.warnings.push(Fault::warning(text));
        return;
    }
    app.not_before = Some(until);
    app.policy.automated = false;
    app.again = Some(app.again.map_or(left, |again| again.min(left)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heeded(annotations: &[(&str, &str)]) -> Result<App, Fault> {
        let mut object = Value::object();
        for (name, text) in annotations {
            object.set(&["metadata", "annotations", name], *text);
        }
        let mut app = App::default();
        app.policy.automated = true;
        heed(&object, &mut app, "2026-11-22T10:00:00Z".parse().unwrap())?;
        Ok(app)
    }

    #[test]
    fn guards_that_are_not_understood_stop() {
        assert!(heeded(&[(HISTORY, "forward-only")]).unwrap().forward_only);
        assert_eq!(heeded(&[(SHRINK, "20%")]).unwrap().policy.shrink, Some(Shrink::Percent(20)));
        assert_eq!(heeded(&[(SHRINK, "5")]).unwrap().policy.shrink, Some(Shrink::Objects(5)));
        let app = heeded(&[(ROLLBACK, "last-healthy"), (ROLLBACK_AFTER, "90s")]).unwrap();
        assert!(app.roll_back && app.policy.wait && app.policy.timeout.as_secs() == 90);
        for (name, text) in [(HISTORY, "forward"), (SHRINK, "some"), (ROLLBACK, "yes")] {
            let text = heeded(&[(name, text)]).unwrap_err().text;
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn a_delay_is_bounded() {
        let app = heeded(&[(NOT_NOW, "2026-11-22T12:00:00Z")]).unwrap();
        assert!(app.not_before.is_some() && !app.policy.automated);
        assert_eq!(app.again, Some(Duration::from_secs(7200)));
        for (text, told) in [
            ("2026-11-22T09:00:00Z", ""),
            ("2026-12-22T09:00:00Z", "more than 7 days away"),
            ("2088-01-01T00:00:00Z", "more than 7 days away"),
            ("tomorrow", "is no time"),
        ] {
            let app = heeded(&[(NOT_NOW, text)]).unwrap();
            assert!(app.not_before.is_none() && app.policy.automated, "{text}");
            let warnings: String = app.warnings.iter().map(|one| one.text.as_str()).collect();
            assert!(warnings.contains(told) && warnings.is_empty() == told.is_empty(), "{warnings}");
        }
    }

    #[test]
    fn thresholds_count_what_goes() {
        for (shrink, gone, all, allowed) in [
            (Shrink::Percent(20), 2, 10, true),
            (Shrink::Percent(20), 3, 10, false),
            (Shrink::Percent(0), 1, 10, false),
            (Shrink::Percent(100), 10, 10, true),
            (Shrink::Objects(1), 1, 2, true),
            (Shrink::Objects(1), 2, 100, false),
        ] {
            assert_eq!(shrink.allows(gone, all), allowed, "{shrink} {gone} {all}");
        }
    }
}
