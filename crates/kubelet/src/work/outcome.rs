//! How the operations of a pod's worker went, and what it remembers of each: what failed is tried again, and when.

use std::sync::Arc;
use std::time::Duration;

use client::recorder::Severity::{Normal, Warning};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use runtime::ContainerId;

use super::calls::{is_code, version};
use super::start::Failure;
use super::worker::Worker;
use crate::pod::memory::{Probes, Stage};
use crate::pod::{self, Op, spec};
use crate::probe::{self, Outcome as Probed};

/// How long a failed pull is shown as `ErrImagePull` before it becomes `ImagePullBackOff`.
const PULL_SHOWN: Duration = Duration::from_secs(5);

/// Before a container that could not be stopped or removed is tried again.
const STUCK: Duration = Duration::from_secs(10);

/// What an operation ends with.
pub(super) enum Outcome {
    Volumes(Result<Option<Timestamp>, String>),
    Sandbox(Result<Vec<std::net::IpAddr>, String>),
    Started(String, Result<ContainerId, Failure>),
    Stopped(ContainerId, bool),
    Removed(ContainerId, Result<(), String>),
    Closed(Result<(), String>),
    Forgotten(Result<(), String>),
    Reported(Box<PodStatus>, Box<Result<Pod, kube::Error>>),
    Deleted(Result<(), kube::Error>),
    Resized(Result<(), String>),
    Probed { name: String, id: ContainerId, kind: probe::Kind, outcome: Probed },
}

