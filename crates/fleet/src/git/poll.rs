//! The commonest question, asked without a child: is it still that commit? One `ls-refs` of git's protocol 2 in one request over
//! https, in the agent's own process, which keeps the sessions of TLS that a short-lived child cannot keep: a look that finds
//! nothing costs a resumed handshake and a few hundred bytes, and no process.
//!
//! It never says more than "unchanged". News, refusals, redirects, older protocols and whatever is odd are the child's, which
//! tells what is wrong. An answer is lines of names that are bounded and compared; nothing of it is kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use parking_lot::Mutex;
use rustls_pki_types::UnixTime;

use super::url::{Url, parse};
use super::{https, is_commit, names_of, semver};
use crate::source::{Credentials, Fetch};
use crate::wire::{Tally, Traffic};

/// For the whole of a look: a slow link is the child's to be patient with.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of an answer.
const LONGEST: usize = 64 << 10;
/// Configurations that are kept: one for all sources with the same credentials.
const KEPT: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Polls {
    kept: Mutex<HashMap<String, Arc<rustls::ClientConfig>>>,
    time: Arc<AtomicU64>,
}

/// The time that the last look was to judge by; 0: the system's.
#[derive(Debug)]
struct Judged(Arc<AtomicU64>);

impl rustls::time_provider::TimeProvider for Judged {
    fn current_time(&self) -> Option<UnixTime> {
        Some(match self.0.load(Ordering::Relaxed) {
            0 => UnixTime::now(),
            seconds => UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        })
    }
}

impl Polls {
    /// Whether all of these still are at the commits that are known; `false`: ask a child. `now`, in seconds since the epoch,
    /// is what certificates are judged by. Tells what it cost, too.
    pub async fn unchanged(&self, fetches: &[Fetch], now: u64) -> (bool, Traffic) {
        let tally = Arc::new(Tally::default());
        self.time.store(now, Ordering::Relaxed);
        let look = async {
            for fetch in fetches {
                if self.same(fetch, &tally).await != Some(true) {
                    return false;
                }
            }
            !fetches.is_empty()
        };
        let unchanged = tokio::time::timeout(PATIENCE, look).await.unwrap_or(false);
        (unchanged, tally.traffic())
    }

    /// `None`: it cannot be told here.
    async fn same(&self, fetch: &Fetch, tally: &Arc<Tally>) -> Option<bool> {
        let known = fetch.known.as_deref()?;
        let revision = if fetch.revision.is_empty() { "HEAD" } else { fetch.revision.as_str() };
        if is_commit(revision) {
            return Some(revision == known);
        }
        if revision.starts_with(semver::PREFIX) {
            return None;
        }
        let Ok(Url::Http(address)) = parse(&fetch.url) else { return None };
        if !address.starts_with("https://") {
            return None;
        }
        let names = names_of(revision);
        let answer = self.ask(&address, &fetch.credentials, &names, tally).await?;
        Some(commit_in(&answer, &names)? == known)
    }

    async fn ask(
        &self,
        address: &str,
        credentials: &Credentials,
        names: &[String],
        tally: &Arc<Tally>,
    ) -> Option<Bytes> {
        let uri: Uri = format!("{address}/git-upload-pack").parse().ok()?;
        let (host, port) = (uri.host()?, uri.port_u16().unwrap_or(443));
        let proxy = (!credentials.proxy.is_empty()).then_some(credentials.proxy.as_str());
        let tls = self.configuration(credentials)?;
        let mut sender = https::connect(tls, host, port, true, proxy, Some(tally.clone())).await.ok()?;
        let mut request = Request::post(uri.path())
            .header("host", uri.authority()?.as_str())
            .header("content-type", "application/x-git-upload-pack-request")
            .header("accept", "application/x-git-upload-pack-result")
            .header("git-protocol", "version=2");
        if let Some(authorization) = https::authorization(credentials) {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Full::new(question(names))).ok()?;
        let response = sender.send_request(request).await.ok()?;
        if response.status() != 200 {
            return None;
        }
        Limited::new(response.into_body(), LONGEST).collect().await.ok().map(|body| body.to_bytes())
    }

    fn configuration(&self, credentials: &Credentials) -> Option<Arc<rustls::ClientConfig>> {
        let key = crate::hash::short(&serde_json::to_vec(credentials).ok()?);
        if let Some(kept) = self.kept.lock().get(&key) {
            return Some(kept.clone());
        }
        let mut made = https::tls(credentials, Arc::new(Judged(self.time.clone()))).ok()?;
        // A host's tickets are few and old ones are of no use.
        made.resumption = rustls::client::Resumption::in_memory_sessions(8);
        let made = Arc::new(made);
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, made.clone());
        Some(made)
    }
}

/// A request of protocol 2: lines with their length in four hex digits before them.
fn question(names: &[String]) -> Bytes {
    let mut out = String::new();
    let mut line = |text: &str| out.push_str(&format!("{:04x}{text}\n", text.len() + 5));
    line("command=ls-refs");
    line("agent=skiff");
    line("object-format=sha1");
    out.push_str("0001");
    let mut line = |text: &str| out.push_str(&format!("{:04x}{text}\n", text.len() + 5));
    line("peel");
    for name in names {
        line(&format!("ref-prefix {name}"));
    }
    out.push_str("0000");
    out.into()
}

/// The commit that the first of the names stands for which is there.
fn commit_in(answer: &[u8], names: &[String]) -> Option<String> {
    let mut found: HashMap<&str, &str> = HashMap::new();
    let mut rest = answer;
    loop {
        let length = usize::from_str_radix(std::str::from_utf8(rest.get(..4)?).ok()?, 16).ok()?;
        if length == 0 {
            break;
        }
        let line = std::str::from_utf8(rest.get(4..length)?).ok()?.trim_end_matches('\n');
        rest = &rest[length..];
        let mut words = line.split(' ');
        let (id, name) = (words.next()?, words.next()?);
        // For an annotated tag the first id is the tag's.
        let id = words.find_map(|word| word.strip_prefix("peeled:")).unwrap_or(id);
        if is_commit(id) {
            found.insert(name, id);
        }
    }
    names.iter().find_map(|name| found.get(name.as_str())).map(|id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        format!("{:04x}{text}\n", text.len() + 5)
    }

    #[test]
    fn the_question_is_gits() {
        let asked = question(&names_of("main"));
        let expected = "0014command=ls-refs\n0010agent=skiff\n0017object-format=sha1\n00010009peel\n001fref-prefix refs/heads/main\n001eref-prefix refs/tags/main\n0000";
        assert_eq!(std::str::from_utf8(&asked).unwrap(), expected);
    }

    #[test]
    fn answers_are_read_and_odd_ones_are_not() {
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let answer = [
            line(&format!("{a} refs/heads/main2")),
            line(&format!("{b} refs/tags/main peeled:{c}")),
            "0000".into(),
        ]
        .concat();
        let names = names_of("main");
        assert_eq!(commit_in(answer.as_bytes(), &names), Some(c.clone()));
        let with_branch = [line(&format!("{a} refs/heads/main")), answer].concat();
        assert_eq!(commit_in(with_branch.as_bytes(), &names), Some(a.clone()));
        let head = [line(&format!("{b} HEAD symref-target:refs/heads/main")), "0000".into()].concat();
        assert_eq!(commit_in(head.as_bytes(), &names_of("HEAD")), Some(b));
        for odd in ["", "0000", "000", "zzzz", "ffff", "0003", "0001", "0009x y\n0000", "<html>"] {
            assert_eq!(commit_in(odd.as_bytes(), &names), None, "{odd}");
        }
    }
}
