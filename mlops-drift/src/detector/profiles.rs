//! Detection on profiles: counts that were made elsewhere, shard by shard, and merged.

use mlops_core::monitor::{DriftReport, UnwatchedFeature};
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};

use super::Detector;
use super::feature::{Counted, Fitted};
use super::options::DetectorOptions;
use super::unwatched::named;
use crate::BinRule;
use crate::profile::{ColumnProfile, Profile, Reference};

const OP: &str = "Reference::detect";

/// How many unseen levels of a column are looked up for the histograms.
const NEW: usize = 16;

impl Reference {
    /// Holds a profile against the [baseline](Self::baseline), as a [`Detector`] holds a table against its reference: one row a
    /// feature, p-values adjusted together, one verdict. What was counted on other machines and [merged](Profile::merge) is
    /// judged as one, and gives what the whole would have given.
    ///
    /// A profile has counts and no values, so every method must be one on cells: [`DetectorOptions::on_counts`] has such methods, and
    /// those of [`DetectorOptions::also`] that need values are passed over. The cells are those of the reference;
    /// [`DetectorOptions::bins`] is not looked at, and histograms in the report show these cells. O(cells) a column. Identifiers among
    /// the categories are [not watched unless they are named](Detector#what-is-watched); counters among the integers are not told
    /// from other numbers by their counts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for options out of range, a method that needs values, and a rule
    /// for a feature that is not watched; [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a feature that the reference does
    /// not have; as [`Self::check`] for the profile.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_core::monitor::DriftVerdict;
    /// use mlops_drift::detector::DetectorOptions;
    /// use mlops_drift::profile::Reference;
    ///
    /// let ages = |from: i32, n: i32| Table::new(vec![Column::f64("age", (0..n).map(|i| f64::from(from + i % 40)).collect::<Vec<_>>())?]);
    /// let reference = Reference::fit(&ages(20, 400)?)?;
    /// // Two machines count, a third one merges and decides.
    /// let (mut day, other) = (reference.profile(&ages(45, 80)?)?, reference.profile(&ages(45, 60)?)?);
    /// day.merge(&other)?;
    /// let now = "2026-01-01T00:00:00Z".parse()?;
    /// let report = reference.detect(&day, &DetectorOptions::on_counts(), now)?;
    /// assert_eq!((report.verdict, report.current_rows), (DriftVerdict::Drift, 140));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detect(&self, current: &Profile, options: &DetectorOptions, at: Timestamp) -> Result<DriftReport> {
        options.check()?;
        self.check(current)?;
        let names: Vec<&str> = match &options.features {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => self.columns().iter().map(|column| column.name()).collect(),
        };
        if names.is_empty() {
            return Err(Error::invalid(OP, "features", "there is no feature to watch"));
        }
        options.check_rules(OP, |name| names.contains(&name))?;
        let mut options = options.clone();
        options.bins = BinRule::Quantile(self.options().bins);
        let (mut features, mut found) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
        let mut unwatched = Vec::new();
        for name in names {
            let (column, _) = self.counted_column(current, name)?;
            let before = self.counted_as(self.baseline(), name, &[])?;
            let fitted = Fitted::of_counts(name, column.cells(), &before, &options)?;
            let reason = fitted.unwatched(&options).filter(|_| options.features.is_none());
            if let Some(reason) = reason {
                unwatched.push(UnwatchedFeature::new(name, reason));
                continue;
            }
            let new = self.new_levels(current, name)?;
            found.push(fitted.measure_counts(&self.counted_as(current, name, &new)?, &options));
            features.push(fitted);
        }
        if features.is_empty() {
            let none = Error::invalid(OP, "features", "there is no feature to watch");
            let names = named(&unwatched).unwrap_or_default();
            return Err(none.with("unwatched", names));
        }
        let detector = Detector { options, features, unwatched, rows: self.baseline().rows() };
        detector.report(current.rows(), found, at)
    }

    fn counted_as<'n>(
        &self,
        profile: &Profile,
        column: &str,
        new: &'n [(String, u64)],
    ) -> Result<Counted<'n>> {
        let infinite = match self.counted_column(profile, column)?.1 {
            ColumnProfile::Numeric(numeric) => numeric.infinite().unwrap_or(0),
            ColumnProfile::Category(_) => 0,
        };
        Ok(Counted { cells: self.bin_counts(profile, column)?, infinite, new })
    }

    /// The most frequent levels that the reference does not have, and the least they were counted.
    fn new_levels(&self, profile: &Profile, column: &str) -> Result<Vec<(String, u64)>> {
        Ok(match self.counted_column(profile, column)?.1 {
            ColumnProfile::Numeric(_) => Vec::new(),
            ColumnProfile::Category(category) => {
                category.unseen().top(NEW).into_iter().map(|(name, least, _)| (name, least)).collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::ErrorKind;
    use mlops_core::data::{Column, Table, Validity, Values};
    use mlops_core::monitor::{CellKind, DriftDetector as _, DriftVerdict, FeatureOutcome};

    use super::*;
    use crate::detector::{FeatureRule, Method};

    fn table(n: i64, shift: f64, plans: &[&'static str]) -> Table<'static> {
        let ages: Vec<f64> = (0..n).map(|i| ((i * 7919) % 97) as f64 * 0.5 + shift).collect();
        let valid: Vec<bool> = (0..n).map(|i| i % 11 != 0).collect();
        let ages = Column::new("age", Values::F64(ages.into()), Some(Validity::from_bools(&valid))).unwrap();
        let plan =
            Column::text("plan", (0..n).map(|i| plans[usize::try_from(i).unwrap() % plans.len()])).unwrap();
        Table::new(vec![ages, plan]).unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn shards_that_were_merged_are_judged_as_the_whole() {
        let reference = Reference::fit(&table(900, 0.0, &["a", "b"])).unwrap();
        let whole = table(400, 3.0, &["a", "b", "b", "new"]);
        let rows: Vec<usize> = (0..400).collect();
        let mut merged = reference.profile(&whole.take(&rows[..150]).unwrap()).unwrap();
        merged.merge(&reference.profile(&whole.take(&rows[150..]).unwrap()).unwrap()).unwrap();
        let once = reference.profile(&whole).unwrap();
        let options = DetectorOptions::on_counts().with_also([Method::Psi, Method::KolmogorovSmirnov]);
        let report = reference.detect(&merged, &options, now()).unwrap();
        assert_eq!(report, reference.detect(&once, &options, now()).unwrap());
        assert_eq!(
            (report.verdict, report.current_rows, report.reference_rows),
            (DriftVerdict::Drift, 400, 900)
        );
    }

    #[test]
    fn identifiers_are_left_out_and_named() {
        let customers = |from: i64| {
            let names = Column::text("customer", (from..from + 400).map(|i| format!("C{i}"))).unwrap();
            table(400, 0.0, &["a", "b"]).with_column(names).unwrap()
        };
        let reference = Reference::fit(&customers(0)).unwrap();
        let current = reference.profile(&customers(400)).unwrap();
        let options = DetectorOptions::on_counts();
        let report = reference.detect(&current, &options, now()).unwrap();
        assert_eq!(report.verdict, DriftVerdict::NoDrift);
        assert_eq!(report.reason, "0 of 2 features drifted, 2 could be judged; not watched: customer");
        assert_eq!(report.unwatched.len(), 1);
        let named = options.clone().with_features(["age", "customer"]);
        let report = reference.detect(&current, &named, now()).unwrap();
        assert_eq!((report.verdict, report.unwatched.len()), (DriftVerdict::Drift, 0));
        let only = Reference::fit(&customers(0).without(&["age", "plan"])).unwrap();
        let error = only.detect(&only.profile(&customers(0)).unwrap(), &options, now()).unwrap_err();
        assert_eq!(error.context("unwatched"), Some("customer"));
    }

    /// On the same cells a detector on the table and the profile say the same of every feature.
    #[test]
    fn a_profile_is_judged_as_the_rows_that_it_counted() {
        let (before, now_) = (table(900, 0.0, &["a", "b"]), table(400, 3.0, &["a", "b", "b", "new"]));
        let reference = Reference::fit(&before).unwrap();
        for method in Method::ALL.iter().copied().filter(|method| method.on_categories()) {
            let options = DetectorOptions::default().with_numeric(method).with_category(method);
            let of_counts = reference.detect(&reference.profile(&now_).unwrap(), &options, now()).unwrap();
            let of_rows = Detector::fit(&before, options).unwrap().detect(&now_, now()).unwrap();
            for (counts, rows) in of_counts.features.iter().zip(&of_rows.features) {
                let (FeatureOutcome::Measured(counts), FeatureOutcome::Measured(rows)) =
                    (&counts.outcome, &rows.outcome)
                else {
                    panic!("{counts:?} {rows:?}");
                };
                assert_eq!(counts.definition, rows.definition);
                assert_eq!(
                    (counts.reference.missing, counts.current),
                    (rows.reference.missing, rows.current)
                );
                if counts.definition.contains("quantile") {
                    continue; // The cells of profiles lie on a grid.
                }
                assert_eq!(
                    (counts.score, counts.ln_p_value, counts.verdict),
                    (rows.score, rows.ln_p_value, rows.verdict)
                );
                assert_eq!(counts.cells, rows.cells);
            }
        }
    }

    #[test]
    fn counts_of_nothing_and_a_column_that_went_missing_are_judged() {
        let reference = Reference::fit(&table(900, 0.0, &["a", "b"])).unwrap();
        let empty = reference.profiler().unwrap().finish();
        let options = DetectorOptions::on_counts();
        assert_eq!(reference.detect(&empty, &options, now()).unwrap().verdict, DriftVerdict::Inconclusive);
        let same = reference.detect(reference.baseline(), &options, now()).unwrap();
        assert_eq!(same.verdict, DriftVerdict::NoDrift);
        let gone = Column::f64("age", vec![f64::NAN; 200]).unwrap();
        let current = table(200, 0.0, &["a", "b"]).without(&["age"]).with_column(gone).unwrap();
        let gone = reference.profile(&current.select(&["age", "plan"]).unwrap()).unwrap();
        let report = reference.detect(&gone, &options, now()).unwrap();
        assert_eq!(report.drifted().map(|f| f.feature.as_str()).collect::<Vec<_>>(), ["age"]);
    }

    #[test]
    fn unseen_levels_are_named() {
        let reference = Reference::fit(&table(900, 0.0, &["a", "b"])).unwrap();
        let levels = ["a", "n1", "n2", "n3", "n4", "n5", "n6", "n1"];
        let week = reference.profile(&table(400, 0.0, &levels)).unwrap();
        let report = reference.detect(&week, &DetectorOptions::on_counts(), now()).unwrap();
        let FeatureOutcome::Measured(score) = &report.features[1].outcome else { panic!("{report:?}") };
        let unseen: Vec<(&str, u64)> = score
            .cells
            .iter()
            .filter(|cell| cell.kind == CellKind::Unseen)
            .map(|cell| (cell.label.as_str(), cell.current))
            .collect();
        assert_eq!(unseen, [("n1", 100), ("n2", 50), ("n3", 50), ("n4", 50), ("2 more new levels", 100)]);
        assert_eq!(score.current.unseen, 350);
    }

    #[test]
    fn what_a_profile_cannot_answer_is_refused() {
        let reference = Reference::fit(&table(900, 0.0, &["a", "b"])).unwrap();
        let week = reference.profile(&table(100, 0.0, &["a"])).unwrap();
        let refused = |options: DetectorOptions| reference.detect(&week, &options, now()).unwrap_err();
        let error = refused(DetectorOptions::default());
        assert_eq!((error.kind(), error.context("feature")), (ErrorKind::InvalidInput, Some("age")));
        let error = refused(DetectorOptions::on_counts().with_features(["plan", "nowhere"]));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = refused(DetectorOptions::on_counts().with_rule("nowhere", FeatureRule::default()));
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("rules")));
        let error = refused(DetectorOptions::on_counts().with_features(Vec::<String>::new()));
        assert_eq!(error.context("field"), Some("features"));
        let other = Reference::fit(&table(50, 9.0, &["a"])).unwrap();
        let error = reference.detect(other.baseline(), &DetectorOptions::on_counts(), now()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}
