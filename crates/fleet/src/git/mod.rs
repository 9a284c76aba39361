//! Git without git (D14): a tip is fetched shallow over https or ssh into a bare repository of ours; a local repository
//! is read where it is, as an object database. Runs in the child only, blocking.

mod clone;
mod history;
mod https;
mod lines;
pub mod modules;
mod packs;
mod poll;
mod proxy;
mod receive;
mod resume;
mod room;
pub(crate) mod semver;
pub mod signed;
mod ssh;
mod tree;
mod url;
pub mod verify;

use std::path::Path;
use std::sync::Arc;

use gix::ObjectId;

pub use poll::Polls;
pub use tree::CommitTree;
pub use url::{Url, parse as parse_url};

use crate::source::Fetch;
use receive::Server;
use resume::Failure;
use room::Room;

/// Why a source cannot be had. Texts name the repository and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{url}: {text}")]
    Url { url: String, text: String },
    #[error("cannot open the repository {path}: {text}")]
    Open { path: String, text: String },
    #[error("cannot fetch {url}: {text}")]
    Fetch { url: String, text: String },
    /// A live server's answer.
    #[error(
        "unable to resolve '{revision}' to a commit SHA in {url}; branches, tags, full ref names, whole commit ids, ranges of versions and HEAD can be used"
    )]
    Revision { url: String, revision: String },
    /// It is there, and there is no room for it.
    #[error("cannot fetch {url}: {text}")]
    TooLarge { url: String, text: String },
    /// A live server's answer, too.
    #[error(
        "the history of {url} was rewritten: {new} does not come after {old}, and {} asks to go forward only; if it is meant, take the annotation away until {new} is here",
        crate::wish::HISTORY
    )]
    Rewritten { url: String, old: String, new: String },
    #[error("{text}")]
    Unsigned { what: verify::Unsigned, text: String },
    #[error("the repository of {url} is damaged at {id}: {text}")]
    Object { url: String, id: String, text: String },
}

/// A commit that is there.
pub struct Commit {
    pub revision: String,
    /// The branch, tag or other name by which it was found; empty for a commit that was asked for by its id.
    pub name: String,
    pub author: String,
    pub date: String,
    pub message: String,
    /// Taken once.
    pub tree: Option<CommitTree>,
    /// Trees of submodules, by their paths.
    pub modules: Vec<(String, CommitTree)>,
    /// Signatures that were found good, and whose.
    pub signatures: Vec<String>,
}

/// What a look at a source gave.
pub enum Outcome {
    /// It is still the commit that the caller knows.
    Unchanged(String),
    Commit(Box<Commit>),
}

/// Packs that pile up before they become fewer: each fetch adds one.
const PACKS: usize = 16;
/// Where the fetched tip is kept.
const TIP: &str = "refs/skiff/tip";

/// Looks at the source and fetches what is new.
pub fn obtain(request: &Fetch) -> Result<Outcome, Error> {
    let address = &request.url;
    match parse_url(address)? {
        Url::Local(path) => {
            let repo = open(&path)?;
            let none = || Error::Revision { url: address.clone(), revision: shown_revision(request).into() };
            let name = match request.revision.strip_prefix(semver::PREFIX) {
                Some(range) => {
                    let tags =
                        local_tags(&repo).map_err(|text| Error::Open { path: address.clone(), text })?;
                    semver::highest(range, tags.iter().map(String::as_str)).ok_or_else(none)?.to_string()
                }
                None => request.revision.clone(),
            };
            let damaged = |text| Error::Object { url: address.clone(), id: name.clone(), text };
            let found = local_revision(&repo, &name).map_err(damaged)?.ok_or_else(none)?;
            if let Some(old) = comes_after(request, found.commit) {
                let follows = history::follows(&repo, found.commit, old);
                let damaged = |text| Error::Object { url: address.clone(), id: name.clone(), text };
                forward(request, found.commit, old, follows.map_err(damaged)?)?;
            }
            finish(repo, &found, &name, request)
        }
        remote => fetch(request, &remote),
    }
}

