//! The trait of experiment trackers.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Experiment, ExperimentSpec, LogBatch, MetricPoint, Run, RunEnd, RunQuery, RunSpec};
use crate::error::Result;
use crate::id::{ExperimentName, MetricKey, ParamKey, RunId};
use crate::page::{Page, PageRequest};
use crate::time::Timestamp;

/// What a tracker can keep. What it cannot, it reports in the receipt, or refuses as unsupported.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerCapabilities {
    /// NaN and infinities come back as they were.
    pub non_finite_metrics: bool,
    /// A batch is kept whole or not at all.
    pub atomic_batches: bool,
    /// Heartbeats are watched, and a run whose lease ran out becomes killed.
    pub leases: bool,
    /// Everything [`Filter`](super::Filter) can say is understood, `Or` and `Not` too.
    pub full_filters: bool,
    /// A metric's summary counts its whole history. Without it, least, greatest and count are those of the last point, and
    /// searches that ask for a [`MetricStat`](super::MetricStat) are unsupported; [`ExperimentTracker::history`] has the rest.
    pub summaries: bool,
    /// The times of metric points are kept to the microsecond, before 1970 too. Without it, points are the same point when
    /// they are in what is kept of their times.
    pub exact_times: bool,
    /// The longest parameter that is kept in full, in characters.
    pub max_param: usize,
}

impl TrackerCapabilities {
    /// Parameters of so many characters, and nothing else: what a tracker can is said with the setters, and what is added here
    /// later it cannot.
    ///
    /// ```
    /// use mlops_core::experiment::TrackerCapabilities;
    /// let can = TrackerCapabilities::none(500).with_atomic_batches(true);
    /// assert!(can.atomic_batches && !can.leases);
    /// assert_eq!(can.max_param, 500);
    /// ```
    pub const fn none(max_param: usize) -> Self {
        Self {
            non_finite_metrics: false,
            atomic_batches: false,
            leases: false,
            full_filters: false,
            summaries: false,
            exact_times: false,
            max_param,
        }
    }

    /// With NaN and infinities kept, or not.
    #[must_use]
    pub const fn with_non_finite_metrics(mut self, non_finite_metrics: bool) -> Self {
        self.non_finite_metrics = non_finite_metrics;
        self
    }

    /// With batches kept whole or not at all, or not.
    #[must_use]
    pub const fn with_atomic_batches(mut self, atomic_batches: bool) -> Self {
        self.atomic_batches = atomic_batches;
        self
    }

    /// With heartbeats that are watched, or not.
    #[must_use]
    pub const fn with_leases(mut self, leases: bool) -> Self {
        self.leases = leases;
        self
    }

    /// With every filter understood, or not.
    #[must_use]
    pub const fn with_full_filters(mut self, full_filters: bool) -> Self {
        self.full_filters = full_filters;
        self
    }

    /// With summaries of the whole history, or not.
    #[must_use]
    pub const fn with_summaries(mut self, summaries: bool) -> Self {
        self.summaries = summaries;
        self
    }

    /// With times kept to the microsecond, or not.
    #[must_use]
    pub const fn with_exact_times(mut self, exact_times: bool) -> Self {
        self.exact_times = exact_times;
        self
    }

    /// Everything the trait can ask for.
    pub const FULL: Self = Self {
        non_finite_metrics: true,
        atomic_batches: true,
        leases: true,
        full_filters: true,
        summaries: true,
        exact_times: true,
        max_param: crate::id::MAX_TEXT,
    };

    /// With parameters of so many characters kept in full.
    #[must_use]
    pub const fn with_max_param(mut self, max_param: usize) -> Self {
        self.max_param = max_param;
        self
    }
}

/// Something a backend could not keep as it was sent.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degradation {
    /// What it concerns: the metric, parameter or tag.
    pub subject: String,
    /// What happened to it, in words.
    pub reason: String,
}

impl Degradation {
    /// A degradation of `subject`; for backends.
    pub fn new(subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { subject: subject.into(), reason: reason.into() }
    }
}

/// What a write did.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReceipt {
    /// How many metric points are new; points that were there already are not counted.
    pub new_points: u64,
    /// What could not be kept as it was sent; empty when all of it was.
    pub degraded: Vec<Degradation>,
}

impl WriteReceipt {
    /// A receipt without degradation; for backends.
    pub fn new(new_points: u64) -> Self {
        Self { new_points, degraded: Vec::new() }
    }
}

/// Which part of a metric's history is wanted.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryQuery {
    /// The metric.
    pub key: MetricKey,
    /// The first step wanted.
    pub from_step: i64,
    /// The last step wanted.
    pub to_step: i64,
    /// Which page.
    pub page: PageRequest,
}

