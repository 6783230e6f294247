//! Rows of several classes, one class of them against the rest, and what the figures of a class are called.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use mlops_core::data::Column;
use mlops_core::hash::Digest;
use mlops_core::model::{ClassProbabilities, Predictions};
use mlops_core::{Error, MetricKey, Result};

use super::{OP, truth};
use crate::catalog::{Input, Metric, Needs, ScoreMetric};
use crate::classification::LabelMetric;

/// The longest metric key, in bytes.
const LONGEST: usize = 250;

/// How far the probabilities of a row may be from adding up to 1; beyond, they are no probabilities of one class among several.
const ROW_SUM_TOLERANCE: f64 = 1e-6;

/// The metrics that a report has of each class against the rest.
pub(crate) const PER_CLASS: [Metric; 5] = [
    Metric::Label(LabelMetric::Precision),
    Metric::Label(LabelMetric::Recall),
    Metric::Label(LabelMetric::F1),
    Metric::Label(LabelMetric::FalsePositiveRate),
    Metric::Score(ScoreMetric::RocAuc),
];

/// The metrics that a report has of each class within a group of people.
pub(crate) const PER_CLASS_OF_GROUPS: [LabelMetric; 5] = [
    LabelMetric::Precision,
    LabelMetric::Recall,
    LabelMetric::F1,
    LabelMetric::FalsePositiveRate,
    LabelMetric::SelectionRate,
];

/// Truth and predictions of several classes, as codes of the model's classes.
pub(crate) struct Classes<'a> {
    labels: Arc<[String]>,
    truth: Vec<u32>,
    predicted: Vec<u32>,
    probabilities: Cow<'a, [f64]>,
    add_up: bool,
}

impl<'a> Classes<'a> {
    pub(crate) fn of(predictions: &'a Predictions, truth: &Column<'_>) -> Result<Self> {
        let said = several(predictions)?;
        let truth = truth::codes(truth, said.labels())?;
        Ok(Self::new(said.shared_labels(), truth, Cow::Borrowed(said.as_slice())))
    }

    /// What another model says about the same rows, in the order of this model's classes. A class that the other does not know has
    /// the probability 0.
    pub(crate) fn with<'b>(&self, predictions: &'b Predictions) -> Result<Classes<'b>> {
        let said = several(predictions)?;
        let labels = Arc::clone(&self.labels);
        if said.labels() == &*self.labels {
            return Ok(Classes::new(labels, self.truth.clone(), Cow::Borrowed(said.as_slice())));
        }
        let mut places = Vec::with_capacity(said.classes());
        for label in said.labels() {
            let Some(place) = self.labels.iter().position(|ours| ours == label) else {
                let message = "the other model knows a class that this one does not: they are no answers to one question";
                return Err(Error::invalid(OP, "others", message).with("class", label));
            };
            places.push(place);
        }
        let mut probabilities = vec![0.0; self.truth.len() * self.labels.len()];
        let rows =
            probabilities.chunks_exact_mut(self.labels.len()).zip(said.as_slice().chunks_exact(places.len()));
        for (ours, theirs) in rows {
            places.iter().zip(theirs).for_each(|(&place, &probability)| ours[place] = probability);
        }
        Ok(Classes::new(labels, self.truth.clone(), Cow::Owned(probabilities)))
    }

    fn new(labels: Arc<[String]>, truth: Vec<u32>, probabilities: Cow<'a, [f64]>) -> Self {
        let rows = probabilities.chunks_exact(labels.len());
        let predicted = rows.clone().map(likeliest).collect();
        let adds_up = |row: &[f64]| (row.iter().sum::<f64>() - 1.0).abs() <= ROW_SUM_TOLERANCE * 0.999;
        let add_up = rows.clone().all(adds_up);
        Self { labels, truth, predicted, probabilities, add_up }
    }

    pub(crate) fn labels(&self) -> &[String] {
        &self.labels
    }

    pub(crate) fn input(&self) -> Input<'_> {
        Input::multiclass(&self.truth, &self.predicted, self.labels.len())
            .with_probabilities(&self.probabilities)
    }

    /// Whether the rows have this metric: all that they hold enough for but the labels' averages, which say in their names how they
    /// average, and what needs rows of probabilities that add up to 1 where these do not.
    pub(crate) fn have(&self, metric: Metric) -> bool {
        let whole = |metric| {
            use LabelMetric::{Accuracy, BalancedAccuracy, Mcc, ZeroOneLoss};
            matches!(metric, Accuracy | BalancedAccuracy | Mcc | ZeroOneLoss)
        };
        let fits = match metric {
            Metric::Label(metric) => whole(metric),
            metric => self.add_up || metric.needs() != Needs::Probabilities,
        };
        fits && self.input().supports(metric)
    }

    /// Which rows are right.
    pub(crate) fn right(&self) -> Vec<bool> {
        self.truth.iter().zip(&self.predicted).map(|(truth, predicted)| truth == predicted).collect()
    }

    /// A class against the rest: its rows are the positives.
    pub(crate) fn one_vs_rest(&self, class: usize) -> OneVsRest {
        let is = |code: &u32| *code as usize == class;
        OneVsRest {
            truth: self.truth.iter().map(is).collect(),
            labels: self.predicted.iter().map(is).collect(),
            scores: self.probabilities.iter().skip(class).step_by(self.labels.len()).copied().collect(),
        }
    }

    /// The metric's name and the class of a key like `recall/setosa`.
    pub(crate) fn named<'k>(&self, key: &'k str) -> Option<(&'k str, usize)> {
        let (metric, _) = key.split_once('/')?;
        let class = self.labels.iter().position(|label| class_name(metric, label) == key)?;
        Some((metric, class))
    }
}