fn shown_revision(request: &Fetch) -> &str {
    if request.revision.is_empty() { "HEAD" } else { &request.revision }
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn open(path: &Path) -> Result<gix::Repository, Error> {
    // Isolated: neither the user's nor the system's configuration, no environment, nothing that runs programs.
    gix::open_opts(path, gix::open::Options::isolated().with(gix::sec::Trust::Full))
        .map_err(|error| Error::Open { path: path.display().to_string(), text: chain(&error) })
}

/// The clone at a place, which is made if it is missing.
fn made(home: &Path) -> Result<gix::Repository, String> {
    if home.exists() {
        return open(home).map_err(|error| error.to_string());
    }
    std::fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
    let created = gix::ThreadSafeRepository::init_opts(
        home,
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        gix::open::Options::isolated(),
    );
    Ok(created.map_err(|error| chain(&error))?.to_thread_local())
}

/// gix' errors and their causes on one line, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

fn local_tags(repo: &gix::Repository) -> Result<Vec<String>, String> {
    let references = repo.references().map_err(|error| chain(&error))?;
    let tags = references.tags().map_err(|error| chain(&error))?;
    Ok(tags.flatten().map(|tag| tag.name().shorten().to_string()).collect())
}

/// A commit, and the tag object that led to it.
struct Found {
    commit: ObjectId,
    tag: Option<ObjectId>,
}

impl Found {
    fn commit(commit: ObjectId) -> Found {
        Found { commit, tag: None }
    }
}

/// The full names that a revision may mean, the first that there is counts. Argo CD's order: a branch, then a tag.
fn names_of(revision: &str) -> Vec<String> {
    match revision {
        "" | "HEAD" => vec!["HEAD".to_string()],
        name if name.starts_with("refs/") => vec![name.to_string()],
        name => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
    }
}

/// A name, or else a commit; `None`: there is none. What is there and cannot be read is an error, and no absence.
fn local_revision(repo: &gix::Repository, revision: &str) -> Result<Option<Found>, String> {
    for name in names_of(revision) {
        let Some(mut found) = repo.try_find_reference(name.as_str()).ok().flatten() else { continue };
        let direct = found.try_id().map(gix::Id::detach);
        return match found.peel_to_id().map(gix::Id::detach) {
            Ok(commit) => Ok(Some(Found { commit, tag: direct.filter(|id| *id != commit) })),
            // A repository without a commit.
            Err(_) if repo.head().is_ok_and(|head| head.is_unborn()) => Ok(None),
            Err(error) => Err(chain(&error)),
        };
    }
    let Ok(id) = ObjectId::from_hex(revision.as_bytes()) else { return Ok(None) };
    match repo.try_find_object(id) {
        Ok(found) => {
            Ok(found.and_then(|object| object.try_into_commit().ok()).map(|commit| Found::commit(commit.id)))
        }
        Err(error) => Err(chain(&error)),
    }
}

fn finish(repo: gix::Repository, found: &Found, name: &str, request: &Fetch) -> Result<Outcome, Error> {
    let id = found.commit;
    let revision = id.to_string();
    let damaged = |text: String| Error::Object { url: request.url.clone(), id: revision.clone(), text };
    if request.known.as_deref() == Some(&revision) {
        return Ok(Outcome::Unchanged(revision));
    }
    let commit = repo.find_commit(id).map_err(|error| damaged(chain(&error)))?;
    let author = commit.author().map_err(|error| damaged(chain(&error)))?;
    let message = commit.message_raw_sloppy().to_string();
    let (author, email, date) = (author.name.to_string(), author.email.to_string(), author.time.to_string());
    let tree = commit.tree_id().map_err(|error| damaged(chain(&error)))?.detach();
    drop(commit);
    let signatures = match request.verify.asks() {
        true => verify::all(&repo, id, found.tag, name, request)?,
        false => Vec::new(),
    };
    let seconds: i64 = date.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    let date = jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default();
    let tree = CommitTree::new(repo, tree);
    let modules = if request.submodules { modules::obtain(&tree, request)? } else { Vec::new() };
    Ok(Outcome::Commit(Box::new(Commit {
        revision: revision.clone(),
        name: if is_commit(name) { String::new() } else { name.into() },
        author: format!("{author} <{email}>"),
        date,
        message: message.lines().next().unwrap_or_default().chars().take(200).collect(),
        tree: Some(tree),
        modules,
        signatures,
    })))
}

fn fetch(request: &Fetch, url: &Url) -> Result<Outcome, Error> {
    let fault = |text: String| Error::Fetch { url: request.url.clone(), text };
    let home = &request.repository;
    let _claim = clone::claim(home).map_err(|error| fault(format!("{}: {error}", home.display())))?;
    if home.exists() && open(home).is_err() {
        std::fs::remove_dir_all(home).map_err(|error| fault(format!("{}: {error}", home.display())))?;
    }
    let repo = made(home).map_err(fault)?;
    let received = receive(repo, home, request, url)?;
    crate::cut::child("child.fetched");
    let Some((found, name)) = received else {
        return Ok(Outcome::Unchanged(request.known.clone().unwrap_or_default()));
    };
    if packs::count(home) > PACKS {
        // It only takes more room if that fails.
        let _ = packs::merge(home);
    }
    let mut unknown = request.clone();
    unknown.known = None;
    let finished = finish(open(home)?, &found, &name, &unknown);
    if matches!(finished, Err(Error::Object { .. })) {
        // Its objects were lost with the power, say: the next look begins anew.
        let _ = std::fs::remove_dir_all(home);
    }
    finished
}

/// Fetches the tip with depth one; gives the commit and its name. `None`: it is the known one, and nothing was sent.
fn receive(
    repo: gix::Repository,
    place: &Path,
    request: &Fetch,
    url: &Url,
) -> Result<Option<(Found, String)>, Error> {
    let fault = |text: String| Error::Fetch { url: request.url.clone(), text };
    let none = || Error::Revision { url: request.url.clone(), revision: shown_revision(request).into() };
    let large = |text: String| Error::TooLarge { url: request.url.clone(), text };
    let known = |found: &Found| request.known.as_deref() == Some(found.commit.to_string().as_str());
    let mut revision = shown_revision(request).to_string();
    let mut found = None;
    if is_commit(&revision) {
        let id = ObjectId::from_hex(revision.as_bytes()).map_err(|error| fault(error.to_string()))?;
        if request.known.as_deref() == Some(revision.as_str()) {
            return Ok(None);
        }
        if repo.find_commit(id).is_ok() && resume::is_whole(place, id) {
            return Ok(Some((Found::commit(id), revision)));
        }
        found = Some(Found::commit(id));
    }
    let mut server = Server::connect(request, url).map_err(fault)?;
    if found.is_none() {
        let names = server.names(&specs(&revision)).map_err(fault)?;
        if let Some(range) = revision.strip_prefix(semver::PREFIX) {
            let tags = names.remote_refs.iter().filter_map(|one| {
                let (name, _, _) = one.unpack();
                std::str::from_utf8(name).ok()?.strip_prefix("refs/tags/")
            });
            let tag = semver::highest(range, tags).ok_or_else(none)?;
            revision = format!("refs/tags/{tag}");
        }
        found = remote_revision(&names, &revision);
    }
    let found = found.ok_or_else(none)?;
    if known(&found) {
        return Ok(None);
    }
    let goal = found.tag.unwrap_or(found.commit);
    if let Some(text) = room::refusal(place, request.most, goal) {
        return Err(large(text));
    }
    if let Some(old) = comes_after(request, found.commit) {
        let follows = history::follows_there(&mut server, place, request, url, found.commit, old);
        forward(request, found.commit, old, follows.map_err(fault)?)?;
        if !server.gives_by_id() {
            server = Server::connect(request, url).map_err(fault)?;
        }
    }
    let first = resume::tip(&repo).is_none();
    let there = packs::all(place);
    drop(repo);
    let room = Room::new(place, request.most, if first { packs::weight(place) } else { 0 });
    resume::fetch(server, place, request, url, goal, &room).map_err(|failure| match failure {
        // A server that does not have a commit says so instead of sending it.
        Failure::Refused(_) if is_commit(&revision) => none(),
        Failure::TooLarge(text) => {
            room.write_down(goal);
            // Half of it is of no use to anybody.
            if first {
                let _ = std::fs::remove_dir_all(place);
            } else {
                packs::forget(place, &there);
            }
            large(text)
        }
        Failure::Refused(text) | Failure::Broken(text) => fault(text),
    })?;
    Ok(Some((found, revision.strip_prefix("refs/tags/").unwrap_or(&revision).to_string())))
}

/// The commit that the new one must come after, where it is another one.
fn comes_after(request: &Fetch, new: ObjectId) -> Option<ObjectId> {
    let old = ObjectId::from_hex(request.after.as_deref()?.as_bytes()).ok()?;
    (old != new).then_some(old)
}

fn forward(request: &Fetch, new: ObjectId, old: ObjectId, follows: bool) -> Result<(), Error> {
    if follows {
        return Ok(());
    }
    Err(Error::Rewritten { url: request.url.clone(), old: old.to_string(), new: new.to_string() })
}

/// What of the server's names a revision needs.
fn specs(revision: &str) -> Vec<String> {
    match revision {
        range if range.starts_with(semver::PREFIX) => vec!["+refs/tags/*:refs/skiff/tags/*".into()],
        "HEAD" => vec![format!("+HEAD:{TIP}")],
        name if name.starts_with("refs/") => vec![format!("+{name}:{TIP}")],
        name => vec![format!("+refs/heads/{name}:{TIP}"), format!("+refs/tags/{name}:refs/skiff/tag")],
    }
}

type Transport = Box<dyn gix_transport::client::blocking_io::Transport>;

fn connect(request: &Fetch, url: &Url) -> Result<Transport, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let runtime = Arc::new(runtime);
    Ok(match url {
        Url::Http(address) => Box::new(https::transport(address, &request.credentials, runtime)?),
        Url::Ssh { user, host, port, path } => {
            let target = ssh::Target { user, host, port: *port, path };
            Box::new(ssh::transport(target, &request.credentials, &request.repository, runtime)?)
        }
        Url::Local(_) => return Err("a local repository is not fetched".into()),
    })
}

fn remote_revision(map: &gix::protocol::fetch::RefMap, revision: &str) -> Option<Found> {
    names_of(revision).iter().find_map(|wanted| {
        map.remote_refs.iter().find_map(|one| {
            let (name, id, peeled) = one.unpack();
            // For an annotated tag the first id is the tag's, the second the commit's.
            let commit = peeled.or(id)?;
            let tag = peeled.and(id).map(ToOwned::to_owned);
            (name == wanted.as_str()).then(|| Found { commit: commit.to_owned(), tag })
        })
    })
}
