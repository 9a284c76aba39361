//! Commits and tags that real programs signed (gpg, ssh-keygen, git): good ones are told with their key, and all others
//! with the reason. Needs the programs git, gpg and ssh-keygen.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "bench/gpg.rs"]
mod gpg;
#[path = "bench/servers.rs"]
mod servers;

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use fleet::git::verify::{Tag, Unsigned, Verify};
use fleet::git::{Error, Outcome, obtain};
use fleet::signature::{Keys, Why, openpgp};
use fleet::source::Fetch;
use gpg::{Gpg, run};
use servers::Web;

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

const PAYLOAD: &[u8] = b"tree 1\nauthor a <a@b> 1 +0000\n\na change\n";

#[test]
fn gpg_signatures_of_every_usual_kind_are_good() {
    let gpg = Gpg::new();
    let other = gpg.export(&gpg.key("other", "ed25519", "sign", "never", &[]));
    for algorithm in ["rsa2048", "rsa3072", "ed25519", "nistp256", "nistp384"] {
        let fingerprint = gpg.key(algorithm, algorithm, "sign", "never", &[]);
        let ring = gpg.export(&fingerprint);
        let signature = gpg.sign(&fingerprint, PAYLOAD, &[]);
        let verify = |payload: &[u8], rings: &[&String]| {
            let rings: Vec<String> = rings.iter().map(ToString::to_string).collect();
            openpgp::verify(payload, &signature, &rings, now())
        };
        let signer = verify(PAYLOAD, &[&other, &ring]).unwrap_or_else(|why| panic!("{algorithm}: {why}"));
        assert_eq!(signer.key, fingerprint[24..], "{algorithm}");
        assert!(matches!(verify(b"other bytes", &[&ring]), Err(Why::Bad { .. })), "{algorithm}");
        assert!(matches!(verify(PAYLOAD, &[&other]), Err(Why::NoKey { .. })), "{algorithm}");
        // A byte of the signature that is another one.
        let middle = signature.len() / 2;
        let flipped = if signature.as_bytes()[middle] == b'A' { "B" } else { "A" };
        let broken = format!("{}{flipped}{}", &signature[..middle], &signature[middle + 1..]);
        assert!(openpgp::verify(PAYLOAD, &broken, &[ring], now()).is_err(), "{algorithm}");
    }
}

#[test]
fn subkeys_sign_for_their_primary_key() {
    let gpg = Gpg::new();
    let fingerprint = gpg.key("owner", "ed25519", "cert", "never", &[]);
    run(gpg.command().args(["--quick-add-key", &fingerprint, "ed25519", "sign", "never"]));
    run(gpg.command().args(["--quick-add-key", &fingerprint, "cv25519", "encr", "never"]));
    let signature = gpg.sign(&fingerprint, PAYLOAD, &[]);
    let signer = openpgp::verify(PAYLOAD, &signature, &[gpg.export(&fingerprint)], now()).unwrap();
    assert_eq!(signer.key, fingerprint[24..]);
    assert!(signer.ids.len() == 2 && signer.ids[0] != signer.ids[1], "{signer:?}");
}

