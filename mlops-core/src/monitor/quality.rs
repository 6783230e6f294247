//! The quality of what a model is asked: how much is missing, of the wrong type, or outside of what it has learned from.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::{Column, ColumnProfile, DataType, Profile, Table, Values};
use crate::error::{Error, Result, quote};
use crate::evaluation::Verdict;

const CHECK: &str = "QualityRule::check";
/// The most features of a rule.
const MOST_FEATURES: usize = 10_000;
/// The most levels of a feature.
const MOST_LEVELS: usize = 100_000;

/// How much may be wrong with a feature, as shares of the rows, in \[0, 1\]. Thresholds are conventions: the defaults are a twentieth
/// that is missing, a twentieth out of bounds, and nothing of another type.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityLimits {
    /// The largest share that is missing.
    pub null_rate: f64,
    /// The largest share of another type.
    pub type_error_rate: f64,
    /// The largest share that lies outside of the bounds.
    pub out_of_bounds_rate: f64,
}

impl Default for QualityLimits {
    fn default() -> Self {
        Self { null_rate: 0.05, type_error_rate: 0.0, out_of_bounds_rate: 0.05 }
    }
}

impl QualityLimits {
    /// Sets the largest share that is missing.
    #[must_use]
    pub fn with_null_rate(mut self, rate: f64) -> Self {
        self.null_rate = rate;
        self
    }

    /// Sets the largest share of another type.
    #[must_use]
    pub fn with_type_error_rate(mut self, rate: f64) -> Self {
        self.type_error_rate = rate;
        self
    }

    /// Sets the largest share that lies outside of the bounds.
    #[must_use]
    pub fn with_out_of_bounds_rate(mut self, rate: f64) -> Self {
        self.out_of_bounds_rate = rate;
        self
    }

    fn check(&self, feature: &str) -> Result<()> {
        for (field, rate) in [
            ("null_rate", self.null_rate),
            ("type_error_rate", self.type_error_rate),
            ("out_of_bounds_rate", self.out_of_bounds_rate),
        ] {
            if !(0.0..=1.0).contains(&rate) {
                let message = format!("is a share of 0 to 1, got {rate}");
                return Err(Error::invalid(CHECK, field, message).with("feature", quote(feature)));
            }
        }
        Ok(())
    }
}

/// What a feature is like: its type, and the bounds within which its values lie.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureBounds {
    /// The feature.
    pub feature: String,
    /// Its type.
    pub data_type: DataType,
    /// The smallest number; `None` bounds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The categories there are, or `true` and `false`; `None` bounds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<Vec<String>>,
}

impl FeatureBounds {
    /// A feature of a type, without bounds.
    pub fn new(feature: impl Into<String>, data_type: DataType) -> Self {
        Self { feature: feature.into(), data_type, min: None, max: None, levels: None }
    }

    /// Bounds numbers.
    #[must_use]
    pub fn within(mut self, min: f64, max: f64) -> Self {
        (self.min, self.max) = (Some(min), Some(max));
        self
    }

    /// Bounds categories.
    #[must_use]
    pub fn one_of<S: Into<String>>(mut self, levels: impl IntoIterator<Item = S>) -> Self {
        self.levels = Some(levels.into_iter().map(Into::into).collect());
        self
    }

    /// What a profile says of a column: the range of its numbers, and its categories where all of them were counted and are listed.
    /// Times are not bounded: those to come lie beyond all that were.
    pub fn of_profile(column: &ColumnProfile) -> Self {
        let mut bounds = Self::new(&column.name, column.data_type);
        if let Some(numeric) = &column.numeric {
            (bounds.min, bounds.max) = (numeric.min, numeric.max);
        }
        let listed = column.distinct.exact && column.distinct.count == column.top.len() as u64;
        // A longer text is in a profile by its beginning and a hash.
        let whole = column.top.iter().all(|top| top.value.len() <= 200);
        let named = matches!(column.data_type, DataType::Category | DataType::Bool);
        if named && listed && whole && !column.top.is_empty() {
            bounds.levels = Some(column.top.iter().map(|top| top.value.clone()).collect());
        }
        bounds
    }

