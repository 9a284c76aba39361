//! A bearer token that a browser hides among the subprotocols of a WebSocket, where it cannot set a header
//! (k8s.io/apiserver/pkg/authentication/request/websocket).
//!
//! Invariant: what is found here becomes the `Authorization` header and leaves the list, so that no token is echoed or sent on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Moves the token of a WebSocket's subprotocols to where everybody else has it. A header of the client's own comes first; what
/// is no token becomes a credential that nobody believes.
pub(crate) fn take_token(headers: &mut HeaderMap) {
    if headers.contains_key(AUTHORIZATION) || !crate::engine::websocket::is_wanted(headers) {
        return;
    }
    let given = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let words = given.flat_map(|text| text.split(',')).map(str::trim);
    let (tokens, others): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with(PREFIX));
    let token = match tokens.as_slice() {
        [] => return,
        // The server answers with a subprotocol, which must not be the token.
        [token] if !others.is_empty() => {
            let bytes = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok())
        }
        _ => None,
    };
    let credential = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    let others = HeaderValue::from_str(&others.join(","));
    headers.insert(AUTHORIZATION, credential.unwrap_or(HeaderValue::from_static("Bearer")));
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(others) = others.ok().filter(|others| !others.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_the_subprotocols() {
        let check = |protocols: &[&'static str], expected: (Option<&str>, Option<&str>)| {
            let mut headers = HeaderMap::new();
            headers.insert("connection", HeaderValue::from_static("Upgrade"));
            headers.insert("upgrade", HeaderValue::from_static("websocket"));
            for protocol in protocols.iter().copied() {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
            }
            take_token(&mut headers);
            let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            assert_eq!((text(AUTHORIZATION), text(SEC_WEBSOCKET_PROTOCOL)), expected, "{protocols:?}");
        };
        check(&["v5.channel.k8s.io"], (None, Some("v5.channel.k8s.io")));
        let token = "base64url.bearer.authorization.k8s.io.bXktdG9rZW4";
        check(
            &["v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.bXktdG9rZW4", "v4.channel.k8s.io"],
            (Some("Bearer my-token"), Some("v5.channel.k8s.io,v4.channel.k8s.io")),
        );
        check(&[token], (Some("Bearer"), None));
        check(&[token, token, "x"], (Some("Bearer"), Some("x")));
        check(&["base64url.bearer.authorization.k8s.io.??, x"], (Some("Bearer"), Some("x")));
    }
}