#[test]
fn what_must_not_count_does_not() {
    let gpg = Gpg::new();
    let why = |fingerprint: &str, signature: &str| {
        openpgp::verify(PAYLOAD, signature, &[gpg.export(fingerprint)], now()).unwrap_err()
    };
    let past = ["--faked-system-time", "20200101T000000"];
    let expired = gpg.key("expired", "ed25519", "sign", "1d", &past);
    let signature = gpg.sign(&expired, PAYLOAD, &past);
    assert!(matches!(why(&expired, &signature), Why::ExpiredKey { .. }));
    let key = gpg.key("good", "ed25519", "sign", "never", &past);
    let late =
        gpg.sign(&key, PAYLOAD, &["--faked-system-time", "20200101T000000", "--default-sig-expire", "1d"]);
    assert!(matches!(why(&key, &late), Why::ExpiredSignature { .. }));
    let rsa = gpg.key("old", "rsa2048", "sign", "never", &[]);
    let weak = gpg.sign(&rsa, PAYLOAD, &["--digest-algo", "SHA1"]);
    assert!(why(&rsa, &weak).to_string().contains("hash is too old"));
    let text = gpg.sign(&rsa, PAYLOAD, &["--textmode"]);
    assert!(why(&rsa, &text).to_string().contains("of a kind that is not taken"));
    let curve = gpg.key("curve", "nistp521", "sign", "never", &[]);
    let signature = gpg.sign(&curve, PAYLOAD, &[]);
    assert!(why(&curve, &signature).to_string().contains("the curve 2b81040023 is not supported"));
    // A key that was revoked after it signed.
    let revoked = gpg.key("revoked", "ed25519", "sign", "never", &[]);
    let signature = gpg.sign(&revoked, PAYLOAD, &[]);
    let certificate = gpg.folder().join(format!("openpgp-revocs.d/{revoked}.rev"));
    let text = std::fs::read_to_string(&certificate).unwrap().replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(&certificate, text).unwrap();
    run(gpg.command().arg("--import").arg(&certificate));
    assert!(matches!(why(&revoked, &signature), Why::RevokedKey { .. }));
    // A revocation that cannot be verified counts all the same: here by a hash that is too old.
    let exported = run(gpg.command().args(["--armor", "--export", &revoked]));
    let mut ring = dearmoured(&exported);
    let at = ring.windows(3).position(|bytes| bytes == [4, 0x20, 22]).expect("the revocation's packet");
    ring[at + 3] = 2;
    let body = base64::engine::general_purpose::STANDARD.encode(&ring);
    let ring =
        format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}\n-----END PGP PUBLIC KEY BLOCK-----\n");
    let why = openpgp::verify(PAYLOAD, &signature, &[ring], now()).unwrap_err();
    assert!(matches!(why, Why::RevokedKey { .. }), "{why}");
    // A key whose only name was taken back belongs to nobody.
    let nameless = gpg.key("nameless", "ed25519", "sign", "never", &[]);
    let signature = gpg.sign(&nameless, PAYLOAD, &[]);
    assert!(openpgp::verify(PAYLOAD, &signature, &[gpg.export(&nameless)], now()).is_ok());
    run(gpg.command().args(["--quick-add-uid", &nameless, "other <other@example.com>"]));
    run(gpg.command().args(["--quick-revoke-uid", &nameless, "nameless <nameless@example.com>"]));
    assert!(openpgp::verify(PAYLOAD, &signature, &[gpg.export(&nameless)], now()).is_ok());
    // The program keeps one name: the other is left out.
    let only = ["--export-filter", "keep-uid=uid =~ nameless", "--armor", "--export", &nameless];
    let ring = run(gpg.command().args(only));
    let why = openpgp::verify(PAYLOAD, &signature, &[ring], now()).unwrap_err();
    assert!(why.to_string().contains("belongs to its owner"), "{why}");
}