    fn check(&self) -> Result<()> {
        let bad = |field: &str, message: &str| {
            Err(Error::invalid(CHECK, field, message).with("feature", quote(&self.feature)))
        };
        if self.feature.is_empty() {
            return bad("feature", "a feature has a name");
        }
        if [self.min, self.max].into_iter().flatten().any(|bound| !bound.is_finite()) {
            return bad("min", "bounds are finite");
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return bad("min", "is at most the upper bound");
        }
        match &self.levels {
            Some(levels) if levels.len() > MOST_LEVELS => {
                Err(Error::limit(CHECK, "the number of levels", MOST_LEVELS, levels.len()))
            }
            _ => Ok(()),
        }
    }
}

/// When the quality of data is bad: what each feature is like, and how much of it may be wrong.
///
/// Over the rows of a window, for every feature:
/// * the **null rate** is the share of rows in which it is missing or NaN, or in which there is no such column;
/// * the **type error rate** is the share whose value is of another type. Numbers may come as integers or floats; for an integer,
///   a float must be whole;
/// * the **out-of-bounds rate** is the share whose value is there, of the right type, and below `min`, above `max`, infinite, or none
///   of the `levels`.
///
/// These are the data quality metrics of Azure ML's model monitors, which know one threshold for all numerical and one for all
/// categorical features. Here every feature may have limits of its own. A rate at its limit is good.
///
/// ```
/// use mlops_core::data::{Column, Profile, Table};
/// use mlops_core::evaluation::Verdict;
/// use mlops_core::monitor::{QualityLimits, QualityRule, QualityState};
///
/// let learned = Table::new(vec![Column::f64("age", vec![20.0, 60.0])?, Column::text("sex", ["f", "m"])?])?;
/// let rule = QualityRule::of_profile(&Profile::of(&learned)?)
///     .with_min_rows(3)
///     .with_feature("age", QualityLimits::default().with_null_rate(0.5));
///
/// let mut state = QualityState::default();
/// let asked = Column::text("sex", ["f", "x", "m", "f"])?;
/// state.push(&rule, &Table::new(vec![Column::f64("age", vec![30.0, f64::NAN, 40.0, 61.0])?, asked])?);
/// let report = rule.judge(&state);
/// assert_eq!(report.verdict(), Verdict::Fail);
/// let age = &report.features[0];
/// assert_eq!((age.nulls, age.out_of_bounds, age.verdict), (1, 1, Verdict::Fail));
/// assert_eq!(report.reason(), "age is out of bounds in 25.0 % of 4 rows, at most 5.0 % is asked for; \
///     sex is out of bounds in 25.0 % of 4 rows, at most 5.0 % is asked for");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityRule {
    /// What each feature is like.
    pub features: Vec<FeatureBounds>,
    /// The limits of every feature that has none of its own.
    #[serde(default)]
    pub limits: QualityLimits,
    /// The limits of single features.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_feature: BTreeMap<String, QualityLimits>,
    /// How many rows are needed to judge, at least 1. Default 1.
    #[serde(default = "one")]
    pub min_rows: u64,
}

fn one() -> u64 {
    1
}

impl QualityRule {
    /// A rule about these features, with the default limits.
    pub fn new(features: Vec<FeatureBounds>) -> Self {
        let limits = QualityLimits::default();
        Self { features, limits, by_feature: BTreeMap::new(), min_rows: one() }
    }

    /// A rule about every column of a profile, by [`FeatureBounds::of_profile`].
    pub fn of_profile(profile: &Profile) -> Self {
        Self::new(profile.columns.iter().map(FeatureBounds::of_profile).collect())
    }

