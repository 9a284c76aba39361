//! Forgets old revisions of etcd, as upstream's API server does it and with it: of all servers on one etcd one compacts each time,
//! because they agree by a compare-and-swap of `compact_rev_key` (k8s.io/apiserver/pkg/storage/etcd3/compact.go).

use std::sync::Arc;
use std::time::Duration;

use super::client::{Again, Client, Failure};
use super::message::{self, Compare, Done, Is, Operation, Target};

const KEY: &str = "compact_rev_key";

pub(super) struct Compactor {
    pub client: Arc<Client>,
    /// What is older is forgotten; between one and two times of it is kept.
    pub interval: Duration,
}

impl Compactor {
    pub(super) async fn run(self) {
        let (mut version, mut revision) = (0, 0);
        loop {
            match self.turn(version, revision).await {
                Ok((next_version, next_revision)) => (version, revision) = (next_version, next_revision),
                Err(Failure::Other(error)) => {
                    tracing::warn!(error = %base::chain(&error), "etcd was not compacted")
                }
                // Somebody compacted more than this.
                Err(_) => {}
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// One turn: `revision` is what was newest a turn ago. Gives the key's version and what is newest now.
    async fn turn(&self, version: u64, revision: u64) -> Result<(u64, u64), Failure> {
        let compare = Compare { key: KEY, target: Target::Version, is: Is::Equal(version) };
        let text = revision.to_string();
        let put = Operation::Put { key: KEY, value: text.as_bytes(), lease: 0 };
        let asked = message::transaction(&[compare], &[put], &[Operation::Get { key: KEY }]);
        let answer = self.client.call("compact", message::TXN, asked, Again::Writes).await?;
        let done = Done::read(&answer).map_err(|error| super::client::engine("compact", error))?;
        if !done.succeeded {
            return Ok((done.found.first().map_or(0, |record| record.version), done.revision));
        }
        if revision > 0 {
            let compact = message::compaction(revision);
            match self.client.call("compact", message::COMPACT, compact, Again::Reads).await {
                Ok(_) | Err(Failure::Compacted) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok((version + 1, done.revision))
    }
}
