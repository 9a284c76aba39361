//! Looking at the source: what is new is accepted, what is out of reach or broken is told, and what was there is kept.

use super::*;
use crate::cut;
use crate::git::{Url, parse_url};
use crate::metrics;
use crate::wire::Traffic;

/// Why a source was not even asked.
pub(super) enum Unasked {
    /// Credentials or variables are not there.
    Inputs(String),
    /// The child could not be run.
    Child(String),
}

/// What is rendered: the application's own sources, or those of an operation.
pub(super) fn recipe_for(app: &App, operation: Option<&Operation>) -> Recipe {
    let Some(operation) = operation else { return app.recipe.clone() };
    let mut recipe = operation.recipe.clone().unwrap_or_else(|| app.recipe.clone());
    for (source, revision) in recipe.sources.iter_mut().zip(&operation.revisions) {
        source.revision = revision.clone();
    }
    recipe
}

impl Task {
    pub(super) async fn look_at_source(&mut self, app: &App, operation: Option<&Operation>) {
        let recipe = recipe_for(app, operation);
        let digest = recipe.digest();
        if operation.is_some() || app.refresh != Refresh::No {
            self.forgive();
        }
        let same = self.followed().is_some_and(|artifact| artifact.source == digest);
        let due = self.next_look.is_none_or(|at| Instant::now() >= at);
        let asked = app.refresh != Refresh::No || operation.is_some();
        if same && !due && !asked {
            return;
        }
        // A spec that cannot be fetched is not tried at each turn: only when it is due, asked for, or new.
        if !same && !due && !asked && self.shown.as_ref().is_some_and(|(tried, _)| *tried == digest) {
            return;
        }
        let network =
            recipe.sources.iter().any(|source| !matches!(parse_url(&source.url), Ok(Url::Local(_))));
        let refusal = self.shared.ledger.lock().refusal(self.shared.clock.now());
        if let Some(refusal) = refusal.filter(|_| network && !asked) {
            self.shown = Some((digest, String::new()));
            self.offline(app, refusal).await;
            return;
        }
        let after = self.followed().filter(|_| same && app.forward_only).map(|one| one.revisions.clone());
        let answer = self.fetch(app, &recipe, same && app.refresh != Refresh::Hard, after).await;
        self.shown = Some((digest.clone(), String::new()));
        let interval = self.shared.config.interval.unwrap_or_else(|| {
            let jitter = app.policy.jitter.as_millis().try_into().unwrap_or(u64::MAX);
            app.policy.interval + Duration::from_millis(rand::random_range(0..=jitter))
        });
        self.next_look = Some(Instant::now() + interval);
        metrics::looked(match &answer {
            Ok((Answer::Unchanged(_), _)) => metrics::Look::Unchanged,
            Ok((Answer::Artifact(_), _)) => metrics::Look::News,
            Ok((Answer::Unavailable(_), _)) | Err(_) => metrics::Look::Offline,
            Ok(_) => metrics::Look::Refused,
        });
        match answer {
            Ok((Answer::Unchanged(_), _)) => self.online(app, None).await,
            Ok((Answer::Artifact(mut artifact), inputs)) => {
                artifact.source = digest;
                artifact.inputs = inputs;
                match self.is_given_up(&artifact) {
                    true => self.online(app, None).await,
                    false => self.accept(app, artifact).await,
                }
            }
            Ok((Answer::Unrenderable { revision, text }, _)) => {
                let short: String = revision.chars().take(12).collect();
                let kept = self.kept();
                let text = format!("Failed to generate manifests of {short}: {text}{kept}");
                self.online(app, Some(Fault { kind: FaultKind::Compare, text })).await;
            }
            // A live server's answer is no outage.
            Ok((Answer::Absent(text), _)) => {
                let text = format!("{text}{}", self.kept());
                self.online(app, Some(Fault { kind: FaultKind::Compare, text })).await;
            }
            Ok((Answer::Unsigned { what, text }, _)) => {
                let text = format!("{text}{}", self.kept());
                self.online(app, Some(Fault { kind: FaultKind::Unsigned(what), text })).await;
            }
            Ok((Answer::Unavailable(text), _)) => self.offline(app, text).await,
            Err(Unasked::Inputs(text)) => {
                // The cluster, not the source, lacks something: it is looked at again soon, and nobody is offline.
                let text = format!("{text}{}", self.kept());
                self.online(app, Some(Fault { kind: FaultKind::Compare, text })).await;
                self.next_look = Some(Instant::now() + interval.min(OFFLINE));
            }
            Err(Unasked::Child(text)) => self.offline(app, text).await,
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

    /// Asks the child; gives its answer and what tells the variables apart that it was given.
    async fn fetch(
        &self,
        app: &App,
        recipe: &Recipe,
        same: bool,
        after: Option<Vec<String>>,
    ) -> Result<(Answer, String), Unasked> {
        let inputs: Inputs = (self.front.inputs)(&self.shared.cluster, &self.shared.config.settings, app)
            .await
            .map_err(Unasked::Inputs)?;
        let mut recipe = recipe.clone();
        if let Some(variables) = &mut recipe.finish.substitute {
            // What the object itself says wins over what it takes from elsewhere.
            let own = std::mem::replace(variables, inputs.variables.clone());
            variables.extend(own);
        }
        let digest = inputs.digest();
        let clones = self.shared.config.directory.join(crate::engine::clones::FOLDER);
        let known = self.followed().filter(|artifact| same && artifact.inputs == digest);
        if let Some(known) = known
            && recipe.sources.iter().zip(&known.revisions).all(|(source, commit)| source.revision == *commit)
        {
            // Commits that are asked for by their ids do not change.
            return Ok((Answer::Unchanged(known.revisions.clone()), digest));
        }
        let judged = self.shared.trust.lock().time(&self.shared.clock);
        let mut request = Request {
            fetches: recipe.fetches(&inputs, &clones, known.map(|artifact| artifact.revisions.as_slice())),
            recipe,
            manifests: self.store.incoming(),
            limits: self.shared.config.limits,
            now: u64::try_from(judged.as_second()).unwrap_or_default(),
        };
        for (fetch, commit) in request.fetches.iter_mut().zip(after.into_iter().flatten()) {
            fetch.after = Some(commit);
        }
        if same && known.is_some() && !self.doubtful {
            let (unchanged, traffic) = self.shared.polls.unchanged(&request.fetches, request.now).await;
            self.count(app, traffic);
            if unchanged {
                self.believe(&request, judged);
                let known = known.map(|artifact| artifact.revisions.clone());
                return Ok((Answer::Unchanged(known.unwrap_or_default()), digest));
            }
        }
        for directory in [&self.directory, &clones] {
            std::fs::create_dir_all(directory)
                .map_err(|error| Unasked::Child(format!("cannot make {}: {error}", directory.display())))?;
        }
        let _place = self.shared.lanes.enter(&request, self.doubtful).await;
        let (answer, traffic) = child::run(&self.shared.config.child, &request).await;
        self.count(app, traffic);
        if traffic.total() > 0
            && answer.as_ref().is_ok_and(|answer| !matches!(answer, Answer::Unavailable(_)))
        {
            self.believe(&request, judged);
        }
        Ok((answer.map_err(|error| Unasked::Child(base::chain(&error).to_string()))?, digest))
    }

    /// What a look cost.
    fn count(&self, app: &App, traffic: Traffic) {
        self.shared.ledger.lock().add(traffic, self.shared.clock.now());
        metrics::moved(traffic);
        if traffic.total() > 0 {
            let (sent, received) = (traffic.sent, traffic.received);
            tracing::debug!(application = app.name, sent, received, "bytes of a look");
        }
    }

    /// A server answered whose certificate was judged by that time.
    fn believe(&self, request: &Request, judged: Timestamp) {
        let proved = |fetch: &Fetch| fetch.url.starts_with("https://") && !fetch.credentials.insecure;
        if request.fetches.iter().any(proved) {
            self.shared.trust.lock().believed(judged);
        }
    }

    pub(super) async fn accept(&mut self, app: &App, artifact: Artifact) {
        cut::agent("agent.fetched").await;
        let now = self.shared.clock.now();
        let accepted =
            artifact::verify(&artifact, Trust::Unsigned, now).and_then(|()| self.store.accept(&artifact));
        match accepted {
            Ok(()) => {
                let before = self.artifact.replace(artifact.clone());
                self.forgive();
                self.index = None;
                self.failures = 0;
                self.next_try = None;
                self.online(app, None).await;
                let moved = before.filter(|before| before.source == artifact.source);
                let from = moved.map_or_else(String::new, |before| before.revision);
                if from != artifact.revision {
                    tracing::info!(
                        application = app.name,
                        revision = artifact.revision,
                        objects = artifact.objects,
                        "a new revision"
                    );
                    if !from.is_empty() {
                        // Whether history was rewritten is not asked for: both ends are told in any case.
                        let text =
                            format!("{} went from {from} to {}", app.recipe.shown(), artifact.revision);
                        tell(&self.shared, self.front, app, Level::Normal, "RevisionChanged", &text).await;
                    }
                }
            }
            Err(error) => {
                let text = base::chain(&error).to_string();
                self.online(app, Some(Fault { kind: FaultKind::Compare, text })).await;
            }
        }
    }

    pub(super) async fn online(&mut self, app: &App, fault: Option<Fault>) {
        self.doubtful = false;
        if let Some(since) = self.offline_since.take() {
            let _ = std::fs::remove_file(self.directory.join(OUTAGE));
            let text = format!(
                "{} can be reached again, after it was out of reach since {since}",
                app.recipe.shown()
            );
            self.tell(app, Level::Normal, "SourceOnline", &text).await;
        }
        if let Some(fault) = fault.as_ref().filter(|_| fault != self.source_fault) {
            self.tell(app, Level::Warning, "ComparisonError", &fault.text).await;
        }
        self.source_fault = fault;
    }

    pub(super) async fn offline(&mut self, app: &App, text: String) {
        self.doubtful = true;
        let now = self.shared.clock.now();
        let told = self.source_fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Offline);
        if self.offline_since.is_none() {
            let _ = std::fs::write(self.directory.join(OUTAGE), now.to_string());
        }
        let since = *self.offline_since.get_or_insert(now);
        let seconds = Timestamp::from_second(since.as_second()).unwrap_or(since);
        let text = format!("{text}; offline since {seconds}{}", self.kept());
        if !told {
            self.tell(app, Level::Warning, "SourceOffline", &text).await;
            self.source_fault = Some(Fault { kind: FaultKind::Offline, text });
        }
        let interval = self.shared.config.interval.unwrap_or(OFFLINE).min(OFFLINE);
        self.next_look = Some(Instant::now() + interval);
    }
}
