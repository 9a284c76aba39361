//! The two servers behind one way to ask: upstream's over TLS, skiff's in this process.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use testkit_cluster::{Cluster, Identity};

use crate::reference::{Reference, TOKEN, URL};

pub struct Both {
    theirs: kube::Client,
    ours: Cluster,
}

/// What is sent to a side.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    /// `Content-Type` and `Accept`.
    pub content: &'static str,
    pub accept: &'static str,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub content: String,
    pub warnings: Vec<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The server closed the connection instead of answering.
    fn none() -> Answer {
        Answer { code: 599, content: String::new(), warnings: Vec::new(), body: Vec::new() }
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Ask {
    pub fn new(method: Method, path: impl Into<String>, body: impl Into<Vec<u8>>) -> Ask {
        let content = "application/json";
        Ask { method, path: path.into(), content, accept: "application/json", body: body.into() }
    }
    pub fn get(path: impl Into<String>) -> Ask {
        Ask::new(Method::GET, path, Vec::new())
    }
}

impl Both {
    pub async fn start(reference: &mut Reference) -> Result<Both> {
        let mut config = kube::Config::new(URL.parse().context("the reference's address is bad")?);
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(TOKEN.to_string().into());
        config.read_timeout = Some(Duration::from_secs(120));
        let theirs = kube::Client::try_from(config)?;
        let ours = Cluster::start().await;
        let both = Both { theirs, ours };
        for _ in 0..600 {
            reference.alive()?;
            if let Ok(answer) = both.theirs(&Ask::get("/readyz")).await
                && answer.code == 200
            {
                return Ok(both);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("the reference does not get ready");
    }

    pub async fn theirs(&self, ask: &Ask) -> Result<Answer> {
        let mut request = Request::new(kube::client::Body::from(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.path.parse().with_context(|| format!("bad path {}", ask.path))?;
        for (name, value) in headers(ask) {
            request.headers_mut().insert(name, value.parse()?);
        }
        let response = match self.theirs.send(request).await {
            Ok(response) => response,
            // A handler that panics closes the connection (a null that its validation follows).
            Err(kube::Error::HyperError(_) | kube::Error::Service(_)) => return Ok(Answer::none()),
            Err(other) => return Err(other.into()),
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        Ok(answer(parts.status, &parts.headers, &body))
    }

    pub async fn ours(&self, ask: &Ask) -> Result<Answer> {
        let mut admin = Identity::new("admin", &["system:masters"]);
        admin.uid = "admin".into();
        let got =
            self.ours.request_as(admin, ask.method.clone(), &ask.path, ask.body.clone(), &headers(ask)).await;
        Ok(answer(got.code, &got.headers, &got.bytes))
    }

    /// The same request to both; upstream's answer first.
    pub async fn send(&self, ask: &Ask) -> Result<(Answer, Answer)> {
        self.send_each(ask, ask).await
    }

    pub async fn send_each(&self, theirs: &Ask, ours: &Ask) -> Result<(Answer, Answer)> {
        tokio::try_join!(self.theirs(theirs), self.ours(ours))
    }

    /// `--ask`.
    pub async fn ask(&self, words: &[String]) -> Result<()> {
        let body = words.get(2).cloned().unwrap_or_default();
        let mut ask = Ask::new(words[0].parse()?, words[1].clone(), body);
        if ask.method == Method::PATCH {
            ask.content = "application/merge-patch+json";
        }
        let (theirs, ours) = self.send(&ask).await?;
        for (name, answer) in [("upstream", theirs), ("skiff", ours)] {
            println!("{name}: {} {} {:?}", answer.code, answer.content, answer.warnings);
            println!("{}", String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }
}

fn headers(ask: &Ask) -> [(&'static str, &'static str); 3] {
    [("content-type", ask.content), ("accept", ask.accept), ("user-agent", "differential/1.0")]
}

fn answer(code: http::StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Answer {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Answer {
        code: code.as_u16(),
        content: headers.get("content-type").map(text).unwrap_or_default(),
        warnings: headers.get_all("warning").iter().map(text).collect(),
        body: body.to_vec(),
    }
}
