//! `httpGet`, for probes and for lifecycle hooks. HTTPS is spoken without checking the certificate, as upstream does: the
//! request goes to an address that the kubelet itself gave out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::pki_types::ServerName;

use super::Outcome;
use super::run::{Target, connect};

/// Most of a body that is read, in bytes.
const LONGEST: usize = 10 << 10;

/// What came back.
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
}

/// Runs an `httpGet` probe; redirects to the same host are followed.
pub async fn probe(target: &Target<'_>, get: &HTTPGetAction, limit: Duration) -> Outcome {
    let mut url = match url(target, get) {
        Ok(url) => url,
        Err(message) => return Outcome::Error(message),
    };
    let run = async {
        for _ in 0..10 {
            let answer = match fetch(&url, get, "kube-probe/1.36", limit).await {
                Ok(answer) => answer,
                Err(message) => return Outcome::Failure(format!("Get \"{url}\": {message}")),
            };
            let next = answer
                .location
                .as_deref()
                .filter(|_| (300..400).contains(&answer.status))
                .and_then(|to| follow(&url, to));
            match (next, answer.status) {
                (Some(next), _) => url = next,
                (None, 200..400) => return Outcome::Success,
                (None, status) => {
                    return Outcome::Failure(format!("HTTP probe failed with statuscode: {status}"));
                }
            }
        }
        Outcome::Failure(format!("Get \"{url}\": stopped after 10 redirects"))
    };
    match tokio::time::timeout(limit, run).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failure(format!(
            "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            self::url(target, get).map(|url| url.to_string()).unwrap_or_default()
        )),
    }
}

/// The address of an `httpGet`.
pub fn url(target: &Target<'_>, get: &HTTPGetAction) -> Result<Uri, String> {
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let host = target.host(get.host.as_deref())?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let path = get.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let text = format!("{scheme}://{host}:{}{slash}{path}", target.port(&get.port)?);
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

/// Where a redirect leads, if it stays on the host.
fn follow(from: &Uri, location: &str) -> Option<Uri> {
    let to: Uri = location.parse().ok()?;
    match to.host() {
        Some(host) if Some(host) == from.host() => Some(to),
        Some(_) => None,
        None => {
            let slash = if location.starts_with('/') { "" } else { "/" };
            format!("{}://{}{slash}{location}", from.scheme_str()?, from.authority()?).parse().ok()
        }
    }
}

/// One GET.
pub async fn fetch(url: &Uri, get: &HTTPGetAction, agent: &str, limit: Duration) -> Result<Answer, String> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let https = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
    let mut request = Request::builder().uri(url.path_and_query().map_or("/", |path| path.as_str()));
    let mut has = (false, false, false);
    for header in get.http_headers.iter().flatten() {
        has.0 |= header.name.eq_ignore_ascii_case("host");
        has.1 |= header.name.eq_ignore_ascii_case("user-agent");
        has.2 |= header.name.eq_ignore_ascii_case("accept");
        request = request.header(&header.name, &header.value);
    }
    if !has.0 {
        request = request.header("Host", url.authority().map_or("", |authority| authority.as_str()));
    }
    if !has.1 {
        request = request.header("User-Agent", agent);
    }
    if !has.2 {
        request = request.header("Accept", "*/*");
    }
    let request = request
        .header("Connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let stream = connect(&host, port, limit).await?;
    if https {
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let config = Arc::new(base::tls::trusting_anyone_unproven().with_no_client_auth());
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|e| e.to_string())?;
        exchange(TokioIo::new(stream), request).await
    } else {
        exchange(TokioIo::new(stream), request).await
    }
}

async fn exchange<S>(stream: TokioIo<S>, request: Request<Empty<Bytes>>) -> Result<Answer, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|error| error.to_string())?;
    let run = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let location =
            answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        // The body is read so that the server is not cut off; one that is too long, or broken, says nothing about it.
        let _unread = Limited::new(answer.into_body(), LONGEST).collect().await;
        Ok(Answer { status, location })
    };
    tokio::pin!(run);
    tokio::select! {
        answer = &mut run => answer,
        ended = connection => match ended {
            Ok(()) => run.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_host() {
        let from: Uri = "http://10.0.0.1:80/a".parse().unwrap();
        for (location, expected) in [
            ("/b?c", Some("http://10.0.0.1:80/b?c")),
            ("http://10.0.0.1:8080/x", Some("http://10.0.0.1:8080/x")),
            ("http://example.com/", None),
        ] {
            assert_eq!(follow(&from, location).map(|to| to.to_string()).as_deref(), expected);
        }
    }
}
