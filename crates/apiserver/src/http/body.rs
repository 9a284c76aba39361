//! What an answer's body is made of: one buffer, a list of buffers (a spliced list, D3), or a stream (watch, proxy).

use std::convert::Infallible;
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
    /// In order; `left` bytes in all are still to come.
    Many {
        parts: std::vec::IntoIter<Bytes>,
        left: u64,
    },
    Stream(Chunks),
}

impl Body {
    pub fn many(parts: Vec<Bytes>) -> Body {
        let left = parts.iter().map(|part| part.len() as u64).sum();
        Body::Many { parts: parts.into_iter(), left }
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
            Body::Many { parts, left } => Poll::Ready(parts.next().map(|part| {
                *left -= part.len() as u64;
                Ok(Frame::data(part))
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
            Body::Many { left, .. } => *left == 0,
            Body::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::One(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Many { left, .. } => SizeHint::with_exact(*left),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}
