//! Any metrics × any groups × any control features, from states that merge.

use mlops_core::num::parallel::{Threads, map};
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::aggregate::{Contrasts, GroupValue, MetricByGroup, is_there};
use super::group::{Axes, Group, GroupStatus, SensitiveFeature, group_of_rows};
use super::kept::KeptRows;
use super::measure::{CustomMetric, Measure};
use super::metrics::{Cells, GroupMetrics, count, finite as number, too_few};
use super::options::FairnessOptions;
use crate::calibration::{Binning, CalibrationMetric, CalibrationOptions, calibration_curve_from_state};
use crate::catalog::{ClassRows, Direction, Input, Metric, Needs, Rows};
use crate::classification::ScoreState;
use crate::input::{finite, named, probabilities, weight_total};
use crate::regression::metric::of_sums;
use crate::regression::{RegressionMetric, RegressionState};

/// Metrics in every group, within every stratum of the control features: a superset of Fairlearn's `MetricFrame`.
///
/// # What it is made of
/// A cell for every combination of the control features' and the sensitive features' categories, and in it only the states
/// that the metrics need: confusion counts for metrics of labels, a [`ScoreState`] for those of scores and of calibration, a [`RegressionState`]
/// for those that are sums of errors. A metric that no state can give (the median absolute error, averages over several
/// classes, one of your own over rows) keeps the rows of every cell. Frames of parts of the data [merge](Self::merge) and
/// serialise; intersections are counted once, and coarser groupings are [margins](Self::margin) of them.
///
/// # Cost
/// O(n) for labels, without a copy of the rows; O(n) to O(n log n) for scores; memory of the groups for labels and sums, of the
/// distinct scores, or of the rows that are kept. The same bits on any number of threads.
///
/// # Statuses
/// Within each stratum a group is judged, too small, absent or vacant ([`GroupStatus`]), by the rows of that stratum alone. A
/// missing category is a category ([`MISSING`](super::MISSING)).
///
/// ```
/// use mlops_eval::catalog::{Input, Metric};
/// use mlops_eval::fairness::{FairnessOptions, MetricFrame, SensitiveFeature};
///
/// let y_true = [true, false, true, false, true, false, true, false];
/// let labels = [true, false, true, true, false, false, true, false];
/// let scores = [0.9, 0.2, 0.8, 0.6, 0.4, 0.1, 0.7, 0.3];
/// let sex = [SensitiveFeature::new("sex", &[0, 0, 1, 1, 0, 0, 1, 1], ["f", "m"])];
/// let site = [SensitiveFeature::new("site", &[0, 0, 0, 0, 1, 1, 1, 1], ["north", "south"])];
///
/// let metrics: [Metric; 2] = ["accuracy".parse()?, "roc_auc".parse()?];
/// let input = Input::binary(&y_true).with_labels(&labels).with_scores(&scores);
/// let options = FairnessOptions::default().with_minimum_size(2);
/// let frame = MetricFrame::of(&input, &metrics, &sex, &site, &options)?;
///
/// // Within each site: sites differ, and that is not held against the model.
/// let strata = frame.by_stratum(metrics[0])?;
/// assert_eq!(strata[0].control.to_string(), "site=north");
/// assert_eq!(strata[0].by_group.difference().value.value(), Some(0.5));
///
/// // Over all sites together, from the same cells.
/// let auc = frame.without_controls()?.by_group(metrics[1])?;
/// assert_eq!(auc.difference().value.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct MetricFrame {
    /// Control features first.
    axes: Axes,
    controls: usize,
    metrics: Vec<Metric>,
    options: FairnessOptions,
    states: States,
}

/// What is kept of every cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct States {
    sizes: Vec<Size>,
    labels: Option<Cells>,
    scores: Option<Vec<ScoreState>>,
    errors: Option<Vec<RegressionState>>,
    kept: Option<Vec<KeptRows>>,
}

/// How many rows a cell has, and what they weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    rows: u64,
    weight: f64,
}

/// A metric in one stratum of the control features.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// The categories of the control features; none where there are no control features.
    pub control: Group,
    /// The number of rows.
    pub rows: u64,
    /// Their weight.
    pub weight: f64,
    /// The metric in every group of the stratum; `overall` is that of all its rows.
    pub by_group: MetricByGroup,
}

/// The confusion cells of the groups in one stratum of the control features.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratumMetrics {
    /// The categories of the control features; none where there are no control features.
    pub control: Group,
    /// The cells, with every named criterion.
    pub metrics: GroupMetrics,
}

/// What a function found in one stratum of the control features.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InStratum<T> {
    /// The categories of the control features; none where there are no control features.
    pub control: Group,
    /// What it found.
    pub result: T,
}

/// States that add up.
trait Pool: Clone {
    fn pool(&mut self, other: &Self) -> Result<(), StatsError>;
}

impl Pool for Size {
    fn pool(&mut self, other: &Self) -> Result<(), StatsError> {
        let rows =
            self.rows.checked_add(other.rows).ok_or(StatsError::Overflow { what: "the number of rows" })?;
        let weight = self.weight + other.weight;
        if !weight.is_finite() {
            return Err(StatsError::Overflow { what: "the sum of the weights" });
        }
        *self = Self { rows, weight };
        Ok(())
    }
}

impl Pool for ScoreState {
    fn pool(&mut self, other: &Self) -> Result<(), StatsError> {
        self.merge(other)
    }
}

impl Pool for RegressionState {
    fn pool(&mut self, other: &Self) -> Result<(), StatsError> {
        self.merge(other);
        Ok(())
    }
}

impl Pool for KeptRows {
    fn pool(&mut self, other: &Self) -> Result<(), StatsError> {
        self.append(other)
    }
}

