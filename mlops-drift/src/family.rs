//! The divergences with a χ² law, calibrated once for all of them; see [`distance`](mod@crate::distance) for the law.

use mlops_core::num::StatsError;
use mlops_core::num::sum::Sum;

use crate::comparison::Comparison;
use crate::distance::{Definition, Distance, Interval};
use crate::js::LogBase;
use crate::noncentral::noncentrality;
use crate::outside::mean_beyond;
use crate::pair::Tail;
use crate::smoothing::{Shares, Smoothing};

/// The level of every interval.
pub(crate) const LEVEL: f64 = 0.95;

/// A divergence D: under no drift, factor·D over (1/n + 1/m) is close to χ² with k − 1 degrees of freedom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) definition: Definition,
    pub(crate) smoothing: Smoothing,
    pub(crate) factor: f64,
    /// The divergence in nats.
    pub(crate) nats: fn(&Comparison<'_>, Smoothing) -> Result<f64, StatsError>,
    /// What one cell adds to it.
    pub(crate) term: fn(Shares) -> f64,
    /// Its derivatives by the reference and the current share of a cell.
    pub(crate) gradient: fn(Shares) -> (f64, f64),
    /// The largest it can be, in nats.
    pub(crate) top: f64,
    pub(crate) unit: Unit,
}

/// From nats to the unit of the score; never decreases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    pub(crate) base: LogBase,
    pub(crate) root: bool,
}

impl Unit {
    pub(crate) const NATS: Self = Self { base: LogBase::E, root: false };

    pub(crate) fn of_nats(self, nats: f64) -> f64 {
        let value = self.base.of_nats(nats);
        if self.root { value.sqrt() } else { value }
    }
}

impl Family {
    pub(crate) fn distance(&self, comparison: &Comparison<'_>) -> Result<Distance, StatsError> {
        let score = (self.nats)(comparison, self.smoothing)?;
        if !score.is_finite() {
            return Err(StatsError::Overflow {
                what: "without smoothing, the score of a cell that is empty on one side",
            });
        }
        let size = comparison.inverse_size();
        let folded = comparison.folded();
        let noise = (folded.cells - 1) as f64 * size / self.factor + self.noise_outside(&folded);
        let tail = self.tail(&folded)?;
        let (reference, current) = comparison.sides();
        let unit = |nats| self.unit.of_nats(nats);
        Ok(Distance {
            definition: self.definition,
            score: unit(score),
            noise_floor: unit(noise),
            corrected: unit((score - noise).max(0.0)),
            p: tail.p,
            ln_p: tail.ln_p,
            interval: self.interval(comparison, score, noise)?,
            reference,
            current,
            cells: comparison.cells,
        })
    }

    fn tail(&self, folded: &Comparison<'_>) -> Result<Tail, StatsError> {
        let calibrated = (self.nats)(folded, Smoothing::Jeffreys)?;
        let tail = Tail::chi2(self.factor * calibrated / folded.inverse_size(), folded.cells - 1);
        Ok(tail.with_outside(folded))
    }

    /// What the cells beyond the reference, which the χ² law does not describe, add to the score on average.
    fn noise_outside(&self, folded: &Comparison<'_>) -> f64 {
        let (ends, _) = folded.outside();
        if ends == 0 {
            return 0.0;
        }
        let (n, m) = folded.sizes;
        let added = |beyond: f64| {
            if beyond == 0.0 {
                return 0.0;
            }
            let cells = folded.cells + ends as u64;
            let with_prior = |halves: u64| Shares::of_sizes(halves, (n, m), cells, (0.0, beyond));
            (self.term)(self.smoothing.share(cells, &with_prior))
        };
        let mean = ends as f64 * mean_beyond(n, m, added);
        // Unsmoothed KL is infinite there.
        if mean.is_finite() { mean } else { 0.0 }
    }

    fn interval(
        &self,
        comparison: &Comparison<'_>,
        score: f64,
        noise: f64,
    ) -> Result<Option<Interval>, StatsError> {
        if comparison.cells < 2 {
            return Ok(None);
        }
        let near = Near {
            score,
            noise,
            unit: comparison.inverse_size() / self.factor,
            dof: (comparison.cells - 1) as f64,
            variance: self.variance(comparison)?,
        };
        let (low, high) = near.interval();
        let (low, high) = (self.unit.of_nats(low), self.unit.of_nats(high.min(self.top)));
        Ok(Some(Interval { level: LEVEL, low: low.min(high), high }))
    }

    /// The variance of the score by the delta method, on Jeffreys' shares.
    fn variance(&self, comparison: &Comparison<'_>) -> Result<f64, StatsError> {
        let side = |share: fn(&Shares) -> f64, slope: fn((f64, f64)) -> f64| -> Result<f64, StatsError> {
            let moment = |power: i32| -> Result<f64, StatsError> {
                let shares = comparison.shares(Smoothing::Jeffreys)?;
                Ok(shares.map(|s| share(&s) * slope((self.gradient)(s)).powi(power)).collect::<Sum>().value())
            };
            Ok((moment(2)? - moment(1)?.powi(2)).max(0.0))
        };
        let reference = side(|s| s.reference, |slopes| slopes.0)?;
        let current = side(|s| s.current, |slopes| slopes.1)?;
        Ok(reference / comparison.sizes.0 + current / comparison.sizes.1)
    }
}

/// A score whose law is close to unit·χ²(dof, λ), λ being what it would be without noise; the closer the smaller it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    pub(crate) score: f64,
    pub(crate) noise: f64,
    pub(crate) unit: f64,
    pub(crate) dof: f64,
    /// The variance of the score by the delta method.
    pub(crate) variance: f64,
}

impl Near {
    /// The ends of λ·unit. That law has the variance 2·dof·unit² + 4·unit·score; where the delta method has another than the second
    /// term, the distance of the ends from the middle is scaled accordingly. The upper end is never below the score.
    pub(crate) fn interval(self) -> (f64, f64) {
        let Self { score, noise, unit, dof, variance } = self;
        let (low, high) = noncentrality(score / unit, dof);
        let (null, near) = (2.0 * dof * unit * unit, 4.0 * unit * score);
        let stretch = ((null + variance) / (null + near)).sqrt();
        let centre = (score - noise).max(0.0);
        let end = |lambda: f64| centre + (lambda * unit - centre) * stretch;
        let low = if low == 0.0 { 0.0 } else { end(low).clamp(0.0, centre) };
        (low, end(high).max(score))
    }
}