    /// Sets the limits of every feature that has none of its own.
    #[must_use]
    pub fn with_limits(mut self, limits: QualityLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the limits of one feature.
    #[must_use]
    pub fn with_feature(mut self, feature: impl Into<String>, limits: QualityLimits) -> Self {
        self.by_feature.insert(feature.into(), limits);
        self
    }

    /// Sets how many rows are needed to judge.
    #[must_use]
    pub fn with_min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    /// Checks that the rule can be followed; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no features, one that has no name or comes twice, bounds that
    /// are not finite or upside down, a rate outside of \[0, 1\], limits of a feature that is not there, no rows to judge by;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 10 000 features or 100 000 levels.
    pub fn check(&self) -> Result<()> {
        if self.features.is_empty() {
            return Err(Error::invalid(CHECK, "features", "a rule is about one feature at least"));
        }
        if self.features.len() > MOST_FEATURES {
            return Err(Error::limit(CHECK, "the number of features", MOST_FEATURES, self.features.len()));
        }
        if self.min_rows == 0 {
            return Err(Error::invalid(CHECK, "min_rows", "must be at least 1"));
        }
        let mut seen = HashSet::new();
        for bounds in &self.features {
            bounds.check()?;
            if !seen.insert(bounds.feature.as_str()) {
                let error = Error::invalid(CHECK, "features", "has one feature twice");
                return Err(error.with("feature", quote(&bounds.feature)));
            }
        }
        self.limits.check("")?;
        for (feature, limits) in &self.by_feature {
            limits.check(feature)?;
            if !seen.contains(feature.as_str()) {
                let error = Error::invalid(CHECK, "by_feature", "has limits of a feature that is not there");
                return Err(error.with("feature", quote(feature)));
            }
        }
        Ok(())
    }

    /// Judges what was counted. With fewer rows than are needed every verdict is insufficient.
    pub fn judge(&self, state: &QualityState) -> QualityReport {
        let none = FeatureCounts::default();
        let features = self.features.iter().map(|bounds| {
            let counts = state.features.get(&bounds.feature).unwrap_or(&none);
            let limits = self.by_feature.get(&bounds.feature).copied().unwrap_or(self.limits);
            FeatureQuality::new(bounds, *counts, state.rows, limits, self.min_rows.max(1))
        });
        QualityReport {
            schema: 1,
            rows: state.rows,
            min_rows: self.min_rows.max(1),
            features: features.collect(),
        }
    }
}

/// What was counted of one feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureCounts {
    nulls: u64,
    type_errors: u64,
    out_of_bounds: u64,
}

/// What was counted of rows: of parts of a window, they add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityState {
    rows: u64,
    features: BTreeMap<String, FeatureCounts>,
}

impl QualityState {
    /// How many rows were counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts rows. Columns that the rule is not about do not matter. O(rows · features).
    pub fn push(&mut self, rule: &QualityRule, rows: &Table<'_>) {
        self.rows += rows.rows() as u64;
        for bounds in &rule.features {
            let counts = self.features.entry(bounds.feature.clone()).or_default();
            match rows.get(&bounds.feature) {
                Some(column) => count(counts, bounds, column),
                None => counts.nulls += rows.rows() as u64,
            }
        }
    }

    /// Adds what was counted of other rows by the same rule.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (feature, more) in &other.features {
            let counts = self.features.entry(feature.clone()).or_default();
            counts.nulls += more.nulls;
            counts.type_errors += more.type_errors;
            counts.out_of_bounds += more.out_of_bounds;
        }
    }
}

/// What one value is.
enum Found {
    Null,
    WrongType,
    Outside,
    Good,
}

fn count(counts: &mut FeatureCounts, bounds: &FeatureBounds, column: &Column<'_>) {
    let levels: Option<HashSet<&str>> =
        bounds.levels.as_ref().map(|levels| levels.iter().map(String::as_str).collect());
    for row in 0..column.len() {
        match look(bounds, levels.as_ref(), column, row) {
            Found::Null => counts.nulls += 1,
            Found::WrongType => counts.type_errors += 1,
            Found::Outside => counts.out_of_bounds += 1,
            Found::Good => {}
        }
    }
}

fn look(bounds: &FeatureBounds, levels: Option<&HashSet<&str>>, column: &Column<'_>, row: usize) -> Found {
    if !column.is_valid(row) {
        return Found::Null;
    }
    let numeric = matches!(bounds.data_type, DataType::F64 | DataType::F32 | DataType::I64);
    let number = match column.values() {
        Values::F64(values) => values.get(row).copied(),
        Values::F32(values) => values.get(row).map(|value| f64::from(*value)),
        Values::I64(values) => values.get(row).map(|value| *value as f64),
        _ => None,
    };
    match number {
        Some(number) if number.is_nan() => Found::Null,
        Some(number) if numeric => look_at_number(bounds, number),
        _ if column.data_type() != bounds.data_type => Found::WrongType,
        _ => match (levels, column.label(row)) {
            (Some(levels), Some(label)) if !levels.contains(&*label) => Found::Outside,
            _ => Found::Good,
        },
    }
}

