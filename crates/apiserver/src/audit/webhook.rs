//! The audit log's webhook: EventLists by POST, in batches, tried again after failures
//! (k8s.io/apiserver/plugin/pkg/audit/webhook).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::mpsc;

use super::Webhook;
use super::counts::Plugin;
use crate::server::Inner;

/// Tries of one batch, and by how much each waits longer than the one before (`webhook.DefaultRetryBackoff`).
const TRIES: u32 = 5;
const FACTOR: f64 = 1.5;
const PATIENCE: Duration = Duration::from_secs(30);

/// What waits to be sent.
pub(crate) struct Queue {
    settings: Webhook,
    receiver: mpsc::Receiver<Bytes>,
}

impl Queue {
    pub(super) fn new(settings: Webhook, receiver: mpsc::Receiver<Bytes>) -> Queue {
        Queue { settings, receiver }
    }

    /// Runs for as long as it is polled.
    pub async fn run(mut self, inner: Arc<Inner>) {
        let most = self.settings.truncate.map_or(usize::MAX, |truncate| truncate.batch);
        // What was taken and did not fit any more.
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(event) => event,
                None => match self.receiver.recv().await {
                    Some(event) => event,
                    None => return,
                },
            };
            let mut size = first.len();
            let mut batch = vec![first];
            let more = async {
                while batch.len() < self.settings.batch {
                    match self.receiver.recv().await {
                        Some(event) if size + event.len() > most => {
                            next = Some(event);
                            return;
                        }
                        Some(event) => {
                            size += event.len();
                            batch.push(event);
                        }
                        None => return,
                    }
                }
            };
            let _full = tokio::time::timeout(self.settings.wait, more).await;
            self.send(&inner, &batch).await;
        }
    }

    async fn send(&self, inner: &Inner, batch: &[Bytes]) {
        let mut body =
            br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
        for (at, event) in batch.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(event);
        }
        body.extend_from_slice(b"]}");
        let body = Bytes::from(body);
        let mut wait = self.settings.backoff;
        for attempt in 1..=TRIES {
            let peer = &self.settings.peer;
            let sent =
                inner.send(&peer.remote(), Method::POST, "", peer.headers(), body.clone(), PATIENCE).await;
            let why = match sent {
                Ok(answer) if answer.code.is_success() => return,
                // What is wrong with the request is wrong again the next time.
                Ok(answer) if answer.code.is_client_error() && answer.code.as_u16() != 429 => {
                    tracing::error!(code = %answer.code, lost = batch.len(), "the audit webhook refuses events");
                    break;
                }
                Ok(answer) => answer.code.to_string(),
                Err(why) => why,
            };
            if attempt == TRIES {
                tracing::error!(
                    why,
                    lost = batch.len(),
                    "the audit webhook cannot be reached: events are lost"
                );
                break;
            }
            tokio::time::sleep(wait).await;
            wait = wait.mul_f64(FACTOR);
        }
        if let Some(audit) = &inner.audit {
            audit.counts.failed(Plugin::Webhook, batch.len() as u64);
        }
    }
}
