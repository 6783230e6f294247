//! Claims about the disparity between groups: every pair of groups is tested, and all have to pass.

use mlops_core::evaluation::{Claim, CriterionEvidence, TestName, Verdict};
use mlops_core::num::{Measured, UndefinedReason};
use mlops_core::{Error, Result};

use super::{Asked, OP, OwnRows, unfit};
use crate::classification::{Confusion, LabelMetric};
use crate::evaluator::{Classes, Groups, Parity};
use crate::fairness::{
    GroupMetrics, GroupStatus, MoreTrials, PairwiseOptions, ParityOptions, difference_within,
    disparity_interval, odds_within, ratio_within,
};
use crate::interval::Rate;

/// The largest level at which a claim can be shown.
const LARGEST: f64 = 0.499_999;
/// The smallest level for which an interval's confidence, 1 − 2α, is still below 1.
const SMALLEST: f64 = 1e-15;

impl Asked<'_> {
    pub(super) fn disparity(&self, attribute: &str) -> Result<Option<CriterionEvidence>> {
        let Some(groups) = self.evaluator.groups(self.input, attribute) else { return Ok(None) };
        let rows = self.input.predictions.len() as u64;
        let evidence = CriterionEvidence::new(rows);
        let (name, class) = self.asked();
        let (evidence, problems) = match self.rows {
            OwnRows::Binary { truth, labels } => {
                let problems = Problems::One { truth: truth.clone(), labels: labels.clone() };
                (of_classes(evidence, truth), problems)
            }
            OwnRows::Classes(classes) => match class {
                Some(class) => {
                    let one = classes.one_vs_rest(class);
                    let evidence = of_classes(evidence, &one.truth);
                    (evidence, Problems::One { truth: one.truth, labels: one.labels })
                }
                None => (evidence, Problems::Every(classes)),
            },
            OwnRows::Regression { .. } => {
                return match self.requirement.claim {
                    None => Ok(Some(evidence)),
                    Some(_) => {
                        Err(Error::unsupported(OP, "a test of the disparity of numbers between groups"))
                    }
                };
            }
        };
        let Some(claim) = self.requirement.claim else { return Ok(Some(evidence)) };
        if !matches!(self.requirement.test, TestName::Auto | TestName::IntersectionUnion) {
            return Err(unfit(self.requirement.test, "a disparity between groups"));
        }
        let parity = Parity::named(name)
            .ok_or_else(|| Error::invalid(OP, "metric", format!("{name} is a disparity without a test")))?;
        let shown = self.shown(parity, claim, &problems.count(parity, &groups)?)?;
        let Some(estimate) = shown.estimate.value() else { return Ok(Some(evidence)) };
        let evidence = evidence.with_p(TestName::IntersectionUnion, shown.p, estimate);
        let evidence = match shown.interval {
            Some((low, high)) => evidence.with_interval(low, high, self.requirement.confidence()),
            None => evidence,
        };
        Ok(Some(match shown.more {
            Some(more) => evidence.with_more_rows(more),
            None => evidence,
        }))
    }

    /// What the cells of the groups show: of each problem, and all of them have to pass.
    fn shown(&self, parity: Parity, claim: Claim, counted: &[GroupMetrics]) -> Result<Weighed> {
        let (power, seed) = (self.evaluator.options().power, self.evaluator.options().seed);
        let mut weighed: Option<Weighed> = None;
        for groups in counted {
            let cells = judged(groups);
            let test = Test { parity, cells: &cells, power };
            let (p, more) = match (claim, parity.is_ratio()) {
                (Claim::AtMost { bound }, false) => test.p(|test, alpha| test.difference(bound, alpha))?,
                (Claim::AtLeast { bound }, true) => test.p(|test, alpha| test.ratio(bound, alpha))?,
                _ => {
                    let message = format!(
                        "a test of {} shows that it is at {}",
                        self.requirement.metric,
                        if parity.is_ratio() { "least `min`" } else { "most `max`" }
                    );
                    return Err(Error::invalid(OP, "metric", message));
                }
            };
            let estimate = parity.of(groups).0;
            weighed = Some(match weighed {
                None => Weighed { estimate, p, more, interval: None },
                Some(before) => Weighed {
                    estimate: parity.worse(before.estimate, estimate),
                    p: before.p.max(p),
                    more: before.more.max(more),
                    interval: None,
                },
            });
            // The largest of several has no interval.
            if let (Some(weighed), true) = (&mut weighed, counted.len() == 1) {
                weighed.interval = test.interval(self.requirement.confidence(), seed)?;
            }
        }
        let none = Measured::none(UndefinedReason::NothingDefined, 0, 1);
        Ok(weighed.unwrap_or(Weighed { estimate: none, p: 1.0, more: None, interval: None }))
    }
}

fn of_classes(evidence: CriterionEvidence, truth: &[bool]) -> CriterionEvidence {
    let positives = truth.iter().filter(|positive| **positive).count() as u64;
    let negatives = truth.len() as u64 - positives;
    evidence.with_classes(positives, negatives)
}

/// The binary problems that a criterion is about.
enum Problems<'a> {
    One { truth: Vec<bool>, labels: Vec<bool> },
    Every(&'a Classes<'a>),
}

