//! One load on one server, in a process and on a thread of its own: the same for skiff and for upstream. Connections send
//! the next request when the last is answered; what can be made before the clock starts is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use crate::wire::Target;

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
/// Objects that `lists` reads; made by `fill` before.
pub const LISTED: usize = 20_000;
pub const PAGE: usize = 500;
pub const CONNECTIONS: usize = 5_000;
pub const WATCHES: usize = 5_000;
pub const DEFINITIONS: usize = 10_000;

/// How `watch` is made.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Audience {
    /// Watchers of one namespace
    #[arg(long, default_value_t = 100)]
    pub watchers: usize,
    /// Objects made in it a second
    #[arg(long, default_value_t = 200)]
    pub rate: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Load {
    /// Creates of ConfigMaps of 1 KB, 64 clients
    Creates,
    /// The same by one client
    Single,
    /// GETs of one ConfigMap of 1 KB, 32 clients
    Gets,
    /// LISTs of 20,000 ConfigMaps by pages of 500, one client
    Lists,
    /// Watchers of one namespace while objects are made in it
    Watch,
    /// ConfigMaps of 1 KB that are made, changed and deleted, 16 clients
    Churn,
    /// Server-side applies that change a Deployment, 16 clients
    Applies,
    /// 5,000 connections that ask once and stay, until it is ended
    Idle,
    /// 5,000 watches on 50 connections of HTTP/2 that got a hundred objects and get nothing more, until it is ended
    Quiet,
    /// Makes 10,000 CustomResourceDefinitions, 8 clients
    Definitions,
    /// Makes 20,000 ConfigMaps of 1 KB
    Fill,
    /// Makes 50,000
    FillMore,
}

/// Named numbers; which, each load says.
pub type Figures = BTreeMap<String, f64>;

pub fn configmap(name: &str, filling: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"filling":"{filling}"}}}}"#
    )
}

fn configmaps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// Runs a load for `lasts` (a fill: to its end) and gives its figures.
pub fn run(load: Load, target: &Path, lasts: Duration, audience: Audience) -> Result<Figures> {
    let target = Target::read(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        match load {
            Load::Creates => creates(&target, 64, Until::Time(lasts)).await,
            Load::Single => creates(&target, 1, Until::Time(lasts)).await,
            Load::Gets => gets(&target, lasts).await,
            Load::Lists => lists(&target, lasts).await,
            Load::Watch => watch(&target, lasts, audience).await,
            Load::Churn => churn(&target, lasts).await,
            Load::Applies => applies(&target, lasts).await,
            Load::Idle => idle(&target).await,
            Load::Quiet => quiet(&target).await,
            Load::Definitions => definitions(&target).await,
            Load::Fill => creates(&target, 64, Until::Count(LISTED)).await,
            Load::FillMore => creates(&target, 64, Until::Count(50_000)).await,
        }
    })
}

enum Until {
    Time(Duration),
    Count(usize),
}

/// Runs `step` on each of `clients` connections over and over; times each.
async fn hammer<F>(target: &Target, clients: usize, until: Until, wanted: u16, make: F) -> Result<Figures>
where
    F: Fn(usize, usize) -> Vec<u8> + Clone + 'static,
{
    cycle(target, clients, until, move |client, at| (make(client, at), wanted)).await
}

