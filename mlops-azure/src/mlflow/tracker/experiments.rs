//! Experiments, and their names on the server.

use std::collections::HashMap;

use mlops_core::experiment::{Experiment, ExperimentSpec};
use mlops_core::id::check_tags;
use mlops_core::{Error, ErrorKind, ExperimentName, Page, PageRequest, Result, TagKey, Tags};
use serde_json::json;

use super::{MlflowTracker, cell, lock, record};
use crate::mlflow::wire::{self, ExperimentAnswer, ExperimentBody, ExperimentsAnswer, KeyValue};

/// Experiments by id and by name, as far as they were met.
#[derive(Default)]
pub(super) struct Experiments {
    /// The name of an id; `None` if it is not in the namespace.
    names: HashMap<String, Option<ExperimentName>>,
}

impl MlflowTracker {
    /// The name on the server.
    fn full_name(&self, name: &ExperimentName) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_string(),
        }
    }

    /// The name without the namespace; `None` if it is not in it, or is a name that we do not have.
    fn short_name(&self, full: &str) -> Option<ExperimentName> {
        let short = match &self.namespace {
            Some(namespace) => full.strip_prefix(namespace.as_str())?.strip_prefix('/')?,
            None => full,
        };
        ExperimentName::new(short).ok()
    }

    fn read_experiment(&self, body: &ExperimentBody) -> Option<Experiment> {
        let name = self.short_name(&body.name)?;
        lock(&self.shared.experiments).names.insert(body.experiment_id.clone(), Some(name.clone()));
        let tag = |tag: &KeyValue| Some((TagKey::new(&tag.key).ok()?, tag.value.clone()));
        let tags: Tags = body.tags.iter().filter_map(tag).collect();
        let created_at = record::from_ms(body.creation_time.unwrap_or_default());
        let mut spec = ExperimentSpec::new(name);
        spec.tags = tags;
        Some(Experiment::new(spec, created_at))
    }

    /// The name of an experiment by its id.
    pub(super) async fn experiment_name(&self, op: &'static str, id: &str) -> Result<Option<ExperimentName>> {
        if let Some(known) = lock(&self.shared.experiments).names.get(id) {
            return Ok(known.clone());
        }
        let answer = self.client.get(op, "mlflow/experiments/get", &[("experiment_id", id)]).await?;
        let body = wire::read::<ExperimentAnswer>(op, answer)?.experiment;
        let name = self.short_name(&body.name);
        lock(&self.shared.experiments).names.insert(id.to_owned(), name.clone());
        Ok(name)
    }

    /// An experiment that is not deleted, with its id.
    pub(super) async fn experiment_by_name(
        &self,
        op: &'static str,
        name: &ExperimentName,
    ) -> Result<Option<(String, Experiment)>> {
        let body = self.body_by_name(op, name).await?.filter(|body| body.lifecycle_stage != "deleted");
        let Some(body) = body else { return Ok(None) };
        Ok(self.read_experiment(&body).map(|experiment| (body.experiment_id, experiment)))
    }

    async fn body_by_name(&self, op: &'static str, name: &ExperimentName) -> Result<Option<ExperimentBody>> {
        let full = self.full_name(name);
        let query = [("experiment_name", full.as_str())];
        match self.client.get(op, "mlflow/experiments/get-by-name", &query).await {
            // A database may compare names without case; then this is another experiment.
            Ok(answer) => {
                Ok(Some(wire::read::<ExperimentAnswer>(op, answer)?.experiment)
                    .filter(|body| body.name == full))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn ensure(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        const OP: &str = "ExperimentTracker::ensure_experiment";
        check_tags(OP, &spec.tags)?;
        for (key, text) in &spec.tags {
            if cell::is_longer(text, cell::MAX_TAG) {
                let got = text.chars().count();
                return Err(Error::limit(OP, "an experiment's tag", cell::MAX_TAG, got).with("tag", key));
            }
        }
        if let Some((_, experiment)) = self.experiment_by_name(OP, &spec.name).await? {
            return Ok(experiment);
        }
        let tags: Vec<_> = spec.tags.iter().map(|(k, v)| json!({ "key": k, "value": v })).collect();
        let body = json!({ "name": self.full_name(&spec.name), "tags": tags });
        match self.post(OP, "mlflow/experiments/create", &body).await {
            Ok(_) => {}
            // Somebody else was faster, or this call was, and its answer got lost.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        match self.body_by_name(OP, &spec.name).await? {
            Some(body) if body.lifecycle_stage == "deleted" => {
                let message = "the experiment was deleted on the server; restore it there";
                Err(Error::conflict(OP, message, "an active experiment", "a deleted one")
                    .with("experiment", &spec.name))
            }
            Some(body) => {
                self.read_experiment(&body).ok_or_else(|| Error::not_found(OP, "experiment", &spec.name))
            }
            None => Err(Error::not_found(OP, "experiment", &spec.name)),
        }
    }

    /// All experiments of the namespace that are not deleted, with their ids.
    pub(super) async fn all_experiments(&self, op: &'static str) -> Result<Vec<(String, Experiment)>> {
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut body = json!({ "max_results": 1000, "view_type": "ACTIVE_ONLY" });
            if let Some(namespace) = &self.namespace {
                body["filter"] = format!("name LIKE '{namespace}/%'").into();
            }
            if let Some(token) = &token {
                body["page_token"] = token.as_str().into();
            }
            let answer = self.post(op, "mlflow/experiments/search", &body).await?;
            let page: ExperimentsAnswer = wire::read(op, answer)?;
            for body in &page.experiments {
                all.extend(self.read_experiment(body).map(|e| (body.experiment_id.clone(), e)));
            }
            match page.next_page_token.filter(|next| !next.is_empty()) {
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                _ => return Ok(all),
            }
        }
    }

    pub(super) async fn list_experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        const OP: &str = "ExperimentTracker::experiments";
        self.shared.pager.after::<ExperimentName>(OP, &(), page)?;
        let mut all: Vec<_> = self.all_experiments(OP).await?.into_iter().map(|(_, e)| e).collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        // Pages of the server shift when an experiment is made meanwhile.
        all.dedup_by(|left, right| left.name == right.name);
        self.shared.pager.page(OP, &(), page, |after: Option<ExperimentName>| {
            let after = move |e: &Experiment| after.as_ref().is_none_or(|after| e.name > *after);
            Ok(all.into_iter().filter(after).map(|e| (e.name.clone(), e)))
        })
    }
}