impl Problems<'_> {
    fn count(&self, parity: Parity, groups: &Groups) -> Result<Vec<GroupMetrics>> {
        match self {
            Self::One { truth, labels } => Ok(vec![groups.count(truth, labels)?]),
            Self::Every(classes) if parity.rate() == Some(LabelMetric::Accuracy) => {
                let right = classes.right();
                Ok(vec![groups.count(&vec![true; right.len()], &right)?])
            }
            Self::Every(classes) => {
                let all = (0..classes.labels().len()).map(|class| classes.one_vs_rest(class));
                let occur = all.filter(|one| one.occurs());
                occur.map(|one| groups.count(&one.truth, &one.labels)).collect()
            }
        }
    }
}

/// What was found for a criterion.
struct Weighed {
    estimate: Measured,
    p: f64,
    more: Option<u64>,
    interval: Option<(f64, f64)>,
}

/// The cells of the groups that are judged; the report lists the others, and the gate does not pass over them.
fn judged(counted: &GroupMetrics) -> Vec<Confusion> {
    let cells = counted.confusions().unwrap_or_default().iter();
    let judged = cells.zip(counted.statuses()).filter(|(_, status)| *status == GroupStatus::Judged);
    judged.map(|(cells, _)| *cells).collect()
}

/// A verdict, and the rows still missing.
type Shown = (Verdict, Option<u64>);

struct Test<'a> {
    parity: Parity,
    cells: &'a [Confusion],
    power: f64,
}

impl Test<'_> {
    fn rates(&self, metric: LabelMetric) -> Result<Vec<Rate>> {
        Ok(self.cells.iter().map(|cells| Rate::of(metric, cells)).collect::<Result<_, _>>()?)
    }

    fn options(&self, alpha: f64) -> ParityOptions {
        ParityOptions::default().with_alpha(alpha).with_power(self.power)
    }

    fn difference(&self, bound: f64, alpha: f64) -> Result<Shown> {
        if bound <= 0.0 {
            return Err(Error::invalid(
                OP,
                "max",
                "groups that do not differ at all cannot be shown: give a margin above 0",
            ));
        }
        let options = self.options(alpha);
        match self.parity.rate() {
            Some(metric) => {
                let rates = self.rates(metric)?;
                let found = difference_within(&rates, bound.min(1.0), &options)?;
                Ok((found.verdict, found.more.and_then(|more| self.rows(&rates, &more))))
            }
            None => {
                let found = odds_within(self.cells, bound.min(1.0), &options)?;
                let rows = |metric, more: Option<MoreTrials>| -> Result<Option<u64>> {
                    let rates = self.rates(metric)?;
                    Ok(more.and_then(|more| self.rows(&rates, &more)))
                };
                let more = rows(LabelMetric::Recall, found.true_positive_rate.more)?
                    .max(rows(LabelMetric::FalsePositiveRate, found.false_positive_rate.more)?);
                Ok((found.verdict, more))
            }
        }
    }

    fn ratio(&self, bound: f64, alpha: f64) -> Result<Shown> {
        let options = self.options(alpha);
        let metrics: Vec<LabelMetric> = match self.parity.rate() {
            Some(metric) => vec![metric],
            None => vec![LabelMetric::Recall, LabelMetric::FalsePositiveRate],
        };
        let mut shown = (Vec::new(), None);
        for metric in metrics {
            let rates = self.rates(metric)?;
            let found = ratio_within(&rates, bound, &options)?;
            shown.0.push(found.verdict);
            shown.1 = shown.1.max(found.more.and_then(|more| self.rows(&rates, &more)));
        }
        Ok((Verdict::all(shown.0), shown.1))
    }

    /// Rows of all groups that bring so many more trials to the smallest, at the shares that groups have now.
    #[expect(clippy::cast_sign_loss, reason = "a number of rows, and the cast saturates")]
    fn rows(&self, rates: &[Rate], more: &MoreTrials) -> Option<u64> {
        let trials = rates.get(more.group)?.trials();
        let rows: u64 = self.cells.iter().map(Confusion::rows).sum();
        (trials > 0).then(|| (more.trials as f64 * rows as f64 / trials as f64).ceil() as u64)
    }

    /// The smallest level at which every pair passes, by bisection of its logarithm: the p-value of "some pair does not"; and the
    /// rows missing at the usual level. 1 where no level below a half shows it; never below 1e-15, from where on confidences are 1.
    fn p(&self, test: impl Fn(&Self, f64) -> Result<Shown>) -> Result<(f64, Option<u64>)> {
        let (verdict, _) = test(self, LARGEST)?;
        let (_, more) = test(self, 0.05)?;
        if verdict != Verdict::Pass {
            return Ok((1.0, more));
        }
        let (mut fails, mut passes) = (SMALLEST.ln(), LARGEST.ln());
        if test(self, fails.exp())?.0 == Verdict::Pass {
            return Ok((fails.exp(), None));
        }
        while passes - fails > 1e-9 {
            let middle = f64::midpoint(fails, passes);
            if test(self, middle.exp())?.0 == Verdict::Pass {
                passes = middle;
            } else {
                fails = middle;
            }
        }
        Ok((passes.exp(), more))
    }

    /// The interval of the largest difference; ratios and equalized odds have none.
    fn interval(&self, confidence: f64, seed: u64) -> Result<Option<(f64, f64)>> {
        let (Some(metric), false) = (self.parity.rate(), self.parity.is_ratio()) else { return Ok(None) };
        let options = PairwiseOptions::new(seed).with_confidence(confidence).with_resamples(200);
        let found = disparity_interval(&self.rates(metric)?, &options)?;
        Ok(found.interval.map(|interval| (interval.lower, interval.upper)))
    }
}
