//! The row of a Pod in a Table, as `kubectl get pods` shows it (upstream's printPod).

use crate::Value;
use crate::kinds::edit::{flag, has, int, list};
use crate::pod::{condition, is_sidecar, is_terminal};
use crate::table::{age, duration};

pub(super) fn cells(pod: &Value, now: i64) -> Vec<Value> {
    let state = State::of(pod);
    let mut restarts = state.restarts.to_string();
    if state.restarts != 0 && state.last_restart != 0 {
        restarts = format!("{restarts} ({} ago)", duration::human(now - state.last_restart));
    }
    let or_none = |text: &str| if text.is_empty() { "<none>" } else { text }.to_string();
    let ip = list(pod, &["status", "podIPs"]).first().map(|ip| ip.str_at(&["ip"])).unwrap_or_default();
    let gates = list(pod, &["spec", "readinessGates"]);
    let open = gates.iter().filter(|gate| {
        condition(pod, gate.str_at(&["conditionType"]))
            .is_some_and(|found| found.str_at(&["status"]) == "True")
    });
    let gates = if gates.is_empty() { "<none>".into() } else { format!("{}/{}", open.count(), gates.len()) };
    vec![
        pod.str_at(&["metadata", "name"]).into(),
        format!("{}/{}", state.ready, state.total).into(),
        state.reason.into(),
        restarts.into(),
        age(pod, now),
        or_none(ip).into(),
        or_none(pod.str_at(&["spec", "nodeName"])).into(),
        or_none(pod.str_at(&["status", "nominatedNodeName"])).into(),
        gates.into(),
    ]
}

struct State {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    /// Seconds since the epoch; 0: none.
    last_restart: i64,
}

fn finished(status: &Value) -> i64 {
    let time = status.str_at(&["lastState", "terminated", "finishedAt"]);
    crate::time::parse(time).map(|time| time.seconds).unwrap_or_default()
}

/// `Error`, `Signal:9`, `ExitCode:1`.
fn terminated(state: &Value) -> String {
    match (state.str_at(&["reason"]), int(state, &["signal"])) {
        ("", 0) => format!("ExitCode:{}", int(state, &["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

impl State {
    fn of(pod: &Value) -> State {
        let phase = pod.str_at(&["status", "phase"]);
        let why = pod.str_at(&["status", "reason"]);
        let init = list(pod, &["spec", "initContainers"]);
        let mut state = State {
            reason: if why.is_empty() { phase } else { why }.into(),
            ready: 0,
            total: list(pod, &["spec", "containers"]).len()
                + init.iter().filter(|one| is_sidecar(one)).count(),
            restarts: 0,
            last_restart: 0,
        };
        let scheduled = condition(pod, "PodScheduled").map(|found| found.str_at(&["reason"]));
        if scheduled == Some("SchedulingGated") {
            state.reason = "SchedulingGated".into();
        }
        let (mut sidecar_restarts, mut sidecar_last) = (0, 0);
        let mut initializing = false;
        for (at, status) in list(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
            let name = status.str_at(&["name"]);
            let sidecar = init.iter().any(|one| one.str_at(&["name"]) == name && is_sidecar(one));
            state.restarts += int(status, &["restartCount"]);
            state.last_restart = state.last_restart.max(finished(status));
            if sidecar {
                sidecar_restarts += int(status, &["restartCount"]);
                sidecar_last = sidecar_last.max(finished(status));
            }
            let ended = status.at(&["state", "terminated"]).filter(|ended| !ended.is_null());
            let waiting = status.str_at(&["state", "waiting", "reason"]);
            match ended {
                Some(ended) if int(ended, &["exitCode"]) == 0 => continue,
                _ if sidecar && flag(status, &["started"]) => {
                    state.ready += usize::from(flag(status, &["ready"]));
                    continue;
                }
                Some(ended) => state.reason = format!("Init:{}", terminated(ended)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => {
                    state.reason = format!("Init:{waiting}");
                }
                None => state.reason = format!("Init:{at}/{}", init.len()),
            }
            initializing = true;
            break;
        }
        let initialized =
            condition(pod, "Initialized").is_some_and(|found| found.str_at(&["status"]) == "True");
        if !initializing || initialized {
            (state.restarts, state.last_restart) = (sidecar_restarts, sidecar_last);
            state.containers(pod);
        }
        if has(pod, &["metadata", "deletionTimestamp"]) {
            if why == "NodeLost" {
                state.reason = "Unknown".into();
            } else if !is_terminal(pod) {
                state.reason = "Terminating".into();
            }
        }
        state
    }

    fn containers(&mut self, pod: &Value) {
        let (mut running, mut error) = (false, String::new());
        for status in list(pod, &["status", "containerStatuses"]).iter().rev() {
            self.restarts += int(status, &["restartCount"]);
            self.last_restart = self.last_restart.max(finished(status));
            let waiting = status.str_at(&["state", "waiting", "reason"]);
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if let Some(ended) = status.at(&["state", "terminated"]).filter(|ended| !ended.is_null()) {
                self.reason = terminated(ended);
                if int(ended, &["exitCode"]) != 0 {
                    error = self.reason.clone();
                }
            } else if flag(status, &["ready"]) && has(status, &["state", "running"]) {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && crate::pod::is_ready(pod) {
                self.reason = "Running".into();
            } else if !error.is_empty() {
                self.reason = error;
            } else if running {
                self.reason = "NotReady".into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let cases = [
            (
                r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}],"nodeName":"n"},
                   "status":{"phase":"Running","podIPs":[{"ip":"10.0.0.1"}],"containerStatuses":[{"name":"c","ready":true,
                   "restartCount":2,"state":{"running":{}},"lastState":{"terminated":{"finishedAt":"1970-01-01T00:00:10Z"}}}]}}"#,
                r#"["a","1/1","Running","2 (90s ago)","<unknown>","10.0.0.1","n","<none>","<none>"]"#,
            ),
            (
                r#"{"metadata":{"name":"a"},"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"c"}]},
                   "status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"waiting":{"reason":"PodInitializing"}}}]}}"#,
                r#"["a","0/1","Init:0/1","0","<unknown>","<none>","<none>","<none>","<none>"]"#,
            ),
            (
                r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Running",
                   "containerStatuses":[{"name":"c","state":{"waiting":{"reason":"CrashLoopBackOff"}},"restartCount":3}]}}"#,
                r#"["a","0/1","CrashLoopBackOff","3","<unknown>","<none>","<none>","<none>","<none>"]"#,
            ),
            (
                r#"{"metadata":{"name":"a","deletionTimestamp":"1970-01-01T00:00:10Z"},"spec":{"containers":[{"name":"c"}]},
                   "status":{"phase":"Running"}}"#,
                r#"["a","0/1","Terminating","0","<unknown>","<none>","<none>","<none>","<none>"]"#,
            ),
        ];
        for (pod, expected) in cases {
            let pod: Value = serde_json::from_str(pod).unwrap();
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(Value::Array(cells(&pod, 100)), expected);
        }
    }
}
