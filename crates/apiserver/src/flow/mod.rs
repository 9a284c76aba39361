//! Priority and fairness (KEP-1040): who may run now, who waits in which queue, who is told to come again.
//!
//! FlowSchemas sort requests into flows of priority levels; each level has its share of the server's seats. The tables
//! follow the watch caches and are swapped whole; a level keeps its queues over changes of its configuration. Unlike
//! upstream every request takes one seat, whatever it lists, and idle seats are lent at once, not by a loop of ten seconds.

mod dangling;
mod defaults;
mod level;
mod schema;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{Object, Resource, Value};
use arc_swap::ArcSwap;
use client::Update;
use http::HeaderValue;
use parking_lot::Mutex;

use crate::Identity;
use crate::http::Info;
use level::{Level, Limits, Refused};
use schema::Schema;

pub(crate) use dangling::start;
pub(crate) use defaults::{AUTOUPDATE, flow_schemas, priority_levels};
pub(crate) use level::Seat;

pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// See the module.
pub(crate) struct Flow {
    seats: usize,
    patience: Duration,
    objects: Mutex<Objects>,
    tables: ArcSwap<Tables>,
}

/// What the tables are made of.
#[derive(Default)]
struct Objects {
    schemas: BTreeMap<String, Arc<Schema>>,
    levels: BTreeMap<String, Row>,
    counts: HashMap<(String, String), Arc<Counts>>,
}

struct Row {
    uid: String,
    spec: Value,
    level: Arc<Level>,
}

#[derive(Default)]
struct Tables {
    /// By precedence, then by name.
    schemas: Vec<Entry>,
    levels: Vec<Arc<Level>>,
}

struct Entry {
    schema: Arc<Schema>,
    level: Arc<Level>,
    sorted: Sorted,
    counts: Arc<Counts>,
}

/// Of one FlowSchema at one level.
#[derive(Default)]
struct Counts {
    dispatched: AtomicU64,
    queue_full: AtomicU64,
    no_queue: AtomicU64,
    timed_out: AtomicU64,
}

impl Counts {
    fn of(&self, refused: Refused) -> &AtomicU64 {
        match refused {
            Refused::QueueFull => &self.queue_full,
            Refused::NoQueue => &self.no_queue,
            Refused::TimedOut => &self.timed_out,
        }
    }
}

/// What a request was sorted into: the uids, for the answer's headers.
#[derive(Clone, Debug)]
pub(crate) struct Sorted {
    pub schema: HeaderValue,
    pub level: HeaderValue,
}

/// Requests of others are before this one: come again.
#[derive(Debug)]
pub(crate) struct Busy;

impl Flow {
    /// `seats` for all levels; who waits longer than `patience` is sent away.
    pub fn new(seats: usize, patience: Duration) -> Flow {
        Flow { seats, patience, objects: Mutex::default(), tables: ArcSwap::default() }
    }

    /// Follows the caches; called for every change before it is visible.
    pub fn observe(&self, resource: &Resource, update: &Update) {
        if resource.group != GROUP {
            return;
        }
        let mut objects = self.objects.lock();
        match (resource.plural.as_str(), update) {
            ("flowschemas", Update::Put(object)) => {
                objects.schemas.insert(object.name().into(), Arc::new(Schema::of(object)));
            }
            ("flowschemas", Update::Delete(object)) => drop(objects.schemas.remove(object.name())),
            ("prioritylevelconfigurations", Update::Put(object)) => objects.put_level(object),
            ("prioritylevelconfigurations", Update::Delete(object)) => {
                if let Some(row) = objects.levels.remove(object.name()) {
                    row.level.retire();
                }
            }
            _ => return,
        }
        self.tables.store(Arc::new(objects.tables(self.seats)));
    }

    /// A seat for a request, at once or when its turn comes. A server that has no tables yet lets everybody in.
    pub async fn enter(
        &self,
        identity: &Identity,
        info: &Info,
    ) -> (Option<Sorted>, Result<Option<Seat>, Busy>) {
        let found = {
            let tables = self.tables.load();
            tables.schemas.iter().find(|entry| entry.schema.matches(identity, info)).map(|entry| {
                let flow = entry.schema.flow(identity, info);
                (Some(entry.sorted.clone()), entry.level.clone(), entry.counts.clone(), flow)
            })
        };
        let Some((sorted, level, counts, flow)) = found else { return (None, Ok(None)) };
        match level.enter(flow, self.patience).await {
            Ok(seat) => {
                counts.dispatched.fetch_add(1, Ordering::Relaxed);
                (sorted, Ok(Some(seat)))
            }
            Err(refused) => {
                counts.of(refused).fetch_add(1, Ordering::Relaxed);
                (sorted, Err(Busy))
            }
        }
    }