fn pooled<S: Pool>(states: &[S]) -> Result<Option<S>, StatsError> {
    let mut all = states.first().cloned();
    for state in states.iter().skip(1) {
        if let Some(all) = &mut all {
            all.pool(state)?;
        }
    }
    Ok(all)
}

/// States added up where `places` sends them.
fn gathered<S: Pool>(states: &[S], places: &[usize]) -> Result<Vec<S>, StatsError> {
    let len = places.iter().max().map_or(0, |last| last + 1);
    let mut sums: Vec<Option<S>> = vec![None; len];
    for (state, &place) in states.iter().zip(places) {
        match &mut sums[place] {
            Some(sum) => sum.pool(state)?,
            empty => *empty = Some(state.clone()),
        }
    }
    // Every coarse cell has a fine one, so nothing is left out.
    Ok(sums.into_iter().flatten().collect())
}

fn merged<S: Pool>(left: &[S], right: &[S]) -> Result<Vec<S>, StatsError> {
    let sum = |(left, right): (&S, &S)| {
        let mut sum = left.clone();
        sum.pool(right).map(|()| sum)
    };
    left.iter().zip(right).map(sum).collect()
}

/// Applies `f` to what both sides have; what one side lacks differs.
fn both<A, B>(
    left: &Option<A>,
    right: &Option<A>,
    f: impl FnOnce(&A, &A) -> Result<B, StatsError>,
) -> Result<Option<B>, StatsError> {
    match (left, right) {
        (Some(left), Some(right)) => f(left, right).map(Some),
        (None, None) => Ok(None),
        _ => Err(StatsError::Incompatible { what: "the states that are kept" }),
    }
}

impl States {
    fn merged(&self, other: &Self) -> Result<Self, StatsError> {
        Ok(Self {
            sizes: merged(&self.sizes, &other.sizes)?,
            labels: both(&self.labels, &other.labels, Cells::plus)?,
            scores: both(&self.scores, &other.scores, |a, b| merged(a, b))?,
            errors: both(&self.errors, &other.errors, |a, b| merged(a, b))?,
            kept: both(&self.kept, &other.kept, |a, b| merged(a, b))?,
        })
    }

    fn gathered(&self, places: &[usize], len: usize) -> Result<Self, StatsError> {
        Ok(Self {
            sizes: gathered(&self.sizes, places)?,
            labels: self.labels.as_ref().map(|cells| cells.gathered(places, len)).transpose()?,
            scores: self.scores.as_ref().map(|states| gathered(states, places)).transpose()?,
            errors: self.errors.as_ref().map(|states| gathered(states, places)).transpose()?,
            kept: self.kept.as_ref().map(|rows| gathered(rows, places)).transpose()?,
        })
    }

    /// That every part has a state for each cell.
    fn check(&self, cells: usize) -> Result<(), StatsError> {
        let lengths = [
            Some(self.sizes.len()),
            self.labels.as_ref().map(|cells| cells.rows().len()),
            self.scores.as_ref().map(Vec::len),
            self.errors.as_ref().map(Vec::len),
            self.kept.as_ref().map(Vec::len),
        ];
        if let Some(left_len) = lengths.into_iter().flatten().find(|len| *len != cells) {
            let (left, right) = ("states", "features");
            return Err(StatsError::LengthMismatch { left, left_len, right, right_len: cells });
        }
        let weight = |size: &Size| size.weight.is_finite() && size.weight >= 0.0;
        if let Some(index) = self.sizes.iter().position(|size| !weight(size)) {
            let (argument, low, high) = ("sizes", 0.0, f64::MAX);
            return Err(StatsError::OutOfRange {
                argument,
                index,
                value: self.sizes[index].weight,
                low,
                high,
            });
        }
        let labels = self.labels.as_ref().map(Cells::rows);
        let kept = self.kept.as_ref().map(|kept| kept.iter().map(|rows| rows.rows() as u64).collect());
        for rows in [labels, kept].into_iter().flatten() {
            if rows.iter().zip(&self.sizes).any(|(rows, size)| *rows != size.rows) {
                return Err(StatsError::Incompatible { what: "the number of rows of a cell" });
            }
        }
        self.kept.iter().flatten().try_for_each(KeptRows::check)
    }
}

/// What the metrics need.
#[derive(Clone, Copy, Default)]
struct Plan {
    labels: bool,
    scores: bool,
    errors: bool,
    kept: bool,
}

impl Plan {
    fn of(input: &Input<'_>, metrics: &[Metric], keep_rows: bool) -> Result<Self, StatsError> {
        let mut plan = Self { kept: keep_rows, ..Self::default() };
        for &metric in metrics {
            if !input.supports(metric) {
                let reason = "the input does not hold what it is computed from";
                return Err(StatsError::Unsupported { what: metric.name(), reason });
            }
            *plan.place(metric, matches!(input.rows, Rows::Binary { .. })) = true;
        }
        Ok(plan)
    }

    fn place(&mut self, metric: Metric, binary: bool) -> &mut bool {
        match metric {
            Metric::Label(_) if binary => &mut self.labels,
            Metric::Score(_) | Metric::Calibration(_) if binary => &mut self.scores,
            Metric::Regression(metric) if of_sums(metric) => &mut self.errors,
            _ => &mut self.kept,
        }
    }
}

/// The rows of every cell, in order.
struct RowsByCell {
    order: Vec<usize>,
    ends: Vec<usize>,
}

impl RowsByCell {
    fn of(groups: &[u32], cells: usize) -> Self {
        let mut ends = vec![0_usize; cells + 1];
        groups.iter().for_each(|&group| ends[group as usize + 1] += 1);
        for cell in 0..cells {
            ends[cell + 1] += ends[cell];
        }
        let (mut next, mut order) = (ends.clone(), vec![0; groups.len()]);
        for (row, &group) in groups.iter().enumerate() {
            let place = &mut next[group as usize];
            order[*place] = row;
            *place += 1;
        }
        Self { order, ends }
    }

