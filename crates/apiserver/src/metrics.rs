//! What `/metrics` tells of requests: upstream's names and labels (k8s.io/apiserver/pkg/endpoints/metrics) for what is
//! the same here.
//!
//! Invariant: the number of series is bounded, since only what is served is named. A request costs one lookup and two
//! additions; there is no lock that excludes others.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use parking_lot::RwLock;

use crate::http::Info;

/// Upper ends of the duration's buckets, in seconds.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

/// See the module.
#[derive(Default)]
pub(crate) struct Metrics {
    /// By the hash of their labels; two with one hash stand beside each other.
    series: RwLock<HashMap<u64, Vec<Arc<Series>>>>,
    /// Requests under way, those that read and those that write.
    reading: AtomicI64,
    writing: AtomicI64,
}

/// What tells requests apart.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Labels<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    verb: &'static str,
    scope: &'static str,
    dry_run: bool,
}

struct Series {
    /// As the exposition writes them, without `code`.
    text: String,
    labels: [String; 4],
    verb: &'static str,
    scope: &'static str,
    dry_run: bool,
    codes: RwLock<Vec<(u16, AtomicU64)>>,
    buckets: [AtomicU64; BUCKETS.len() + 1],
    microseconds: AtomicU64,
    /// Watches that are open.
    open: AtomicI64,
}

impl Series {
    fn new(labels: &Labels<'_>) -> Series {
        let Labels { group, version, resource, subresource, verb, scope, dry_run } = labels;
        let dry = if *dry_run { "All" } else { "" };
        Series {
            text: format!(
                "component=\"apiserver\",dry_run=\"{dry}\",group={group:?},resource={resource:?},scope={scope:?},\
                 subresource={subresource:?},verb={verb:?},version={version:?}"
            ),
            labels: [group, version, resource, subresource].map(|text| text.to_string()),
            verb,
            scope,
            dry_run: *dry_run,
            codes: RwLock::default(),
            buckets: Default::default(),
            microseconds: AtomicU64::new(0),
            open: AtomicI64::new(0),
        }
    }

    fn is(&self, labels: &Labels<'_>) -> bool {
        let [group, version, resource, subresource] = &self.labels;
        (group.as_str(), version.as_str(), resource.as_str(), subresource.as_str())
            == (labels.group, labels.version, labels.resource, labels.subresource)
            && (self.verb, self.scope, self.dry_run) == (labels.verb, labels.scope, labels.dry_run)
    }

    fn count(&self, code: u16) {
        if let Some((_, count)) = self.codes.read().iter().find(|(own, _)| *own == code) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut codes = self.codes.write();
        match codes.iter().find(|(own, _)| *own == code) {
            Some((_, count)) => drop(count.fetch_add(1, Ordering::Relaxed)),
            None => codes.push((code, AtomicU64::new(1))),
        }
    }
}

