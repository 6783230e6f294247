//! Starting and ending a run, once.
//!
//! MLflow gives every run an id of its own and has no key that makes creating it idempotent: a request that is repeated
//! because its answer got lost makes a second run, and so do two processes that start the same one. What MLflow does have is
//! a register that can be written once: the first value of a parameter stays. So a run counts only when its parameter
//! `mlops.claim` says `live`. Who creates a run looks for others of the same key, writes `dead` into theirs, and `live` into
//! its own; of each pair one comes too late and learns it. How a run ends is decided the same way, in `mlops.end`.

use std::time::Duration;

use mlops_core::experiment::{Run, RunEnd, RunSpec, RunStatus};
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Result, RunId};
use serde_json::json;

use super::plan::{Plan, pairs};
use super::record::{self, Kept};
use super::session::Session;
use super::{MlflowTracker, cell, lock, names, push};
use crate::http::Repeat;
use crate::mlflow::wire::{self, KeyValue, RunAnswer, RunsAnswer};

const START: &str = "ExperimentTracker::start_run";
const FINISH: &str = "ExperimentTracker::finish_run";

/// How often one looks again before one takes another's run for abandoned.
const PATIENCE: u32 = 8;

/// A run that may become the one of its key.
pub(super) struct Candidate {
    uuid: String,
    attempt: Option<String>,
    claim: Option<String>,
}

/// What this process did to create a run.
struct Attempt {
    /// The name by which it knows its run again.
    name: String,
    /// Whether the run is there with all its tags; nobody knows when the answer was lost.
    complete: bool,
}

impl Candidate {
    fn is_of(&self, attempts: &[Attempt]) -> bool {
        attempts.iter().any(|attempt| self.attempt.as_ref() == Some(&attempt.name))
    }
}

impl MlflowTracker {
    pub(super) async fn start(&self, spec: &RunSpec) -> Result<Run> {
        spec.check()?;
        names::check_tags(START, &spec.tags)?;
        let session = self.session(&spec.id);
        let mut session = session.state.lock().await;
        if let Some(kept) = self.find_own(START, &spec.id).await? {
            kept.check_same(spec)?;
            return Ok(session.learn(kept).run.clone());
        }
        let (experiment, _) = self
            .experiment_by_name(START, &spec.experiment)
            .await?
            .ok_or_else(|| Error::not_found(START, "experiment", &spec.experiment))?;
        let parent = match &spec.parent {
            None => None,
            Some(parent) => {
                let kept = self.find(START, parent).await?;
                Some(kept.ok_or_else(|| Error::not_found(START, "parent run", parent))?.uuid)
            }
        };
        let kept = self.create(spec, &experiment, parent.as_deref()).await?;
        kept.check_same(spec)?;
        lock(&self.shared.ids).learn(&spec.id, &kept.uuid);
        session.forget();
        Ok(session.learn(kept).run.clone())
    }

    /// Creates the run, or finds the one that another process created meanwhile.
    async fn create(&self, spec: &RunSpec, experiment: &str, parent: Option<&str>) -> Result<Kept> {
        let started_at = spec.started_at.unwrap_or_else(|| self.clock.now());
        let experiments: Vec<_> = self.all_experiments(START).await?.into_iter().map(|(id, _)| id).collect();
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut again = true;
        for round in 0..4 * PATIENCE {
            if again {
                attempts.push(self.attempt(spec, experiment, parent, started_at).await?);
            }
            let candidates = self.rivals(START, &experiments, &spec.id).await?;
            if candidates.iter().any(|c| c.claim.as_deref() == Some("live")) {
                self.discard(&candidates, &attempts).await;
                return self.must_find(START, &spec.id).await;
            }
            let open = candidates.into_iter().filter(|c| c.claim.is_none());
            let (mut ours, mut others): (Vec<_>, Vec<_>) = open.partition(|c| c.is_of(&attempts));
            // Not there: the answer was lost, and so was the request; or another process took this one for abandoned.
            again = ours.is_empty();
            let Some(own) = ours.pop() else { continue };
            if round < PATIENCE && others.iter().any(|other| other.uuid < own.uuid) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            // An attempt that was taken for lost may come late.
            others.extend(ours);
            if !attempts.iter().any(|a| a.complete && own.attempt.as_ref() == Some(&a.name)) {
                self.complete(spec, &own.uuid).await?;
            }
            if self.elect(&own, &others).await? {
                let kept = self.fetch(START, &own.uuid).await?;
                return kept.ok_or_else(|| Error::not_found(START, "run", &spec.id));
            }
        }
        Err(Error::new(ErrorKind::Busy, START, "other processes start the same run over and over")
            .with("run", &spec.id))
    }

