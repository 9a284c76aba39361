//! SPDY/3.1 as far as exec, attach and port-forward use it: streams with headers, data, half-closes, pings.
//!
//! After the SPDY protocol draft 3.1; like upstream's library it takes no part in flow control. One task drives a
//! session; streams are handed out as they are opened by the client.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Draft 3.1, section 2.6.10.1: what header blocks are compressed with.
const DICTIONARY: &[u8] = include_bytes!("spdy.dictionary");

/// A frame above this is refused: nothing that our clients send comes near.
const LONGEST: usize = 1 << 20;
const FIN: u8 = 1;

#[derive(Debug)]
enum Out {
    Reply(u32),
    Data { stream: u32, bytes: Bytes, fin: bool },
    Ping(Bytes),
}

/// A stream that the client opened.
pub struct Stream {
    pub headers: HashMap<String, String>,
    /// Ends when the client closed its half or reset the stream.
    pub read: mpsc::Receiver<Bytes>,
    pub write: Writer,
}

/// The sending half of a stream; [`Writer::finish`] closes it.
#[derive(Clone)]
pub struct Writer {
    stream: u32,
    frames: mpsc::Sender<Out>,
}

impl Writer {
    /// Fails once the session is over.
    pub async fn send(&self, bytes: Bytes) -> Result<()> {
        self.push(Out::Data { stream: self.stream, bytes, fin: false }).await
    }

    pub async fn finish(&self) -> Result<()> {
        self.push(Out::Data { stream: self.stream, bytes: Bytes::new(), fin: true }).await
    }

    async fn push(&self, frame: Out) -> Result<()> {
        self.frames.send(frame).await.map_err(|_| Error::from(ErrorKind::BrokenPipe))
    }
}

/// The streams that the client opens. The session lives while this or any stream does.
pub struct Streams {
    opened: mpsc::Receiver<Stream>,
    _open: mpsc::Sender<Out>,
}

impl Streams {
    /// `None` once the client hung up.
    pub async fn recv(&mut self) -> Option<Stream> {
        self.opened.recv().await
    }
}

