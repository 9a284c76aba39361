//! Frames on a unix stream socket: four bytes of length (big endian), one of descriptors, then the body.
//!
//! The [`Decoder`] is fed whatever the socket gave and is bounded: a length over [`MAX`] or more than [`MAX_FDS`]
//! descriptors is an error for good, never an allocation. Descriptors come by `SCM_RIGHTS` with the frame's first byte,
//! so they are there when the frame is whole.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Bytes of a body. An environment of a megabyte is the most that `execve` takes.
pub const MAX: usize = 4 << 20;
/// Descriptors of a frame.
pub const MAX_FDS: usize = 4;
const HEADER: usize = 5;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("a frame of {0} bytes is longer than {MAX}")]
    TooLong(usize),
    #[error("a frame with {0} descriptors, of at most {MAX_FDS}")]
    TooMany(usize),
    #[error("a frame with {expected} descriptors came with {found}")]
    Missing { expected: usize, found: usize },
}

/// Header and body in one piece, to be sent with [`send`].
pub fn encode(body: &[u8], fds: usize) -> Result<Vec<u8>, Error> {
    if body.len() > MAX {
        return Err(Error::TooLong(body.len()));
    }
    if fds > MAX_FDS {
        return Err(Error::TooMany(fds));
    }
    let mut frame = Vec::with_capacity(HEADER + body.len());
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.push(fds as u8);
    frame.extend_from_slice(body);
    Ok(frame)
}

/// A whole frame.
#[derive(Debug, Default)]
pub struct Frame {
    pub body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// Makes frames of what a socket gave.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Decoder {
    pub fn push(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) {
        self.bytes.extend_from_slice(bytes);
        self.fds.extend(fds);
    }

    /// The next frame, if it is whole. After an error the stream is lost.
    pub fn take(&mut self) -> Result<Option<Frame>, Error> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let expected = usize::from(header[4]);
        if length > MAX {
            return Err(Error::TooLong(length));
        }
        if expected > MAX_FDS {
            return Err(Error::TooMany(expected));
        }
        if self.bytes.len() < HEADER + length {
            return Ok(None);
        }
        if self.fds.len() < expected {
            return Err(Error::Missing { expected, found: self.fds.len() });
        }
        let body = self.bytes[HEADER..HEADER + length].to_vec();
        self.bytes.drain(..HEADER + length);
        if self.bytes.is_empty() {
            self.bytes = Vec::new(); // an idle shim keeps no buffer
        }
        Ok(Some(Frame { body, fds: self.fds.drain(..expected).collect() }))
    }
}

/// Sends what the socket takes of `bytes`, `fds` with the first of them; gives the number of bytes sent.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage] = if fds.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?)
}

/// Receives what is there, without waiting. No bytes mean that the peer is gone.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = cmsg_space!([RawFd; MAX_FDS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut fds = Vec::new();
    for item in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = item {
            // SAFETY: the kernel has just made these descriptors for us; nobody else knows them.
            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_too_much() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff, 0xff, 0xff, 0xff, 0], vec![]);
        assert_eq!(decoder.take().unwrap_err(), Error::TooLong(0xffff_ffff));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 0, 9], vec![]);
        assert_eq!(decoder.take().unwrap_err(), Error::TooMany(9));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 0, 1], vec![]);
        assert_eq!(decoder.take().unwrap_err(), Error::Missing { expected: 1, found: 0 });
    }

    #[test]
    fn descriptors_travel_with_their_frame() {
        use std::io::{Read, Write};
        use std::os::fd::AsFd;
        use std::os::unix::net::UnixStream;
        let (left, right) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let frame = encode(b"take", 1).unwrap();
        assert_eq!(send(left.as_fd(), &frame, &[writer.as_raw_fd()]).unwrap(), frame.len());
        drop(writer);
        let mut buffer = [0; 64];
        let (length, fds) = receive(right.as_fd(), &mut buffer).unwrap();
        let mut decoder = Decoder::default();
        decoder.push(&buffer[..length], fds);
        let frame = decoder.take().unwrap().unwrap();
        let mut file = std::fs::File::from(frame.fds.into_iter().next().unwrap());
        file.write_all(b"hello").unwrap();
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8), cut in 1usize..20) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| encode(body, 0).unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in stream.chunks(cut) {
                decoder.push(part, vec![]);
                while let Some(frame) = decoder.take().unwrap() {
                    found.push(frame.body);
                }
            }
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::default();
            decoder.push(&noise, vec![]);
            while let Ok(Some(frame)) = decoder.take() {
                let _ = serde_json::from_slice::<crate::protocol::Request>(&frame.body);
            }
        }
    }
}