/// One of the requests under way.
pub(crate) struct Running<'a>(&'a AtomicI64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the open watches.
pub(crate) struct Open(Arc<Series>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a request as under way until the guard is dropped.
    pub fn running(&self, info: &Info) -> Running<'_> {
        let reads = matches!(info.verb, "get" | "list" | "watch" | "head" | "options");
        let count = if reads { &self.reading } else { &self.writing };
        count.fetch_add(1, Ordering::Relaxed);
        Running(count)
    }

    /// Counts an answered request. `served` says whether a group, version and plural are; it is asked once a series.
    pub fn answered(
        &self,
        method: &Method,
        info: &Info,
        dry_run: bool,
        code: u16,
        took: Duration,
        served: impl FnOnce() -> bool,
    ) {
        let series = self.series(method, info, dry_run, served);
        series.count(code);
        if info.verb == "watch" {
            return;
        }
        let seconds = took.as_secs_f64();
        let place = BUCKETS.iter().position(|end| seconds <= *end).unwrap_or(BUCKETS.len());
        series.buckets[place].fetch_add(1, Ordering::Relaxed);
        series.microseconds.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// Counts a watch as open until the guard is dropped.
    pub fn watching(&self, info: &Info) -> Open {
        let series = self.series(&Method::GET, info, false, || true);
        series.open.fetch_add(1, Ordering::Relaxed);
        Open(series)
    }

    fn series(
        &self,
        method: &Method,
        info: &Info,
        dry_run: bool,
        served: impl FnOnce() -> bool,
    ) -> Arc<Series> {
        let mut labels = Labels {
            group: &info.group,
            version: &info.version,
            resource: &info.resource,
            subresource: &info.subresource,
            verb: verb(method, info),
            scope: scope(info),
            dry_run,
        };
        if let Some(series) = self.find(&labels) {
            return series;
        }
        if !served() || info.subresource.len() > 32 {
            // What anybody can make up is not named.
            (labels.group, labels.version, labels.resource, labels.subresource) = ("", "", "", "");
            if let Some(series) = self.find(&labels) {
                return series;
            }
        }
        let series = Arc::new(Series::new(&labels));
        self.series.write().entry(hash(&labels)).or_default().push(series.clone());
        series
    }

    fn find(&self, labels: &Labels<'_>) -> Option<Arc<Series>> {
        self.series.read().get(&hash(labels))?.iter().find(|series| series.is(labels)).cloned()
    }

    pub fn write(&self, out: &mut String) {
        let mut all: Vec<Arc<Series>> = self.series.read().values().flatten().cloned().collect();
        all.sort_by(|one, other| one.text.cmp(&other.text));
        // A String takes every write.
        let _ = writeln!(
            out,
            "# HELP apiserver_current_inflight_requests Requests under way, by kind.\n\
             # TYPE apiserver_current_inflight_requests gauge\n\
             apiserver_current_inflight_requests{{request_kind=\"mutating\"}} {}\n\
             apiserver_current_inflight_requests{{request_kind=\"readOnly\"}} {}\n\
             # HELP apiserver_request_total Requests by verb, resource and code.\n\
             # TYPE apiserver_request_total counter",
            self.writing.load(Ordering::Relaxed),
            self.reading.load(Ordering::Relaxed)
        );
        for series in &all {
            for (code, count) in series.codes.read().iter() {
                let count = count.load(Ordering::Relaxed);
                let _ = writeln!(out, "apiserver_request_total{{code=\"{code}\",{}}} {count}", series.text);
            }
        }
        let _ = writeln!(
            out,
            "# HELP apiserver_longrunning_requests Watches that are open.\n\
             # TYPE apiserver_longrunning_requests gauge"
        );
        for series in all.iter().filter(|series| series.verb == "WATCH") {
            let open = series.open.load(Ordering::Relaxed);
            let text = series.text.replacen("dry_run=\"\",", "", 1);
            let _ = writeln!(out, "apiserver_longrunning_requests{{{text}}} {open}");
        }
        let _ = writeln!(
            out,
            "# HELP apiserver_request_duration_seconds Time from a request's head to its answer's.\n\
             # TYPE apiserver_request_duration_seconds histogram"
        );
        for series in all.iter().filter(|series| series.verb != "WATCH") {
            let mut sum = 0;
            for (at, count) in series.buckets.iter().enumerate() {
                sum += count.load(Ordering::Relaxed);
                let end = BUCKETS.get(at).map_or("+Inf".to_string(), f64::to_string);
                let text = &series.text;
                let _ =
                    writeln!(out, "apiserver_request_duration_seconds_bucket{{{text},le=\"{end}\"}} {sum}");
            }
            let seconds = series.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
            let _ = writeln!(
                out,
                "apiserver_request_duration_seconds_sum{{{0}}} {seconds}\napiserver_request_duration_seconds_count{{{0}}} {sum}",
                series.text
            );
        }
        write_objectives(&all, out);
    }
}

/// The durations again under the name that objectives of service are measured by: without the label `dry_run`. Nothing of a
/// request's time is another's here, so that none is taken off.
fn write_objectives(all: &[Arc<Series>], out: &mut String) {
    const NAME: &str = "apiserver_request_sli_duration_seconds";
    let _ = writeln!(
        out,
        "# HELP {NAME} Time from a request's head to its answer's, for objectives.\n# TYPE {NAME} histogram"
    );
    let mut rows: BTreeMap<String, ([u64; BUCKETS.len() + 1], u64)> = BTreeMap::new();
    for series in all.iter().filter(|series| series.verb != "WATCH") {
        let text = series.text.replacen("dry_run=\"\",", "", 1).replacen("dry_run=\"All\",", "", 1);
        let (counts, sum) = rows.entry(text).or_default();
        for (all, own) in counts.iter_mut().zip(&series.buckets) {
            *all += own.load(Ordering::Relaxed);
        }
        *sum += series.microseconds.load(Ordering::Relaxed);
    }
    for (text, (counts, sum)) in &rows {
        let mut all = 0;
        for (at, count) in counts.iter().enumerate() {
            all += count;
            // Upstream's buckets of these begin later.
            let end = BUCKETS.get(at).map_or("+Inf".to_string(), f64::to_string);
            if BUCKETS.get(at).is_none_or(|end| *end >= 0.05) {
                let _ = writeln!(out, "{NAME}_bucket{{{text},le=\"{end}\"}} {all}");
            }
        }
        let seconds = *sum as f64 / 1e6;
        let _ = writeln!(out, "{NAME}_sum{{{text}}} {seconds}\n{NAME}_count{{{text}}} {all}");
    }
}