fn look_at_number(bounds: &FeatureBounds, number: f64) -> Found {
    if number.is_infinite() {
        return Found::Outside;
    }
    if bounds.data_type == DataType::I64 && number.fract() != 0.0 {
        return Found::WrongType;
    }
    let below = bounds.min.is_some_and(|min| number < min);
    let above = bounds.max.is_some_and(|max| number > max);
    if below || above { Found::Outside } else { Found::Good }
}

/// The quality of one feature in a window.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureQuality {
    /// The feature.
    pub feature: String,
    /// How many rows were looked at.
    pub rows: u64,
    /// In how many it is missing.
    pub nulls: u64,
    /// In how many it is of another type.
    pub type_errors: u64,
    /// In how many it is out of bounds.
    pub out_of_bounds: u64,
    /// What the rates were held against.
    pub limits: QualityLimits,
    /// The verdict.
    pub verdict: Verdict,
}

impl FeatureQuality {
    fn new(
        bounds: &FeatureBounds,
        counts: FeatureCounts,
        rows: u64,
        limits: QualityLimits,
        min_rows: u64,
    ) -> Self {
        let FeatureCounts { nulls, type_errors, out_of_bounds } = counts;
        let feature = bounds.feature.clone();
        let mut quality =
            Self { feature, rows, nulls, type_errors, out_of_bounds, limits, verdict: Verdict::Insufficient };
        if rows >= min_rows {
            let good = quality.broken().next().is_none();
            quality.verdict = if good { Verdict::Pass } else { Verdict::Fail };
        }
        quality
    }

    /// Every rate with its limit and what it is called in a sentence; a rate of no rows is 0.
    fn rates(&self) -> [(f64, f64, &'static str); 3] {
        let rate = |count: u64| count as f64 / self.rows.max(1) as f64;
        [
            (rate(self.nulls), self.limits.null_rate, "missing"),
            (rate(self.type_errors), self.limits.type_error_rate, "of another type"),
            (rate(self.out_of_bounds), self.limits.out_of_bounds_rate, "out of bounds"),
        ]
    }

    /// What is over its limit. Written so that no comparison with NaN is good.
    fn broken(&self) -> impl Iterator<Item = (f64, f64, &'static str)> {
        self.rates()
            .into_iter()
            .filter(|(rate, limit, _)| !matches!(rate.partial_cmp(limit), Some(order) if order.is_le()))
    }

    /// The largest rate in units of its limit; infinite where nothing is tolerated and something is wrong.
    pub fn worst(&self) -> f64 {
        let ratio = |(rate, limit, _): (f64, f64, &str)| if rate == 0.0 { 0.0 } else { rate / limit };
        self.rates().into_iter().map(ratio).fold(0.0, f64::max)
    }
}

/// The quality of every feature in a window.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityReport {
    /// The version of this shape: 1.
    pub schema: u32,
    /// How many rows were looked at.
    pub rows: u64,
    /// How many are needed to judge.
    pub min_rows: u64,
    /// Every feature, in the order of the rule.
    pub features: Vec<FeatureQuality>,
}

impl QualityReport {
    /// The verdict over all features: one that fails fails.
    pub fn verdict(&self) -> Verdict {
        if self.rows < self.min_rows || self.features.is_empty() {
            return Verdict::Insufficient;
        }
        match self.features.iter().any(|feature| feature.verdict != Verdict::Pass) {
            true => Verdict::Fail,
            false => Verdict::Pass,
        }
    }