impl HistoryQuery {
    /// From this step.
    #[must_use]
    pub fn with_from_step(mut self, from_step: i64) -> Self {
        self.from_step = from_step;
        self
    }

    /// To this step, which is included.
    #[must_use]
    pub fn with_to_step(mut self, to_step: i64) -> Self {
        self.to_step = to_step;
        self
    }

    /// All of a metric's history.
    pub fn new(key: MetricKey) -> Self {
        Self { key, from_step: i64::MIN, to_step: i64::MAX, page: PageRequest::first(PageRequest::MAX_LIMIT) }
    }

    /// Asks for a page.
    #[must_use]
    pub fn with_page(mut self, page: PageRequest) -> Self {
        self.page = page;
        self
    }
}

/// How the keys begin of the tags that pipelines and sweeps write: a whole key, or a key up to a dot.
pub const LIFECYCLE_TAGS: [&str; 4] = ["mlops.pipeline", "mlops.step", "mlops.sweep", "mlops.trial"];

/// Whether a pipeline or a sweep writes this tag. A tracker that has tags of its own keeps clear of these.
///
/// ```
/// use mlops_core::experiment::is_lifecycle_tag;
/// assert!(is_lifecycle_tag("mlops.pipeline") && is_lifecycle_tag("mlops.step.key"));
/// assert!(!is_lifecycle_tag("mlops.stepping") && !is_lifecycle_tag("mlops.spec"));
/// ```
pub fn is_lifecycle_tag(key: &str) -> bool {
    let begins = |rest: &str| rest.is_empty() || rest.starts_with('.');
    LIFECYCLE_TAGS.iter().any(|name| key.strip_prefix(name).is_some_and(begins))
}

/// Where runs, their parameters, metrics and results are kept.
///
/// # Contract
/// * `ensure_experiment` makes the experiment or returns the one that is there, also when many ask at once.
///   (`ensure_experiment_is_idempotent`, `concurrent_ensure_makes_one_experiment`)
/// * `start_run` with an id that is there returns that run if experiment, name, parent and actor are the same, else it is
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict). The experiment and the parent must exist.
///   (`start_run_is_idempotent`, `run_id_reuse_is_a_conflict`, `of_many_that_reuse_a_run_id_one_wins`,
///   `experiment_must_exist`, `parent_must_exist`)
/// * `write` is all or nothing; a parameter that has another value already is a conflict that names it, so is an
///   artifact's path that has other content, and nothing of the batch is kept. A point with the same key, step, time and
///   value is the same point, and the same input is one input, so a repeated batch changes nothing. (`batch_is_atomic`,
///   `params_are_immutable`, `of_many_values_of_a_param_one_wins`, `artifact_paths_are_immutable`,
///   `inputs_are_kept_once`, `replayed_batch_changes_nothing`)
/// * A batch with a key is one call: repeated it returns the receipt of the first, also after the run has ended and when
///   tags have changed since; the key with other content is a conflict. (`keyed_batch_is_one_call`,
///   `concurrent_replays_are_one_call`)
/// * Values are kept bit for bit: −0.0, subnormals, and with the capability NaN and infinities. Steps are any `i64`, times
///   with the capability any microsecond. (`metric_values_round_trip`, `non_finite_metrics_round_trip`, `extreme_steps_round_trip`,
///   `distant_times_round_trip`)
/// * A run's metrics are the summaries of its points, as by [`MetricSummary`](super::MetricSummary); without the capability,
///   those of the last of its points. (`summaries_follow_the_points`)
/// * After the run has ended, `write` and `heartbeat` are conflicts; ending it again with the same status returns it, with
///   another is a conflict. (`log_after_end_is_a_conflict`, `run_status_moves_forward_only`, `of_many_ends_one_wins`)
/// * With leases: a run whose lease ran out reads as killed, ended when the lease did. A heartbeat replaces the lease; an
///   empty one is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`lost_lease_kills_the_run`,
///   `heartbeats_keep_a_run_alive`)
/// * `search_runs` answers exactly the runs that [`RunQuery::matches`], in the order of [`RunQuery::compare`]; paging sees
///   every run that was there when it began, and matched throughout, exactly once, in the order in which they were then. A
///   token of another query is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`search_matches_and_orders`,
///   `search_takes_text_literally`, `search_combines_filters`, `search_follows_patterns`, `search_asks_for_existence`,
///   `search_knows_ids_and_durations`, `search_knows_whole_histories`, `search_knows_inputs`,
///   `search_orders_by_every_field`, `search_sees_deleted_runs_when_asked`, `paging_is_complete_under_writes`,
///   `paging_holds_while_the_order_moves`, `tokens_belong_to_their_query`, `bad_pages_are_refused`)
/// * A filter beyond the limits of [`RunQuery::check`] is [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded), one
///   at the limits is answered. (`filters_nested_too_deep_are_refused`, `filters_that_say_too_much_are_refused`)
/// * `history` is ordered by step, then time, then order of logging; of a metric that was not logged it is empty. Paging
///   sees every point that was there when it began exactly once. (`history_is_ordered`, `history_has_windows`,
///   `history_is_complete_under_writes`)
/// * `experiments` is alphabetical, by bytes. (`experiments_are_alphabetical`)
/// * A deleted run is still there by id, hidden from searches, refuses writes, and can be restored.
///   (`deleted_runs_can_be_restored`)
/// * Names and text of any script are kept exactly. (`unicode_is_kept_exactly`)
/// * Tags of [pipelines and sweeps](is_lifecycle_tag) are tags like any other. (`tags_of_pipelines_and_sweeps_are_kept`)
/// * Many tasks may log to one run at once; nothing is lost. (`concurrent_logging_loses_nothing`)
/// * A call that fails changes nothing; what is not there is [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), what is
///   too much is [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded). (`failed_calls_change_nothing`,
///   `missing_is_not_found`, `limits_are_typed`)
/// * What cannot be kept as it was sent is refused, or listed in the receipt. (`nothing_is_degraded_in_silence`)
#[async_trait]
pub trait ExperimentTracker: Debug + Send + Sync + 'static {
    /// What this backend can keep.
    fn capabilities(&self) -> TrackerCapabilities;

    /// Makes sure an experiment exists.
    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment>;

    /// Finds an experiment.
    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment>;

    /// All experiments, alphabetically.
    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>>;

    /// Starts a run.
    async fn start_run(&self, spec: &RunSpec) -> Result<Run>;

    /// Logs to a run.
    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt>;

    /// Says that a run is alive and will be heard of again within `lease`.
    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()>;

    /// Ends a run.
    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run>;

    /// Finds a run.
    async fn run(&self, run: &RunId) -> Result<Run>;

    /// Searches runs.
    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>>;

    /// The points of one metric of a run; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a window whose
    /// first step is greater than its last.
    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>>;

    /// Hides a run, or shows it again.
    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run>;
}

