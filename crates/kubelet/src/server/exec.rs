//! `/exec` and `/attach`: a process' standard streams over WebSocket or SPDY.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use runtime::{ExecSpec, State, Streams};
use tokio::sync::mpsc;

use super::terminal::{self, End, Input, Output};
use super::{Body, Error, Query, find, full, instances, spdy, websocket};
use crate::pod::spec;
use crate::work::Shared;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Exec,
    Attach,
}

pub(super) async fn serve(
    shared: &Arc<Shared>,
    verb: Verb,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let wanted = ExecSpec {
        command: query.all("command"),
        tty: query.is(&["tty"]),
        stdin: query.is(&["stdin", "input"]),
        stdout: query.is(&["stdout", "output"]),
        // A terminal has one output.
        stderr: query.is(&["stderr", "error"]) && !query.is(&["tty"]),
    };
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        return Err(Error::bad("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let (pod, sandbox) = find(shared, namespace, name).await?;
    let known = spec::container(&pod, container).is_some();
    let running = instances(sandbox.as_ref(), container).into_iter().find(|one| one.state == State::Running);
    let Some(running) = running.filter(|_| known) else {
        return Err(Error::not_found(format!("container not found ({container:?})")));
    };
    let upgrade = if websocket::is_wanted(request.headers()) {
        Upgrade::WebSocket
    } else if is_spdy(&request) {
        Upgrade::Spdy
    } else {
        return Err(Error::bad("an upgrade to WebSocket or SPDY/3.1 is needed"));
    };
    let streams = match verb {
        Verb::Exec => shared.seams.runtime.exec(&running.id, wanted.clone()).await,
        Verb::Attach => shared.seams.runtime.attach(&running.id, wanted.clone()).await,
    };
    match upgrade {
        Upgrade::WebSocket => {
            let (response, protocol, upgrade) = websocket::accept(request, &websocket::TERMINAL)?;
            base::spawn("exec", async move {
                match (websocket::socket(upgrade).await, streams) {
                    (Ok(socket), Ok(streams)) => websocket::terminal(socket, protocol, streams).await,
                    (Ok(socket), Err(error)) => websocket::terminal(socket, protocol, failed(error)).await,
                    (Err(error), _) => tracing::debug!(%error, "an exec was not upgraded"),
                }
            });
            Ok(response)
        }
        Upgrade::Spdy => over_spdy(request, wanted, streams),
    }
}

enum Upgrade {
    WebSocket,
    Spdy,
}

/// A process that could not start tells so where its end is told, as upstream does: the upgrade is done by then.
fn failed(error: runtime::Error) -> Streams {
    let (exit, exited) = tokio::sync::oneshot::channel();
    let _receiver_lives = exit.send(Err(error));
    let (resize, _) = mpsc::channel(1);
    Streams { stdin: None, stdout: None, stderr: None, resize, exit: exited }
}

pub(super) fn is_spdy(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("SPDY/3.1"))
}

/// Answers an upgrade to SPDY with the first of `known` that the client offers.
pub(super) fn accept_spdy(
    request: &Request<Incoming>,
    known: &[&'static str],
) -> Result<(Response<Body>, &'static str), Error> {
    let offered: Vec<&str> = request
        .headers()
        .get_all("x-stream-protocol-version")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let chosen = match known.iter().find(|known| offered.contains(known)) {
        Some(chosen) => chosen,
        // The first protocol had no name in the handshake.
        None if offered.is_empty() => "",
        None => {
            let message = format!(
                "unable to negotiate protocol: client supports {offered:?}, server supports {known:?}"
            );
            return Err(Error::new(StatusCode::FORBIDDEN, message));
        }
    };
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if !chosen.is_empty() {
        fields.insert("x-stream-protocol-version", HeaderValue::from_static(chosen));
    }
    Ok((response, chosen))
}

fn over_spdy(
    mut request: Request<Incoming>,
    wanted: ExecSpec,
    streams: Result<Streams, runtime::Error>,
) -> Result<Response<Body>, Error> {
    const KNOWN: [&str; 4] =
        ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
    let (response, protocol) = accept_spdy(&request, &KNOWN)?;
    let upgrade = hyper::upgrade::on(&mut request);
    base::spawn("exec", async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "an exec was not upgraded");
                return;
            }
        };
        let (opened, drive) = spdy::serve(TokioIo::new(upgraded));
        let streams = streams.unwrap_or_else(failed);
        let ((), driven) = tokio::join!(session(opened, protocol, wanted, streams), drive);
        if let Err(error) = driven {
            tracing::debug!(%error, "an exec's connection broke");
        }
    });
    Ok(response)
}