fn several(predictions: &Predictions) -> Result<&ClassProbabilities> {
    let none = || Error::invalid(OP, "predictions", "are not of several classes");
    predictions.as_classes().ok_or_else(none)
}

/// The likeliest class, the first of equals.
fn likeliest(row: &[f64]) -> u32 {
    let better = |best: (u32, f64), (at, &p): (u32, &f64)| if p > best.1 { (at, p) } else { best };
    (0_u32..).zip(row).fold((0, f64::NEG_INFINITY), better).0
}

/// A class against the rest, as a binary problem.
pub(crate) struct OneVsRest {
    pub(crate) truth: Vec<bool>,
    pub(crate) labels: Vec<bool>,
    scores: Vec<f64>,
}

impl OneVsRest {
    /// Whether any row is of the class or predicted to be.
    pub(crate) fn occurs(&self) -> bool {
        self.truth.iter().chain(&self.labels).any(|is| *is)
    }

    pub(crate) fn input(&self) -> Input<'_> {
        Input::binary(&self.truth).with_labels(&self.labels).with_scores(&self.scores)
    }
}

/// The key of a metric of one class.
pub(crate) fn class_key(metric: &str, label: &str) -> Result<MetricKey> {
    Ok(MetricKey::new(class_name(metric, label))?)
}

/// `metric/label`. What no key may hold comes as `:HEX:` of the character, so that two classes never share a key; a label too long
/// for a key as the digest of its text.
fn class_name(metric: &str, label: &str) -> String {
    let dots = label.chars().all(|c| c == '.');
    let last = label.chars().count().saturating_sub(1);
    let mut name = format!("{metric}/");
    for (place, c) in label.chars().enumerate() {
        let plain = match c {
            '.' => !dots,
            ' ' => place > 0 && place < last,
            c => c.is_alphanumeric() || matches!(c, '_' | '-'),
        };
        if plain {
            name.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, ":{:x}:", u32::from(c));
        }
        if name.len() > LONGEST {
            return format!("{metric}/:{}:", Digest::of(label.as_bytes()).hex());
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_a_key_of_its_own() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let labels = [
            "setosa",
            "Iris setosa",
            "größe 家族",
            ".",
            "..",
            "...",
            "a.b",
            "a/b",
            "a:2f:b",
            "a:b",
            " a",
            "a ",
            "a",
            "a\n",
            "<60",
            "60+",
            "\u{202e}",
            "🦀",
            "../x",
            "%",
            ":25:",
            &long,
            &longer,
        ];
        let keys: std::collections::BTreeSet<String> =
            labels.iter().map(|label| class_key("recall", label).unwrap().as_str().to_owned()).collect();
        assert_eq!(keys.len(), labels.len());
        for (label, key) in [
            ("setosa", "recall/setosa"),
            ("Iris setosa", "recall/Iris setosa"),
            ("<60", "recall/:3c:60"),
            ("a/b", "recall/a:2f:b"),
            ("..", "recall/:2e::2e:"),
        ] {
            assert_eq!(class_name("recall", label), key);
        }
    }

    #[test]
    fn another_models_classes_are_put_in_this_models_order() {
        let ours = Predictions::classes(["a", "b", "c"], vec![0.5, 0.25, 0.25, 0.0, 1.0, 0.0]).unwrap();
        let truth = Column::text("y", ["b", "a"]).unwrap();
        let ours = Classes::of(&ours, &truth).unwrap();
        let other = Predictions::classes(["c", "a"], vec![0.25, 0.75, 1.0, 0.0]).unwrap();
        let theirs = ours.with(&other).unwrap();
        assert_eq!(*theirs.probabilities, [0.75, 0.0, 0.25, 0.0, 0.0, 1.0]);
        assert_eq!((theirs.predicted.as_slice(), theirs.truth.as_slice()), (&[0, 2][..], &[1, 0][..]));
        let stranger = Predictions::classes(["a", "d"], vec![0.5; 4]).unwrap();
        let error = ours.with(&stranger).err().unwrap();
        assert_eq!((error.context("field"), error.context("class")), (Some("others"), Some("d")));
        assert!(ours.with(&Predictions::value(vec![1.0, 2.0]).unwrap()).is_err());
    }

    #[test]
    fn scores_that_do_not_add_up_have_what_needs_no_probabilities() {
        let said = Predictions::classes(["a", "b", "c"], vec![0.9, 0.8, 0.1, 0.2, 0.9, 0.3]).unwrap();
        let rows = Classes::of(&said, &Column::text("y", ["a", "b"]).unwrap()).unwrap();
        let has = |name: &str| rows.have(name.parse().unwrap());
        assert!(has("accuracy") && has("top_2_accuracy") && has("f1_macro") && !has("f1"));
        assert!(!has("log_loss") && !has("roc_auc_ovr") && !has("ece") && !has("top_3_accuracy"));
        for metric in Metric::all().filter(|metric| rows.have(*metric)) {
            assert!(metric.evaluate(&rows.input()).is_ok(), "{metric}");
        }
    }
}
