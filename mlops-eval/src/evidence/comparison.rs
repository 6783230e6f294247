//! Claims about this model and another one, on the same rows.

use mlops_core::evaluation::{Claim, CriterionEvidence, TestName};
use mlops_core::num::Measured;
use mlops_core::problem::Direction;
use mlops_core::{Error, Result};

use super::{Asked, OP, bounds, unfit};
use crate::catalog::{Input, Metric};
use crate::compare::{Difference, Method, PairedTest, paired_difference};
use crate::interval::Interval;

impl Asked<'_> {
    pub(super) fn compared(
        &self,
        metric: Metric,
        input: &Input<'_>,
        other: &Input<'_>,
        claim: Claim,
        evidence: CriterionEvidence,
    ) -> Result<CriterionEvidence> {
        let test = match self.requirement.test {
            TestName::Auto => PairedTest::Auto,
            TestName::Bootstrap => PairedTest::Bootstrap,
            TestName::Delong => PairedTest::Delong,
            TestName::Mcnemar => PairedTest::Mcnemar,
            TestName::Permutation => PairedTest::Permutation,
            TestName::Score => PairedTest::Score,
            TestName::SignFlip => PairedTest::SignFlip,
            TestName::T => PairedTest::StudentT,
            TestName::Wilcoxon => PairedTest::Wilcoxon,
            other => return Err(unfit(other, "a comparison of two models")),
        };
        let (low, high) = bounds(claim)?;
        let about_zero = matches!(test, PairedTest::Mcnemar | PairedTest::Permutation);
        if about_zero && [low, high].into_iter().flatten().any(|margin| margin != 0.0) {
            return Err(unfit(self.requirement.test, "a margin other than 0: it speaks of equality alone"));
        }
        let difference =
            paired_difference(metric, other, input, test, &self.evaluator.paired(self.requirement))?;
        // A gain is in the metric's own direction; what only has to be the same has none.
        let direction = self.direction(metric)?;
        if direction == Direction::LowerIsBetter && !matches!(claim, Claim::Equivalence { .. }) {
            return self.weighed(&Turned(&*difference), (low, high), evidence);
        }
        self.weighed(&*difference, (low, high), evidence)
    }

    fn direction(&self, metric: Metric) -> Result<Direction> {
        let own = metric.direction();
        match (own, self.requirement.direction) {
            (Direction::Neither, Some(asked)) => Ok(asked),
            (Direction::Neither, None)
                if !matches!(self.requirement.claim, Some(Claim::Equivalence { .. })) =>
            {
                let message = format!("neither way is better for {metric}: give a `direction`, or a `band`");
                Err(Error::invalid(OP, "metric", message))
            }
            _ => Ok(own),
        }
    }
}

/// A difference with its sign turned round: gains of a metric of which less is better.
struct Turned<'a>(&'a dyn Difference);

impl Difference for Turned<'_> {
    fn method(&self) -> Method {
        self.0.method()
    }

    fn n(&self) -> u64 {
        self.0.n()
    }

    fn estimate(&self) -> Measured {
        self.0.estimate().map(|difference| -difference)
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        self.0.ln_p_at_least(-null)
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        self.0.ln_p_at_most(-null)
    }

    fn interval(&self, confidence: f64) -> Result<Option<Interval>, mlops_core::num::StatsError> {
        let turned =
            |interval: Interval| Interval { lower: -interval.upper, upper: -interval.lower, ..interval };
        Ok(self.0.interval(confidence)?.map(turned))
    }
}
