//! What an answer's body is made of: one buffer, a list of buffers (a spliced list, D3), or a stream (watch, proxy).

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

/// Buffers of a stream; its end, clean or not, ends the body.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Aborted>> + Send>>;

/// The stream broke: the connection is closed so that the client does not take what it has for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub struct Aborted;

impl From<Infallible> for Aborted {
    fn from(never: Infallible) -> Aborted {
        match never {}
    }
}

/// See the module.
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    One(Bytes),
    /// Made buffer by buffer as the connection takes them; `left` bytes are still to come, if that is known.
    Lazy {
        chunks: Box<dyn Iterator<Item = Bytes> + Send>,
        left: Option<u64>,
    },
    Stream(Chunks),
}

impl Body {
    pub fn lazy(chunks: impl Iterator<Item = Bytes> + Send + 'static, length: Option<u64>) -> Body {
        Body::Lazy { chunks: Box::new(chunks), left: length }
    }
    pub fn stream(chunks: impl Stream<Item = Result<Bytes, Aborted>> + Send + 'static) -> Body {
        Body::Stream(Box::pin(chunks))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Body {
        Body::One(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::One(_) => match std::mem::take(&mut *self) {
                Body::One(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Body::Lazy { chunks, left } => Poll::Ready(chunks.next().map(|chunk| {
                *left = left.map(|left| left.saturating_sub(chunk.len() as u64));
                Ok(Frame::data(chunk))
            })),
            Body::Stream(chunks) => {
                chunks.as_mut().poll_next(context).map(|chunk| chunk.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::One(bytes) => bytes.is_empty(),
            Body::Lazy { left, .. } => *left == Some(0),
            Body::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::One(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Lazy { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}

/// Compresses buffers on their way, quickly rather than well, as upstream does.
pub struct Gzip<I> {
    chunks: I,
    encoder: Option<flate2::write::GzEncoder<Vec<u8>>>,
}

impl<I: Iterator<Item = Bytes>> Gzip<I> {
    pub fn new(chunks: I) -> Gzip<I> {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        Gzip { chunks, encoder: Some(encoder) }
    }
}

impl<I: Iterator<Item = Bytes>> Iterator for Gzip<I> {
    type Item = Bytes;
    fn next(&mut self) -> Option<Bytes> {
        loop {
            let encoder = self.encoder.as_mut()?;
            match self.chunks.next() {
                Some(chunk) => {
                    encoder.write_all(&chunk).expect("because a Vec takes every byte");
                    if !encoder.get_ref().is_empty() {
                        return Some(std::mem::take(encoder.get_mut()).into());
                    }
                }
                None => {
                    let rest = self.encoder.take()?.finish().expect("because a Vec takes every byte");
                    return Some(rest.into());
                }
            }
        }
    }
}