    /// Creates a run of MLflow's that does not count yet.
    async fn attempt(
        &self,
        spec: &RunSpec,
        experiment: &str,
        parent: Option<&str>,
        started_at: Timestamp,
    ) -> Result<Attempt> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let mut tags = record::first_tags(START, spec, started_at, parent)?;
        tags.push(KeyValue::new(names::ATTEMPT, &name));
        let limit = self.max_tag();
        // The commit is in the specification, too: what only shows it may be left out.
        tags.retain(|tag| !names::GIT.contains(&&*tag.key) || !cell::is_longer(&tag.value, limit));
        let tags = cell::fit(limit, tags);
        let body = json!({
            "experiment_id": experiment,
            "user_id": spec.actor,
            "run_name": names::shown(&spec.name),
            "start_time": started_at.timestamp_millis(),
            "tags": pairs(tags),
        });
        match self.client.post(START, "mlflow/runs/create", &body, Repeat::Never).await {
            Ok(answer) => {
                let uuid = wire::read::<RunAnswer>(START, answer)?.run.info.run_id;
                self.complete(spec, &uuid).await?;
                Ok(Attempt { name, complete: true })
            }
            // Whether it was made is seen by looking.
            Err(error) if error.kind() == ErrorKind::UnknownOutcome => Ok(Attempt { name, complete: false }),
            Err(error) => Err(error),
        }
    }

    /// Adds the user's tags.
    async fn complete(&self, spec: &RunSpec, uuid: &str) -> Result<()> {
        let (mut plan, limit) = (Plan::default(), self.max_tag());
        for (key, value) in &spec.tags {
            let (pair, _) =
                record::put_text(START, names::LONG_TAG, limit, key.as_str(), value, &mut plan.tags)?;
            plan.tags.push(pair);
        }
        self.send(START, plan, uuid).await
    }

    /// Makes this run the one of its key, unless another is.
    async fn elect(&self, own: &Candidate, others: &[Candidate]) -> Result<bool> {
        for other in others {
            if !self.claim(START, &other.uuid, names::CLAIM, "dead").await? {
                return Ok(false);
            }
            self.remove(&other.uuid).await;
        }
        self.claim(START, &own.uuid, names::CLAIM, "live").await
    }

    /// Gives up this process's attempts that did not win.
    async fn discard(&self, candidates: &[Candidate], attempts: &[Attempt]) {
        let lost = |c: &&Candidate| c.is_of(attempts) && c.claim.as_deref() != Some("live");
        for own in candidates.iter().filter(lost) {
            if self.claim(START, &own.uuid, names::CLAIM, "dead").await.unwrap_or(false) {
                self.remove(&own.uuid).await;
            }
        }
    }

    /// Hides a run that never counted from MLflow's user interface. It does not count either way.
    async fn remove(&self, uuid: &str) {
        let _ = self.post(START, "mlflow/runs/delete", &json!({ "run_id": uuid })).await;
    }

    /// Writes a parameter that can be written once. Whether it has this value now.
    pub(super) async fn claim(&self, op: &'static str, uuid: &str, key: &str, value: &str) -> Result<bool> {
        let body = json!({ "run_id": uuid, "key": key, "value": value });
        match self.post(op, "mlflow/runs/log-parameter", &body).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The runs of MLflow's with this key that can be claimed, or are.
    async fn rivals(&self, op: &'static str, experiments: &[String], id: &RunId) -> Result<Vec<Candidate>> {
        let runs = self.runs_of_key(op, experiments, id).await?;
        let value =
            |pairs: &[KeyValue], key: &str| pairs.iter().find(|p| p.key == key).map(|p| p.value.clone());
        let candidate = |run: wire::RunBody| {
            let claim = value(&run.data.params, names::CLAIM);
            // One that was deleted before it was claimed cannot be claimed any more.
            let counts = claim.is_some() || run.info.lifecycle_stage != "deleted";
            let attempt = value(&run.data.tags, names::ATTEMPT);
            counts.then_some(Candidate { attempt, claim, uuid: run.info.run_id })
        };
        Ok(runs.into_iter().filter_map(candidate).collect())
    }

    /// The runs with this key in the whole namespace.
    pub(super) async fn candidates(&self, op: &'static str, id: &RunId) -> Result<Vec<Kept>> {
        let experiments: Vec<_> = self.all_experiments(op).await?.into_iter().map(|(id, _)| id).collect();
        let mut all = Vec::new();
        for run in self.runs_of_key(op, &experiments, id).await? {
            if let Some(name) = self.experiment_name(op, &run.info.experiment_id).await? {
                all.push(Kept::read(op, name, run)?);
            }
        }
        Ok(all)
    }

    async fn runs_of_key(
        &self,
        op: &'static str,
        experiments: &[String],
        id: &RunId,
    ) -> Result<Vec<wire::RunBody>> {
        if experiments.is_empty() {
            return Ok(Vec::new());
        }
        let filter = format!("tags.`{}` = '{id}'", names::RUN_KEY);
        let answer =
            self.post(op, "mlflow/runs/search", &push::body(experiments, &filter, "ALL", 100, None)).await?;
        Ok(wire::read::<RunsAnswer>(op, answer)?.runs)
    }

    pub(super) async fn finish(&self, id: &RunId, end: &RunEnd) -> Result<Run> {
        if !end.status.is_final() {
            let error = Error::invalid(FINISH, "status", "must be finished, failed or killed");
            return Err(error.with("value", format!("{:?}", end.status)));
        }
        let session = self.session(id);
        let mut session = session.state.lock().await;
        session.forget();
        let kept = self.load(FINISH, id, &mut session).await?;
        if kept.run.status == end.status {
            return Ok(kept.run.clone());
        }
        kept.check_open(FINISH)?;
        let uuid = kept.uuid.clone();
        let at = end.at.unwrap_or_else(|| self.clock.now());
        session.forget();
        match self.claim_end(FINISH, &uuid, end.status, at).await? {
            true => self.close(FINISH, &uuid, end.status, at).await?,
            false => return self.ended_by_another(id, end, &mut session).await,
        }
        Ok(self.load(FINISH, id, &mut session).await?.run.clone())
    }

    /// What to answer when another process ended the run meanwhile.
    async fn ended_by_another(&self, id: &RunId, end: &RunEnd, session: &mut Session) -> Result<Run> {
        let kept = self.load(FINISH, id, session).await?;
        if kept.run.status == end.status {
            return Ok(kept.run.clone());
        }
        kept.check_open(FINISH)?;
        Err(Error::new(ErrorKind::Busy, FINISH, "another process ends this run").with("run", id))
    }

    /// Writes down how a run ended. Whether this is how it did.
    pub(super) async fn claim_end(
        &self,
        op: &'static str,
        uuid: &str,
        status: RunStatus,
        at: Timestamp,
    ) -> Result<bool> {
        self.claim(op, uuid, names::END, &record::end_text(status, at)).await
    }

    /// Sets MLflow's own status, and checks that it was set: MLflow answers 200 to a status that it does not know.
    pub(super) async fn close(
        &self,
        op: &'static str,
        uuid: &str,
        status: RunStatus,
        at: Timestamp,
    ) -> Result<()> {
        if self.status_left.as_deref() == Some(uuid) {
            return Ok(());
        }
        let text = record::status_text(status);
        let body = json!({ "run_id": uuid, "status": text, "end_time": at.timestamp_millis() });
        let answer = self.post(op, "mlflow/runs/update", &body).await?;
        match answer.pointer("/run_info/status").and_then(serde_json::Value::as_str) {
            Some(set) if set == text => Ok(()),
            set => Err(Error::new(ErrorKind::Protocol, op, "the server did not take the run's status")
                .with("expected", text)
                .with("found", set.unwrap_or("nothing"))),
        }
    }
}