impl Worker {
    /// Takes in how an action went; true once the pod is forgotten.
    pub(super) fn apply(&mut self, outcome: Outcome) -> bool {
        let now = self.shared.clock.now();
        let limit = self.shared.config.settings.max_restart_backoff;
        let memory = &mut self.memory;
        match outcome {
            Outcome::Volumes(done) => {
                memory.busy.remove(&Op::Volumes);
                match done {
                    Ok(again) => {
                        memory.volumes = Stage::Done;
                        memory.refresh = again;
                    }
                    // What is mounted stays as it was; the next change, or a minute, brings another try.
                    Err(_) if memory.volumes == Stage::Done => {
                        memory.refresh = Some(now + Duration::from_secs(60))
                    }
                    Err(message) => memory.volumes.fail(message, now, Duration::from_secs(122)),
                }
            }
            Outcome::Sandbox(done) => {
                memory.busy.remove(&Op::Sandbox);
                match done {
                    Ok(ips) => {
                        memory.ips = ips;
                        // Should it die at once, the next is a second away.
                        memory.sandbox = Stage::NotYet;
                        memory.sandbox.fail(String::new(), now, Duration::from_secs(1));
                    }
                    Err(message) => memory.sandbox.fail(message, now, Duration::from_secs(30)),
                }
            }
            Outcome::Started(name, done) => {
                memory.busy.remove(&Op::Start);
                memory.starting = None;
                let container = memory.container(&name);
                match done {
                    Ok(id) => {
                        container.waiting = None;
                        container.retry = None;
                        container.pull_shown_until = None;
                        container.pulls = Default::default();
                        container.probes = Some(Probes::new(&id));
                    }
                    Err(failure) if failure.cancelled => {}
                    Err(failure) => {
                        if failure.pull {
                            container.pulls.next(now, now, limit);
                            container.retry = container.pulls.until(now, limit);
                            container.pull_shown_until = Some(now + PULL_SHOWN);
                        } else {
                            container.retry = Some(now + Duration::from_secs(10));
                            container.pull_shown_until = None;
                        }
                        container.waiting = Some(failure.reason);
                    }
                }
            }
            Outcome::Stopped(id, done) => {
                memory.busy.remove(&Op::Stop(id.clone()));
                memory.stops.remove(&id);
                self.stops.remove(&id);
                if !done {
                    memory.stuck.insert(id, now + STUCK);
                }
            }
            Outcome::Removed(id, done) => {
                memory.busy.remove(&Op::Remove(id.clone()));
                if let Err(error) = done {
                    tracing::warn!(
                        pod = spec::title(&self.pod),
                        container = id,
                        error,
                        "cannot remove a container"
                    );
                }
            }
            Outcome::Closed(done) => {
                memory.busy.remove(&Op::Sandbox);
                match done {
                    Ok(()) => memory.closed = Stage::Done,
                    Err(message) => {
                        tracing::warn!(pod = spec::title(&self.pod), error = message, "cannot close a pod");
                        memory.closed.fail(message, now, Duration::from_secs(30));
                    }
                }
            }
            Outcome::Forgotten(done) => {
                memory.busy.remove(&Op::Sandbox);
                match done {
                    Ok(()) => return true,
                    Err(message) => {
                        tracing::warn!(pod = spec::title(&self.pod), error = message, "cannot forget a pod");
                        memory.closed = Stage::NotYet;
                        memory.closed.fail(message, now, Duration::from_secs(30));
                    }
                }
            }
            Outcome::Reported(status, done) => {
                memory.busy.remove(&Op::Report);
                match *done {
                    Ok(pod) => {
                        memory.report = Stage::NotYet;
                        memory.sent =
                            Some((pod.metadata.resource_version.clone().unwrap_or_default(), *status));
                        if version(&pod) >= version(&self.pod) {
                            self.pod = Arc::new(pod);
                        }
                    }
                    Err(error) => {
                        let message = base::chain(&error).to_string();
                        if !is_code(&error, 404) {
                            tracing::warn!(
                                pod = spec::title(&self.pod),
                                error = message,
                                "cannot write a pod's status"
                            );
                        }
                        memory.report.fail(message, now, Duration::from_secs(30));
                    }
                }
            }
            Outcome::Deleted(done) => {
                memory.busy.remove(&Op::Delete);
                match done {
                    Ok(()) => memory.deleted = Stage::Done,
                    Err(error) => {
                        let message = base::chain(&error).to_string();
                        tracing::warn!(
                            pod = spec::title(&self.pod),
                            error = message,
                            "cannot delete a pod that ended"
                        );
                        memory.deleted.fail(message, now, Duration::from_secs(30));
                    }
                }
            }
            Outcome::Resized(done) => {
                memory.busy.remove(&Op::Resize);
                let told = |text: &str, error: Option<&str>| pod::resize::summary(text, &self.pod, error);
                match done {
                    Ok(()) => {
                        memory.resize = Stage::NotYet;
                        let message = told("Pod resize completed", None);
                        self.shared.tell(&self.pod, None, Normal, "ResizeCompleted", message);
                    }
                    Err(error) => {
                        let message = told("Pod resize error", Some(&error));
                        self.shared.tell(&self.pod, None, Warning, "ResizeError", message);
                        memory.resize.fail(error, now, Duration::from_secs(60));
                    }
                }
            }
            Outcome::Probed { name, id, kind, outcome } => {
                memory.busy.remove(&Op::Probe(name.clone(), kind));
                let entry = spec::container(&self.pod, &name);
                let Some((entry, probe)) =
                    entry.as_ref().and_then(|entry| Some((entry, kind.of(&entry.container)?)))
                else {
                    return false;
                };
                let container = memory.container(&name);
                let probes = container.probes.get_or_insert_with(|| Probes::new(&id));
                if probes.id != id {
                    *probes = Probes::new(&id);
                }
                probes.of_mut(kind).count(probe, &outcome, now);
                let told = match outcome {
                    Probed::Success => None,
                    Probed::Failure(output) => Some(format!("{} probe failed: {output}", kind.title())),
                    Probed::Error(error) => {
                        Some(format!("{} probe errored and resulted in unknown state: {error}", kind.title()))
                    }
                };
                if let Some(message) = told {
                    self.shared.tell(&self.pod, Some(entry.field_path()), Warning, "Unhealthy", message);
                }
            }
        }
        false
    }
}
