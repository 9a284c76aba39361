//! The frames of gRPC (github.com/grpc/grpc/doc/PROTOCOL-HTTP2.md): a byte that says whether the message is compressed, four of
//! its length, the message.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use tokio::sync::mpsc;

/// A message as it is sent.
pub(crate) fn pack(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// Takes a whole message off the front, if there is one.
pub(crate) fn unpack(buffer: &mut BytesMut, most: usize) -> Result<Option<Bytes>, String> {
    let Some(head) = buffer.get(..5) else { return Ok(None) };
    if head[0] != 0 {
        return Err("a message is compressed, which was not offered".into());
    }
    let length =
        u32::from_be_bytes(head[1..].try_into().expect("because four of the five bytes are left")) as usize;
    if length > most {
        return Err(format!("a message of {length} bytes is larger than the {most} that are taken"));
    }
    if buffer.len() < 5 + length {
        buffer.reserve(5 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// The status in headers or trailers: code and message; `None` if they have none.
pub(crate) fn status(headers: &HeaderMap) -> Option<(u32, String)> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let message =
        headers.get("grpc-message").map(|text| percent_decoded(text.as_bytes())).unwrap_or_default();
    Some((code, message))
}

fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.filter(|_| first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is sent: one message, or all that come until their sender is dropped.
pub(crate) enum Outgoing {
    One(Option<Bytes>),
    Many(mpsc::Receiver<Bytes>),
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Outgoing::One(message) => Poll::Ready(message.take()),
            Outgoing::Many(messages) => messages.poll_recv(context),
        };
        next.map(|message| message.map(|message| Ok(http_body::Frame::data(pack(&message)))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Outgoing::One(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_arrive() {
        let whole: Vec<u8> = [pack(b"one"), pack(b""), pack(&[7; 300])].concat();
        for step in [1, 4, 5, 6, 100, whole.len()] {
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for piece in whole.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(message) = unpack(&mut buffer, 1000).unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, [b"one".to_vec(), Vec::new(), vec![7; 300]], "in steps of {step}");
        }
        assert!(unpack(&mut BytesMut::from(&pack(b"four")[..]), 3).is_err());
        assert!(unpack(&mut BytesMut::from(&[1, 0, 0, 0, 0][..]), 3).is_err());
    }

    #[test]
    fn statuses_are_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), None);
        headers.insert("grpc-status", "11".parse().unwrap());
        headers.insert("grpc-message", "50%25 of %C3%A4, 5% left".parse().unwrap());
        assert_eq!(status(&headers), Some((11, "50% of ä, 5% left".into())));
    }
}
