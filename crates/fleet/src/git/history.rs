//! Signatures of a whole history: Argo CD's mode `strict`. Each commit must be signed up to the first ones, or to a "seal": a commit with
//! a good signature whose message says `Argocd-gpg-seal:` stands for all that came before it.
//!
//! What is deployed is fetched without its history; for this, the commits alone are fetched into a clone of their own, and each look
//! that finds news adds to it. A server that cannot leave out trees and files sends them too.

use std::collections::{HashMap, HashSet};

use gix::ObjectId;

use super::receive::{Ask, Server};
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
    let mut server = Server::connect(request, url)?;
    let ask = Ask { wants: &[commit], have, tip: false, commits: true };
    if let Some(text) = server.receive(&repo, &ask)?.broken {
        return Err(text);
    }
    let repo = open(&home).map_err(|error| error.to_string())?;
    resume::set_tip(&repo, commit)?;
    Ok(repo)
}
