//! Cuts in every phase: the agent stops and its child is killed at seeded moments, between commits that add, change and
//! remove objects, and requests to the API server are lost on their way there or on the way back. Afterwards everything converges, and nothing that is not the application's was ever touched.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

mod bench;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bench::{Chance, bench, map, setting, yaml};
use futures_util::future::BoxFuture;
use kube::client::Body;
use tower::Service;

/// A way to the API server on which requests and answers are lost.
#[derive(Clone)]
struct Lossy {
    inner: kube::Client,
    /// One of so many requests is lost, and one of so many answers; 0: none.
    one_of: Arc<AtomicU64>,
    state: Arc<AtomicU64>,
}

impl Service<http::Request<Body>> for Lossy {
    type Response = http::Response<Body>;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let one_of = self.one_of.load(Ordering::Relaxed);
        let mut chance = Chance(self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) | 1);
        chance.below(u64::MAX);
        let drawn = if one_of == 0 { u64::MAX } else { chance.below(one_of) };
        let inner = self.inner.clone();
        Box::pin(async move {
            let cut = || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut").into();
            if drawn == 0 {
                return Err(cut());
            }
            let answer = inner.send(request).await?;
            // It was carried out, and nobody hears of it.
            if drawn == 1 && one_of != 0 { Err(cut()) } else { Ok(answer) }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn converges_after_cuts_and_touches_nothing_else() {
    let seed = setting("SKIFF_SEED", 0x5eed);
    let rounds = setting("SKIFF_CUTS", 8);
    println!("seed {seed}, {rounds} cuts; SKIFF_SEED and SKIFF_CUTS choose others");
    let mut chance = Chance(seed);
    let mut bench = bench("cuts").await;
    let lossy = Lossy {
        inner: bench.agent_client.clone(),
        one_of: Arc::default(),
        state: Arc::new(AtomicU64::new(seed)),
    };
    bench.stop().await;
    bench.agent_client = kube::Client::new(lossy.clone(), "default");
    bench.start().await;
    bench
        .apply(&yaml(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", bench.namespace)))
        .await;
    let stranger =
        map("stranger", "x").replace("metadata:", &format!("metadata:\n  namespace: {}", bench.namespace));
    bench.apply(&yaml(&stranger)).await;
    let uid = bench.get("ConfigMap", "stranger").await.unwrap().str_at(&["metadata", "uid"]).to_string();
    bench.commit(&[("app/m0.yaml", &map("m0", "begin"))]);
    // Nobody collects garbage in this server: what is pruned in the foreground would stay for ever, being deleted.
    let policy =
        "{automated: {prune: true, selfHeal: true}, syncOptions: [PrunePropagationPolicy=background]}";
    bench.create(&format!("  syncPolicy: {policy}\n")).await;
    bench.until_value("m0", Some("begin")).await;
    let mut files: Vec<(String, String)> = Vec::new();
    for round in 0..rounds {
        files.clear();
        for at in 0..6 {
            if chance.below(2) == 0 || at == 0 {
                files.push((format!("app/m{at}.yaml"), map(&format!("m{at}"), &format!("r{round}"))));
            }
        }
        let borrowed: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        bench.commit(&borrowed);
        lossy.one_of.store(30, Ordering::Relaxed);
        // The child dies before, while or after it fetches and renders; the agent before, while or after it applies.
        bench.child_lives(Duration::from_millis(chance.below(400)));
        tokio::time::sleep(Duration::from_millis(chance.below(1500))).await;
        bench.stop().await;
        bench.child_lives(Duration::MAX);
        bench.start().await;
    }
    lossy.one_of.store(0, Ordering::Relaxed);
    for at in 0..6 {
        let path = format!("app/m{at}.yaml");
        let there = files.iter().any(|(one, _)| *one == path);
        let last = format!("r{}", rounds - 1);
        bench.until_value(&format!("m{at}"), there.then_some(last.as_str())).await;
    }
    bench.until_synced().await;
    let after = bench.get("ConfigMap", "stranger").await.unwrap();
    assert_eq!((after.str_at(&["metadata", "uid"]), after.str_at(&["data", "key"])), (uid.as_str(), "x"));
    bench.finish().await;
}