/// A session on `io`: the streams as they are opened, and the future that drives it. It ends when the client hangs up, or
/// once [`Streams`] and every stream are dropped.
pub fn serve<S>(io: S) -> (Streams, impl Future<Output = Result<()>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (opened, streams) = mpsc::channel(16);
    let (frames, outbox) = mpsc::channel(64);
    let streams = Streams { opened: streams, _open: frames.clone() };
    // Held weakly, or the session would keep itself alive.
    let frames = frames.downgrade();
    let (reader, writer) = tokio::io::split(io);
    let drive = async move {
        let read = read(reader, opened, frames);
        let write = write(writer, outbox);
        tokio::pin!(read, write);
        tokio::select! {
            done = &mut write => done,
            // What is queued still goes out: the client may only have closed its half.
            done = &mut read => match done {
                Ok(()) => write.await,
                Err(error) => Err(error),
            },
        }
    };
    (streams, drive)
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: R,
    opened: mpsc::Sender<Stream>,
    frames: mpsc::WeakSender<Out>,
) -> Result<()> {
    let mut inflate = Inflate::new();
    let mut live: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    loop {
        let mut head = [0u8; 8];
        match reader.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let length =
            usize::try_from(u32::from_be_bytes([0, head[5], head[6], head[7]])).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Err(Error::new(ErrorKind::InvalidData, "a SPDY frame is too long"));
        }
        let mut body = BytesMut::zeroed(length);
        reader.read_exact(&mut body).await?;
        let mut body = body.freeze();
        let flags = head[4];
        if head[0] & 0x80 == 0 {
            let stream = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            if let Some(sender) = live.get(&stream) {
                // A stream that nobody reads any more drops what comes.
                if !body.is_empty() && sender.send(body).await.is_err() {
                    live.remove(&stream);
                }
            }
            if flags & FIN != 0 {
                live.remove(&stream);
            }
            continue;
        }
        match u16::from_be_bytes([head[2], head[3]]) {
            // SYN_STREAM
            1 if body.len() >= 10 => {
                let stream = body.get_u32() & 0x7fff_ffff;
                body.advance(6);
                let headers = pairs(&inflate.block(&body)?)?;
                let Some(queue) = frames.upgrade() else { return Ok(()) };
                let (sender, receiver) = mpsc::channel(32);
                if flags & FIN == 0 {
                    live.insert(stream, sender);
                }
                let write = Writer { stream, frames: queue };
                write.push(Out::Reply(stream)).await?;
                if opened.send(Stream { headers, read: receiver, write }).await.is_err() {
                    return Ok(());
                }
            }
            // RST_STREAM
            3 if body.len() >= 4 => {
                live.remove(&(body.get_u32() & 0x7fff_ffff));
            }
            // PING: only the client's own (odd) ones are answered.
            6 if body.len() >= 4 => {
                if body[3] & 1 == 1
                    && let Some(queue) = frames.upgrade()
                {
                    let _over = queue.send(Out::Ping(body)).await;
                }
            }
            // HEADERS go through the same compressor, so they must be read to keep it in step.
            8 if body.len() >= 4 => {
                body.advance(4);
                inflate.block(&body)?;
            }
            // SETTINGS, GOAWAY, WINDOW_UPDATE and what may come ask nothing of us.
            _ => {}
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(mut writer: W, mut outbox: mpsc::Receiver<Out>) -> Result<()> {
    let mut deflate = Deflate::new();
    while let Some(frame) = outbox.recv().await {
        let mut bytes = BytesMut::new();
        match frame {
            Out::Reply(stream) => {
                let block = deflate.block(&[0, 0, 0, 0])?;
                control(&mut bytes, 2, 0, 4 + block.len());
                bytes.put_u32(stream);
                bytes.put_slice(&block);
            }
            Out::Data { stream, bytes: data, fin } => {
                bytes.put_u32(stream & 0x7fff_ffff);
                length(&mut bytes, if fin { FIN } else { 0 }, data.len());
                bytes.put_slice(&data);
            }
            Out::Ping(id) => {
                control(&mut bytes, 6, 0, id.len());
                bytes.put_slice(&id);
            }
        }
        writer.write_all(&bytes).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

fn control(bytes: &mut BytesMut, kind: u16, flags: u8, size: usize) {
    bytes.put_u16(0x8003);
    bytes.put_u16(kind);
    length(bytes, flags, size);
}

/// Flags and the 24 bits of length.
fn length(bytes: &mut BytesMut, flags: u8, size: usize) {
    let size = u32::try_from(size).unwrap_or(0x00ff_ffff) & 0x00ff_ffff;
    bytes.put_u32((u32::from(flags) << 24) | size);
}

/// Name/value pairs of a header block.
fn pairs(block: &[u8]) -> Result<HashMap<String, String>> {
    let bad = || Error::new(ErrorKind::InvalidData, "a SPDY header block is cut off");
    let mut block = block;
    let mut take = |wanted: Option<usize>| -> Result<Vec<u8>> {
        let size = match wanted {
            Some(size) => size,
            None => {
                let (head, rest) = block.split_at_checked(4).ok_or_else(bad)?;
                block = rest;
                usize::try_from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]))
                    .unwrap_or(usize::MAX)
            }
        };
        let (taken, rest) = block.split_at_checked(size).ok_or_else(bad)?;
        block = rest;
        Ok(taken.to_vec())
    };
    let count = take(Some(4))?;
    let count = u32::from_be_bytes([count[0], count[1], count[2], count[3]]);
    let mut found = HashMap::new();
    for _ in 0..count.min(1024) {
        let name = String::from_utf8_lossy(&take(None)?).to_lowercase();
        let value = String::from_utf8_lossy(&take(None)?).into_owned();
        found.insert(name, value);
    }
    Ok(found)
}

/// One zlib stream for all header blocks that are received.
struct Inflate(Decompress);

impl Inflate {
    fn new() -> Inflate {
        Inflate(Decompress::new(true))
    }

    fn block(&mut self, block: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(1024);
        let mut rest = block;
        loop {
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            out.reserve(1024);
            let done = self.0.decompress_vec(rest, &mut out, FlushDecompress::Sync);
            let eaten = usize::try_from(self.0.total_in() - before_in).unwrap_or(0);
            rest = &rest[eaten.min(rest.len())..];
            match done {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(DICTIONARY).map_err(Error::other)?;
                    continue;
                }
                Err(error) => return Err(Error::new(ErrorKind::InvalidData, error)),
                Ok(Status::StreamEnd) => return Ok(out),
                Ok(_) => {}
            }
            if out.len() > LONGEST {
                return Err(Error::new(ErrorKind::InvalidData, "a SPDY header block is too long"));
            }
            if rest.is_empty() && out.len() < out.capacity() || eaten == 0 && self.0.total_out() == before_out
            {
                return Ok(out);
            }
        }
    }
}