/// The bytes of an armoured block, without its checksum.
fn dearmoured(block: &str) -> Vec<u8> {
    let lines = block.lines().skip_while(|line| !line.is_empty());
    let body: String = lines.take_while(|line| !line.starts_with(['=', '-'])).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

/// A repository whose commits and tags are signed.
struct Signed {
    directory: tempfile::TempDir,
    gpg: Gpg,
}

impl Signed {
    fn new() -> Signed {
        let signed = Signed { directory: tempfile::tempdir().unwrap(), gpg: Gpg::new() };
        std::fs::create_dir_all(signed.repository()).unwrap();
        signed.git(&["init", "-q"]);
        signed
    }
    fn repository(&self) -> PathBuf {
        self.directory.path().join("srv/repo")
    }
    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.repository()).env("GNUPGHOME", self.gpg.folder());
        command.args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "init.defaultBranch=main",
        ]);
        run(command.args(arguments)).trim().to_string()
    }
    /// A commit that is signed as the configuration says (`-S` and the like in `how`).
    fn commit(&self, text: &str, how: &[&str]) -> String {
        std::fs::write(self.repository().join("a.yaml"), text).unwrap();
        self.git(&["add", "-A"]);
        let configured = how.iter().take_while(|word| !word.starts_with("-S")).copied();
        let arguments: Vec<&str> = configured
            .chain(["commit", "-q", "-m", text])
            .chain(how.iter().copied().filter(|word| word.starts_with("-S")))
            .collect();
        self.git(&arguments);
        self.git(&["rev-parse", "HEAD"])
    }
    fn look(
        &self,
        url: &str,
        revision: &str,
        verify: Verify,
        keys: &Keys,
    ) -> Result<Vec<String>, (Unsigned, String)> {
        let request = Fetch {
            url: url.into(),
            revision: revision.into(),
            repository: self.directory.path().join("clone"),
            verify,
            keys: keys.clone(),
            ..Fetch::default()
        };
        self.ask(&request)
    }
    fn ask(&self, request: &Fetch) -> Result<Vec<String>, (Unsigned, String)> {
        match obtain(request) {
            Ok(Outcome::Commit(commit)) => Ok(commit.signatures),
            Ok(Outcome::Unchanged(_)) => panic!("nothing was known"),
            Err(Error::Unsigned { what, text }) => Err((what, text)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn head() -> Verify {
    Verify { commit: true, ..Verify::default() }
}

fn ssh_key(directory: &Path, kind: &str) -> (String, String) {
    let path = directory.join(format!("id_{kind}"));
    run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", "somebody", "-f"]).arg(&path));
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (path.display().to_string(), public)
}

#[test]
fn commits_and_tags_of_git_with_gpg() {
    let signed = Signed::new();
    let key = signed.gpg.key("author", "ed25519", "sign", "never", &[]);
    let id = &key[24..];
    let keys = Keys { pgp: vec![signed.gpg.export(&key)], ssh: Vec::new() };
    let url = signed.repository().display().to_string();
    let by = format!("-S{key}");
    let first = signed.commit("one", &[&by]);
    assert_eq!(
        signed.look(&url, "main", head(), &keys).unwrap(),
        [format!("commit '{first}' with key '{id}'")]
    );

    let tag = |tag, commit| Verify { tag, commit, ..Verify::default() };
    signed.git(&["tag", "-u", &key, "-m", "x", "v1"]);
    signed.git(&["tag", "-a", "-m", "x", "plain"]);
    signed.git(&["tag", "light"]);
    let object = signed.git(&["rev-parse", "v1"]);
    let good = format!("tag 'v1@{object}' with key '{id}'");
    assert_eq!(
        signed.look(&url, "refs/tags/v1", tag(Tag::Must, false), &keys).unwrap(),
        std::slice::from_ref(&good)
    );
    let both = signed.look(&url, "semver:1.x", tag(Tag::Must, true), &keys).unwrap();
    assert_eq!(both, [good.clone(), format!("commit '{first}' with key '{id}'")]);
    assert_eq!(signed.look(&url, "v1", tag(Tag::Instead, true), &keys).unwrap(), [good]);
    for (revision, expected, text) in [
        ("refs/tags/plain", Unsigned::PlainTag, "since it is not signed"),
        (
            "refs/tags/light",
            Unsigned::PlainTag,
            "cannot verify signature of tag 'light' since it is not signed",
        ),
        ("refs/heads/main", Unsigned::NoTag, "if a tag reference is not specified"),
    ] {
        let (what, why) = signed.look(&url, revision, tag(Tag::Must, false), &keys).unwrap_err();
        assert!(what == expected && why.contains(text), "{revision}: {what:?} {why}");
    }

    // Nobody signed, or nobody who is known.
    signed.commit("two", &[]);
    let (what, why) = signed.look(&url, "main", head(), &keys).unwrap_err();
    assert!(what == Unsigned::Commit && why.contains("unsupported signature type: empty"), "{why}");
    let stranger = signed.gpg.key("stranger", "rsa2048", "sign", "never", &[]);
    signed.commit("three", &[&format!("-S{stranger}")]);
    let (_, why) = signed.look(&url, "main", head(), &keys).unwrap_err();
    assert!(
        why.contains("unable to verify payload with any of the given key rings: no matching key"),
        "{why}"
    );
    // A known key that is not among those that count.
    let two = Keys { pgp: vec![signed.gpg.export(&key), signed.gpg.export(&stranger)], ssh: Vec::new() };
    let only = |key: &str| Verify { commit: true, tag: Tag::Instead, only: vec![key.into()], history: false };
    let (_, why) = signed.look(&url, "main", only(&key), &two).unwrap_err();
    assert!(why.contains("signed with unallowed key (key_id="), "{why}");
    assert_eq!(signed.look(&url, "main", only(&stranger[24..]), &two).unwrap().len(), 1);
    signed.commit("four", &[]);
    let (_, why) = signed.look(&url, "main", only(&key), &two).unwrap_err();
    assert!(
        why.contains("GIT/GPG: Failed verifying revision") && why.contains("unsigned (key_id=)"),
        "{why}"
    );
}

#[test]
fn commits_and_tags_of_git_with_ssh() {
    let signed = Signed::new();
    let url = signed.repository().display().to_string();
    let (_, stranger) = ssh_key(signed.gpg.folder(), "ed25519");
    for kind in ["ecdsa", "rsa"] {
        let (private, public) = ssh_key(signed.gpg.folder(), kind);
        let keys = Keys { ssh: vec![format!("# people\n{stranger}{public}")], pgp: Vec::new() };
        let configured = ["-c", "gpg.format=ssh", "-c"];
        let signing = format!("user.signingkey={private}");
        let how: Vec<&str> = configured.into_iter().chain([signing.as_str(), "-S"]).collect();
        let commit = signed.commit(kind, &how);
        let printed = run(Command::new("ssh-keygen").args(["-l", "-f"]).arg(format!("{private}.pub")));
        let fingerprint = printed.split(' ').nth(1).unwrap();
        let good = signed.look(&url, "main", head(), &keys).unwrap();
        assert_eq!(good, [format!("commit '{commit}' with key '{fingerprint}'")]);
        signed.git(&["-c", "gpg.format=ssh", "-c", &signing, "tag", "-s", "-m", "x", kind]);
        let rules = Verify { tag: Tag::Must, ..Verify::default() };
        assert_eq!(signed.look(&url, &format!("refs/tags/{kind}"), rules, &keys).unwrap().len(), 1);
        let strangers = Keys { ssh: vec![stranger.clone()], pgp: Vec::new() };
        let (_, why) = signed.look(&url, "main", head(), &strangers).unwrap_err();
        assert!(why.contains("any of the given authorized keys: no matching key"), "{why}");
        let none = Keys { pgp: vec!["x".into()], ssh: Vec::new() };
        let (_, why) = signed.look(&url, "main", head(), &none).unwrap_err();
        assert!(why.contains("no SSH public keys found in secret"), "{why}");
    }
}

#[test]
fn signed_tags_of_a_server() {
    let signed = Signed::new();
    let key = signed.gpg.key("author", "nistp256", "sign", "never", &[]);
    let keys = Keys { pgp: vec![signed.gpg.export(&key)], ssh: Vec::new() };
    signed.commit("one", &[&format!("-S{key}")]);
    signed.git(&["tag", "-u", &key, "-m", "x", "v1.2.3"]);
    signed.git(&["tag", "light"]);
    let web = Web::start(signed.directory.path().join("srv"));
    let url = format!("https://localhost:{}/repo/.git", web.port);
    let ask = |revision: &str, tag: Tag| {
        signed.ask(&Fetch {
            url: url.clone(),
            revision: revision.into(),
            credentials: web.credentials(),
            repository: signed.directory.path().join("clone"),
            verify: Verify { commit: true, tag, ..Verify::default() },
            keys: keys.clone(),
            ..Fetch::default()
        })
    };
    for revision in ["refs/tags/v1.2.3", "semver:1.x"] {
        assert_eq!(ask(revision, Tag::Must).unwrap().len(), 2, "{revision}");
    }
    assert_eq!(ask("v1.2.3", Tag::Instead).unwrap().len(), 1);
    assert_eq!(ask("main", Tag::Instead).unwrap().len(), 1);
    assert_eq!(ask("light", Tag::Instead).unwrap().len(), 1);
    assert_eq!(ask("refs/tags/light", Tag::Must).unwrap_err().0, Unsigned::PlainTag);
}

#[test]
fn histories_are_verified_up_to_seals() {
    let signed = Signed::new();
    let key = signed.gpg.key("author", "ed25519", "sign", "never", &[]);
    let stranger = signed.gpg.key("stranger", "ed25519", "sign", "never", &[]);
    let keys = Keys { pgp: vec![signed.gpg.export(&key), signed.gpg.export(&stranger)], ssh: Vec::new() };
    let web = Web::start(signed.directory.path().join("srv"));
    let by = format!("-S{key}");
    // Read where it is, from a server that leaves out files, and from one that does not.
    let look = |revision: &str| {
        let ask = |url: String, clone: &str| {
            let request = Fetch {
                url,
                revision: revision.into(),
                credentials: web.credentials(),
                repository: signed.directory.path().join(clone),
                verify: Verify { commit: true, tag: Tag::Instead, only: vec![key.clone()], history: true },
                keys: keys.clone(),
                ..Fetch::default()
            };
            signed.ask(&request).map_err(|(what, text)| {
                assert_eq!(what, Unsigned::Commit);
                text
            })
        };
        let there = ask(signed.repository().display().to_string(), "none");
        for filter in ["true", "false"] {
            signed.git(&["config", "uploadpack.allowFilter", filter]);
            let url = format!("https://localhost:{}/repo/.git", web.port);
            assert_eq!(ask(url, &format!("clone-{filter}")), there, "filter {filter}");
        }
        there
    };
    let count = |commits: usize, head: &str| Ok(vec![format!("{commits} commits up to '{head}'")]);
    let first = signed.commit("one", &[&by]);
    assert_eq!(look("main"), count(1, &first));
    let unsigned = signed.commit("two", &[]);
    let third = signed.commit("three", &[&by]);
    let text = look("main").unwrap_err();
    assert!(text.contains(&format!("Failed verifying revision {unsigned}: unsigned")), "{text}");
    assert_eq!(look(&first), count(1, &first));
    // A seal that nobody signed is none.
    signed.commit("four\n\nArgocd-gpg-seal: trust me", &[]);
    let text = look("main").unwrap_err();
    assert!(text.contains("unsigned"), "{text}");
    let seal = signed.commit("five\n\nARGOCD-gpg-seal: reviewed", &[&by]);
    assert_eq!(look("main"), count(1, &seal));
    let after = signed.commit("six", &[&by]);
    assert_eq!(look("main"), count(2, &after));
    // What a seal stands for may be merged again by another way.
    signed.git(&["checkout", "-q", "-b", "side", &third]);
    signed.git(&["checkout", "-q", "main"]);
    let tree = signed.git(&["rev-parse", "main^{tree}"]);
    let message = ["commit-tree", &by, "-p", "main", "-p", "side", "-m", "merged", &tree];
    let merged = signed.git(&message);
    signed.git(&["update-ref", "refs/heads/main", &merged]);
    assert_eq!(look("main"), count(3, &merged));
    // A good signature of somebody who does not count.
    signed.git(&["reset", "-q", "--hard", "main"]);
    signed.commit("seven", &[&format!("-S{stranger}")]);
    let text = look("main").unwrap_err();
    assert!(text.contains("signed with unallowed key"), "{text}");
    // A tag must be signed with its history.
    signed.git(&["reset", "-q", "--hard", &after]);
    signed.git(&["tag", "-u", &key, "-m", "x", "v1"]);
    let good = look("v1").unwrap();
    assert!(good.len() == 2 && good[1] == format!("2 commits up to '{after}'"), "{good:?}");
}
