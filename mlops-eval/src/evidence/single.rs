//! Claims about one model alone.

use mlops_core::Result;
use mlops_core::evaluation::{Claim, CriterionEvidence, TestName};
use mlops_core::num::special::{Binomial, ln_normal_sf};
use mlops_core::num::{Measured, StatsError};

use super::{Asked, bounds, unfit};
use crate::catalog::{Input, Metric, Rows, ScoreMetric};
use crate::classification::Confusion;
use crate::compare::{
    Delong, Difference, Method, Wald, bootstrap_rows, mean_difference, row_losses, share_of_classes,
};
use crate::interval::{Rate, RateInterval, rate_interval};

impl Asked<'_> {
    pub(super) fn alone(
        &self,
        metric: Metric,
        input: &Input<'_>,
        claim: Claim,
        evidence: CriterionEvidence,
    ) -> Result<CriterionEvidence> {
        let limits = bounds(claim)?;
        let test = self.requirement.test;
        let share = share(metric, input)?;
        match (test, &share) {
            (TestName::Auto | TestName::Exact, Some(share)) => return self.exact(share, limits, evidence),
            (TestName::Score, Some(share)) => return self.score(share, limits, evidence),
            _ => {}
        }
        let measured: Option<Box<dyn Difference>> = match test {
            TestName::Auto | TestName::Delong if metric == Metric::Score(ScoreMetric::RocAuc) => area(input)?,
            TestName::Auto | TestName::T => mean(metric, input)?,
            TestName::Bootstrap => None,
            other => return Err(unfit(other, metric.name())),
        };
        match (measured, test) {
            (Some(measured), _) => self.weighed(&*measured, limits, evidence),
            (None, TestName::T) => Err(unfit(test, metric.name())),
            (None, _) => self.weighed(&*self.resampled(metric, input)?, limits, evidence),
        }
    }

    /// The binomial law of the successes at the bound: the chance of as many, or as few.
    fn exact(
        &self,
        share: &Share,
        (low, high): (Option<f64>, Option<f64>),
        evidence: CriterionEvidence,
    ) -> Result<CriterionEvidence> {
        let law = |probability: f64| Binomial {
            trials: share.rate.trials(),
            probability: probability.clamp(0.0, 1.0),
        };
        // A bound that no share can break is kept without a test; one that none can keep never is.
        let above = low
            .map(|low| if low < 0.0 { f64::NEG_INFINITY } else { law(low).ln_above(share.rate.successes()) });
        let below =
            high.map(
                |high| {
                    if high > 1.0 { f64::NEG_INFINITY } else { law(high).ln_below(share.rate.successes()) }
                },
            );
        let ln_p = [above, below].into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
        let evidence = evidence.with_p(TestName::Exact, ln_p.exp().min(1.0), share.value);
        self.with_share_interval(share, RateInterval::ClopperPearson, (low, high), evidence)
    }

    /// The score test: the distance to the bound over the standard error that the bound implies.
    fn score(
        &self,
        share: &Share,
        (low, high): (Option<f64>, Option<f64>),
        evidence: CriterionEvidence,
    ) -> Result<CriterionEvidence> {
        let ln_tail = |bound: f64, sign: f64| {
            let error = (bound * (1.0 - bound) / share.rate.trials() as f64).sqrt();
            let distance = sign * (share.value - bound);
            if error > 0.0 {
                ln_normal_sf(distance / error)
            } else if distance > 0.0 {
                f64::NEG_INFINITY
            } else {
                0.0
            }
        };
        let tails = [low.map(|low| ln_tail(low, 1.0)), high.map(|high| ln_tail(high, -1.0))];
        let ln_p = tails.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
        let evidence = evidence.with_p(TestName::Score, ln_p.exp().min(1.0), share.value);
        self.with_share_interval(share, RateInterval::Wilson, (low, high), evidence)
    }

    fn with_share_interval(
        &self,
        share: &Share,
        method: RateInterval,
        (low, high): (Option<f64>, Option<f64>),
        evidence: CriterionEvidence,
    ) -> Result<CriterionEvidence> {
        let interval = rate_interval(share.rate, self.requirement.confidence(), method)?;
        let evidence = evidence.with_interval(interval.lower, interval.upper, interval.confidence);
        let slack = [low.map(|low| share.value - low), high.map(|high| high - share.value)];
        let slack = slack.into_iter().flatten().fold(f64::INFINITY, f64::min);
        Ok(match self.more_rows(&interval, slack, evidence.rows)? {
            Some(more) => evidence.with_more_rows(more),
            None => evidence,
        })
    }

    fn resampled(&self, metric: Metric, input: &Input<'_>) -> Result<Box<dyn Difference>> {
        metric.resamples()?;
        // The difference from a model whose metric is 0.
        let metrics =
            |drawn: &[f64]| Ok([Measured::Value(0.0), metric.evaluate(&input.with_weights(drawn))?]);
        let options = self.evaluator.paired(self.requirement).bootstrap();
        Ok(Box::new(bootstrap_rows(input.rows(), metrics, &options)?))
    }
}

/// The share that a metric is, if it is one and has a value.
fn share(metric: Metric, input: &Input<'_>) -> Result<Option<Share>, StatsError> {
    let (Metric::Label(label), Rows::Binary { y_true, labels: Some(labels), .. }) = (metric, input.parts().0)
    else {
        let Some(hits) = share_of_classes(metric, input)? else { return Ok(None) };
        let successes = hits.iter().filter(|hit| **hit).count() as u64;
        let rate = Rate::new(successes, hits.len() as u64)?;
        return Ok(rate.value().value().map(|value| Share { rate, value }));
    };
    let cells = Confusion::of(y_true, labels)?;
    // What is no share of rows has no rate.
    let rate = Rate::of(label, &cells).ok();
    Ok(rate.and_then(|rate| rate.value().value().map(|value| Share { rate, value })))
}

/// A share of rows that has a value.
struct Share {
    rate: Rate,
    value: f64,
}

fn area(input: &Input<'_>) -> Result<Option<Box<dyn Difference>>, StatsError> {
    let Rows::Binary { y_true, scores: Some(scores), .. } = input.parts().0 else { return Ok(None) };
    let area = Delong::of(y_true, &[scores])?;
    let error = area.covariance(0, 0)?.map(f64::sqrt);
    let measured = Wald::new(area.auc(0)?, error, y_true.len() as u64);
    Ok(Some(Box::new(Wald { method: Method::Delong, ..measured })))
}

fn mean(metric: Metric, input: &Input<'_>) -> Result<Option<Box<dyn Difference>>, StatsError> {
    Ok(match row_losses(metric, input)? {
        Some(losses) => Some(Box::new(mean_difference(&losses)?)),
        None => None,
    })
}
