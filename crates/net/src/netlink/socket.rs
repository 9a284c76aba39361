//! One netlink socket. See the parent for what it may be used for.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::message::{Writer, attribute, messages};
use super::{Error, u32_ne};

/// Which family of the kernel a socket speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses and routes.
    Route,
    /// nftables and conntrack.
    Netfilter,
}

/// One message of an answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub kind: u16,
    pub payload: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// The kernel builds dump datagrams of up to 32 KiB.
const RECEIVE: usize = 64 * 1024;
/// What the send queue may hold by default; larger batches raise it.
const SEND: usize = 128 * 1024;

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(protocol: Protocol) -> Result<Socket, Error> {
        let number = match protocol {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
        };
        // SAFETY: socket(2) takes no pointers; the result is checked before it is owned.
        let raw = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, number) };
        if raw < 0 {
            return Err(Error::last("open a netlink socket"));
        }
        // SAFETY: `raw` is a descriptor that was just made and that nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        let socket = Socket { fd, sequence: 1, buffer: Vec::new() };
        // With these two, errors carry a text, and no copy of the request.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            socket.option(libc::SOL_NETLINK, option, 1)?;
        }
        Ok(socket)
    }

    fn option(&self, level: i32, name: i32, value: i32) -> Result<(), Error> {
        // SAFETY: the pointer and the length describe `value`, which outlives the call.
        let done = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of::<i32>() as u32,
            )
        };
        if done < 0 { Err(Error::last("set a netlink option")) } else { Ok(()) }
    }

    /// Sends one request and waits for its acknowledgement.
    pub fn request(
        &mut self,
        operation: impl Fn() -> String,
        kind: u16,
        flags: i32,
        body: impl FnOnce(&mut Writer),
    ) -> Result<(), Error> {
        let mut writer = Writer::new(self.sequence);
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let sequence = writer.message(kind, flags, body);
        self.send(&operation, writer.bytes())?;
        self.answers(&operation, sequence).map(|_| ())
    }

    /// Sends one request and returns every message of its answer: one object, or a dump with `NLM_F_DUMP`.
    pub fn query(
        &mut self,
        operation: impl Fn() -> String,
        kind: u16,
        flags: i32,
        body: impl FnOnce(&mut Writer),
    ) -> Result<Vec<Reply>, Error> {
        let mut writer = Writer::new(self.sequence);
        let dump = flags & libc::NLM_F_DUMP == libc::NLM_F_DUMP;
        // A dump ends with NLMSG_DONE; a single answer is closed by its acknowledgement.
        let flags = (flags | libc::NLM_F_REQUEST | if dump { 0 } else { libc::NLM_F_ACK }) as u16;
        let sequence = writer.message(kind, flags, body);
        self.send(&operation, writer.bytes())?;
        self.answers(&operation, sequence)
    }

    /// Sends a batch whose last message asks for an acknowledgement; `last` is its number. Every refusal is
    /// collected: the first is the error, and nothing of the batch was done.
    pub fn batch(
        &mut self,
        operation: impl Fn() -> String,
        build: impl FnOnce(&mut Writer) -> u32,
    ) -> Result<(), Error> {
        let mut writer = Writer::new(self.sequence);
        let last = build(&mut writer);
        if writer.offset() > SEND / 2 {
            let size = i32::try_from(writer.offset() * 2 + SEND).unwrap_or(i32::MAX / 2);
            self.option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size)?;
            self.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size)?;
        }
        self.send(&operation, writer.bytes())?;
        let (mut failure, mut acknowledged) = (None, false);
        // All answers are queued before sendmsg returns, so an empty queue is the end.
        while let Some(length) = self.receive(&operation, libc::MSG_DONTWAIT)? {
            for (kind, flags, sequence, payload) in messages(&self.buffer[..length]) {
                if i32::from(kind) != libc::NLMSG_ERROR {
                    continue;
                }
                match refusal(&operation, flags, payload) {
                    Some(error) => failure = failure.or(Some(error)),
                    None if sequence == last => acknowledged = true,
                    None => {}
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None if acknowledged => Ok(()),
            None => Err(Error::new(operation(), libc::EPROTO)),
        }
    }

    fn send(&mut self, operation: &impl Fn() -> String, bytes: &[u8]) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1 << 20) & 0x7fff_ffff;
        // SAFETY: the pointer and the length describe `bytes`; netlink without an address goes to the kernel.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 { Err(Error::last(operation())) } else { Ok(()) }
    }

    /// One datagram into the buffer; `None` if there is none and the call may not wait.
    fn receive(&mut self, operation: &impl Fn() -> String, flags: i32) -> Result<Option<usize>, Error> {
        self.buffer.resize(RECEIVE, 0);
        loop {
            let buffer = &mut self.buffer;
            // SAFETY: the pointer and the length describe the buffer, which nobody else writes.
            let got =
                unsafe { libc::recv(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
            if let Ok(length) = usize::try_from(got) {
                return Ok(Some(length));
            }
            let error = Error::last(operation());
            match error.errno() {
                libc::EINTR => {}
                libc::EAGAIN => return Ok(None),
                _ => return Err(error),
            }
        }
    }

    fn answers(&mut self, operation: &impl Fn() -> String, wanted: u32) -> Result<Vec<Reply>, Error> {
        let mut replies = Vec::new();
        loop {
            let Some(length) = self.receive(operation, 0)? else { continue };
            for (kind, flags, sequence, payload) in messages(&self.buffer[..length]) {
                if sequence != wanted {
                    continue; // An answer to a request that was given up.
                }
                match i32::from(kind) {
                    libc::NLMSG_ERROR => {
                        return refusal(operation, flags, payload).map_or(Ok(replies), Err);
                    }
                    libc::NLMSG_DONE => return Ok(replies),
                    _ => replies.push(Reply { kind, payload: payload.to_vec() }),
                }
            }
        }
    }
}

/// The error of an NLMSG_ERROR message, `None` if it is an acknowledgement.
fn refusal(operation: &impl Fn() -> String, flags: u16, payload: &[u8]) -> Option<Error> {
    const HAS_ATTRIBUTES: u16 = 0x200;
    const TEXT: u16 = 1;
    let errno = payload.get(..4).and_then(u32_ne).map_or(-libc::EPROTO, |number| number as i32);
    if errno == 0 {
        return None;
    }
    let mut error = Error::new(operation(), -errno);
    if flags & HAS_ATTRIBUTES != 0 {
        let text = payload.get(20..).and_then(|attributes| attribute(attributes, TEXT));
        error.detail = text.map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    }
    Some(error)
}
