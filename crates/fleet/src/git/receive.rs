//! One conversation with a server: what it has, and packs.
//!
//! Git's protocol cannot resume a pack. But a pack is a row of whole objects, commits and trees before what they name. When the
//! link breaks, those that came are kept as a pack of their own ([`super::resume`] asks for the others by their ids).

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix::ObjectId;
use gix::odb::pack::Bundle;
use gix::odb::pack::data::input::Mode;
use gix::progress::Discard;
use gix::protocol::fetch::negotiate::{Action, Round, one_round};
use gix::protocol::fetch::{Arguments, Context, Negotiate, Options, RefMap, Response, Shallow, Tags};
use gix::protocol::transport::Protocol;
use gix::refspec::parse::Operation;
use sha1::{Digest, Sha1};

use super::room::{self, Room};
use super::{Transport, chain, connect, url::Url};
use crate::source::Fetch;

/// A server that answered.
pub(super) struct Server {
    transport: Transport,
    handshake: gix::protocol::Handshake,
}

/// What a request for objects gave.
pub(super) struct Received {
    /// Why no more came; `None`: all of them did.
    pub broken: Option<String>,
}

/// What is asked for.
pub(super) struct Ask<'a> {
    pub wants: &'a [ObjectId],
    /// A commit whose objects are all here.
    pub have: Option<ObjectId>,
    /// The wanted is a commit, or a tag of one, and its parents are of no interest.
    pub tip: bool,
    /// Commits alone, if the server can leave out the rest.
    pub commits: bool,
    pub room: &'a Room<'a>,
}

fn agent() -> gix::protocol::command::Feature {
    ("agent", Some(concat!("skiff/", env!("CARGO_PKG_VERSION")).into()))
}

impl Server {
    pub fn connect(request: &Fetch, url: &Url) -> Result<Server, String> {
        let mut transport = connect(request, url)?;
        // Credentials go with the first request, and nobody is asked for others.
        let nobody = |_| Ok(None);
        let service = gix::protocol::transport::Service::UploadPack;
        let handshake = gix::protocol::handshake(&mut transport, service, nobody, Vec::new(), &mut Discard)
            .map_err(|error| chain(&error))?;
        Ok(Server { transport, handshake })
    }

    /// It gives any object that it has, not just tips.
    pub fn gives_by_id(&self) -> bool {
        self.handshake.server_protocol_version == Protocol::V2
    }

    /// The names on the server that specifications cover.
    pub fn names(&mut self, specs: &[String]) -> Result<RefMap, String> {
        let fetch_refspecs = specs
            .iter()
            .map(|spec| {
                gix::refspec::parse(spec.as_str().into(), Operation::Fetch).map(|spec| spec.to_owned())
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let context =
            gix::protocol::fetch::refmap::init::Context { fetch_refspecs, extra_refspecs: Vec::new() };
        self.handshake
            .prepare_lsrefs_or_extract_refmap(agent(), true, context)
            .and_then(|asked| asked.fetch_blocking(Discard, &mut self.transport, false))
            .map_err(|error| chain(&error))
    }

    /// Asks for objects, and keeps those that came.
    ///
    /// # Errors
    /// The server refused, or nothing came at all.
    pub fn receive(&mut self, repo: &gix::Repository, ask: &Ask<'_>) -> Result<Received, String> {
        let packs = repo.objects.store_ref().path().join("pack");
        let mut received = None;
        let shallow = match ask.tip {
            true => Shallow::DepthAtRemote(std::num::NonZeroU32::MIN),
            false => Shallow::NoChange,
        };
        let answer = gix::protocol::fetch(
            &mut Fixed(ask),
            |reader, _, _| {
                let stream = write(reader, &packs, Some(repo.objects.clone()), ask.room)?;
                let whole = stream.broken.is_none();
                received = Some(Received { broken: stream.broken });
                Ok(whole)
            },
            Discard,
            &AtomicBool::new(false),
            Context {
                handshake: &mut self.handshake,
                transport: &mut self.transport,
                user_agent: agent(),
                trace_packetlines: false,
            },
            Options {
                shallow_file: repo.git_dir().join("shallow"),
                shallow: &shallow,
                tags: Tags::None,
                reject_shallow_remote: false,
            },
        );
        match (answer, received) {
            (Ok(_), Some(received)) => Ok(received),
            // What came is kept all the same.
            (Err(error), Some(received)) => {
                Ok(Received { broken: Some(received.broken.unwrap_or_else(|| chain(&error))) })
            }
            (Ok(_), None) => Err("the server sent no objects".into()),
            (Err(error), None) => Err(chain(&error)),
        }
    }
}

/// No negotiation: a shallow clone has one commit to tell, and the wanted is known.
struct Fixed<'a>(&'a Ask<'a>);

impl Negotiate for Fixed<'_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<Action> {
        Ok(Action::MustNegotiate { remote_ref_target_known: Vec::new() })
    }
    fn add_wants(&mut self, arguments: &mut Arguments, _: &[bool]) -> bool {
        if self.0.commits && arguments.can_use_filter() {
            arguments.filter("tree:0");
        }
        for id in self.0.wants {
            arguments.want(id);
        }
        if let Some(id) = self.0.have {
            arguments.have(id);
        }
        !self.0.wants.is_empty()
    }
    fn one_round(
        &mut self,
        _: &mut one_round::State,
        _: &mut Arguments,
        _: Option<&Response>,
    ) -> gix::Result<(Round, bool)> {
        let sent = usize::from(self.0.have.is_some());
        let round = Round {
            haves_sent: sent,
            in_vain: 0,
            haves_to_send: sent,
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}

/// A pack as it comes: one that breaks off ends there, and says why.
struct Stream<'a, R> {
    inner: R,
    room: &'a Room<'a>,
    hash: Sha1,
    /// The last bytes so far: a pack ends in the digest of what is before.
    tail: Vec<u8>,
    broken: Option<String>,
}

const DIGEST: usize = 20;

impl<R: Read> Read for Stream<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.room.is_full() {
            return Ok(0);
        }
        let count = match self.inner.read(out) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                self.broken = Some(chain(&error));
                0
            }
            other => other?,
        };
        crate::wire::handle(count as u64);
        if count > 0 && !self.room.take(count) {
            self.broken = self.room.refused();
            return Ok(0);
        }
        self.tail.extend_from_slice(&out[..count]);
        let done = self.tail.len().saturating_sub(DIGEST);
        self.hash.update(&self.tail[..done]);
        self.tail.drain(..done);
        Ok(count)
    }
}