    /// Why, as a sentence that names the first ten limits that are broken.
    pub fn reason(&self) -> String {
        if self.rows < self.min_rows {
            return format!("{} rows were looked at, {} are needed to judge", self.rows, self.min_rows);
        }
        let broken: Vec<String> = self
            .features
            .iter()
            .flat_map(|feature| feature.broken().map(move |broken| (feature, broken)))
            .map(|(feature, (rate, limit, what))| {
                let name = quote(&feature.feature);
                let (rate, limit) = (100.0 * rate, 100.0 * limit);
                format!(
                    "{name} is {what} in {rate:.1} % of {} rows, at most {limit:.1} % is asked for",
                    self.rows
                )
            })
            .collect();
        match broken.len() {
            0 => format!(
                "all of {} features are within their limits in {} rows",
                self.features.len(),
                self.rows
            ),
            1..=10 => broken.join("; "),
            more => format!("{}; and {} more", broken[..10].join("; "), more - 10),
        }
    }
}

impl fmt::Display for QualityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict(), self.reason())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::Validity;
    use crate::error::ErrorKind;

    fn counts(bounds: FeatureBounds, column: Column<'_>) -> (u64, u64, u64) {
        let rule = QualityRule::new(vec![bounds]);
        let mut state = QualityState::default();
        state.push(&rule, &Table::new(vec![column]).unwrap());
        let found = &rule.judge(&state).features[0];
        (found.nulls, found.type_errors, found.out_of_bounds)
    }

    #[test]
    fn every_value_is_null_or_of_another_type_or_out_of_bounds_or_good() {
        use DataType::{Bool, Category, F64, I64, Time};
        let x = |data_type| FeatureBounds::new("x", data_type);
        let floats = |values: &[f64]| Column::f64("x", values.to_vec()).unwrap();
        let inf = f64::INFINITY;
        let masked = |values: Values<'static>| {
            let valid = Validity::from_bools(&[true, false, true]);
            Column::new("x", values, Some(valid)).unwrap()
        };
        for (bounds, column, expected) in [
            (x(F64).within(0.0, 1.0), floats(&[0.0, 1.0, -0.0, f64::NAN, -0.1, 1.1, inf, -inf]), (1, 0, 4)),
            (x(F64), floats(&[1e300, inf]), (0, 0, 1)),
            (x(F64).within(1.0, 3.0), Column::i64("x", vec![0, 1, 3, 4]).unwrap(), (0, 0, 2)),
            (x(I64).within(1.0, 3.0), floats(&[1.0, 2.5, 3.0, 4.0]), (0, 1, 1)),
            (x(I64), Column::bool("x", vec![true, false]).unwrap(), (0, 2, 0)),
            (x(F64), Column::text("x", ["1", "2"]).unwrap(), (0, 2, 0)),
            (x(Category).one_of(["f", "m"]), Column::text("x", ["f", "x", "", "m"]).unwrap(), (0, 0, 2)),
            (x(Category).one_of(["1", "2"]), floats(&[1.0, f64::NAN]), (1, 1, 0)),
            (x(Category), Column::text("x", ["anything"]).unwrap(), (0, 0, 0)),
            (x(Bool).one_of(["true"]), Column::bool("x", vec![true, false]).unwrap(), (0, 0, 1)),
            (x(Bool), Column::i64("x", vec![1, 0]).unwrap(), (0, 2, 0)),
            (x(Time), masked(Values::Time(vec![0, 1, i64::MAX].into())), (1, 0, 0)),
            (x(F64).within(0.0, 1.0), masked(Values::F64(vec![2.0, 3.0, 0.5].into())), (1, 0, 1)),
            (
                x(F64),
                masked(Values::Category { codes: vec![0, 0, 0].into(), levels: Arc::new(["a".into()]) }),
                (1, 2, 0),
            ),
            (FeatureBounds::new("y", F64), floats(&[1.0, 2.0]), (2, 0, 0)),
        ] {
            assert_eq!(counts(bounds.clone(), column.clone()), expected, "{bounds:?} {column:?}");
        }
    }

    #[test]
    fn a_rate_at_its_limit_is_good_and_parts_add_up() {
        let bounds = FeatureBounds::new("x", DataType::F64).within(0.0, 1.0);
        let rule = |rate| {
            QualityRule::new(vec![bounds.clone()])
                .with_feature("x", QualityLimits::default().with_out_of_bounds_rate(rate))
        };
        let part = |values: &[f64]| {
            let mut state = QualityState::default();
            state.push(&rule(0.25), &Table::new(vec![Column::f64("x", values.to_vec()).unwrap()]).unwrap());
            state
        };
        let mut state = part(&[0.5, 2.0]);
        state.merge(&part(&[0.5, 0.5]));
        assert_eq!(state, part(&[0.5, 2.0, 0.5, 0.5]));
        assert_eq!(state.rows(), 4);
        assert_eq!(rule(0.25).judge(&state).verdict(), Verdict::Pass);
        assert_eq!(rule(0.2499).judge(&state).verdict(), Verdict::Fail);
        assert_eq!(rule(0.0).judge(&state).features[0].worst(), f64::INFINITY);
        let few = rule(0.25).with_min_rows(5).judge(&state);
        assert_eq!(
            (few.verdict(), few.reason()),
            (Verdict::Insufficient, "4 rows were looked at, 5 are needed to judge".into())
        );
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<QualityState>(&text).unwrap(), state);
        // A limit that is none passes nothing.
        assert_eq!(rule(f64::NAN).judge(&state).verdict(), Verdict::Fail);
    }

    #[test]
    fn bounds_are_what_a_profile_is_sure_of() {
        let many: Vec<String> = (0..500).map(|row| format!("city {row}")).collect();
        let ages: Vec<f64> = (0..500).map(f64::from).collect();
        let sexes: Vec<&str> = (0..500).map(|row| if row % 2 == 0 { "f" } else { "m" }).collect();
        let columns = vec![
            Column::f64("age", ages).unwrap(),
            Column::text("sex", sexes).unwrap(),
            Column::text("city", many).unwrap(),
            Column::bool("ill", vec![true; 500]).unwrap(),
            Column::new("at", Values::Time(vec![0; 500].into()), None).unwrap(),
        ];
        let profile = Profile::of(&Table::new(columns).unwrap()).unwrap();
        let rule = QualityRule::of_profile(&profile);
        assert!(rule.check().is_ok());
        let [age, sex, city, ill, at] = &rule.features[..] else { panic!("{rule:?}") };
        assert_eq!((age.min, age.max), (Some(0.0), Some(499.0)));
        let mut levels = sex.levels.clone().unwrap();
        levels.sort();
        assert_eq!(levels, ["f", "m"]);
        assert_eq!((&city.levels, &ill.levels), (&None, &Some(vec!["true".to_owned()])));
        assert_eq!((at.min, at.max), (None, None));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let x = || FeatureBounds::new("x", DataType::F64);
        let rule = || QualityRule::new(vec![x()]);
        let rate = |rate| QualityLimits::default().with_null_rate(rate);
        for (field, bad) in [
            ("features", QualityRule::new(Vec::new())),
            ("features", QualityRule::new(vec![x(), x()])),
            ("feature", QualityRule::new(vec![FeatureBounds::new("", DataType::F64)])),
            ("min", QualityRule::new(vec![x().within(1.0, 0.0)])),
            ("min", QualityRule::new(vec![x().within(f64::NAN, 0.0)])),
            ("min", QualityRule::new(vec![x().within(0.0, f64::INFINITY)])),
            ("min_rows", rule().with_min_rows(0)),
            ("null_rate", rule().with_limits(rate(-0.1))),
            ("null_rate", rule().with_limits(rate(1.1))),
            ("null_rate", rule().with_feature("x", rate(f64::NAN))),
            ("by_feature", rule().with_feature("y", rate(0.1))),
        ] {
            let error = bad.check().unwrap_err();
            assert_eq!(
                (error.kind(), error.context("field")),
                (ErrorKind::InvalidInput, Some(field)),
                "{bad:?}"
            );
        }
        let many = (0..100_001).map(|level| level.to_string());
        let many = QualityRule::new(vec![FeatureBounds::new("x", DataType::Category).one_of(many)]);
        assert_eq!(many.check().unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert!(serde_json::from_str::<QualityRule>(r#"{"features":[],"limit":{}}"#).is_err());
    }
}
