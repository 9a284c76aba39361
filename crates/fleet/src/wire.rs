//! Bytes of this process' connections to sources, both ways, as they go over the wire: below TLS and ssh, above TCP.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A count of bytes.
#[derive(Debug, Default)]
pub struct Tally {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Tally {
    pub fn traffic(&self) -> Traffic {
        Traffic { sent: self.sent.load(Ordering::Relaxed), received: self.received.load(Ordering::Relaxed) }
    }
}

/// Of this process.
static ALL: Tally = Tally { sent: AtomicU64::new(0), received: AtomicU64::new(0) };

/// Bytes of the payload of TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
}

impl Traffic {
    pub fn total(self) -> u64 {
        self.sent.saturating_add(self.received)
    }
}

/// All so far.
pub fn totals() -> Traffic {
    ALL.traffic()
}

/// Bytes of packs that this process took in: what it may cost in processor time goes by them.
static HANDLED: AtomicU64 = AtomicU64::new(0);

pub(crate) fn handle(bytes: u64) {
    HANDLED.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn handled() -> u64 {
    HANDLED.load(Ordering::Relaxed)
}

/// Seconds since the epoch that certificates are judged by; 0: the system's time.
static TIME: AtomicU64 = AtomicU64::new(0);

/// Tells this process the trusted time, in seconds since the epoch (D12).
pub fn trust_time(seconds: u64) {
    TIME.store(seconds, Ordering::Relaxed);
}

pub(crate) fn trusted_time() -> u64 {
    TIME.load(Ordering::Relaxed)
}

/// A connection whose bytes count.
pub struct Counted<S> {
    inner: S,
    /// Where they count beside those of the whole process.
    own: Option<Arc<Tally>>,
}

impl<S> Counted<S> {
    pub fn new(inner: S, own: Option<Arc<Tally>>) -> Counted<S> {
        Counted { inner, own }
    }

    fn add(&self, of: fn(&Tally) -> &AtomicU64, bytes: usize) {
        for tally in [Some(&ALL), self.own.as_deref()].into_iter().flatten() {
            of(tally).fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let came = buffer.filled().len() - before;
        self.add(|tally| &tally.received, came);
        crate::cut::received(came);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.add(|tally| &tally.sent, count);
        }
        polled
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