    /// Upstream's `apiserver_flowcontrol_*` of what is here.
    pub fn metrics(&self, out: &mut String) {
        let tables = self.tables.load();
        let mut table = |name: &str, kind: &str, help: &str, rows: &dyn Fn(&mut String, &str)| {
            let name = format!("apiserver_flowcontrol_{name}");
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            rows(out, &name);
        };
        let by_schema = |out: &mut String, name: &str, extra: &str, count: &dyn Fn(&Counts) -> u64| {
            for entry in &tables.schemas {
                let count = count(&entry.counts);
                if count > 0 {
                    let (schema, level) = (&entry.schema.name, &entry.level.name);
                    let _ = writeln!(
                        out,
                        "{name}{{flow_schema={schema:?},priority_level={level:?}{extra}}} {count}"
                    );
                }
            }
        };
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        table("dispatched_requests_total", "counter", "Requests that got a seat.", &|out, name| {
            by_schema(out, name, "", &|counts| load(&counts.dispatched));
        });
        table("rejected_requests_total", "counter", "Requests that were sent away.", &|out, name| {
            for refused in [Refused::QueueFull, Refused::NoQueue, Refused::TimedOut] {
                let reason = format!(",reason={:?}", refused.reason());
                by_schema(out, name, &reason, &|counts| load(counts.of(refused)));
            }
        });
        let by_level = |out: &mut String, name: &str, value: &dyn Fn(&level::Now) -> usize| {
            for level in &tables.levels {
                let _ = writeln!(out, "{name}{{priority_level={:?}}} {}", level.name, value(&level.now()));
            }
        };
        table("current_executing_seats", "gauge", "Seats in use.", &|out, name| {
            by_level(out, name, &|now| now.in_use);
        });
        table("current_inqueue_seats", "gauge", "Seats that requests wait for.", &|out, name| {
            by_level(out, name, &|now| now.waiting);
        });
        table("nominal_limit_seats", "gauge", "Seats of a level's own.", &|out, name| {
            by_level(out, name, &|now| now.limits.seats);
        });
        table("lower_limit_seats", "gauge", "Seats that are never lent.", &|out, name| {
            by_level(out, name, &|now| now.limits.seats - now.limits.lendable);
        });
        table("upper_limit_seats", "gauge", "Seats with all that may be borrowed.", &|out, name| {
            by_level(out, name, &|now| now.limits.seats + now.limits.borrowing);
        });
    }
}

impl Objects {
    fn put_level(&mut self, object: &Object) {
        let (name, uid) = (object.name().to_string(), object.uid.0.to_string());
        let spec = object.value().get("spec").cloned().unwrap_or_default();
        match self.levels.get_mut(&name) {
            Some(row) => (row.uid, row.spec) = (uid, spec),
            None => {
                let level = Level::new(&name);
                self.levels.insert(name, Row { uid, spec, level });
            }
        }
    }

    fn tables(&mut self, seats: usize) -> Tables {
        let shares: usize = self.levels.values().map(|row| shares(&row.spec)).sum();
        for row in self.levels.values() {
            let others = self.levels.values().filter(|other| !Arc::ptr_eq(&other.level, &row.level));
            let others: Vec<_> = others.map(|other| other.level.clone()).collect();
            row.level.set(limits(&row.spec, seats, shares), others);
        }
        let mut schemas: Vec<&Arc<Schema>> = self.schemas.values().collect();
        schemas.sort_by(|one, other| (one.precedence, &one.name).cmp(&(other.precedence, &other.name)));
        let (levels, counts) = (&self.levels, &mut self.counts);
        let entries = schemas.into_iter().filter_map(|schema| {
            // A schema whose level is not there matches nothing (upstream: it dangles).
            let row = levels.get(&schema.level)?;
            let counts = counts.entry((schema.name.clone(), schema.level.clone())).or_default().clone();
            let uid = |text: &str| HeaderValue::from_str(text).ok();
            let sorted = Sorted { schema: uid(&schema.uid)?, level: uid(&row.uid)? };
            Some(Entry { schema: schema.clone(), level: row.level.clone(), sorted, counts })
        });
        Tables { schemas: entries.collect(), levels: levels.values().map(|row| row.level.clone()).collect() }
    }
}

/// The part of the specification that counts for the level's type.
fn part(spec: &Value) -> Option<&Value> {
    spec.get(if spec.str_at(&["type"]) == "Exempt" { "exempt" } else { "limited" })
}

fn number(spec: &Value, path: &[&str], missing: i64) -> usize {
    let found = part(spec).and_then(|part| part.at(path)).and_then(Value::as_int).unwrap_or(missing);
    usize::try_from(found).unwrap_or(0)
}

fn shares(spec: &Value) -> usize {
    let missing = if spec.str_at(&["type"]) == "Exempt" { 0 } else { 30 };
    number(spec, &["nominalConcurrencyShares"], missing)
}

fn limits(spec: &Value, seats: usize, all_shares: usize) -> Limits {
    let own = (seats * shares(spec)).div_ceil(all_shares.max(1));
    let percent = number(spec, &["borrowingLimitPercent"], i64::MAX);
    let queuing = part(spec).is_some_and(|part| part.str_at(&["limitResponse", "type"]) == "Queue");
    let queue = |field: &str, missing| match queuing {
        true => number(spec, &["limitResponse", "queuing", field], missing),
        false => 0,
    };
    Limits {
        exempt: spec.str_at(&["type"]) == "Exempt",
        seats: own,
        lendable: own * number(spec, &["lendablePercent"], 0).min(100) / 100,
        borrowing: (own.saturating_mul(percent) / 100).min(seats),
        queues: queue("queues", 64),
        hand: queue("handSize", 8),
        queue_length: queue("queueLengthLimit", 50),
    }
}
