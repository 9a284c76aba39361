//! Which of several servers runs controllers, scheduler and fleet: the one that holds the Lease `kube-system/skiff`, by the rules of
//! client-go's leaderelection (a Lease that did not change for its whole duration, by the watcher's own clock, is free).
//!
//! Invariant: who could not renew its Lease for [`DEADLINE`] has stopped its controllers before anybody else may start theirs. What a
//! former leader still has on its way is judged by compare-and-swap like everyone's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Token;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Host, control};
use crate::roles::State;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "skiff";
/// How long a Lease holds that is not renewed.
const LEASE: Duration = Duration::from_secs(15);
/// How long the leader tries to renew before it stops.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries, of the leader and of those who wait.
const RETRY: Duration = Duration::from_secs(2);

/// This server's part in the election.
pub struct Candidate {
    leaving: Token,
    left: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Candidate {
    /// Runs the controllers whenever this server leads.
    pub fn start(host: &Host, server: &apiserver::Server, pki: &Arc<pki::Pki>) -> Candidate {
        let leaving = Token::new();
        let (done, left) = oneshot::channel();
        let identity = apiserver::Identity::new("system:kube-controller-manager", &["system:masters"]);
        let leases = kube::Api::namespaced(server.local(identity), NAMESPACE);
        // As client-go's: two servers that were given the same name are two.
        let identity = format!("{}_{}", host.config.node_name, uuid::Uuid::new_v4());
        let election = Election { leases, identity, clock: host.clock.clone(), seen: None };
        let (own, server, pki, token) = (host.clone(), server.clone(), pki.clone(), leaving.clone());
        host.tasks.spawn("leader", async move {
            election.run(&own, &server, &pki, &token).await;
            let _nobody_waits = done.send(());
        });
        Candidate { leaving, left: Mutex::new(Some(left)) }
    }

    /// Stops the controllers and gives the Lease up, so that another server need not wait for its end.
    pub async fn leave(&self) {
        self.leaving.cancel();
        let left = self.left.lock().take();
        if let Some(left) = left {
            let _gone = tokio::time::timeout(Duration::from_secs(3), left).await;
        }
    }
}

struct Election {
    leases: kube::Api<Lease>,
    /// `<node>_<uuid>`, of this process.
    identity: String,
    clock: base::Clock,
    /// The Lease of another as it was last seen to change: its version, and when.
    seen: Option<(String, Instant)>,
}

/// What came of a try.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    Ours,
    /// Another's, of this identity; empty: somebody wrote it in between, the next look tells who.
    Theirs(String),
}

impl Election {
    async fn run(mut self, host: &Host, server: &apiserver::Server, pki: &Arc<pki::Pki>, leaving: &Token) {
        loop {
            let mut told = None;
            loop {
                match self.claim().await {
                    Ok(Claim::Ours) => break,
                    Ok(Claim::Theirs(leader)) if told.as_ref() != Some(&leader) => {
                        stand_by(host, &leader);
                        told = Some(leader);
                    }
                    Ok(Claim::Theirs(_)) => {}
                    Err(error) => tracing::warn!(error = %base::chain(&error), "cannot look who leads"),
                }
                if leaving.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                    return;
                }
            }
            tracing::info!("this server leads: controllers and scheduler start");
            host.roles.set("leader", State::Up, "this server", "");
            let tasks = host.tasks.part();
            control::start(&Host { tasks: tasks.clone(), ..host.clone() }, server, pki);
            let left = self.lead(leaving).await;
            tasks.stop().await;
            if left {
                self.give_up().await;
                return;
            }
            tracing::warn!("this server leads no more: controllers and scheduler stopped");
        }
    }

    /// Renews until that fails (`false`) or the server stops (`true`).
    async fn lead(&mut self, leaving: &Token) -> bool {
        let mut renewed = Instant::now();
        loop {
            let pause = RETRY.min(DEADLINE.saturating_sub(renewed.elapsed()));
            if leaving.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return true;
            }
            let begun = Instant::now();
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.claim()).await {
                Ok(Ok(Claim::Ours)) => renewed = begun,
                Ok(Ok(Claim::Theirs(who))) if who.is_empty() => {}
                Ok(Ok(Claim::Theirs(_))) | Err(_) => return false,
                Ok(Err(error)) => {
                    tracing::warn!(error = %base::chain(&error), "cannot renew the Lease of the leader")
                }
            }
        }
    }

    /// Takes or renews the Lease, if it is ours to take.
    async fn claim(&mut self) -> Result<Claim, kube::Error> {
        let now = MicroTime(self.clock.now());
        let Some(mut lease) = self.leases.get_opt(NAME).await? else {
            let mut lease = Lease::default();
            lease.metadata.name = Some(NAME.into());
            lease.spec = Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(LEASE.as_secs() as i32),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            });
            return self.written(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder != self.identity {
            if !holder.is_empty() && !self.is_over(version) {
                return Ok(Claim::Theirs(holder));
            }
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.lease_duration_seconds = Some(LEASE.as_secs() as i32);
        spec.renew_time = Some(now);
        self.written(self.leases.replace(NAME, &PostParams::default(), &lease).await)
    }

    /// The holder did not renew for the whole of its Lease, as far as was seen here.
    fn is_over(&mut self, version: String) -> bool {
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed() >= LEASE,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    fn written(&self, written: Result<Lease, kube::Error>) -> Result<Claim, kube::Error> {
        match written {
            Ok(_) => Ok(Claim::Ours),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Claim::Theirs(String::new())),
            Err(error) => Err(error),
        }
    }

    async fn give_up(&mut self) {
        let free = async {
            let mut lease = self.leases.get(NAME).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() == Some(&self.identity) {
                spec.holder_identity = Some(String::new());
                self.leases.replace(NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Err(error) = free.await {
            tracing::warn!(error = %base::chain(&error), "the Lease of the leader was not given up; it ends by itself");
        }
    }
}

fn stand_by(host: &Host, leader: &str) {
    let node = leader.rsplit_once('_').map_or(leader, |(node, _)| node);
    let who = if node.is_empty() { "another server" } else { node };
    host.roles.set("leader", State::Up, who, "");
    for role in ["controllers", "scheduler", "fleet"] {
        host.roles.set(role, State::Disabled, format!("{who} leads; this server stands by"), "");
    }
}