/// Runs the process' session once the client has opened all streams that it will.
async fn session(mut opened: spdy::Streams, protocol: &str, wanted: ExecSpec, streams: Streams) {
    let with_status = protocol == "v4.channel.k8s.io";
    let resizes = wanted.tty && matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let expected =
        1 + [wanted.stdin, wanted.stdout, wanted.stderr, resizes].iter().filter(|one| **one).count();
    let mut found: HashMap<String, spdy::Stream> = HashMap::new();
    let gather = async {
        while found.len() < expected {
            let Some(stream) = opened.recv().await else { return false };
            let kind = stream.headers.get("streamtype").cloned().unwrap_or_default();
            found.insert(kind, stream);
        }
        true
    };
    // Upstream's limit for the client to open its streams.
    if !tokio::time::timeout(std::time::Duration::from_secs(30), gather).await.unwrap_or(false) {
        return;
    }
    let mut take = |kind: &str| found.remove(kind);
    let (stdin, stdout, stderr, resize, error) =
        (take("stdin"), take("stdout"), take("stderr"), take("resize"), take("error"));
    let (input, inbox) = mpsc::channel(16);
    let (outbox, mut output) = mpsc::channel(16);
    let feed = async {
        let typed = async {
            let Some(mut stdin) = stdin else { return };
            while let Some(bytes) = stdin.read.recv().await {
                if input.send(Input::Stdin(bytes)).await.is_err() {
                    return;
                }
            }
            let _ended = input.send(Input::StdinClosed).await;
        };
        let sized = async {
            let Some(mut resize) = resize else { return };
            while let Some(bytes) = resize.read.recv().await {
                // Several sizes may come in one frame; the last one counts.
                let last = bytes.rsplit(|byte| *byte == b'\n').find_map(terminal::size);
                if let Some(size) = last
                    && input.send(size).await.is_err()
                {
                    return;
                }
            }
        };
        let gone = async {
            // The client opens no more streams: this ends when its connection does.
            while opened.recv().await.is_some() {}
        };
        tokio::pin!(gone);
        tokio::select! {
            _ = async { tokio::join!(typed, sized, std::future::pending::<()>()) } => {}
            () = &mut gone => {}
        }
    };
    let send = async {
        while let Some(message) = output.recv().await {
            let (stream, bytes) = match message {
                Output::Stdout(bytes) => (&stdout, bytes),
                Output::Stderr(bytes) => (&stderr, bytes),
            };
            if let Some(stream) = stream
                && stream.write.send(bytes).await.is_err()
            {
                return;
            }
        }
    };
    let run = async {
        let (end, ()) = tokio::join!(terminal::run(streams, inbox, outbox), send);
        end
    };
    let end = tokio::select! {
        end = run => end,
        () = feed => End::Gone,
    };
    let last = match (with_status, &end) {
        (_, End::Gone) => return,
        (true, end) => Some(end.status().to_string()),
        (false, end) => end.text(),
    };
    if let (Some(last), Some(error)) = (last, &error) {
        let _gone = error.write.send(last.into()).await;
    }
    for stream in [error, stdout, stderr].into_iter().flatten() {
        let _gone = stream.write.finish().await;
    }
}