/// Writes a pack and its index: what of it is whole.
fn write<'a, R: Read>(
    reader: R,
    packs: &Path,
    bases: Option<impl gix::objs::Find>,
    room: &'a Room<'a>,
) -> gix::Result<Stream<'a, R>> {
    let stream = Stream { inner: reader, room, hash: Sha1::new(), tail: Vec::new(), broken: None };
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let indexed = index(&mut reader, packs, bases);
    if indexed.as_ref().is_err_and(is_too_large) {
        room.file_is_too_large();
    }
    if reader.get_ref().broken.is_none() {
        indexed?;
    }
    let _ = std::io::copy(&mut reader, &mut std::io::sink());
    let mut stream = reader.into_inner();
    if stream.broken.is_none() && stream.hash.clone().finalize()[..] != stream.tail[..] {
        stream.broken = Some("the pack is not whole".into());
    }
    Ok(stream)
}

/// An object is too large for the memory of a child.
fn is_too_large(error: &gix::Error) -> bool {
    error.classify().any(|one| matches!(one.class(), gix::error::Class::ResourceExhaustion(_)))
}

fn index(reader: &mut dyn BufRead, packs: &Path, bases: Option<impl gix::objs::Find>) -> gix::Result<()> {
    let options = gix::odb::pack::bundle::write::Options {
        iteration_mode: Mode::Restore,
        // Each has an object in memory.
        thread_limit: Some(2),
        alloc_limit_bytes: Some(room::LARGEST),
        ..Default::default()
    };
    let never = AtomicBool::new(false);
    let kind = gix::hash::Kind::Sha1;
    let written =
        Bundle::write_to_directory(reader, Some(packs), &mut Discard, &never, bases, kind, options)?;
    // What a name will soon rely on outlasts the power.
    for path in [&written.data_path, &written.index_path].into_iter().flatten() {
        if let Ok(file) = std::fs::File::open(path) {
            let _ = crate::files::sync(&file);
        }
    }
    if let Some(keep) = written.keep_path {
        let _ = std::fs::remove_file(keep);
    }
    Ok(())
}

/// Knows no object: what a pack builds upon was put into it when it came.
struct Nobody;

impl gix::objs::Find for Nobody {
    fn try_find<'a>(&self, _: &gix::oid, _: &'a mut Vec<u8>) -> gix::Result<Option<gix::objs::Data<'a>>> {
        Ok(None)
    }
}

/// A pack that is being saved: one that killed the process that tried is not tried again.
const SALVAGED: &str = "salvaged-";

/// Keeps what is whole of a pack that a killed process was writing; it goes afterwards in any case.
pub(super) fn salvage(file: &Path, packs: &Path) -> std::io::Result<()> {
    const HEADER: usize = 12;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.starts_with(SALVAGED) {
        return std::fs::remove_file(file);
    }
    let saved = packs.join(format!("{SALVAGED}{name}"));
    std::fs::rename(file, &saved)?;
    let file = saved.as_path();
    crate::wire::handle(std::fs::metadata(file)?.len());
    let mut header = [0; HEADER];
    let open = || -> std::io::Result<BufReader<std::fs::File>> {
        let mut file = std::fs::File::open(file)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(HEADER as u64))?;
        Ok(BufReader::with_capacity(64 << 10, file))
    };
    let begins = std::fs::File::open(file)?.read_exact(&mut header).is_ok() && header.starts_with(b"PACK");
    if begins {
        // The count is written at the end: it is counted now.
        let counted = |count: u32| {
            let mut header = header;
            header[8..].copy_from_slice(&count.to_be_bytes());
            header
        };
        let all = counted(u32::MAX);
        let entries = gix::odb::pack::data::input::BytesToEntriesIter::new_from_header(
            all.chain(open()?),
            Mode::Restore,
            gix::odb::pack::data::input::EntryDataMode::Ignore,
            gix::hash::Kind::Sha1,
        );
        let count = entries.map_or(0, |entries| entries.take_while(Result::is_ok).count());
        if let Some(count) = u32::try_from(count).ok().filter(|count| *count > 0) {
            let header = counted(count);
            // Whatever is wrong with it: it was not finished, and comes again.
            let _ = index(&mut header.chain(open()?), packs, Some(Nobody));
        }
    }
    std::fs::remove_file(file)
}
