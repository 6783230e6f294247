//! Searching runs: narrowed by MLflow, decided here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use mlops_core::experiment::{Filter, Run, RunQuery, View};
use mlops_core::{Error, Page, Result, RunId};

use super::record::Kept;
use super::{MlflowTracker, lock, push};
use crate::mlflow::wire::{self, RunsAnswer};

const OP: &str = "ExperimentTracker::search_runs";

/// How many runs are asked for at once.
const PAGE: usize = 1_000;
/// How many runs are asked for by their ids at once.
const BY_ID: usize = 100;

/// What a search found.
#[derive(Debug)]
struct Listing {
    /// The server's ids of the experiments that were searched.
    experiments: Vec<String>,
    /// The runs, in their order: our id and MLflow's.
    runs: Vec<(RunId, String)>,
}

type Found = Arc<Listing>;

/// Which runs the latest searches with more than one page found.
#[derive(Default)]
pub(super) struct Listings {
    made: u64,
    kept: VecDeque<(u64, Found)>,
}

impl Listings {
    const MAX: usize = 256;

    fn keep(&mut self, found: Found) -> u64 {
        self.made += 1;
        self.kept.push_back((self.made, found));
        if self.kept.len() > Self::MAX {
            self.kept.pop_front();
        }
        self.made
    }

    fn find(&self, number: u64) -> Option<Found> {
        self.kept.iter().find(|(n, _)| *n == number).map(|(_, found)| found.clone())
    }
}

/// A listing, and the place in it.
type Key = (u64, usize);

impl MlflowTracker {
    pub(super) async fn search(&self, query: &RunQuery) -> Result<Page<Run>> {
        query.check()?;
        if push::asks_for_histories(query) {
            return Err(Error::unsupported(OP, "summaries"));
        }
        let asked = (&query.experiments, &query.filter, &query.order, query.view);
        let pager = &self.shared.pager;
        let runs = match pager.after::<Key>(OP, &asked, &query.page)? {
            None => self.first_page(query).await?,
            Some((number, last)) => {
                let found = lock(&self.shared.listings).find(number);
                let found = found.ok_or_else(|| query.page.bad_token(OP))?;
                self.next_page(query, number, &found, last + 1).await?
            }
        };
        pager.page(OP, &asked, &query.page, |_: Option<Key>| Ok(runs.into_iter()))
    }

    /// All runs that match, in order.
    async fn first_page(&self, query: &RunQuery) -> Result<Vec<(Key, Run)>> {
        let experiments = self.experiments_of(query).await?;
        let mut runs = self.matching(query, &experiments).await?;
        runs.retain(|kept| query.matches(&kept.run));
        runs.sort_by(|left, right| query.compare(&left.run, &right.run));
        let mut number = 0;
        if runs.len() > query.page.limit {
            let runs = runs.iter().map(|kept| (kept.run.id.clone(), kept.uuid.clone())).collect();
            number = lock(&self.shared.listings).keep(Arc::new(Listing { experiments, runs }));
        }
        let keyed = runs.into_iter().enumerate().map(|(place, kept)| ((number, place), kept.run));
        Ok(keyed.collect())
    }

    /// Runs of a listing from a place on, as they are now: enough for a page and to see whether there is another.
    async fn next_page(
        &self,
        query: &RunQuery,
        number: u64,
        found: &Found,
        start: usize,
    ) -> Result<Vec<(Key, Run)>> {
        let mut runs = Vec::new();
        let mut place = start;
        while let Some(wanted) = found.runs.get(place..).filter(|rest| !rest.is_empty()) {
            let want = (query.page.limit + 1 - runs.len()).min(BY_ID);
            let wanted = wanted.get(..want).unwrap_or(wanted);
            let mut there = self.by_ids(&found.experiments, wanted).await?;
            for (id, _) in wanted {
                let run = there.remove(id).filter(|run| query.matches(run));
                runs.extend(run.map(|run| ((number, place), run)));
                place += 1;
            }
            if runs.len() > query.page.limit {
                break;
            }
        }
        Ok(runs)
    }

    async fn by_ids(&self, experiments: &[String], ids: &[(RunId, String)]) -> Result<HashMap<RunId, Run>> {
        let list: Vec<_> = ids.iter().map(|(_, uuid)| format!("'{uuid}'")).collect();
        let filter = format!("attributes.run_id IN ({})", list.join(","));
        let runs = self.fetch_all(experiments, &filter, View::All, Vec::new(), None).await?;
        Ok(runs.into_iter().map(|kept| (kept.run.id.clone(), kept.run)).collect())
    }

    /// The server's ids of the experiments that are searched.
    async fn experiments_of(&self, query: &RunQuery) -> Result<Vec<String>> {
        if query.experiments.is_empty() {
            return Ok(self.all_experiments(OP).await?.into_iter().map(|(id, _)| id).collect());
        }
        let mut ids = Vec::new();
        for name in &query.experiments {
            ids.extend(self.experiment_by_name(OP, name).await?.map(|(id, _)| id));
        }
        Ok(ids)
    }

    /// Every run that matches, and some that do not.
    async fn matching(&self, query: &RunQuery, experiments: &[String]) -> Result<Vec<Kept>> {
        let pushed = push::push(&query.filter);
        let (runs, next) = self.fetch_page(experiments, &pushed.text(), query.view, None).await?;
        let Some(next) = next else { return Ok(runs) };
        // Pages of the server are counted from the front: a run that ceases to match while they are read moves another one
        // over the border, unseen. So what can change is not asked for when there are several pages.
        if pushed.moves || query.view != View::All {
            let fixed = push::push(&fixed_part(&query.filter)).text();
            return self.fetch_all(experiments, &fixed, View::All, Vec::new(), None).await;
        }
        self.fetch_all(experiments, &pushed.text(), query.view, runs, Some(next)).await
    }

    async fn fetch_all(
        &self,
        experiments: &[String],
        filter: &str,
        view: View,
        mut all: Vec<Kept>,
        mut token: Option<String>,
    ) -> Result<Vec<Kept>> {
        loop {
            let (runs, next) = self.fetch_page(experiments, filter, view, token.as_deref()).await?;
            all.extend(runs);
            match next {
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                _ => break,
            }
        }
        let mut seen = HashSet::new();
        all.retain(|kept| seen.insert(kept.uuid.clone()));
        Ok(all)
    }

    async fn fetch_page(
        &self,
        experiments: &[String],
        filter: &str,
        view: View,
        token: Option<&str>,
    ) -> Result<(Vec<Kept>, Option<String>)> {
        if experiments.is_empty() {
            return Ok((Vec::new(), None));
        }
        let size = self.page_size.unwrap_or(PAGE);
        let body = push::body(experiments, filter, push::view(view), size, token);
        let answer = self.post(OP, "mlflow/runs/search", &body).await?;
        let page: RunsAnswer = wire::read(OP, answer)?;
        let mut runs = Vec::with_capacity(page.runs.len());
        for body in page.runs {
            runs.extend(self.keep(OP, body).await?);
        }
        Ok((runs, page.next_page_token.filter(|token| !token.is_empty())))
    }
}

/// The clauses of a filter whose answer stays for a run.
fn fixed_part(filter: &Filter) -> Filter {
    match filter {
        Filter::And(parts) => Filter::And(parts.iter().map(fixed_part).collect()),
        part if push::push(part).moves => Filter::And(Vec::new()),
        part => part.clone(),
    }
}
