//! A store that seals what is written and opens what is read, by rules that can be exchanged while it runs.
//!
//! What nobody opens is handed on sealed: `fill` counts such values and refuses to start over them, as only it knows which
//! of them are history.

use std::sync::Arc;
use std::time::Duration;

use api::{Key, Revision};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use base::Tasks;
use store::{Batch, Durability, Error, Expect, Page, Record, Store, Write};

use super::Rules;

/// Records a read of [`Encrypted::rewrite`] and [`Encrypted::replace`].
const PAGE: usize = 200;

/// Between two questions for the keys of KMS plugins, as upstream's; the second while one of them is not well.
const PLUGINS: Duration = Duration::from_secs(60);
const UNWELL: Duration = Duration::from_secs(10);

fn unusable(error: super::Error) -> Error {
    Error::Unusable(error.to_string())
}

/// See the module.
pub(crate) struct Encrypted {
    raw: Arc<dyn Store>,
    rules: Arc<ArcSwap<Rules>>,
    tasks: Tasks,
}

impl Encrypted {
    pub fn new(raw: Arc<dyn Store>, rules: Rules, tasks: &Tasks) -> Arc<Encrypted> {
        let rules = Arc::new(ArcSwap::from_pointee(rules));
        let own = Arc::new(Encrypted { raw, rules, tasks: Tasks::under(tasks.token()) });
        // Holds nothing while it sleeps: who drops the store has it closed.
        let follows = Arc::downgrade(&own);
        tasks.spawn("kms-keys", async move {
            let mut pause = PLUGINS;
            loop {
                tokio::time::sleep(pause).await;
                let Some(own) = follows.upgrade() else { return };
                own.look_at_plugins().await;
                pause = if own.health_of_plugins().is_some_and(|health| health.is_err()) {
                    UNWELL
                } else {
                    PLUGINS
                };
            }
        });
        own
    }

    /// Asks the KMS plugins for their keys; what a former key sealed is written anew under the new one.
    async fn look_at_plugins(&self) {
        let rules = self.rules.load_full();
        match rules.refresh().await {
            Ok(false) => {}
            Ok(true) => match self.rewrite().await {
                Ok(count) => tracing::info!(
                    count,
                    "a KMS plugin has another key: what the former one sealed is sealed anew"
                ),
                Err(error) => tracing::error!(error = %base::chain(&error), "not everything was sealed anew"),
            },
            Err(error) => {
                tracing::error!(%error, "a KMS plugin does not tell its key; the last one goes on sealing for three minutes")
            }
        }
    }

    /// What the KMS plugins said last; `None`: there is none.
    pub fn health_of_plugins(&self) -> Option<Result<(), String>> {
        self.rules.load().health_of_plugins()
    }

    /// Other keys from now on, unless a stored value needs one that is not among them.
    pub async fn replace(&self, rules: Rules) -> Result<(), Error> {
        let mut after = None;
        loop {
            let (records, next) = self.named(after).await?;
            let sealed = rules.of_plugins(records.iter().map(|record| &record.value));
            rules.learn(sealed).await.map_err(unusable)?;
            for record in records {
                let opened = rules.open(&record.key, record.value);
                opened.map_err(|error| Error::Unusable(error.to_string()))?;
            }
            match next {
                Some(_) => after = next,
                None => break,
            }
        }
        self.rules.store(Arc::new(rules));
        Ok(())
    }

