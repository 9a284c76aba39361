//! Fetches everything of a commit, over as many conversations as it takes: what came is kept, and the rest is asked for by its ids.
//!
//! A goal that was begun is finished first when the name moved on meanwhile: the new commit costs little once the old one is there.
//! The name of the tip is set when a goal is whole, so it never stands for less.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gix::ObjectId;
use gix::objs::Kind;

use super::receive::{Ask, Received, Server};
use super::room::Room;
use super::{TIP, chain, open, url::Url};
use crate::source::Fetch;

/// Objects of one request: fewer on a link that breaks.
const LEAST: usize = 16;
const FIRST: usize = 64;
pub(super) const MOST: usize = 512;
/// Before a server is asked again whose link broke.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// What a goal that was begun is written down as.
const BEGUN: &str = "skiff-begun-";

/// Why not everything came.
pub(super) enum Failure {
    /// The server does not give this object.
    Refused(String),
    Broken(String),
    /// There is no room for it.
    TooLarge(String),
}

/// The words of git, of JGit and of go-git.
fn is_refusal(text: &str) -> bool {
    ["not our ref", "not valid", "unadvertised", "does not exist"].iter().any(|words| text.contains(words))
}

fn failure(text: String) -> Failure {
    if is_refusal(&text) { Failure::Refused(text) } else { Failure::Broken(text) }
}

/// What a walk from a commit finds.
struct Found {
    missing: Vec<ObjectId>,
    /// How many objects are there.
    present: usize,
}

/// Walks the tree of a commit, or of a tag of one.
fn walk(repo: &gix::Repository, goal: ObjectId) -> Result<Found, String> {
    let mut all = HashSet::new();
    let mut missing = Vec::new();
    collect(repo, goal, &mut all, &mut missing)?;
    Ok(Found { missing, present: all.len() })
}

/// All objects of these that are there.
pub(super) fn reachable(repo: &gix::Repository, roots: &[ObjectId]) -> Result<HashSet<ObjectId>, String> {
    let mut all = HashSet::new();
    for root in roots {
        collect(repo, *root, &mut all, &mut Vec::new())?;
    }
    Ok(all)
}

fn collect(
    repo: &gix::Repository,
    root: ObjectId,
    all: &mut HashSet<ObjectId>,
    missing: &mut Vec<ObjectId>,
) -> Result<(), String> {
    let mut absent = HashSet::new();
    let mut next = vec![(root, None)];
    while let Some((id, kind)) = next.pop() {
        if all.contains(&id) || absent.contains(&id) {
            continue;
        }
        if !repo.has_object(id) {
            absent.insert(id);
            missing.push(id);
            continue;
        }
        all.insert(id);
        if kind != Some(Kind::Blob) {
            below(repo, id, &mut next).map_err(|error| chain(&error))?;
        }
    }
    Ok(())
}

/// What an object names, but for a commit's parents and submodules.
fn below(repo: &gix::Repository, id: ObjectId, next: &mut Vec<(ObjectId, Option<Kind>)>) -> gix::Result<()> {
    let object = repo.find_object(id)?;
    match object.kind {
        Kind::Blob => {}
        Kind::Tag => next.push((object.into_tag().target_id()?.detach(), None)),
        Kind::Commit => next.push((object.into_commit().tree_id()?.detach(), Some(Kind::Tree))),
        Kind::Tree => {
            for entry in object.into_tree().iter() {
                let entry = entry?;
                let mode = entry.mode();
                if !mode.is_commit() {
                    let kind = if mode.is_tree() { Kind::Tree } else { Kind::Blob };
                    next.push((entry.object_id(), Some(kind)));
                }
            }
        }
    }
    Ok(())
}

/// The clone as it is now; what is missing is not looked for twice.
fn reopened(place: &Path) -> Result<gix::Repository, String> {
    let mut repo = open(place).map_err(|error| error.to_string())?;
    repo.objects.refresh_never();
    Ok(repo)
}

/// Whether nothing of a commit is missing.
pub(super) fn is_whole(place: &Path, commit: ObjectId) -> bool {
    let walked = reopened(place).and_then(|repo| walk(&repo, commit));
    walked.is_ok_and(|found| found.missing.is_empty())
}

pub(super) fn tip(repo: &gix::Repository) -> Option<ObjectId> {
    Some(repo.try_find_reference(TIP).ok()??.try_id()?.detach())
}

pub(super) fn set_tip(repo: &gix::Repository, goal: ObjectId) -> Result<(), String> {
    repo.reference(TIP, goal, gix::refs::transaction::PreviousValue::Any, "fetch")
        .map(|_| ())
        .map_err(|error| chain(&error))
}

/// Where it is written down what a look at this revision began.
fn note(place: &Path, revision: &str) -> PathBuf {
    place.join(format!("{BEGUN}{}", crate::hash::short(revision.as_bytes())))
}

/// The commits whose objects are kept: the tip, and what was begun.
pub(super) fn roots(place: &Path) -> Vec<ObjectId> {
    let mut roots: Vec<ObjectId> = open(place).ok().and_then(|repo| tip(&repo)).into_iter().collect();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(BEGUN) {
            roots.extend(read_note(&entry.path()));
        }
    }
    roots
}

