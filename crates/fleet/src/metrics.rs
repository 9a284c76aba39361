//! What the engine counts, in the text format of Prometheus: at `/metrics` of the API inside skiff, and where `--metrics` of the
//! agent says.
//!
//! Invariant: the number of series is bounded by the applications there are. One engine a process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;

use crate::known::Ref;
use crate::wire::Traffic;

/// How a look at a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Unchanged,
    News,
    /// A live server's answer, or a commit, that is of no use.
    Refused,
    Offline,
}

const LOOKS: [(Look, &str); 4] = [
    (Look::Unchanged, "unchanged"),
    (Look::News, "news"),
    (Look::Refused, "refused"),
    (Look::Offline, "offline"),
];

#[derive(Default)]
struct Counts {
    looks: [AtomicU64; LOOKS.len()],
    synced: AtomicU64,
    failed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// In step or not, healthy or not.
    standing: Mutex<BTreeMap<Ref, (String, String)>>,
}

static ALL: std::sync::LazyLock<Counts> = std::sync::LazyLock::new(Counts::default);

fn more(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

pub(crate) fn looked(how: Look) {
    if let Some(at) = LOOKS.iter().position(|(one, _)| *one == how) {
        more(&ALL.looks[at], 1);
    }
}

pub(crate) fn synced(failed: bool) {
    more(if failed { &ALL.failed } else { &ALL.synced }, 1);
}

pub(crate) fn moved(traffic: Traffic) {
    more(&ALL.sent, traffic.sent);
    more(&ALL.received, traffic.received);
}

/// How an application stands; `None`: it is gone.
pub(crate) fn stands(who: Ref, standing: Option<(String, String)>) {
    let mut all = ALL.standing.lock();
    match standing {
        Some(standing) => drop(all.insert(who, standing)),
        None => drop(all.remove(&who)),
    }
}

/// Writes all of it.
pub fn write(out: &mut String) {
    let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, u64)>| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
    };
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let standing = ALL.standing.lock().clone();
    let rows = standing.iter().map(|(who, (sync, health))| {
        let Ref { kind, namespace, name } = who;
        let labels =
            format!("kind={kind:?},namespace={namespace:?},name={name:?},sync={sync:?},health={health:?}");
        (labels, 1)
    });
    family("skiff_fleet_application_info", "gauge", "How each application stands.", rows.collect());
    let rows = LOOKS.iter().zip(&ALL.looks).map(|((_, name), count)| (format!("result={name:?}"), of(count)));
    family("skiff_fleet_looks_total", "counter", "Looks at sources.", rows.collect());
    let rows =
        vec![("result=\"succeeded\"".into(), of(&ALL.synced)), ("result=\"failed\"".into(), of(&ALL.failed))];
    family("skiff_fleet_syncs_total", "counter", "Syncs that were carried out.", rows);
    let rows = vec![
        ("direction=\"sent\"".into(), of(&ALL.sent)),
        ("direction=\"received\"".into(), of(&ALL.received)),
    ];
    family(
        "skiff_fleet_source_bytes_total",
        "counter",
        "Bytes to and from sources, TLS and ssh included.",
        rows,
    );
}

/// Serves them to whoever asks, one after the other.
pub(crate) async fn listen(address: SocketAddr) {
    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => tracing::warn!(%address, %error, "cannot listen for metrics; it is tried again"),
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let service =
            hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let mut text = String::new();
                let mut response = Response::builder().header("content-type", "text/plain; version=0.0.4");
                match request.uri().path() {
                    "/metrics" => write(&mut text),
                    _ => response = response.status(404),
                }
                response.body(Full::new(Bytes::from(text)))
            });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(5))
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let _ = tokio::time::timeout(Duration::from_secs(10), serving).await;
    }
}
