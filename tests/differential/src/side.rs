//! The two servers behind one way to ask: upstream's over TLS, skiff's in this process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use testkit_cluster::{Cluster, Identity};

use crate::recorded::Recorded;
use crate::reference::{Reference, TOKEN, URL};

pub struct Both {
    theirs: Theirs,
    ours: Cluster,
    recorded: Option<Recorded>,
    /// Every group and version is served.
    all: bool,
}

/// Where upstream's answers come from.
enum Theirs {
    Recorded,
    Live(kube::Client),
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
    /// Asks a recording, and no reference before [`Both::go_live`].
    pub async fn start(recorded: Option<Recorded>, all: bool) -> Both {
        Both { theirs: Theirs::Recorded, ours: own(all).await, recorded, all }
    }

    /// Turns to a kind: to its recording, or to the reference with a skiff that has seen nothing of it.
    pub async fn turn(&mut self, kind: &str, reference: &Live<'_>) -> Result<()> {
        let found = self.recorded.as_ref().is_some_and(|recorded| recorded.open(kind));
        match found {
            true => self.theirs = Theirs::Recorded,
            false => self.go_live(reference).await?,
        }
        Ok(())
    }

    /// From here on the reference is asked. What a recording was replayed to is forgotten.
    pub async fn go_live(&mut self, reference: &Live<'_>) -> Result<()> {
        if matches!(self.theirs, Theirs::Live(_)) {
            return Ok(());
        }
        self.theirs = Theirs::Live(reference.client().await?);
        self.ours = own(self.all).await;
        Ok(())
    }

    /// A kind is done: what the reference answered is kept for the next run.
    pub fn keep(&self) -> Result<()> {
        match (&self.theirs, &self.recorded) {
            (Theirs::Live(_), Some(recorded)) => recorded.keep(),
            _ => Ok(()),
        }
    }

    pub async fn theirs(&self, ask: &Ask) -> Result<Answer> {
        let client = match (&self.theirs, &self.recorded) {
            (Theirs::Live(client), _) => client,
            (Theirs::Recorded, Some(recorded)) => return Ok(recorded.answer(ask)?),
            (Theirs::Recorded, None) => bail!("no reference was started"),
        };
        let answer = send(client, ask).await?;
        if let Some(recorded) = &self.recorded {
            recorded.add(ask, &answer);
        }
        Ok(answer)
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

async fn own(all: bool) -> Cluster {
    Cluster::start_with(|config| config.runtime_config.extend(all.then(|| ("api/all".into(), true)))).await
}

/// Upstream's programs, started when the first request needs them.
pub struct Live<'a> {
    pub programs: &'a Path,
    pub folder: &'a Path,
    /// Every group and version is served.
    pub all: bool,
    pub reference: tokio::sync::Mutex<Option<Reference>>,
}

impl Live<'_> {
    async fn client(&self) -> Result<kube::Client> {
        let mut config = kube::Config::new(URL.parse().context("the reference's address is bad")?);
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(TOKEN.to_string().into());
        config.read_timeout = Some(Duration::from_secs(120));
        let client = kube::Client::try_from(config)?;
        let mut slot = self.reference.lock().await;
        if slot.is_some() {
            return Ok(client);
        }
        let reference = slot.insert(Reference::start(self.programs, self.folder, self.all)?);
        for _ in 0..900 {
            reference.alive()?;
            if let Ok(answer) = send(&client, &Ask::get("/readyz")).await
                && answer.code == 200
            {
                return Ok(client);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("the reference does not get ready");
    }
}

async fn send(client: &kube::Client, ask: &Ask) -> Result<Answer> {
    let mut request = Request::new(kube::client::Body::from(ask.body.clone()));
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = ask.path.parse().with_context(|| format!("bad path {}", ask.path))?;
    for (name, value) in headers(ask) {
        request.headers_mut().insert(name, value.parse()?);
    }
    let response = match client.send(request).await {
        Ok(response) => response,
        // A handler that panics closes the connection (a null that its validation follows).
        Err(kube::Error::HyperError(_) | kube::Error::Service(_)) => return Ok(Answer::none()),
        Err(other) => return Err(other.into()),
    };
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    Ok(answer(parts.status, &parts.headers, &body))
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
