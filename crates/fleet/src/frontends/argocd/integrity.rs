//! What a project asks of commits' signatures: `signatureKeys`, and `sourceIntegrity`, which came after it.
//!
//! A policy that cannot be carried out stops the application: what its owner wanted verified is never taken unverified.

use api::Value;

use super::read::strings;
use crate::git::verify::{Tag, Verify};
use crate::glob::fits;
use crate::source::Recipe;

/// The rules of each source of a recipe.
pub(super) fn rules(spec: &Value, recipe: &Recipe) -> Result<Vec<Verify>, String> {
    let list = |path: &[&str]| spec.at(path).and_then(Value::as_array).unwrap_or_default();
    let legacy: Vec<String> =
        list(&["signatureKeys"]).iter().map(|key| key.str_at(&["keyID"]).into()).collect();
    let git = spec.at(&["sourceIntegrity", "git"]).filter(|git| !git.is_null());
    let policies = list(&["sourceIntegrity", "git", "policies"]);
    let of = |url: &str| match git {
        Some(_) => by_policies(policies, url),
        // Only where nothing newer is said.
        None if legacy.is_empty() => Ok(Verify::default()),
        None => signed_by(&legacy),
    };
    recipe.sources.iter().map(|source| of(&source.url)).collect()
}

fn by_policies(policies: &[Value], url: &str) -> Result<Verify, String> {
    let mut matching = policies.iter().filter(|policy| concerns(policy, url));
    let Some(policy) = matching.next() else { return Ok(Verify::default()) };
    let more = matching.count();
    if more > 0 {
        return Err(format!(
            "multiple ({}) git source integrity policies found for repo URL: {url}",
            more + 1
        ));
    }
    let keys: Vec<String> = strings(policy.at(&["gpg", "keys"])).map(Into::into).collect();
    match policy.str_at(&["gpg", "mode"]) {
        "none" => Ok(Verify::default()),
        "head" => signed_by(&keys),
        "strict" => signed_by(&keys).map(|verify| Verify { history: true, ..verify }),
        mode => Err(format!("unknown GPG mode \"{mode}\" configured for GIT source integrity")),
    }
}

/// The tag, if it is an object of its own, else the commit, is signed by one of these keys.
fn signed_by(keys: &[String]) -> Result<Verify, String> {
    for key in keys {
        if !matches!(key.len(), 16 | 40) || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("'{key}' is not a valid GnuPG key ID"));
        }
    }
    if keys.is_empty() {
        return Err("sourceIntegrity: a policy without keys lets nothing through".into());
    }
    Ok(Verify { commit: true, tag: Tag::Instead, only: keys.to_vec(), history: false })
}

/// A policy is for addresses that one of its globs fits, and none with `!`.
fn concerns(policy: &Value, url: &str) -> bool {
    let mut concerned = false;
    for repo in policy.get("repos").and_then(Value::as_array).unwrap_or_default() {
        let pattern = repo.str_at(&["url"]);
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern, url, None) => return false,
            Some(_) => {}
            None => concerned |= fits(pattern, url, None),
        }
    }
    concerned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    const KEY: &str = "3299AEB0E4085BAF";

    fn of(spec: &str, url: &str) -> Result<Verify, String> {
        let recipe =
            Recipe { sources: vec![Source { url: url.into(), ..Source::default() }], ..Recipe::default() };
        rules(&serde_json::from_str(spec).unwrap(), &recipe).map(|mut all| all.remove(0))
    }

    fn policies(text: &str) -> String {
        format!(
            r#"{{"signatureKeys":[{{"keyID":"0000000000000000"}}],"sourceIntegrity":{{"git":{{"policies":[{text}]}}}}}}"#
        )
    }

    #[test]
    fn policies_decide_for_their_addresses() {
        let signed = Verify { commit: true, tag: Tag::Instead, only: vec![KEY.into()], history: false };
        let legacy = format!(r#"{{"signatureKeys":[{{"keyID":"{KEY}"}}]}}"#);
        assert_eq!(of(&legacy, "https://x/r").unwrap(), signed);
        assert!(!of("{}", "https://x/r").unwrap().asks());
        let head = format!(
            r#"{{"repos":[{{"url":"https://x/*"}},{{"url":"!https://x/free"}}],"gpg":{{"mode":"head","keys":["{KEY}"]}}}}"#
        );
        let both = policies(&head);
        assert_eq!(of(&both, "https://x/r").unwrap(), signed);
        for url in ["https://x/free", "https://y/r"] {
            assert!(!of(&both, url).unwrap().asks(), "{url}");
        }
        let strict = of(&policies(&head.replace("head", "strict")), "https://x/r").unwrap();
        assert_eq!(strict, Verify { history: true, ..signed });
        let none = policies(r#"{"repos":[{"url":"*"}],"gpg":{"mode":"none","keys":[]}}"#);
        assert!(!of(&none, "https://x/r").unwrap().asks());
    }

    #[test]
    fn what_cannot_be_carried_out_stops() {
        let fault = |text: &str| of(&policies(text), "https://x/r").unwrap_err();
        let head = format!(r#"{{"repos":[{{"url":"*"}}],"gpg":{{"mode":"head","keys":["{KEY}"]}}}}"#);
        assert!(fault(&format!("{head},{head}")).contains("multiple (2) git source integrity policies"));
        assert!(fault(&head.replace("head", "odd")).contains("unknown GPG mode"));
        assert!(fault(&head.replace(KEY, "short")).contains("not a valid GnuPG key ID"));
        assert!(fault(r#"{"repos":[{"url":"*"}],"gpg":{"mode":"head","keys":[]}}"#).contains("without keys"));
    }
}