    fn cell(&self, cell: usize) -> &[usize] {
        &self.order[self.ends[cell]..self.ends[cell + 1]]
    }
}

fn picked<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| values[row]).collect()
}

impl MetricFrame {
    /// Measures nothing yet, but keeps of every cell what the metrics need. Without control features there is one stratum.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`]; [`StatsError::Unsupported`] for a metric that the input does not
    /// support, or a feature or category that is listed twice; [`StatsError::UnknownCode`];
    /// [`StatsError::Parameter`] for more than [`MAX_GROUPS`](super::MAX_GROUPS) cells; what the metrics refuse: NaN,
    /// infinities, probabilities outside [0, 1], weights that are negative or add up to nothing, with the row.
    pub fn of(
        input: &Input<'_>,
        metrics: &[Metric],
        features: &[SensitiveFeature<'_>],
        controls: &[SensitiveFeature<'_>],
        options: &FairnessOptions,
    ) -> Result<Self, StatsError> {
        Self::build(input, metrics, (features, controls), options, false, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads. The same bits on any number of them.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::fairness::{FairnessOptions, MetricFrame, SensitiveFeature};
    ///
    /// let y: Vec<f64> = (0..1000).map(f64::from).collect();
    /// let p: Vec<f64> = y.iter().map(|y| y + (y * 7.0) % 3.0).collect();
    /// let codes: Vec<u32> = (0..1000).map(|row| row % 4).collect();
    /// let group = [SensitiveFeature::new("group", &codes, ["a", "b", "c", "d"])];
    /// let metrics: [Metric; 2] = ["mae".parse()?, "median_absolute_error".parse()?];
    /// let (input, options) = (Input::regression(&y, &p), FairnessOptions::default());
    /// let frame = MetricFrame::parallel(&input, &metrics, &group, &[], &options, Threads::new(2))?;
    /// assert_eq!(frame, MetricFrame::of(&input, &metrics, &group, &[], &options)?);
    /// assert!(frame.by_group(metrics[1])?.difference().value.value().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn parallel(
        input: &Input<'_>,
        metrics: &[Metric],
        features: &[SensitiveFeature<'_>],
        controls: &[SensitiveFeature<'_>],
        options: &FairnessOptions,
        threads: Threads,
    ) -> Result<Self, StatsError> {
        Self::build(input, metrics, (features, controls), options, false, threads)
    }

    /// [`of`](Self::of), keeping the rows of every cell beside the states, for metrics of your own
    /// ([`custom_by_stratum`](Self::custom_by_stratum)).
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn keeping_rows(
        input: &Input<'_>,
        metrics: &[Metric],
        features: &[SensitiveFeature<'_>],
        controls: &[SensitiveFeature<'_>],
        options: &FairnessOptions,
    ) -> Result<Self, StatsError> {
        Self::build(input, metrics, (features, controls), options, true, Threads::ONE)
    }

    fn build(
        input: &Input<'_>,
        metrics: &[Metric],
        (features, controls): (&[SensitiveFeature<'_>], &[SensitiveFeature<'_>]),
        options: &FairnessOptions,
        keep_rows: bool,
        threads: Threads,
    ) -> Result<Self, StatsError> {
        input.check()?;
        options.check()?;
        let axes = Axes::with_controls(controls, features)?;
        let plan = Plan::of(input, metrics, keep_rows)?;
        let features = [controls, features].concat();
        let states = States::of(input, plan, (&axes, &features), metrics, threads)?;
        Ok(Self { axes, controls: controls.len(), metrics: metrics.to_vec(), options: *options, states })
    }

    /// Adds rows: those of another part of the data, for the same features and metrics.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::fairness::{FairnessOptions, MetricFrame, SensitiveFeature};
    ///
    /// let metrics: [Metric; 1] = ["roc_auc".parse()?];
    /// let options = FairnessOptions::default().with_minimum_size(2);
    /// let group = |codes| [SensitiveFeature::new("group", codes, ["a", "b"])];
    /// let monday = Input::binary(&[true, false]).with_scores(&[0.9, 0.1]);
    /// let mut frame = MetricFrame::of(&monday, &metrics, &group(&[0, 0]), &[], &options)?;
    /// let tuesday = Input::binary(&[true, false]).with_scores(&[0.2, 0.8]);
    /// frame.push(&tuesday, &group(&[1, 1]), &[])?;
    /// assert_eq!(frame.by_group(metrics[0])?.difference().value.value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of) and of [`merge`](Self::merge); `self` is unchanged then.
    pub fn push(
        &mut self,
        input: &Input<'_>,
        features: &[SensitiveFeature<'_>],
        controls: &[SensitiveFeature<'_>],
    ) -> Result<(), StatsError> {
        let keep_rows = self.states.kept.is_some();
        let groups = (features, controls);
        self.merge(&Self::build(input, &self.metrics, groups, &self.options, keep_rows, Threads::ONE)?)
    }

    /// Adds the cells of another part of the data. O(size of both states).
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when features, categories, metrics, options, the use of weights or the kept states differ;
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let differs = |what| Err(StatsError::Incompatible { what });
        if self.axes != other.axes || self.controls != other.controls {
            return differs("the features or their categories");
        }
        if self.metrics != other.metrics {
            return differs("the metrics");
        }
        if self.options != other.options {
            return differs("the options");
        }
        self.states = self.states.merged(&other.states)?;
        Ok(())
    }

    /// The metrics asked for.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The choices made.
    pub fn options(&self) -> &FairnessOptions {
        &self.options
    }

    /// The same cells judged by other choices.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn with_options(mut self, options: &FairnessOptions) -> Result<Self, StatsError> {
        options.check()?;
        self.options = *options;
        Ok(self)
    }

    /// The same rows grouped by some of the sensitive features only, in the order given: every coarser grouping follows from
    /// the intersections.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::fairness::{FairnessOptions, MetricFrame, SensitiveFeature};
    ///
    /// let sex = SensitiveFeature::from_values("sex", &["f", "f", "m", "m"]);
    /// let age = SensitiveFeature::from_values("age", &["old", "young", "old", "young"]);
    /// let metrics: [Metric; 1] = ["selection_rate".parse()?];
    /// let labels = [true, true, true, false];
    /// let input = Input::binary(&labels).with_labels(&labels);
    /// let frame = MetricFrame::of(&input, &metrics, &[sex, age], &[], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(frame.by_group(metrics[0])?.groups.len(), 4);
    /// assert_eq!(frame.margin(&["sex"])?.by_group(metrics[0])?.difference().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a name that is no sensitive feature of the frame or comes twice,
    /// [`StatsError::Empty`] without names; [`StatsError::Overflow`].
    pub fn margin(&self, features: &[&str]) -> Result<Self, StatsError> {
        let unknown = StatsError::Unsupported {
            what: "this margin",
            reason: "a name is no sensitive feature of the frame",
        };
        let mut positions: Vec<usize> = (0..self.controls).collect();
        for name in features {
            let position = self.axes.names().skip(self.controls).position(|known| known == *name);
            positions.push(self.controls + position.ok_or(unknown)?);
        }
        if features.is_empty() {
            return Err(StatsError::Empty { argument: "features" });
        }
        self.project(&positions, self.controls)
    }

    /// The same rows over all strata together.
    ///
    /// # Errors
    /// [`StatsError::Overflow`].
    pub fn without_controls(&self) -> Result<Self, StatsError> {
        self.project(&(self.controls..self.axes.width()).collect::<Vec<_>>(), 0)
    }

    fn project(&self, positions: &[usize], controls: usize) -> Result<Self, StatsError> {
        let (axes, places) = self.axes.margin(positions)?;
        axes.check()?;
        let states = self.states.gathered(&places, axes.len()?)?;
        Ok(Self { axes, controls, states, ..self.clone_choices() })
    }

    fn clone_choices(&self) -> Self {
        Self {
            axes: self.axes.clone(),
            controls: self.controls,
            metrics: self.metrics.clone(),
            options: self.options,
            states: States::default(),
        }
    }

    /// A metric in every group and overall.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a frame with control features, whose strata are not compared with each other (ask
    /// [`by_stratum`](Self::by_stratum), or drop them by [`without_controls`](Self::without_controls)), and those of
    /// [`by_stratum`](Self::by_stratum).
    pub fn by_group(&self, metric: Metric) -> Result<MetricByGroup, StatsError> {
        if self.controls > 0 {
            let reason = "with control features there is one in every stratum";
            return Err(StatsError::Unsupported { what: "a single comparison of the groups", reason });
        }
        let stratum = self.by_stratum(metric)?.into_iter().next();
        stratum.map(|stratum| stratum.by_group).ok_or(StatsError::Empty { argument: "sensitive_features" })
    }

    /// A metric in every group of every stratum, with the stratum's overall value. Strata without rows are listed too.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric the frame was not made for; those of the metric.
    pub fn by_stratum(&self, metric: Metric) -> Result<Vec<Stratum>, StatsError> {
        self.check_metric(metric)?;
        let measure = Measure::from(metric);
        match self.states_of(metric)? {
            Chosen::Labels => {
                let by_group = |stratum: StratumMetrics, label| stratum.metrics.by_group(label);
                self.label_strata(metric, by_group)
            }
            Chosen::Scores(metric, states) => {
                self.strata(&measure, states, &|state: &ScoreState| score(metric, state))
            }
            Chosen::Errors(metric, states) => {
                self.strata(&measure, states, &|state: &RegressionState| metric.from_state(state))
            }
            Chosen::Rows(states) => {
                self.strata(&measure, states, &|rows: &KeptRows| self.of_rows(metric, rows))
            }
        }
    }

    /// A metric in every group against all other rows of its stratum together, signed, with the categories of the control
    /// features.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::fairness::{FairnessOptions, MetricFrame, SensitiveFeature};
    ///
    /// let group = [SensitiveFeature::new("group", &[0, 0, 1, 2], ["a", "b", "c"])];
    /// let metrics: [Metric; 1] = ["mae".parse()?];
    /// let input = Input::regression(&[1.0, 2.0, 3.0, 4.0], &[2.0, 3.0, 3.0, 4.0]);
    /// let frame = MetricFrame::of(&input, &metrics, &group, &[], &FairnessOptions::fairlearn_0_15())?;
    /// let (_, rest) = &frame.one_vs_rest(metrics[0])?[0];
    /// assert_eq!(rest.contrasts[0].difference.value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`by_stratum`](Self::by_stratum).
    pub fn one_vs_rest(&self, metric: Metric) -> Result<Vec<(Group, Contrasts)>, StatsError> {
        let strata = self.by_stratum(metric)?;
        match self.states_of(metric)? {
            Chosen::Labels => {
                let Metric::Label(label) = metric else { return Ok(Vec::new()) };
                let strata = self.group_metrics()?.into_iter();
                Ok(strata.map(|stratum| (stratum.control, stratum.metrics.one_vs_rest(label))).collect())
            }
            Chosen::Scores(metric, states) => {
                self.rest(strata, states, &|state: &ScoreState| score(metric, state))
            }
            Chosen::Errors(metric, states) => {
                self.rest(strata, states, &|state: &RegressionState| metric.from_state(state))
            }
            Chosen::Rows(states) => self.rest(strata, states, &|rows: &KeptRows| self.of_rows(metric, rows)),
        }
    }

    /// A metric of your own in every group of every stratum, from the kept rows: made by
    /// [`keeping_rows`](Self::keeping_rows), or for a metric that needs them.
    ///
    /// ```
    /// use mlops_core::num::Measured;
    /// use mlops_eval::catalog::{Direction, Input};
    /// use mlops_eval::fairness::{CustomMetric, FairnessOptions, MetricFrame, SensitiveFeature};
    ///
    /// let group = [SensitiveFeature::new("group", &[0, 0, 1, 1], ["a", "b"])];
    /// let input = Input::regression(&[1.0, 2.0, 3.0, 4.0], &[2.0, 2.0, 9.0, 9.0]);
    /// let options = FairnessOptions::fairlearn_0_15();
    /// let frame = MetricFrame::keeping_rows(&input, &[], &group, &[], &options)?;
    /// let rows = CustomMetric::new("rows", Direction::HigherIsBetter).with_non_negative(true);
    /// let strata = frame.custom_by_stratum(rows, |input| Ok(Measured::Value(input.rows() as f64)))?;
    /// assert_eq!(strata[0].by_group.overall.value(), Some(4.0));
    /// assert_eq!(strata[0].by_group.ratio()?.value.value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] when rows were not kept; those of the function. A value that is not finite is undefined.
    pub fn custom_by_stratum(
        &self,
        metric: CustomMetric,
        value: impl Fn(&Input<'_>) -> Result<Measured, StatsError>,
    ) -> Result<Vec<Stratum>, StatsError> {
        let Some(kept) = &self.states.kept else {
            let reason = "the frame has not kept the rows";
            return Err(StatsError::Unsupported { what: "a metric of your own", reason });
        };
        self.strata(&metric.into(), kept, &|rows: &KeptRows| value(&rows.input()).map(number))
    }

    /// How far the scores of every group are from the frequencies they announce: the expected calibration error
    /// ([`CalibrationCurve::ece`](crate::calibration::CalibrationCurve::ece)) over `bins` bins of equal width on [0, 1]. 0 is
    /// calibration within groups (Kleinberg, Mullainathan, Raghavan 2017); in [0, 1]. A plug-in value: it is biased up in small
    /// groups, as [`CalibrationMetric::DebiasedEce`] in [`calibration`](Self::calibration) is not. The gap between groups is the
    /// [`difference`](MetricByGroup::difference).
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::fairness::{FairnessOptions, MetricFrame, SensitiveFeature};
    ///
    /// let group = [SensitiveFeature::new("group", &[0, 0, 1, 1], ["a", "b"])];
    /// let metrics: [Metric; 1] = ["roc_auc".parse()?];
    /// let input = Input::binary(&[true, false, true, true]).with_scores(&[0.5, 0.5, 0.5, 0.5]);
    /// let frame = MetricFrame::of(&input, &metrics, &group, &[], &FairnessOptions::fairlearn_0_15())?;
    /// let gaps = &frame.calibration_gap(10)?[0].by_group;
    /// assert_eq!(gaps.max().value.value(), Some(0.5));
    /// assert_eq!(gaps.min().value.value(), Some(0.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a frame without a metric of scores; [`StatsError::OutOfRange`] for scores outside
    /// [0, 1]; [`StatsError::Parameter`] without bins or with more than 65536.
    pub fn calibration_gap(&self, bins: usize) -> Result<Vec<Stratum>, StatsError> {
        let binning = Binning::Uniform(bins);
        binning.check()?;
        let options = CalibrationOptions::default().with_binning(binning);
        let metric = CustomMetric::new("calibration_gap", Direction::LowerIsBetter).with_non_negative(true);
        self.of_scores(metric, |state| {
            calibration_curve_from_state(state, &options).map(|curve| Measured::Value(curve.ece()))
        })
    }

    /// A metric of calibration in every group of every stratum, with that of all rows of the stratum, from the groups' score
    /// states.
    ///
    /// ```
    /// use mlops_eval::calibration::{CalibrationMetric, ece};
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::fairness::{FairnessOptions, MetricFrame, SensitiveFeature};
    ///
    /// let group = [SensitiveFeature::new("group", &[0, 0, 1, 1], ["a", "b"])];
    /// let metrics: [Metric; 1] = ["brier".parse()?];
    /// let (y_true, scores) = ([true, false, true, true], [0.75, 0.25, 0.5, 0.5]);
    /// let input = Input::binary(&y_true).with_scores(&scores);
    /// let frame = MetricFrame::of(&input, &metrics, &group, &[], &FairnessOptions::fairlearn_0_15())?;
    /// let errors = &frame.calibration(CalibrationMetric::Ece)?[0].by_group;
    /// assert_eq!(errors.groups[0].value, ece(&y_true[..2], &scores[..2])?);
    /// assert_eq!(errors.overall, ece(&y_true, &scores)?);
    /// assert_eq!(errors.difference().value.value(), Some(0.25));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a frame without a metric of scores; [`StatsError::OutOfRange`] for scores outside
    /// [0, 1]; those of [`CalibrationMetric::from_state`].
    pub fn calibration(&self, metric: CalibrationMetric) -> Result<Vec<Stratum>, StatsError> {
        let measure = CustomMetric::new(metric.name(), metric.direction());
        self.of_scores(measure.with_non_negative(metric.range().0 >= 0.0), |state| metric.from_state(state))
    }

    fn of_scores(
        &self,
        metric: CustomMetric,
        value: impl Fn(&ScoreState) -> Result<Measured, StatsError>,
    ) -> Result<Vec<Stratum>, StatsError> {
        let Some(states) = &self.states.scores else {
            let reason = "the frame has no metric of scores";
            return Err(StatsError::Unsupported { what: "calibration within groups", reason });
        };
        self.strata(&metric.into(), states, &|state: &ScoreState| calibrated(state, &value))
    }

    /// The confusion cells of every stratum, with the named criteria and the counts per group.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a frame without a metric of binary labels.
    pub fn group_metrics(&self) -> Result<Vec<StratumMetrics>, StatsError> {
        let Some(cells) = &self.states.labels else {
            let reason = "the frame has no metric of binary labels";
            return Err(StatsError::Unsupported { what: "confusion cells by group", reason });
        };
        let (axes, _) = self.axes.margin(&(self.controls..self.axes.width()).collect::<Vec<_>>())?;
        let groups = axes.len()?;
        let stratum = |stratum: usize| StratumMetrics {
            control: self.axes.group(stratum * groups).split(self.controls).0,
            metrics: GroupMetrics::from_parts(
                axes.clone(),
                cells.part(stratum * groups..(stratum + 1) * groups),
                self.options,
            ),
        };
        Ok((0..self.axes.head_len(self.controls)).map(stratum).collect())
    }

    /// A function of the groups' confusion cells in every stratum: tests, intervals and decisions within each of them. Strata
    /// without rows are among them; a decision is insufficient there.
    ///
    /// All strata must pass for the whole to pass ([`Verdict::all`](mlops_core::evaluation::Verdict::all)): a wrong pass keeps its
    /// probability. A wrong fail does not: for s strata, take α/s.
    ///
    /// ```
    /// use mlops_core::evaluation::Verdict;
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, MetricFrame, ParityOptions, SensitiveFeature};
    ///
    /// let labels: Vec<bool> = (0..8_000).map(|row| row % 8 < 4).collect();
    /// let (sex, site): (Vec<u32>, Vec<u32>) = (0..8_000).map(|row| (row % 2, row / 2 % 2)).unzip();
    /// let sex = [SensitiveFeature::new("sex", &sex, ["f", "m"])];
    /// let site = [SensitiveFeature::new("site", &site, ["north", "south"])];
    /// let metrics: [Metric; 1] = ["selection_rate".parse()?];
    /// let input = Input::binary(&labels).with_labels(&labels);
    /// let frame = MetricFrame::of(&input, &metrics, &sex, &site, &FairnessOptions::default())?;
    ///
    /// let options = ParityOptions::default();
    /// let decided = frame.in_strata(|groups| groups.difference_within(LabelMetric::SelectionRate, 0.1, &options))?;
    /// assert_eq!(decided[1].control.to_string(), "site=south");
    /// assert_eq!(Verdict::all(decided.iter().map(|stratum| stratum.result.verdict)), Verdict::Pass);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`group_metrics`](Self::group_metrics), and of the function.
    pub fn in_strata<T>(
        &self,
        of: impl Fn(&GroupMetrics) -> Result<T, StatsError>,
    ) -> Result<Vec<InStratum<T>>, StatsError> {
        let stratum = |stratum: StratumMetrics| {
            let StratumMetrics { control, metrics } = stratum;
            of(&metrics).map(|result| InStratum { control, result })
        };
        self.group_metrics()?.into_iter().map(stratum).collect()
    }

    fn check_metric(&self, metric: Metric) -> Result<(), StatsError> {
        if self.metrics.contains(&metric) {
            return Ok(());
        }
        Err(StatsError::Unsupported { what: metric.name(), reason: "the frame was not made for it" })
    }

    fn states_of(&self, metric: Metric) -> Result<Chosen<'_>, StatsError> {
        let plan = &mut Plan::default();
        *plan.place(metric, self.states.labels.is_some()) = true;
        let chosen = match metric {
            Metric::Label(_) if plan.labels => Some(Chosen::Labels),
            // Of several classes they are computed from the rows.
            Metric::Score(_) | Metric::Calibration(_) if self.states.scores.is_some() => {
                self.states.scores.as_ref().map(|states| Chosen::Scores(metric, states))
            }
            Metric::Regression(metric) if plan.errors => {
                self.states.errors.as_ref().map(|states| Chosen::Errors(metric, states))
            }
            _ => self.states.kept.as_ref().map(|states| Chosen::Rows(states)),
        };
        // Only a file can list a metric without its state.
        chosen.ok_or(StatsError::Unsupported { what: metric.name(), reason: "the frame lacks its state" })
    }

    fn label_strata(
        &self,
        metric: Metric,
        by_group: impl Fn(StratumMetrics, crate::classification::LabelMetric) -> MetricByGroup,
    ) -> Result<Vec<Stratum>, StatsError> {
        let Metric::Label(label) = metric else { return Ok(Vec::new()) };
        let strata = self.group_metrics()?.into_iter().zip(self.stratum_sizes()?);
        let stratum = |(stratum, size): (StratumMetrics, Size)| Stratum {
            control: stratum.control.clone(),
            rows: size.rows,
            weight: size.weight,
            by_group: by_group(stratum, label),
        };
        Ok(strata.map(stratum).collect())
    }

    fn stratum_sizes(&self) -> Result<Vec<Size>, StatsError> {
        let groups = self.groups_of_stratum()?;
        let sizes = self.states.sizes.chunks(groups);
        sizes.map(|sizes| Ok(pooled(sizes)?.unwrap_or_default())).collect()
    }

    /// The number of groups in a stratum.
    fn groups_of_stratum(&self) -> Result<usize, StatsError> {
        Ok((self.axes.len()? / self.axes.head_len(self.controls).max(1)).max(1))
    }

    fn strata<S: Pool>(
        &self,
        measure: &Measure,
        states: &[S],
        value: &dyn Fn(&S) -> Result<Measured, StatsError>,
    ) -> Result<Vec<Stratum>, StatsError> {
        let groups = self.groups_of_stratum()?;
        let (axes, _) = self.axes.margin(&(self.controls..self.axes.width()).collect::<Vec<_>>())?;
        let mut strata = Vec::new();
        for (index, states) in states.chunks(groups).enumerate() {
            let sizes = self.states.sizes.get(index * groups..(index + 1) * groups).unwrap_or_default();
            let rows: Vec<u64> = sizes.iter().map(|size| size.rows).collect();
            let statuses = axes.statuses(&rows, self.options.minimum_size);
            let size = pooled(sizes)?.unwrap_or_default();
            let group_value = |group: usize| {
                let judged = statuses[group] == GroupStatus::Judged;
                let too_few = too_few(rows[group], self.options.minimum_size);
                Ok(GroupValue {
                    group: axes.group(group),
                    rows: rows[group],
                    weight: sizes[group].weight,
                    status: statuses[group],
                    value: if judged { weighed(sizes[group], || value(&states[group]))? } else { too_few },
                    share: None,
                    interval: None,
                })
            };
            let all = pooled(states)?;
            let overall = all.as_ref().map(|all| weighed(size, || value(all))).transpose()?;
            strata.push(Stratum {
                control: self.axes.group(index * groups).split(self.controls).0,
                rows: size.rows,
                weight: size.weight,
                by_group: MetricByGroup {
                    metric: measure.clone(),
                    overall: overall.unwrap_or(NO_ROWS),
                    groups: (0..rows.len()).map(group_value).collect::<Result<_, StatsError>>()?,
                    options: self.options,
                },
            });
        }
        Ok(strata)
    }

    fn rest<S: Pool>(
        &self,
        strata: Vec<Stratum>,
        states: &[S],
        value: &dyn Fn(&S) -> Result<Measured, StatsError>,
    ) -> Result<Vec<(Group, Contrasts)>, StatsError> {
        let groups = self.groups_of_stratum()?;
        let parts = states.chunks(groups).zip(self.states.sizes.chunks(groups));
        let contrasts = |(stratum, (states, sizes)): (Stratum, (&[S], &[Size]))| {
            let (rest, rest_sizes) = (others(states)?, others(sizes)?);
            let by_group = stratum.by_group;
            let mut contrasts = Vec::new();
            for (index, group) in by_group.groups.iter().enumerate().filter(|(_, group)| is_there(group)) {
                let against = match (&rest[index], rest_sizes[index]) {
                    (Some(rest), Some(size)) => weighed(size, || value(rest))?,
                    _ => NO_ROWS,
                };
                contrasts.push(by_group.contrast(group, against));
            }
            let left_out = by_group.left_out();
            Ok((stratum.control, Contrasts { metric: by_group.metric, reference: None, contrasts, left_out }))
        };
        strata.into_iter().zip(parts).map(contrasts).collect()
    }

    fn of_rows(&self, metric: Metric, rows: &KeptRows) -> Result<Measured, StatsError> {
        let value = metric.evaluate(&rows.input())?;
        Ok(if matches!(metric, Metric::Label(_)) { self.options.zero_division.apply(value) } else { value })
    }
}

/// The state a metric is read from.
enum Chosen<'a> {
    Labels,
    Scores(Metric, &'a [ScoreState]),
    Errors(RegressionMetric, &'a [RegressionState]),
    Rows(&'a [KeptRows]),
}

const NO_ROWS: Measured = Measured::Undefined(mlops_core::num::Undefined {
    reason: UndefinedReason::TooFew,
    numerator: 0.0,
    denominator: 1.0,
});

/// Rows that weigh nothing have no metric.
fn weighed(size: Size, value: impl FnOnce() -> Result<Measured, StatsError>) -> Result<Measured, StatsError> {
    if size.rows == 0 || size.weight == 0.0 { Ok(NO_ROWS) } else { value() }
}

/// For each state what all others add up to; `None` where there are no others. O(states) merges, from both ends.
fn others<S: Pool>(states: &[S]) -> Result<Vec<Option<S>>, StatsError> {
    let mut after: Vec<Option<S>> = vec![None; states.len()];
    for index in (1..states.len()).rev() {
        let mut sum = states[index].clone();
        if let Some(more) = &after[index] {
            sum.pool(more)?;
        }
        after[index - 1] = Some(sum);
    }
    let mut before: Option<S> = None;
    for (index, state) in states.iter().enumerate() {
        let rest = match (&before, after[index].take()) {
            (Some(before), Some(after)) => {
                let mut rest = before.clone();
                rest.pool(&after)?;
                Some(rest)
            }
            (before, after) => before.clone().or(after),
        };
        after[index] = rest;
        match &mut before {
            Some(before) => before.pool(state)?,
            none => *none = Some(state.clone()),
        }
    }
    Ok(after)
}

/// A metric of scores or of calibration from the state of the scores.
fn score(metric: Metric, state: &ScoreState) -> Result<Measured, StatsError> {
    if state.negatives() + state.positives() <= 0.0 {
        return Ok(NO_ROWS);
    }
    match metric {
        Metric::Score(metric) => metric.from_state(state),
        Metric::Calibration(metric) => metric.from_state(state),
        Metric::Label(_) | Metric::Multiclass(_) | Metric::Regression(_) => {
            Err(StatsError::Unsupported { what: metric.name(), reason: "it is not read from scores" })
        }
    }
}

/// What a function of calibration makes of a state that has weight.
fn calibrated(
    state: &ScoreState,
    value: impl FnOnce(&ScoreState) -> Result<Measured, StatsError>,
) -> Result<Measured, StatsError> {
    state.check_probabilities("scores")?;
    if state.negatives() + state.positives() > 0.0 { value(state) } else { Ok(NO_ROWS) }
}

impl States {
    fn of(
        input: &Input<'_>,
        plan: Plan,
        (axes, features): (&Axes, &[SensitiveFeature<'_>]),
        metrics: &[Metric],
        threads: Threads,
    ) -> Result<Self, StatsError> {
        let cells = axes.len()?;
        let mut states = Self::default();
        if let (true, Rows::Binary { y_true, labels: Some(labels), .. }) = (plan.labels, input.rows) {
            states.labels = Some(count(y_true, labels, input.weights, (axes, features), threads)?);
        }
        if plan.scores || plan.errors || plan.kept || states.labels.is_none() {
            check_values(input, metrics, plan.kept)?;
            let rows = RowsByCell::of(&group_of_rows(features, input.rows(), "y_true")?, cells);
            let all = |work: &(dyn Fn(&[usize]) -> CellResult + Sync)| {
                map(cells, threads, |cell| work(rows.cell(cell))).into_iter().collect::<Result<Vec<_>, _>>()
            };
            for built in all(&|rows| CellStates::of(input, plan, rows))? {
                states.add(built, plan);
            }
        } else if let Some(labels) = &states.labels {
            let sizes = labels.rows().into_iter().zip(labels.weights());
            states.sizes = sizes.map(|(rows, cells)| Size { rows, weight: cells.total() }).collect();
        }
        Ok(states)
    }

    fn add(&mut self, cell: CellStates, plan: Plan) {
        self.sizes.push(cell.size);
        if plan.scores {
            self.scores.get_or_insert_default().extend(cell.scores);
        }
        if plan.errors {
            self.errors.get_or_insert_default().extend(cell.errors);
        }
        if plan.kept {
            self.kept.get_or_insert_default().extend(cell.kept);
        }
    }
}

type CellResult = Result<CellStates, StatsError>;

/// The states of one cell but for the labels', which are counted for all cells at once.
struct CellStates {
    size: Size,
    scores: Option<ScoreState>,
    errors: Option<RegressionState>,
    kept: Option<KeptRows>,
}

impl CellStates {
    fn of(input: &Input<'_>, plan: Plan, rows: &[usize]) -> CellResult {
        let weights = input.weights.map(|weights| picked(weights, rows));
        let weight = match &weights {
            None => rows.len() as f64,
            Some(weights) => mlops_core::num::sum::sum(weights),
        };
        let mut cell =
            Self { size: Size { rows: rows.len() as u64, weight }, scores: None, errors: None, kept: None };
        if plan.scores {
            cell.scores = Some(score_state(input, rows, weights.as_deref())?);
        }
        if plan.errors {
            cell.errors = Some(error_state(input, rows)?);
        }
        if plan.kept {
            cell.kept = Some(KeptRows::of(input, rows)?);
        }
        Ok(cell)
    }
}

fn score_state(input: &Input<'_>, rows: &[usize], weights: Option<&[f64]>) -> Result<ScoreState, StatsError> {
    let Rows::Binary { y_true, scores: Some(scores), .. } = input.rows else {
        return Ok(ScoreState::default());
    };
    if rows.is_empty() {
        return Ok(ScoreState::default());
    }
    let (y_true, scores) = (picked(y_true, rows), picked(scores, rows));
    match weights
        .map_or_else(|| ScoreState::of(&y_true, &scores), |w| ScoreState::weighted(&y_true, &scores, w))
    {
        // Rows that weigh nothing leave no trace but their number.
        Err(StatsError::ZeroTotal { .. }) => Ok(ScoreState::default()),
        state => state,
    }
}

fn error_state(input: &Input<'_>, rows: &[usize]) -> Result<RegressionState, StatsError> {
    let mut state = RegressionState::default();
    if let Rows::Regression { y_true, y_pred } = input.rows {
        for &row in rows {
            state.push(y_true[row], y_pred[row], crate::input::weight(input.weights, row))?;
        }
    }
    Ok(state)
}

/// What would otherwise be refused cell by cell, with the row it has among all.
fn check_values(input: &Input<'_>, metrics: &[Metric], kept: bool) -> Result<(), StatsError> {
    match input.rows {
        Rows::Binary { y_true, scores, .. } => {
            let needs = |needs| metrics.iter().any(|metric| metric.needs() == needs);
            // What is kept may be asked for later, and has to be readable from a file.
            let read = kept || needs(Needs::Scores) || needs(Needs::Probabilities);
            if let Some(scores) = scores.filter(|_| read) {
                finite("scores", scores)?;
                if needs(Needs::Probabilities) {
                    probabilities("scores", scores)?;
                }
            }
            weight_total(input.weights, named("y_true", y_true))?;
        }
        Rows::Multiclass(ClassRows { y_true, probabilities: said, .. }) => {
            let needs = |needs| metrics.iter().any(|metric| metric.needs() == needs);
            if let Some(said) = said {
                finite("probabilities", said)?;
                if needs(Needs::Probabilities) {
                    probabilities("probabilities", said)?;
                }
            }
            weight_total(input.weights, named("y_true", y_true))?;
        }
        Rows::Regression { y_true, y_pred } => {
            finite("y_true", y_true)?;
            finite("y_pred", y_pred)?;
            weight_total(input.weights, named("y_true", y_true))?;
        }
        #[allow(unreachable_patterns, reason = "inputs of another shape are checked by their metrics")]
        _ => {}
    }
    Ok(())
}

/// What a file holds, before it is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    features: Axes,
    controls: usize,
    metrics: Vec<Metric>,
    options: FairnessOptions,
    states: States,
}

impl From<MetricFrame> for Stored {
    fn from(frame: MetricFrame) -> Self {
        let MetricFrame { axes, controls, metrics, options, states } = frame;
        Self { features: axes, controls, metrics, options, states }
    }
}

impl TryFrom<Stored> for MetricFrame {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        stored.features.check()?;
        stored.options.check()?;
        if stored.controls >= stored.features.width() {
            return Err(StatsError::Empty { argument: "sensitive_features" });
        }
        stored.states.check(stored.features.len()?)?;
        let Stored { features: axes, controls, metrics, options, states } = stored;
        let frame = Self { axes, controls, metrics, options, states };
        frame.metrics.iter().try_for_each(|&metric| frame.states_of(metric).map(|_| ()))?;
        Ok(frame)
    }
}
