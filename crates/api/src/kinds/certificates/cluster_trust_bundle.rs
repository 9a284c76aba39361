//! certificates.k8s.io ClusterTrustBundle: trust anchors, of a signer or of the cluster.
//!
//! Not here: all of X.509; an anchor is looked at as far as its outer form and its basic constraints.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::certificate_signing_request::signer_name;
use crate::field::Error;
use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;
use crate::table::cells;
use crate::validation::{Node, names};

/// Upstream's MaxTrustBundleSize.
const MOST: usize = 1024 * 1024;

pub const KIND: Builtin = Builtin {
    group: "certificates.k8s.io",
    plural: "clustertrustbundles",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            unconditional_update: false,
            // Depends on the signer: see [`named`].
            name: |_| Vec::new(),
            row: Some(|bundle, _| {
                vec![cells::name(bundle), cells::or(bundle.str_at(&["spec", "signerName"]), "<none>")]
            }),
            check: |bundle| {
                named(bundle);
                let signer = bundle.at(&["spec", "signerName"]);
                if !signer.text().is_empty() {
                    signer_name(&signer);
                }
            },
            created_check: |bundle| anchors(&bundle.at(&["spec", "trustBundle"])),
            update: |bundle, old| {
                let (new, was) = (bundle.at(&["spec", "trustBundle"]), old.at(&["spec", "trustBundle"]));
                if new.text() != was.text() {
                    anchors(&new);
                }
                let path = ["spec", "signerName"];
                bundle.at(&path).immutable(&old.at(&path));
            },
            ..Strategy::new()
        })
    },
};

fn named(bundle: &Node<'_>) {
    let (name, signer) = (bundle.at(&["metadata", "name"]), bundle.at(&["spec", "signerName"]));
    let (text, signer) = (name.text(), signer.text());
    if text.is_empty() {
        return;
    }
    let begin = format!("{}:", signer.replace('/', ":"));
    let wrong = match text.strip_prefix(&begin) {
        _ if signer.is_empty() && text.contains(':') => {
            vec!["ClusterTrustBundle without signer name must not have \":\" in its name".into()]
        }
        _ if signer.is_empty() => names::dns_subdomain(text),
        Some(rest) => names::dns_subdomain(rest),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {begin}")],
    };
    for why in wrong {
        name.invalid(why);
    }
}

fn anchors(bundle: &Node<'_>) {
    let text = bundle.text();
    if text.len() > MOST {
        return bundle.error(Error::too_long(bundle.path().clone(), MOST));
    }
    let wrong = |why: String| bundle.error(Error::invalid(bundle.path().clone(), "<value omitted>", why));
    let (mut seen, mut bad) = (BTreeMap::<Vec<u8>, Vec<String>>::new(), false);
    for (at, block) in blocks(text).into_iter().enumerate() {
        let why = match &block {
            Block { kind, .. } if kind != "CERTIFICATE" => format!("has bad block type: {kind}"),
            Block { headers: true, .. } => "has PEM block headers".into(),
            block if !is_sequence(&block.bytes) => "does not parse as X.509".into(),
            block if !is_authority(&block.bytes) => "does not have the CA bit set".into(),
            _ => {
                seen.entry(block.bytes).or_default().push(at.to_string());
                continue;
            }
        };
        bad = true;
        wrong(format!("entry {at} {why}"));
    }
    if bad {
        return;
    }
    if seen.is_empty() {
        wrong("at least one trust anchor must be provided".into());
    }
    for places in seen.values().filter(|places| places.len() > 1) {
        wrong(format!("duplicate trust anchor (indices [{}])", places.join(" ")));
    }
}

struct Block {
    kind: String,
    headers: bool,
    bytes: Vec<u8>,
}

/// What is well-formed PEM of a text; the rest is passed over, as Go's.
fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let begin = line.trim_end().strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let Some(kind) = begin else { continue };
        let end = format!("-----END {kind}-----");
        let body: Vec<&str> = lines.by_ref().map(str::trim).take_while(|line| *line != end).collect();
        let headers = body.iter().any(|line| line.contains(':'));
        let data: String = body.iter().filter(|line| !line.contains(':')).copied().collect();
        if let Ok(bytes) = STANDARD.decode(data) {
            found.push(Block { kind: kind.into(), headers, bytes });
        }
    }
    found
}

/// One DER sequence and nothing else.
fn is_sequence(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    if *first < 0x80 {
        return rest.len() == usize::from(*first);
    }
    let count = usize::from(first & 0x7f);
    let Some((length, rest)) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count)) else {
        return false;
    };
    let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    rest.len() == length
}

/// Basic constraints (2.5.29.19) that say `cA`.
fn is_authority(der: &[u8]) -> bool {
    const BASIC: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x13];
    let Some(at) = der.windows(BASIC.len()).position(|part| part == BASIC) else { return false };
    let rest = &der[at + BASIC.len()..];
    // A critical extension says so before its value.
    let value = rest.strip_prefix(&[0x01, 0x01, 0xff]).unwrap_or(rest);
    matches!(value, [0x04, _, 0x30, length, 0x01, 0x01, 0xff, ..] if *length >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = "hello\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n-----BEGIN X-----\na: b\n\nAA==\n-----END X-----\n";
        let found = blocks(text);
        let told: Vec<_> =
            found.iter().map(|one| (one.kind.as_str(), one.headers, one.bytes.len())).collect();
        assert_eq!(told, [("CERTIFICATE", false, 2), ("X", true, 1)]);
        assert!(
            is_sequence(&found[0].bytes) && !is_sequence(&found[1].bytes) && !is_authority(&found[0].bytes)
        );
    }
}
