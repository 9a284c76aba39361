//! What asks for more of a history than its tip: whether one commit comes after another, and signatures of all of it,
//! which is Argo CD's mode `strict`. Each commit must be signed up to the first ones, or to a "seal": a commit with
//! a good signature whose message says `Argocd-gpg-seal:` stands for all that came before it.
//!
//! What is deployed is fetched without its history; for signatures, the commits alone are fetched into a clone of their own, and each look
//! that finds news adds to it, over as many connections as it takes. A server that cannot leave out trees and files sends them too.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use gix::ObjectId;

use super::receive::{Ask, Server};
use super::room::Room;
use super::signed::{self, Signed};
use super::url::Url;
use super::{Error, chain, open, parse_url, resume};
use crate::source::Fetch;

/// The trailer, in small letters.
const SEAL: &str = "argocd-gpg-seal:";
/// Commits of a history.
const MOST: usize = 1_000_000;

/// What each commit must pass: whether it is good, or what is wrong.
pub(super) trait Judge {
    /// The signature is good, whosever it is.
    fn is_good(&self, signed: &Signed) -> bool;
    fn check(&self, id: ObjectId, signed: &Signed) -> Result<(), Error>;
}

struct Known {
    parents: Vec<ObjectId>,
    seal: bool,
}

/// Checks a commit and all before it, but for what a seal stands for.
pub(super) fn check(commit: ObjectId, request: &Fetch, judge: &impl Judge) -> Result<usize, Error> {
    let fault = |text: String| Error::Fetch { url: request.url.clone(), text };
    let repo = match parse_url(&request.url)? {
        Url::Local(path) => open(&path)?,
        remote => fetched(commit, request, &remote).map_err(|text| fault(format!("its history: {text}")))?,
    };
    let signed_of = |id: ObjectId| -> Result<Signed, Error> {
        let found = repo
            .find_object(id)
            .map_err(|error| fault(format!("its history ends at {id}: {}", chain(&error))))?;
        Ok(signed::commit(&found.data))
    };
    // All of it first: a seal stands for what is before it, whatever way leads there.
    let mut all: HashMap<ObjectId, Known> = HashMap::new();
    let mut next = vec![commit];
    while let Some(id) = next.pop() {
        if all.contains_key(&id) {
            continue;
        }
        if all.len() == MOST {
            return Err(fault(format!("its history has more than {MOST} commits")));
        }
        let signed = signed_of(id)?;
        let text = String::from_utf8_lossy(&signed.payload);
        let (head, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let parents: Vec<ObjectId> = head
            .lines()
            .filter_map(|line| ObjectId::from_hex(line.strip_prefix("parent ")?.as_bytes()).ok())
            .collect();
        let seal = message.to_ascii_lowercase().contains(SEAL) && judge.is_good(&signed);
        next.extend(&parents);
        all.insert(id, Known { parents, seal });
    }
    let mut sealed: HashSet<ObjectId> = HashSet::new();
    let mut next: Vec<ObjectId> =
        all.values().filter(|known| known.seal).flat_map(|known| known.parents.iter().copied()).collect();
    while let Some(id) = next.pop() {
        if sealed.insert(id)
            && let Some(known) = all.get(&id)
        {
            next.extend(&known.parents);
        }
    }
    let mut checked = 0;
    // The newest first, so that what is told is what was done last.
    let mut seen = HashSet::new();
    let mut next = std::collections::VecDeque::from([commit]);
    while let Some(id) = next.pop_front() {
        if sealed.contains(&id) || !seen.insert(id) {
            continue;
        }
        judge.check(id, &signed_of(id)?)?;
        checked += 1;
        if let Some(known) = all.get(&id).filter(|known| !known.seal) {
            next.extend(&known.parents);
        }
    }
    Ok(checked)
}

/// Whether a commit has another one among those before it. What is not there is behind the other one, or behind a fork before it.
pub(super) fn follows(repo: &gix::Repository, new: ObjectId, old: ObjectId) -> Result<bool, String> {
    let mut seen = HashSet::new();
    let mut next = vec![new];
    while let Some(id) = next.pop() {
        if id == old {
            return Ok(true);
        }
        if !seen.insert(id) || !repo.has_object(id) {
            continue;
        }
        if seen.len() > MOST {
            return Err(format!("its history has more than {MOST} commits"));
        }
        let commit = repo.find_commit(id).map_err(|error| chain(&error))?;
        next.extend(commit.parent_ids().map(gix::Id::detach));
    }
    Ok(false)
}

/// The same of a server's history, of which only the commits between the two are fetched, to be thrown away.
pub(super) fn follows_there(
    server: &mut Server,
    place: &Path,
    request: &Fetch,
    url: &Url,
    new: ObjectId,
    old: ObjectId,
) -> Result<bool, String> {
    let home = place.with_extension("between");
    let fault = |error: std::io::Error| format!("{}: {error}", home.display());
    let fetched = |server: &mut Server, have: Option<ObjectId>| -> Result<bool, String> {
        if home.exists() {
            std::fs::remove_dir_all(&home).map_err(fault)?;
        }
        let repo = super::made(&home)?;
        // A server that cannot leave out files may build upon those of the old commit.
        let objects = place.join("objects");
        let objects = std::path::absolute(&objects).map_err(fault)?;
        std::fs::create_dir_all(home.join("objects/info")).map_err(fault)?;
        std::fs::write(home.join("objects/info/alternates"), format!("{}\n", objects.display()))
            .map_err(fault)?;
        let room = Room::new(&home, request.most, 0);
        let ask = Ask { wants: &[new], have, tip: false, commits: true, room: &room };
        if let Some(text) = server.receive(&repo, &ask)?.broken {
            return Err(text);
        }
        follows(&open(&home).map_err(|error| error.to_string())?, new, old)
    };
    let told = |text: String| format!("whether its history was rewritten cannot be found out: {text}");
    let have = open(place).is_ok_and(|repo| repo.has_object(old)).then_some(old);
    let mut found = fetched(server, have);
    if found.is_err() && have.is_some() {
        // It may have built upon what only a whole clone has.
        *server = Server::connect(request, url).map_err(told)?;
        found = fetched(server, None);
    }
    let _ = std::fs::remove_dir_all(&home);
    found.map_err(told)
}

/// The clone of commits, with this one in it.
fn fetched(commit: ObjectId, request: &Fetch, url: &Url) -> Result<gix::Repository, String> {
    let home = request.repository.with_extension("history");
    if home.exists() && open(&home).is_err() {
        std::fs::remove_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    }
    let repo = super::made(&home)?;
    let have = resume::tip(&repo);
    if have == Some(commit) {
        return Ok(repo);
    }
    let room = Room::new(&home, request.most, 0);
    let mut server = None;
    let mut before = None;
    loop {
        let repo = open(&home).map_err(|error| error.to_string())?;
        let Walked { missing, present } = walk(&repo, commit)?;
        if missing.is_empty() {
            resume::set_tip(&repo, commit)?;
            return Ok(repo);
        }
        if before.is_some_and(|before| present <= before) {
            return Err(format!(
                "the server does not send what it was asked for; {present} commits of it are here"
            ));
        }
        let mut asked = match server.take() {
            Some(server) => server,
            None => Server::connect(request, url)?,
        };
        // The newest come first: what a link that broke brought is the upper part, and its lower end is asked for.
        let wants = &missing[..missing.len().min(resume::MOST)];
        let ask = Ask { wants, have, tip: false, commits: true, room: &room };
        let broken = asked.receive(&repo, &ask)?.broken;
        if let Some(text) = room.refused() {
            return Err(text);
        }
        match broken {
            // A server that does not give by ids was asked for all, and says nothing more on this connection.
            None => server = asked.gives_by_id().then_some(asked),
            Some(text) => {
                let now = walk(&open(&home).map_err(|error| error.to_string())?, commit)?.present;
                if now <= present {
                    return Err(format!(
                        "{text}; {now} commits of it are here, and only the others are asked for again"
                    ));
                }
                tracing::debug!(%text, commits = now, "the link broke, and is tried again");
                std::thread::sleep(resume::PAUSE);
            }
        }
        before = Some(present);
    }
}

/// What is there of a history, and the commits at which it ends too early.
struct Walked {
    missing: Vec<ObjectId>,
    present: usize,
}

fn walk(repo: &gix::Repository, commit: ObjectId) -> Result<Walked, String> {
    let mut seen = HashSet::from([commit]);
    let mut next = vec![commit];
    let mut missing = Vec::new();
    while let Some(id) = next.pop() {
        if seen.len() > MOST {
            return Err(format!("it has more than {MOST} commits"));
        }
        if !repo.has_object(id) {
            missing.push(id);
            continue;
        }
        let found = repo.find_commit(id).map_err(|error| chain(&error))?;
        next.extend(found.parent_ids().map(gix::Id::detach).filter(|id| seen.insert(*id)));
    }
    Ok(Walked { present: seen.len() - missing.len(), missing })
}