    /// Writes anew what is not sealed as it would be today; gives how many that were. Who was faster has sealed it as today.
    pub async fn rewrite(&self) -> Result<usize, Error> {
        let (mut count, mut after) = (0, None);
        loop {
            let (records, next) = self.named(after).await?;
            self.learn(&records).await?;
            for record in records {
                if !self.rules.load().is_stale(&record.key, &record.value) {
                    continue;
                }
                let value = Some(self.opened(&record.key, record.value)?);
                let (key, expect) = (record.key, Expect::At(record.revision));
                match self
                    .write(Write { key, expect, value, durability: Durability::Durable, ttl: None })
                    .await
                {
                    Ok(_) => count += 1,
                    Err(Error::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            match next {
                Some(_) => after = next,
                None => return Ok(count),
            }
        }
    }

    /// A page of the records that a rule names or that are sealed, and where the next one begins. Without Events, which end
    /// by themselves.
    async fn named(&self, after: Option<String>) -> Result<(Vec<Record>, Option<String>), Error> {
        let mut page = self.raw.range("", after.as_deref(), PAGE, None).await?;
        let last = page.records.last().map(|record| record.key.as_str().to_string());
        let rules = self.rules.load();
        page.records.retain(|record| {
            let named = rules.of(&record.key).is_some() || super::is_sealed(&record.value);
            named && !record.key.as_str().starts_with("core/events/")
        });
        Ok((page.records, last.filter(|_| page.more)))
    }

    /// The stored value of a key is not sealed as it would be today.
    pub async fn is_stale(&self, key: &Key) -> bool {
        if self.rules.load().of(key).is_none() {
            return false;
        }
        match self.raw.get(key, None).await {
            Ok(Some(record)) => {
                let known = self.learn(std::slice::from_ref(&record)).await;
                known.is_ok() && self.rules.load().is_stale(key, &record.value)
            }
            _ => false,
        }
    }

    fn opened(&self, key: &Key, value: bytes::Bytes) -> Result<bytes::Bytes, Error> {
        self.rules.load().open(key, value).map_err(unusable)
    }

    /// Has KMS plugins open what these records need.
    async fn learn(&self, records: &[Record]) -> Result<(), Error> {
        let rules = self.rules.load_full();
        let sealed = rules.of_plugins(records.iter().map(|record| &record.value));
        rules.learn(sealed).await.map_err(unusable)
    }

    fn sealed(&self, mut write: Write) -> Result<Write, Error> {
        if let Some(value) = write.value.take() {
            let sealed = self.rules.load().seal(&write.key, value);
            let failed =
                |source: super::Error| Error::Engine { operation: "seal an object", source: source.into() };
            write.value = Some(sealed.map_err(failed)?);
        }
        Ok(write)
    }

    /// A conflict shows what is there in the clear, or not at all.
    async fn answered(&self, written: Result<Revision, Error>) -> Result<Revision, Error> {
        match written {
            Err(Error::Conflict { key, current: Some(mut record) }) => {
                let _unknown_stays_sealed = self.learn(std::slice::from_ref(&record)).await;
                let value = self.opened(&record.key, record.value.clone());
                let current = value.ok().map(|value| {
                    record.value = value;
                    record
                });
                Err(Error::Conflict { key, current })
            }
            other => other,
        }
    }
}

#[async_trait]
impl Store for Encrypted {
    async fn get(&self, key: &Key, at: Option<Revision>) -> Result<Option<Record>, Error> {
        let Some(mut record) = self.raw.get(key, at).await? else { return Ok(None) };
        self.learn(std::slice::from_ref(&record)).await?;
        record.value = self.opened(key, record.value)?;
        Ok(Some(record))
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        let mut page = self.raw.range(prefix, after, limit, at).await?;
        if let Err(error) = self.learn(&page.records).await {
            tracing::warn!(%error, "what is sealed stays so");
        }
        let rules = self.rules.load();
        for record in &mut page.records {
            if let Ok(value) = rules.open(&record.key, record.value.clone()) {
                record.value = value;
            }
        }
        Ok(page)
    }

    async fn write(&self, write: Write) -> Result<Revision, Error> {
        let sealed = self.sealed(write)?;
        self.answered(self.raw.write(sealed).await).await
    }

    async fn write_from(&self, pool: &'static str, seen: Revision, write: Write) -> Result<Revision, Error> {
        let sealed = self.sealed(write)?;
        self.answered(self.raw.write_from(pool, seen, sealed).await).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<tokio::sync::mpsc::Receiver<Batch>, Error> {
        let mut raw = self.raw.watch(prefix, from).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let rules = self.rules.clone();
        self.tasks.spawn("decrypt-watch", async move {
            while let Some(mut batch) = raw.recv().await {
                if let Batch::Events(events) = &mut batch {
                    let rules = rules.load_full();
                    let sealed = rules.of_plugins(events.iter().filter_map(|event| event.value.as_ref()));
                    if let Err(error) = rules.learn(sealed).await {
                        tracing::warn!(%error, "what is sealed stays so");
                    }
                    for event in events {
                        if let Some(value) = event.value.take() {
                            let opened = rules.open(&event.key, value.clone());
                            event.value = Some(opened.unwrap_or(value));
                        }
                    }
                }
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    async fn announce(&self, name: &str, lasts: Duration) -> Result<Option<Vec<String>>, Error> {
        self.raw.announce(name, lasts).await
    }
    async fn withdraw(&self, name: &str) -> Result<(), Error> {
        self.raw.withdraw(name).await
    }
    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.raw.compact(revision).await
    }
    async fn before_last(&self, changes: usize) -> Result<Revision, Error> {
        self.raw.before_last(changes).await
    }
    async fn current(&self) -> Result<Revision, Error> {
        self.raw.current().await
    }
    fn epoch(&self) -> Revision {
        self.raw.epoch()
    }
    fn trouble(&self) -> Option<String> {
        self.raw.trouble()
    }
    async fn size(&self) -> Result<u64, Error> {
        self.raw.size().await
    }
    async fn close(&self) {
        self.raw.close().await;
    }
}
