//! Looking at the source: what is new is accepted, what is out of reach or broken is told, and what was there is kept.

use super::*;

impl Task {
    pub(super) async fn look_at_source(&mut self, app: &App, revision: Option<String>) {
        let mut source = app.source.clone();
        if let Some(revision) = revision {
            source.revision = revision;
        }
        let digest = source.digest();
        let same = self.artifact.as_ref().is_some_and(|artifact| artifact.source == digest);
        let due = self.next_look.is_none_or(|at| Instant::now() >= at);
        if same && !due && !app.refresh {
            return;
        }
        // A spec that cannot be fetched is not tried at each turn: only when it is due, asked for, or new.
        if !same && !due && !app.refresh && self.shown.as_ref().is_some_and(|(tried, _)| *tried == digest) {
            return;
        }
        let answer = self.fetch(app, &source, same).await;
        self.shown = Some((digest, String::new()));
        let interval = self.shared.config.interval.unwrap_or_else(|| {
            let jitter = app.policy.jitter.as_millis().try_into().unwrap_or(u64::MAX);
            app.policy.interval + Duration::from_millis(rand::random_range(0..=jitter))
        });
        self.next_look = Some(Instant::now() + interval);
        match answer {
            Ok(Answer::Unchanged(_)) => self.online(app, None).await,
            Ok(Answer::Artifact(artifact)) => self.accept(app, artifact).await,
            Ok(Answer::Unrenderable { revision, text }) => {
                let short: String = revision.chars().take(12).collect();
                let kept = self.kept();
                let text = format!("Failed to generate manifests of {short}: {text}{kept}");
                self.online(app, Some(Fault { kind: FaultKind::Compare, text })).await;
            }
            Ok(Answer::Unavailable(text)) => self.offline(app, text).await,
            Err(text) => self.offline(app, text).await,
        }
    }

    pub(super) fn kept(&self) -> String {
        match &self.artifact {
            None => String::new(),
            Some(artifact) => {
                let short: String = artifact.revision.chars().take(12).collect();
                format!("; the cluster is kept at {short}")
            }
        }
    }

    pub(super) async fn fetch(
        &self,
        app: &App,
        source: &crate::Source,
        same: bool,
    ) -> Result<Answer, String> {
        let credentials =
            (self.front.credentials)(&self.shared.cluster, &self.shared.config.settings, app).await?;
        let known = self.artifact.as_ref().filter(|_| same).map(|artifact| artifact.revision.clone());
        let clones = self.shared.config.directory.join("sources");
        let request = Request {
            repository: clones.join(source.repository_key()),
            manifests: self.store.incoming(),
            source: source.clone(),
            credentials,
            known,
            limits: self.shared.config.limits,
        };
        for directory in [&self.directory, &clones] {
            std::fs::create_dir_all(directory)
                .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        }
        let _one = self.shared.fetching.acquire().await.map_err(|error| error.to_string())?;
        child::run(&self.shared.config.child, &request).await.map_err(|error| base::chain(&error).to_string())
    }

    pub(super) async fn accept(&mut self, app: &App, artifact: Artifact) {
        let now = self.shared.clock.now();
        let accepted =
            artifact::verify(&artifact, Trust::Unsigned, now).and_then(|()| self.store.accept(&artifact));
        match accepted {
            Ok(()) => {
                let before = self.artifact.replace(artifact.clone());
                self.index = None;
                self.failures = 0;
                self.next_try = None;
                self.online(app, None).await;
                let from = before.map_or_else(String::new, |before| before.revision);
                if from != artifact.revision {
                    tracing::info!(
                        application = app.name,
                        revision = artifact.revision,
                        objects = artifact.objects,
                        "a new revision"
                    );
                }
            }
            Err(error) => {
                let text = base::chain(&error).to_string();
                self.online(app, Some(Fault { kind: FaultKind::Compare, text })).await;
            }
        }
    }

    pub(super) async fn online(&mut self, app: &App, fault: Option<Fault>) {
        if let Some(since) = self.offline_since.take() {
            let _ = std::fs::remove_file(self.directory.join(OUTAGE));
            let text =
                format!("{} can be reached again, after it was out of reach since {since}", app.source.url);
            tell(&self.shared, self.front, app, Level::Normal, "SourceOnline", &text).await;
        }
        if let Some(fault) = fault.as_ref().filter(|_| fault != self.source_fault) {
            tell(&self.shared, self.front, app, Level::Warning, "ComparisonError", &fault.text).await;
        }
        self.source_fault = fault;
    }

    pub(super) async fn offline(&mut self, app: &App, text: String) {
        let now = self.shared.clock.now();
        let told = self.source_fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Offline);
        if self.offline_since.is_none() {
            let _ = std::fs::write(self.directory.join(OUTAGE), now.to_string());
        }
        let since = *self.offline_since.get_or_insert(now);
        let seconds = Timestamp::from_second(since.as_second()).unwrap_or(since);
        let text = format!("{text}; offline since {seconds}{}", self.kept());
        if !told {
            tell(&self.shared, self.front, app, Level::Warning, "SourceOffline", &text).await;
            self.source_fault = Some(Fault { kind: FaultKind::Offline, text });
        }
        let interval = self.shared.config.interval.unwrap_or(OFFLINE).min(OFFLINE);
        self.next_look = Some(Instant::now() + interval);
    }
}