fn read_note(path: &Path) -> Option<ObjectId> {
    ObjectId::from_hex(std::fs::read_to_string(path).ok()?.trim().as_bytes()).ok()
}

/// Fetches all of a commit, or of the tag that led to it.
pub(super) fn fetch(
    server: Server,
    place: &Path,
    request: &Fetch,
    url: &Url,
    goal: ObjectId,
    room: &Room<'_>,
) -> Result<(), Failure> {
    let note = note(place, &request.revision);
    let mut server = Some(server);
    if let Some(begun) = read_note(&note).filter(|begun| *begun != goal) {
        match complete(&mut server, place, request, url, begun, room) {
            // The history was rewritten, and the old commit is gone.
            Err(Failure::Refused(_)) | Ok(()) => {}
            Err(broken) => return Err(broken),
        }
    }
    let io = |error: std::io::Error| Failure::Broken(format!("{}: {error}", note.display()));
    std::fs::write(&note, goal.to_string()).map_err(io)?;
    let done = complete(&mut server, place, request, url, goal, room);
    if !matches!(done, Err(Failure::Broken(_))) {
        std::fs::remove_file(&note).map_err(io)?;
    }
    done
}

fn complete(
    server: &mut Option<Server>,
    place: &Path,
    request: &Fetch,
    url: &Url,
    goal: ObjectId,
    room: &Room<'_>,
) -> Result<(), Failure> {
    let mut batch = FIRST;
    let mut present = None;
    let mut by_id = true;
    loop {
        let repo = reopened(place).map_err(Failure::Broken)?;
        let found = walk(&repo, goal).map_err(Failure::Broken)?;
        if found.missing.is_empty() {
            return set_tip(&repo, goal).map_err(Failure::Broken);
        }
        let connected = match server.take() {
            Some(server) => server,
            None => Server::connect(request, url).map_err(Failure::Broken)?,
        };
        let before = found.present;
        let stuck = present.is_some_and(|present| present >= before);
        present = Some(before);
        let asked = Asked { found: &found, goal, by_id: by_id && connected.gives_by_id(), room };
        let answered = conversation(connected, &repo, &asked, &mut batch);
        if let Some(text) = room.refused() {
            return Err(Failure::TooLarge(text));
        }
        match answered {
            Ok((still, None)) => {
                *server = still;
                if asked.whole() {
                    return set_tip(&repo, goal).map_err(Failure::Broken);
                }
                if stuck {
                    return Err(Failure::Broken("the server does not send what it was asked for".into()));
                }
            }
            Ok((_, Some(text))) => {
                let now = reopened(place).and_then(|repo| walk(&repo, goal)).map_err(Failure::Broken)?;
                if now.present <= before {
                    return Err(Failure::Broken(format!("{text}; {}", told(&now))));
                }
                tracing::debug!(%text, present = now.present, "the link broke, and is tried again");
                std::thread::sleep(PAUSE);
            }
            Err(text) => match failure(text) {
                // Not everybody gives what is no tip.
                Failure::Refused(_) if asked.by_id && !asked.whole() => by_id = false,
                Failure::Broken(text) if before > 0 => {
                    return Err(Failure::Broken(format!("{text}; {}", told(&found))));
                }
                other => return Err(other),
            },
        }
    }
}

fn told(found: &Found) -> String {
    format!("{} objects of it are here, and only the others are asked for again", found.present)
}

/// What a conversation is about.
struct Asked<'a> {
    found: &'a Found,
    goal: ObjectId,
    by_id: bool,
    room: &'a Room<'a>,
}

impl Asked<'_> {
    /// The commit with all that it names.
    fn whole(&self) -> bool {
        !self.by_id || self.found.missing == [self.goal]
    }
}

/// Asks for what is missing, a bounded number at a time; gives the server for more, and why it ended early.
fn conversation(
    mut server: Server,
    repo: &gix::Repository,
    asked: &Asked<'_>,
    batch: &mut usize,
) -> Result<(Option<Server>, Option<String>), String> {
    let have =
        tip(repo).and_then(|tip| Some(repo.find_object(tip).ok()?.peel_to_kind(Kind::Commit).ok()?.id));
    if asked.whole() {
        let ask = Ask { wants: &[asked.goal], have, tip: true, commits: false, room: asked.room };
        let Received { broken } = server.receive(repo, &ask)?;
        let again = server.gives_by_id().then_some(server);
        return Ok((again, broken));
    }
    let mut rest = asked.found.missing.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*batch));
        let ask = Ask { wants: now, have, tip: false, commits: false, room: asked.room };
        match server.receive(repo, &ask) {
            Ok(Received { broken: None }) => *batch = (*batch * 2).min(MOST),
            Ok(Received { broken: Some(text) }) => {
                *batch = (*batch / 2).max(LEAST);
                return Ok((None, Some(text)));
            }
            // Batches before this one came whole.
            Err(text) if rest.len() < asked.found.missing.len() && !is_refusal(&text) => {
                *batch = (*batch / 2).max(LEAST);
                return Ok((None, Some(text)));
            }
            Err(text) => return Err(text),
        }
        rest = later;
    }
    Ok((Some(server), None))
}
