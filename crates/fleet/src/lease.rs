//! One of several agents leads: whoever holds a Lease. A holder that stops renewing is replaced after the lease's
//! duration, counted by the others' own clocks, so that wrong clocks take nothing from anybody.

use std::time::Duration;

use api::Value;
use base::Clock;
use tokio::time::Instant;

use crate::cluster::{Apply, Cluster, Error, Kind};

/// The lease's name.
pub const NAME: &str = "skiff-fleet";
const DURATION: Duration = Duration::from_secs(60);
/// Between two renewals: a third may fail.
const RENEW: Duration = Duration::from_secs(20);
/// Between two looks while another one leads.
const LOOK: Duration = Duration::from_secs(5);

/// The right to lead, until [`Held::lost`] says otherwise.
pub struct Held {
    cluster: Cluster,
    kind: Kind,
    namespace: String,
    identity: String,
    clock: Clock,
}

fn lease(namespace: &str, identity: &str, now: String) -> Value {
    let mut lease = Value::object();
    lease.set(&["apiVersion"], "coordination.k8s.io/v1");
    lease.set(&["kind"], "Lease");
    lease.set(&["metadata", "name"], NAME);
    lease.set(&["metadata", "namespace"], namespace);
    lease.set(&["spec", "holderIdentity"], identity);
    lease.set(&["spec", "leaseDurationSeconds"], i64::try_from(DURATION.as_secs()).unwrap_or(i64::MAX));
    lease.set(&["spec", "acquireTime"], now.as_str());
    lease.set(&["spec", "renewTime"], now);
    lease
}

fn micro(clock: &Clock) -> String {
    clock.now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

const HOW: Apply = Apply { dry_run: false, strict: false };

/// Waits until nobody else leads. Faults are tried again: the API server may be away for long.
pub async fn acquire(cluster: &Cluster, namespace: &str, identity: &str, clock: &Clock) -> Held {
    let mut seen: Option<(String, Instant)> = None;
    loop {
        match once(cluster, namespace, identity, clock, &mut seen).await {
            Ok(Some(kind)) => {
                return Held {
                    cluster: cluster.clone(),
                    kind,
                    namespace: namespace.into(),
                    identity: identity.into(),
                    clock: clock.clone(),
                };
            }
            Ok(None) => {}
            Err(error) => tracing::info!(error = error.text(), "cannot take the lease yet"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn once(
    cluster: &Cluster,
    namespace: &str,
    identity: &str,
    clock: &Clock,
    seen: &mut Option<(String, Instant)>,
) -> Result<Option<Kind>, Error> {
    let kind = cluster.kind("coordination.k8s.io/v1", "Lease").await?;
    let wanted = lease(namespace, identity, micro(clock));
    let Some(mut found) = cluster.get(&kind, namespace, NAME).await? else {
        if let Err(error) = cluster.create(&kind, namespace, &wanted).await {
            if error.code() != Some(404) {
                return Err(error);
            }
            let mut home = Value::object();
            home.set(&["apiVersion"], "v1");
            home.set(&["kind"], "Namespace");
            home.set(&["metadata", "name"], namespace);
            let namespaces = cluster.kind("v1", "Namespace").await?;
            cluster.create(&namespaces, "", &home).await?;
            cluster.create(&kind, namespace, &wanted).await?;
        }
        return Ok(Some(kind));
    };
    let holder = found.str_at(&["spec", "holderIdentity"]).to_string();
    let state = format!("{holder} {}", found.str_at(&["spec", "renewTime"]));
    let since = match seen {
        Some((known, since)) if *known == state => *since,
        _ => {
            let now = Instant::now();
            *seen = Some((state, now));
            now
        }
    };
    let seconds = found.at(&["spec", "leaseDurationSeconds"]).and_then(Value::as_int).unwrap_or(60);
    let patience = Duration::from_secs(u64::try_from(seconds).unwrap_or(60));
    if !holder.is_empty() && holder != identity && since.elapsed() < patience {
        return Ok(None);
    }
    *found.make(&["spec"]) = wanted.get("spec").cloned().unwrap_or_default();
    // With the resourceVersion that was read: of two who try, one fails.
    match cluster.replace(&kind, &found, HOW).await {
        Ok(_) => Ok(Some(kind)),
        Err(error) if error.code() == Some(409) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Held {
    /// Renews until the lease is lost; says how.
    pub async fn lost(&self) -> String {
        let mut good = Instant::now();
        loop {
            tokio::time::sleep(RENEW).await;
            match self.renew().await {
                Ok(true) => good = Instant::now(),
                Ok(false) => return "the lease was taken".into(),
                // Until the others may take it, it is ours, also without an API server.
                Err(error) if good.elapsed() < DURATION - RENEW / 2 => {
                    tracing::debug!(error = error.text(), "cannot renew the lease");
                }
                // An API server that nobody reaches gives the lease to nobody else either.
                Err(error) if error.code().is_none() => {
                    tracing::debug!(error = error.text(), "no API server to renew the lease at");
                }
                Err(error) => return format!("the lease cannot be renewed: {}", error.text()),
            }
        }
    }

    async fn renew(&self) -> Result<bool, Error> {
        let Some(mut found) = self.cluster.get(&self.kind, &self.namespace, NAME).await? else {
            return Ok(false);
        };
        if found.str_at(&["spec", "holderIdentity"]) != self.identity {
            return Ok(false);
        }
        found.set(&["spec", "renewTime"], micro(&self.clock));
        match self.cluster.replace(&self.kind, &found, HOW).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(409) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets the next one lead at once.
    pub async fn release(&self) {
        let Ok(Some(mut found)) = self.cluster.get(&self.kind, &self.namespace, NAME).await else { return };
        if found.str_at(&["spec", "holderIdentity"]) == self.identity {
            found.set(&["spec", "holderIdentity"], "");
            let _ = self.cluster.replace(&self.kind, &found, HOW).await;
        }
    }
}