fn hash(labels: &Labels<'_>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    labels.hash(&mut hasher);
    hasher.finish()
}

/// Upstream's `CleanVerb`.
fn verb(method: &Method, info: &Info) -> &'static str {
    match info.verb {
        "list" => "LIST",
        "watch" => "WATCH",
        "deletecollection" => "DELETECOLLECTION",
        _ => match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST if crate::subresource::is_stream(&info.subresource) => "CONNECT",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        },
    }
}

/// Upstream's `CleanScope`.
fn scope(info: &Info) -> &'static str {
    match () {
        () if !info.is_resource => "",
        () if !info.name.is_empty() || info.verb == "create" => "resource",
        () if !info.namespace.is_empty() => "namespace",
        () => "cluster",
    }
}

/// The work queues of the controllers in this process (k8s.io/component-base/metrics/prometheus/workqueue).
pub(crate) fn queues(out: &mut String) {
    let mut all = client::reconcile::queues();
    all.sort_by_key(|(name, _)| *name);
    let values: [(&str, &str, fn(&client::Queue) -> u64); 3] = [
        ("depth", "gauge", |queue| queue.len() as u64),
        ("adds_total", "counter", |queue| queue.counts().0),
        ("retries_total", "counter", |queue| queue.counts().1),
    ];
    for (name, kind, value) in values {
        let _ =
            writeln!(out, "# HELP workqueue_{name} Of a controller's queue.\n# TYPE workqueue_{name} {kind}");
        for (queue, counts) in &all {
            let _ = writeln!(out, "workqueue_{name}{{name={queue:?}}} {}", value(counts));
        }
    }
}

/// This process, by the names of Prometheus' own client.
pub(crate) fn process(out: &mut String) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let field = |at: usize| fields.get(at).copied().unwrap_or(0.0);
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0.0);
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot: f64 =
        stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0.0);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most: f64 = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    // Ticks are of 10 ms on every Linux that this is built for.
    for (name, kind, value) in [
        ("process_cpu_seconds_total", "counter", (field(11) + field(12)) / 100.0),
        ("process_max_fds", "gauge", most),
        ("process_open_fds", "gauge", files as f64),
        ("process_resident_memory_bytes", "gauge", resident * 1024.0),
        ("process_start_time_seconds", "gauge", boot + field(19) / 100.0),
        ("process_threads", "gauge", field(17)),
        ("process_virtual_memory_bytes", "gauge", field(20)),
    ] {
        let _ = writeln!(out, "# HELP {name} Of this process.\n# TYPE {name} {kind}\n{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Query;

    #[test]
    fn requests_are_told_by_upstreams_labels() {
        let metrics = Metrics::default();
        let ask = |method: Method, path: &str, code| {
            let (path, query) =
                path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
            let info = Info::of(&method, path, &Query::parse(query));
            let took = Duration::from_millis(20);
            metrics.answered(&method, &info, false, code, took, || info.resource == "pods");
        };
        ask(Method::GET, "/api/v1/namespaces/a/pods/b", 200);
        ask(Method::GET, "/api/v1/namespaces/a/pods/c", 200);
        ask(Method::POST, "/api/v1/namespaces/a/pods", 409);
        ask(Method::GET, "/api/v1/whatever", 404);
        ask(Method::GET, "/api/v1/whatever/else", 404);
        let info = Info::of(&Method::GET, "/api/v1/pods", &Query::parse(Some("watch=1")));
        let open = metrics.watching(&info);
        let mut text = String::new();
        metrics.write(&mut text);
        let expected = [
            r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 2"#,
            r#"apiserver_request_total{code="409",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 1"#,
            r#"apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 1"#,
            r#"resource="pods",scope="resource",subresource="",verb="GET",version="v1",le="0.005"} 0"#,
            r#"resource="pods",scope="resource",subresource="",verb="GET",version="v1",le="0.025"} 2"#,
        ];
        for line in expected {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("whatever"));
        drop(open);
        let mut text = String::new();
        metrics.write(&mut text);
        assert!(text.contains(r#"verb="WATCH",version="v1"} 0"#));
    }
}
