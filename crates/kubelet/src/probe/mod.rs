//! Probes: when one is due, what its results mean (pure, here), and how it is made ([`run()`]).
//!
//! Due times are rounded up to whole seconds, so that the probes of many pods wake the CPU together.

mod grpc;
pub(crate) mod http;
mod run;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};

pub use run::{Target, run};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// As in `Readiness probe failed: …`.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

/// What one try gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure(String),
    /// The probe itself could not be made, which says nothing about the container.
    Error(String),
}

/// The verdict after thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Success,
    Failure,
}

/// Of one probe of one running container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub verdict: Option<Verdict>,
    last: Option<bool>,
    run: i32,
    tried: Option<Timestamp>,
}

impl State {
    /// A state with a verdict, for a container that was ready before this process began.
    pub fn adopted(verdict: Verdict) -> State {
        State { verdict: Some(verdict), ..State::default() }
    }

    /// Counts one try that ended at `now`.
    pub fn count(&mut self, probe: &Probe, outcome: &Outcome, now: Timestamp) {
        self.tried = Some(now);
        let good = match outcome {
            Outcome::Success => true,
            Outcome::Failure(_) => false,
            Outcome::Error(_) => return,
        };
        if self.last == Some(good) {
            self.run += 1;
        } else {
            self.last = Some(good);
            self.run = 1;
        }
        let needed = match good {
            true => probe.success_threshold.unwrap_or(1),
            false => probe.failure_threshold.unwrap_or(3),
        };
        if self.run >= needed.max(1) {
            self.verdict = Some(if good { Verdict::Success } else { Verdict::Failure });
        }
    }

    /// When it is to be made next, for a container that started at `started`.
    pub fn due(&self, probe: &Probe, started: Timestamp) -> Timestamp {
        let first = started + seconds(probe.initial_delay_seconds, 0);
        // From the start of the second of the last try, or rounding would stretch every period.
        let next = match self.tried {
            Some(tried) => {
                Timestamp::from_second(tried.as_second()).unwrap_or(tried) + seconds(probe.period_seconds, 10)
            }
            None => first,
        };
        whole(next.max(first))
    }
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(
        value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default),
    )
}

/// `timeoutSeconds`, 1 s by default.
pub fn timeout(probe: &Probe) -> Duration {
    seconds(probe.timeout_seconds, 1)
}

fn whole(at: Timestamp) -> Timestamp {
    match at.subsec_nanosecond() {
        0 => at,
        _ => Timestamp::from_second(at.as_second() + 1).unwrap_or(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_turn_tries_into_verdicts() {
        let probe = Probe {
            failure_threshold: Some(2),
            success_threshold: Some(2),
            period_seconds: Some(5),
            initial_delay_seconds: Some(3),
            ..Probe::default()
        };
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let mut state = State::default();
        assert_eq!(state.due(&probe, at(1_500)), at(5_000));
        let fail = Outcome::Failure("503".into());
        let none = Outcome::Error("no address".into());
        let mut told = Vec::new();
        for outcome in [&Outcome::Success, &none, &Outcome::Success, &fail, &Outcome::Success, &fail, &fail] {
            state.count(&probe, outcome, at(5_200));
            told.push(state.verdict);
        }
        use Verdict::{Failure, Success};
        let good = Some(Success);
        assert_eq!(told, [None, None, good, good, good, good, Some(Failure)]);
        assert_eq!(state.due(&probe, at(1_500)), at(10_000));
    }
}
