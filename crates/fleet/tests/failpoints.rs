//! Cuts at named places ([`fleet::cut`]) of fetching, rendering, planning, applying, pruning and of every file that is written:
//! the child dies as by `kill -9`, the agent stops where it is and another one starts on what is on disk. After each
//! cut everything converges; no object that stays in Git is ever made anew, and no stranger is touched.
//!
//! `SKIFF_CUTS` says how many, `SKIFF_SEED` which. Needs the program git; over the bad link also what [`bad_link`] names.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions
#![cfg(debug_assertions)]

#[path = "bench/bad_link.rs"]
mod bad_link;
mod bench;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::Value;
use bench::{Bench, Chance, map, setting, yaml};
use fleet::cut;

/// How often a place is passed in a round, at the most.
fn times(point: &str) -> u64 {
    match point {
        // Kilobytes: certificates, the advertisement, the pack.
        "child.received" => 6,
        "child.write" | "agent.apply" | "agent.applied" => 6,
        point if point.starts_with("agent.file") => 4,
        "agent.prune" | "agent.pruned" | "agent.shown" | "agent.status" => 2,
        _ => 1,
    }
}

struct Rounds {
    bench: Bench,
    chance: Chance,
    /// Of objects that were there after the round before.
    uids: BTreeMap<String, String>,
    fired: BTreeMap<&'static str, usize>,
}

impl Rounds {
    async fn objects(&self) -> BTreeMap<String, (String, String)> {
        let kind = self.bench.cluster.kind("v1", "ConfigMap").await.unwrap();
        let all = self.bench.cluster.list(&kind, &self.bench.namespace, "").await.unwrap();
        let text = |one: &Value, path: &[&str]| one.str_at(path).to_string();
        let alive = all.iter().filter(|one| one.at(&["metadata", "deletionTimestamp"]).is_none());
        alive
            .map(|one| {
                let of = (text(one, &["metadata", "uid"]), text(one, &["data", "key"]));
                (text(one, &["metadata", "name"]), of)
            })
            .filter(|(name, _)| name != "kube-root-ca.crt")
            .collect()
    }

