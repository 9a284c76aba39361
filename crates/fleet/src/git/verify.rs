//! Whether a commit, or the tag by which it was found, is signed by somebody who is trusted.

use gix::ObjectId;
use serde::{Deserialize, Serialize};

use super::signed::{self, Signed};
use super::{Error, chain, history};
use crate::signature::{self, Form, Signer};
use crate::source::Fetch;

/// What must be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verify {
    pub commit: bool,
    pub tag: Tag,
    /// Ids of keys that count, in Argo CD's words; empty: all that are trusted.
    pub only: Vec<String>,
    /// All commits before it too, up to the first or to a seal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
}

/// What is asked of the tag by which a commit was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tag {
    #[default]
    No,
    /// There must be one, and it must be signed.
    Must,
    /// One that is there must be signed, and then stands for its commit.
    Instead,
}

/// What was not signed as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unsigned {
    Commit,
    Tag,
    /// A tag was asked for, and the source names none.
    NoTag,
    /// The tag bears no signature.
    PlainTag,
}

impl Verify {
    pub fn asks(&self) -> bool {
        self.commit || self.tag != Tag::No
    }
}

/// Verifies; gives what was found good, as `commit 'ID' with key 'KEY'`.
pub(super) fn all(
    repo: &gix::Repository,
    commit: ObjectId,
    tag: Option<ObjectId>,
    name: &str,
    request: &Fetch,
) -> Result<Vec<String>, Error> {
    let rules = &request.verify;
    let raw = |id: ObjectId| {
        repo.find_object(id).map(|found| found.data.clone()).map_err(|error| Error::Object {
            url: request.url.clone(),
            id: id.to_string(),
            text: chain(&error),
        })
    };
    let mut good = Vec::new();
    let name = name.strip_prefix("refs/tags/").unwrap_or(name);
    let unsigned = |what: Unsigned, text: String| Error::Unsigned { what, text };
    match (rules.tag, tag) {
        (Tag::Must, None) if !is_tag(repo, request, name) => {
            let text = "cannot verify tag object's signature if a tag reference is not specified";
            return Err(unsigned(Unsigned::NoTag, text.into()));
        }
        (Tag::Must, None) => {
            let text = format!("cannot verify signature of tag '{name}' since it is not signed");
            return Err(unsigned(Unsigned::PlainTag, text));
        }
        (Tag::Must | Tag::Instead, Some(id)) => {
            let shown = format!("{name}@{id}");
            let signed = signed::tag(&raw(id)?);
            if rules.tag == Tag::Must && signed.signature.is_empty() {
                let text = format!("cannot verify signature of tag '{shown}' since it is not signed");
                return Err(unsigned(Unsigned::PlainTag, text));
            }
            let signer = one("Git tag", &signed, request).map_err(|why| {
                unsigned(Unsigned::Tag, told(&why, &format!("tag '{shown}'"), name, rules, &signed))
            })?;
            good.push(format!("tag '{shown}' with key '{}'", signer.key));
        }
        _ => {}
    }
    if rules.commit && rules.history {
        let count = history::check(commit, request, &Judged(request))?;
        good.push(format!("{count} commits up to '{commit}'"));
    } else if rules.commit && (rules.tag != Tag::Instead || tag.is_none()) {
        let data = raw(commit)?;
        let signed = signed::commit(&data);
        let signer = one("Git commit", &signed, request).map_err(|why| {
            let shown = format!("commit '{commit}'");
            unsigned(Unsigned::Commit, told(&why, &shown, &commit.to_string(), rules, &signed))
        })?;
        good.push(format!("commit '{commit}' with key '{}'", signer.key));
    }
    Ok(good)
}

/// Whether the source was found by a tag, which bears no object of its own then.
fn is_tag(repo: &gix::Repository, request: &Fetch, name: &str) -> bool {
    let asked = &request.revision;
    let local = || repo.try_find_reference(&format!("refs/tags/{name}")).is_ok_and(|found| found.is_some());
    asked.starts_with("refs/tags/") || asked.starts_with(super::semver::PREFIX) || local()
}

/// By the keys and rules of a look.
struct Judged<'a>(&'a Fetch);

impl history::Judge for Judged<'_> {
    fn is_good(&self, signed: &Signed) -> bool {
        matches!(one("Git commit", signed, self.0), Ok(_) | Err(Why::Other(_)))
    }
    fn check(&self, id: ObjectId, signed: &Signed) -> Result<(), Error> {
        one("Git commit", signed, self.0).map(drop).map_err(|why| {
            let shown = format!("commit '{id}'");
            let text = told(&why, &shown, &id.to_string(), &self.0.verify, signed);
            Error::Unsigned { what: Unsigned::Commit, text }
        })
    }
}

enum Why {
    Signature(String),
    /// It is good, and its key is not among those that count.
    Other(Signer),
}

fn one(what: &str, signed: &Signed, request: &Fetch) -> Result<Signer, Why> {
    // As certificates are judged: a clock that is decades off makes no key expire.
    let now = match crate::wire::trusted_time() {
        0 => u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default(),
        seconds => seconds,
    };
    let signer = signature::verify(what, &signed.payload, &signed.signature, &request.keys, now);
    let signer = signer.map_err(Why::Signature)?;
    let only = &request.verify.only;
    let counts = |id: &String| only.iter().any(|own| own.to_ascii_uppercase().ends_with(id.as_str()));
    if only.is_empty() || signer.ids.iter().any(counts) { Ok(signer) } else { Err(Why::Other(signer)) }
}

/// In Flux' words; in Argo CD's where keys are named one by one.
fn told(why: &Why, shown: &str, revision: &str, rules: &Verify, signed: &Signed) -> String {
    let by = |result: &str, key: &str| {
        format!("GIT/GPG: Failed verifying revision {revision}: {result} (key_id={key})")
    };
    match why {
        Why::Other(signer) => by("signed with unallowed key", signer.ids.last().unwrap_or(&signer.key)),
        Why::Signature(_) if !rules.only.is_empty() && Form::of(&signed.signature) == Form::Empty => {
            by("unsigned", "")
        }
        Why::Signature(text) if !rules.only.is_empty() => by(text, ""),
        Why::Signature(text) => format!("signature verification of {shown} failed: {text}"),
    }
}