/// The same; each request says which status it wants.
async fn cycle<F>(target: &Target, clients: usize, until: Until, make: F) -> Result<Figures>
where
    F: Fn(usize, usize) -> (Vec<u8>, u16) + Clone + 'static,
{
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(target.connect().await?);
    }
    let (since, made) = (Instant::now(), Rc::new(Cell::new(0)));
    let mut tasks: JoinSet<Result<Vec<Duration>>> = JoinSet::new();
    for (client, mut connection) in connections.into_iter().enumerate() {
        let (make, made) = (make.clone(), made.clone());
        let (time, count) = match until {
            Until::Time(time) => (time, usize::MAX),
            Until::Count(count) => (Duration::MAX, count),
        };
        tasks.spawn_local(async move {
            let mut times = Vec::new();
            while since.elapsed() < time && made.get() < count {
                made.set(made.get() + 1);
                let (request, wanted) = make(client, times.len());
                let sent = Instant::now();
                connection.ask(&request, wanted).await?;
                times.push(sent.elapsed());
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Ok(figures(times, since.elapsed()))
}

fn figures(mut times: Vec<Duration>, took: Duration) -> Figures {
    times.sort();
    let at = |part: f64| {
        let place = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let figures = [
        ("count", times.len() as f64),
        ("per_second", times.len() as f64 / took.as_secs_f64()),
        ("p50_ms", at(0.5)),
        ("p99_ms", at(0.99)),
        ("max_ms", at(1.0)),
    ];
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn creates(target: &Target, clients: usize, until: Until) -> Result<Figures> {
    let (filling, run, own) = ("x".repeat(1000), std::process::id(), target.clone());
    hammer(target, clients, until, 201, move |client, at| {
        own.request(
            "POST",
            &configmaps("default"),
            JSON,
            &configmap(&format!("bench-{run}-{client}-{at}"), &filling),
        )
    })
    .await
}

/// Each client makes an object, changes it twice and deletes it, under a new name each time.
async fn churn(target: &Target, lasts: Duration) -> Result<Figures> {
    let (filling, run, own) = ("x".repeat(1000), std::process::id(), target.clone());
    cycle(target, 16, Until::Time(lasts), move |client, at| {
        let name = format!("churn-{run}-{client}-{}", at / 4);
        let path = format!("{}/{name}", configmaps("default"));
        match at % 4 {
            0 => (own.request("POST", &configmaps("default"), JSON, &configmap(&name, &filling)), 201),
            3 => (own.request("DELETE", &path, JSON, ""), 200),
            step => (own.request("PUT", &path, JSON, &configmap(&name, &format!("{step}{filling}"))), 200),
        }
    })
    .await
}

async fn gets(target: &Target, lasts: Duration) -> Result<Figures> {
    let name = format!("only-{}", std::process::id());
    let body = configmap(&name, &"x".repeat(1000));
    target.connect().await?.ask(&target.request("POST", &configmaps("default"), JSON, &body), 201).await?;
    let request = target.get(&format!("{}/{name}", configmaps("default")));
    hammer(target, 32, Until::Time(lasts), 200, move |_, _| request.clone()).await
}

/// Each step is one whole list; `pages_per_second` and `objects` tell what that is.
async fn lists(target: &Target, lasts: Duration) -> Result<Figures> {
    let mut connection = target.connect().await?;
    let (since, mut times, mut pages) = (Instant::now(), Vec::new(), 0.0);
    while since.elapsed() < lasts {
        let (begun, mut next) = (Instant::now(), String::new());
        loop {
            let path = format!("{}?limit={PAGE}&continue={next}", configmaps("default"));
            let body = connection.ask(&target.get(&path), 200).await?;
            pages += 1.0;
            // The list's own metadata comes first.
            let head = String::from_utf8_lossy(&body[..body.len().min(2000)]);
            let Some((_, rest)) = head.split_once("\"continue\":\"") else { break };
            next = rest.split('"').next().context("a token without an end")?.replace('=', "%3D");
        }
        times.push(begun.elapsed());
    }
    let mut figures = figures(times, since.elapsed());
    figures.insert("pages_per_second".into(), pages / since.elapsed().as_secs_f64());
    Ok(figures)
}

/// Times from before an object is sent to be created to the event at each watcher.
async fn watch(target: &Target, lasts: Duration, audience: Audience) -> Result<Figures> {
    let namespace = format!("watched-{}", std::process::id());
    let body = format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{namespace}"}}}}"#);
    target.connect().await?.ask(&target.request("POST", "/api/v1/namespaces", JSON, &body), 201).await?;
    let begin = Instant::now();
    let delays: Rc<RefCell<Vec<Duration>>> = Rc::default();
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..audience.watchers {
        let (mut connection, delays) = (target.connect().await?, delays.clone());
        let request = target.get(&format!("{}?watch=1&resourceVersion=0", configmaps(&namespace)));
        tasks.spawn_local(async move {
            let line = |line: &[u8]| {
                let text = String::from_utf8_lossy(line);
                if let Some((_, rest)) = text.split_once("\"name\":\"at-")
                    && let Some(sent) = rest.split(['-', '"']).next().and_then(|digits| digits.parse().ok())
                {
                    delays.borrow_mut().push(begin.elapsed().saturating_sub(Duration::from_micros(sent)));
                }
                true
            };
            connection.stream(&request, line).await
        });
    }
    // Paced by the clock, by several clients, so that one slow write does not hold the next back.
    let (filling, made) = ("x".repeat(1000), Rc::new(Cell::new(0u64)));
    let writing = Instant::now();
    let mut writers: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..8 {
        let mut connection = target.connect().await?;
        let (target, namespace, filling, made) =
            (target.clone(), namespace.clone(), filling.clone(), made.clone());
        writers.spawn_local(async move {
            loop {
                let at = made.get();
                made.set(at + 1);
                let due = Duration::from_micros(at * 1_000_000 / audience.rate);
                if due >= lasts {
                    return Ok(());
                }
                tokio::time::sleep(due.saturating_sub(writing.elapsed())).await;
                let body = configmap(&format!("at-{}-{at}", begin.elapsed().as_micros()), &filling);
                connection.ask(&target.request("POST", &configmaps(&namespace), JSON, &body), 201).await?;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    let took = writing.elapsed();
    let expected = (lasts.as_secs_f64() * audience.rate as f64) as usize * audience.watchers;
    for _ in 0..200 {
        if delays.borrow().len() >= expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    tasks.abort_all();
    let mut figures = figures(delays.take(), took);
    figures.insert("expected".into(), expected as f64);
    Ok(figures)
}

/// Tells that all are there, and holds them until the process is ended.
async fn idle(target: &Target) -> Result<Figures> {
    let (since, mut connections, mut times) = (Instant::now(), Vec::new(), Vec::new());
    let request = target.get("/api/v1/namespaces/default");
    for _ in 0..CONNECTIONS {
        let begun = Instant::now();
        let mut connection = target.connect().await?;
        connection.ask(&request, 200).await?;
        times.push(begun.elapsed());
        connections.push(connection);
    }
    println!("{}", serde_json::to_string(&figures(times, since.elapsed()))?);
    std::future::pending().await
}

/// Tells that all have what there is, and holds them until the process is ended.
async fn quiet(target: &Target) -> Result<Figures> {
    const OBJECTS: usize = 100;
    let mut maker = target.connect().await?;
    for at in 0..OBJECTS {
        let body = configmap(&format!("quiet-{at}"), &"x".repeat(1000));
        maker.ask(&target.request("POST", &configmaps("kube-public"), JSON, &body), 201).await?;
    }
    let path = format!("{}?watch=1&allowWatchBookmarks=true&resourceVersion=0", configmaps("kube-public"));
    let (since, mut watches, mut times) = (Instant::now(), Vec::new(), Vec::new());
    for _ in 0..WATCHES / 100 {
        let mut connection = target.connect_second().await?;
        for _ in 0..100 {
            let begun = Instant::now();
            connection.ready().await?;
            let mut body = connection.send_request(target.second_get(&path)?).await?.into_body();
            let mut seen = 0;
            while seen < OBJECTS {
                let data = body.frame().await.context("a watch ended")??.into_data();
                seen += data.map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
            }
            times.push(begun.elapsed());
            watches.push(body);
        }
    }
    println!("{}", serde_json::to_string(&figures(times, since.elapsed()))?);
    std::future::pending().await
}

async fn definitions(target: &Target) -> Result<Figures> {
    let own = target.clone();
    hammer(target, 8, Until::Count(DEFINITIONS), 201, move |client, at| {
        let name = format!("thing{client}x{at}s");
        let schema = r#"{"type":"object","properties":{"spec":{"type":"object","properties":{"size":{"type":"integer"},"name":{"type":"string"}}}}}"#;
        let body = format!(
            r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"{name}.bench{client}.example.com"}},"spec":{{"group":"bench{client}.example.com","scope":"Namespaced","names":{{"plural":"{name}","singular":"{name}one","kind":"Thing{client}x{at}","listKind":"Thing{client}x{at}List"}},"versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{schema}}}}}]}}}}"#
        );
        own.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", JSON, &body)
    })
    .await
}

async fn applies(target: &Target, lasts: Duration) -> Result<Figures> {
    let (own, run) = (target.clone(), std::process::id());
    let request = move |client: usize, at: usize| {
        let name = format!("apply-{run}-{client}");
        let path =
            format!("/apis/apps/v1/namespaces/default/deployments/{name}?fieldManager=bench&force=true");
        own.request("PATCH", &path, APPLY, &deployment(&name, at))
    };
    let mut connection = target.connect().await?;
    for client in 0..16 {
        connection.ask(&request(client, 0), 201).await?;
    }
    hammer(target, 16, Until::Time(lasts), 200, move |client, at| request(client, at + 1)).await
}

fn deployment(name: &str, version: usize) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"{name}","labels":{{"app":"{name}"}}}},"spec":{{"replicas":3,"selector":{{"matchLabels":{{"app":"{name}"}}}},"template":{{"metadata":{{"labels":{{"app":"{name}"}}}},"spec":{{"containers":[{{"name":"web","image":"registry.example/web:{version}","ports":[{{"containerPort":8080,"name":"http"}}],"env":[{{"name":"A","value":"b"}},{{"name":"VERSION","value":"{version}"}}],"resources":{{"requests":{{"cpu":"100m","memory":"64Mi"}},"limits":{{"memory":"128Mi"}}}},"readinessProbe":{{"httpGet":{{"path":"/ready","port":"http"}}}},"volumeMounts":[{{"name":"config","mountPath":"/etc/web"}}]}},{{"name":"proxy","image":"registry.example/proxy:1","args":["--listen=:9090"],"ports":[{{"containerPort":9090}}]}}],"volumes":[{{"name":"config","configMap":{{"name":"web"}}}}]}}}}}}}}"#
    )
}