/// Conveniences on top of every [`ExperimentTracker`].
#[async_trait]
pub trait ExperimentTrackerExt: ExperimentTracker {
    /// Logs one metric value.
    async fn log_metric(
        &self,
        run: &RunId,
        key: MetricKey,
        value: f64,
        step: i64,
        at: Timestamp,
    ) -> Result<WriteReceipt> {
        self.write(run, &LogBatch::new().metric(MetricPoint { key, value, step, at })).await
    }

    /// Logs one parameter.
    async fn log_param<V: ToString + Send>(
        &self,
        run: &RunId,
        key: ParamKey,
        value: V,
    ) -> Result<WriteReceipt> {
        self.write(run, &LogBatch::new().param(key, value.to_string())).await
    }

    /// All points of one metric, page by page.
    async fn full_history(&self, run: &RunId, key: &MetricKey) -> Result<Vec<MetricPoint>> {
        let mut query = HistoryQuery::new(key.clone());
        let mut all = Vec::new();
        loop {
            let mut page = self.history(run, &query).await?;
            all.append(&mut page.items);
            match query.page.after(&page) {
                Some(next) => query.page = next,
                None => return Ok(all),
            }
        }
    }
}

impl<T: ExperimentTracker + ?Sized> ExperimentTrackerExt for T {}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: ExperimentTracker + ?Sized> ExperimentTracker for $pointer<T> {
            fn capabilities(&self) -> TrackerCapabilities {
                (**self).capabilities()
            }

            async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
                (**self).ensure_experiment(spec).await
            }

            async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
                (**self).experiment(name).await
            }

            async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
                (**self).experiments(page).await
            }

            async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
                (**self).start_run(spec).await
            }

            async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
                (**self).write(run, batch).await
            }

            async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
                (**self).heartbeat(run, lease).await
            }

            async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
                (**self).finish_run(run, end).await
            }

            async fn run(&self, run: &RunId) -> Result<Run> {
                (**self).run(run).await
            }

            async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
                (**self).search_runs(query).await
            }

            async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
                (**self).history(run, query).await
            }

            async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
                (**self).set_deleted(run, deleted).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn ExperimentTracker) {}