/// One zlib stream for all header blocks that are sent.
struct Deflate(Compress);

impl Deflate {
    fn new() -> Deflate {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(DICTIONARY).expect("because the dictionary is set before any data");
        Deflate(compress)
    }

    fn block(&mut self, block: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(block.len() + 64);
        self.0.compress_vec(block, &mut out, FlushCompress::Sync).map_err(Error::other)?;
        Ok(out)
    }
}

#[cfg(test)]
pub mod client {
    //! The other end, for tests.

    use super::*;

    pub struct Client<S> {
        pub io: S,
        deflate: Deflate,
        inflate: Inflate,
    }

    impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
        pub fn new(io: S) -> Client<S> {
            Client { io, deflate: Deflate::new(), inflate: Inflate::new() }
        }

        pub async fn open(&mut self, stream: u32, headers: &[(&str, &str)]) {
            let mut block = BytesMut::new();
            block.put_u32(headers.len() as u32);
            for text in headers.iter().flat_map(|(name, value)| [name, value]) {
                block.put_u32(text.len() as u32);
                block.put_slice(text.as_bytes());
            }
            let block = self.deflate.block(&block).unwrap();
            let mut bytes = BytesMut::new();
            control(&mut bytes, 1, 0, 10 + block.len());
            bytes.put_u32(stream);
            bytes.put_slice(&[0; 6]);
            bytes.put_slice(&block);
            self.io.write_all(&bytes).await.unwrap();
        }

        pub async fn send(&mut self, stream: u32, data: &[u8], fin: bool) {
            let mut bytes = BytesMut::new();
            bytes.put_u32(stream);
            length(&mut bytes, u8::from(fin), data.len());
            bytes.put_slice(data);
            self.io.write_all(&bytes).await.unwrap();
        }

        /// Data by stream, until all of `wanted` were closed.
        pub async fn collect(&mut self, wanted: &[u32]) -> HashMap<u32, Vec<u8>> {
            let mut found: HashMap<u32, Vec<u8>> = HashMap::new();
            let mut open = wanted.to_vec();
            while !open.is_empty() {
                let mut head = [0u8; 8];
                self.io.read_exact(&mut head).await.unwrap();
                let size = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
                let mut body = vec![0; size];
                self.io.read_exact(&mut body).await.unwrap();
                if head[0] & 0x80 == 0 {
                    let stream = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
                    found.entry(stream).or_default().extend_from_slice(&body);
                    if head[4] & FIN != 0 {
                        open.retain(|one| *one != stream);
                    }
                } else if head[3] == 2 {
                    assert!(pairs(&self.inflate.block(&body[4..]).unwrap()).unwrap().is_empty());
                }
            }
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_echo() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut streams, drive) = serve(far);
        let driver = base::spawn("drive", drive);
        let mut client = client::Client::new(near);
        client.open(1, &[("streamtype", "data"), ("port", "80")]).await;
        client.open(3, &[("streamtype", "error"), ("requestid", "0")]).await;
        client.send(1, b"hello", true).await;
        let mut data = streams.recv().await.unwrap();
        assert_eq!(data.headers["port"], "80");
        let error = streams.recv().await.unwrap();
        assert_eq!(error.headers["streamtype"], "error");
        let bytes = data.read.recv().await.unwrap();
        assert_eq!(data.read.recv().await, None);
        data.write.send(bytes).await.unwrap();
        data.write.finish().await.unwrap();
        error.write.finish().await.unwrap();
        let found = client.collect(&[1, 3]).await;
        assert_eq!(found[&1], b"hello");
        drop((data, error, streams, client));
        driver.await.unwrap().unwrap().unwrap();
    }
}