    /// Cut at `point` while a change is brought in; `true`: it came there.
    async fn round(&mut self, round: u64, point: &'static str, restart: bool) {
        let mut names: BTreeSet<String> = ["m0".to_string(), "stranger".to_string()].into();
        let mut files = Vec::new();
        for at in 0..6 {
            if at == 0 || self.chance.below(2) == 0 {
                names.insert(format!("m{at}"));
                files.push((format!("app/m{at}.yaml"), map(&format!("m{at}"), &format!("r{round}"))));
            }
        }
        let of_child = cut::CHILD.contains(&point);
        let count = 1 + self.chance.below(times(point));
        if point.starts_with("child.merge") {
            self.age_clones();
        }
        let note = self.bench.cut_of_child();
        if of_child {
            std::fs::write(&note, format!("cut={point}:{count}:{}", note.display())).unwrap();
        } else {
            cut::arm(point, count);
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.bench.commit(&files);
        let value = format!("r{round}");
        let done = async |rounds: &Rounds| {
            let there = rounds.objects().await;
            let expected = |name: &str| if name == "stranger" { "x" } else { value.as_str() };
            there.keys().eq(names.iter()) && there.iter().all(|(name, (_, key))| key == expected(name))
        };
        let what = format!("round {round}: {point} the {count}th time, or its objects");
        let synced = async |rounds: &Rounds| {
            let status = rounds.bench.status().await;
            status.str_at(&["sync", "status"]) == "Synced"
                && status.str_at(&["sync", "revision"]) == rounds.bench.head()
                && done(rounds).await
        };
        let cut = self
            .bench
            .until(&what, async || {
                if cut::is_cut() || (of_child && !note.exists()) {
                    return Some(true);
                }
                synced(self).await.then_some(false)
            })
            .await;
        *self.fired.entry(point).or_default() += usize::from(cut);
        if !of_child || restart {
            self.bench.stop().await;
            cut::disarm();
            let _ = std::fs::remove_file(&note);
            self.bench.start().await;
        }
        cut::disarm();
        let _ = std::fs::remove_file(&note);
        let what = format!("round {round}: its objects after {point} the {count}th time");
        self.bench.until(&what, async || synced(self).await.then_some(())).await;
        let now = self.objects().await;
        for (name, (uid, _)) in &now {
            if let Some(before) = self.uids.get(name) {
                assert_eq!(before, uid, "{name} was made anew in round {round}, cut at {point}");
            }
        }
        self.uids = now.into_iter().map(|(name, (uid, _))| (name, uid)).collect();
    }

    /// So many packs that the next fetch merges them.
    fn age_clones(&self) {
        for clone in std::fs::read_dir(self.bench.directory.path().join("data/sources")).unwrap().flatten() {
            let packs = clone.path().join("objects/pack");
            let all = std::fs::read_dir(&packs).into_iter().flatten().flatten().map(|entry| entry.path());
            let Some(one) = all.filter(|path| path.extension().is_some_and(|end| end == "pack")).min() else {
                continue;
            };
            for at in 0..20 {
                for end in ["idx", "pack"] {
                    let copy = packs.join(format!("pack-old-{at}.{end}"));
                    std::fs::copy(one.with_extension(end), copy).unwrap();
                }
            }
        }
    }
}

async fn rounds(name: &str, count: u64, patience: u64) {
    let seed = setting("SKIFF_SEED", 0x5eed);
    println!("seed {seed}, {count} cuts; SKIFF_SEED and SKIFF_CUTS choose others");
    let mut bench = bench::bench_with(name, |config| {
        config.interval = Some(Duration::from_millis(100));
        config.front_ends = vec!["argocd".into()];
    })
    .await;
    bench.patience = Duration::from_secs(patience);
    let (_web, url) = bench.serve().await;
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", bench.namespace);
    bench.apply(&yaml(&namespace)).await;
    let stranger =
        map("stranger", "x").replace("metadata:", &format!("metadata:\n  namespace: {}", bench.namespace));
    bench.apply(&yaml(&stranger)).await;
    bench.commit(&[("app/m0.yaml", &map("m0", "begin"))]);
    let application = bench.namespace.clone();
    // Nobody collects garbage in this server: what is pruned in the foreground would stay for ever, being deleted.
    let policy =
        "{automated: {prune: true, selfHeal: true}, syncOptions: [PrunePropagationPolicy=background]}";
    bench.create_as(&application, &url, &format!("  syncPolicy: {policy}\n")).await;
    bench.until_value("m0", Some("begin")).await;
    let mut all = Rounds { bench, chance: Chance(seed | 1), uids: BTreeMap::new(), fired: BTreeMap::new() };
    let points: Vec<&'static str> = cut::CHILD.iter().chain(cut::AGENT).copied().collect();
    for round in 0..count {
        let point = points[round as usize % points.len()];
        let restart = all.chance.below(2) == 0;
        all.round(round, point, restart).await;
    }
    let cuts: usize = all.fired.values().sum();
    println!("{cuts} of {count} rounds were cut: {:?}", all.fired);
    if count >= 10 * points.len() as u64 {
        let never: Vec<_> =
            points.iter().filter(|point| all.fired.get(*point).is_none_or(|n| *n == 0)).collect();
        assert!(never.is_empty(), "never cut at {never:?}");
    }
    all.bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cut_converges() {
    rounds("failpoints", setting("SKIFF_CUTS", 24), 120).await;
}

#[test]
fn each_cut_over_a_bad_link_converges() {
    if bad_link::outside("each_cut_over_a_bad_link_converges") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(rounds("badlink", setting("SKIFF_LINK_CUTS", 2), 900));
}
