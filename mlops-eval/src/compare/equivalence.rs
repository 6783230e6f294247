//! Better, not worse, the same: what a difference shows against a margin.
//!
//! Every way to measure a paired difference in this module is a [`Difference`]: it can say how surprising the data are if the
//! true difference were at most, or at least, some number. From that follow, at level α:
//!
//! | question | shown when p ≤ α for | refuted when p ≤ α for |
//! |---|---|---|
//! | [`superiority`] by more than m | difference ≤ m | difference ≥ m |
//! | [`non_inferiority`] within m | difference ≤ −m | difference ≥ −m |
//! | [`equivalence`] within m | difference ≤ −m, and ≥ m (TOST) | difference ≥ −m, or ≤ m |
//!
//! What is neither is undecided: more rows are needed. Differences are those of scores where more is better; turn the sign of
//! losses round, or use [`paired`](super::paired()), which does. Margins are chosen before the data are seen.
//!
//! D. Schuirmann, *A comparison of the two one-sided tests procedure and the power approach …*, Journal of Pharmacokinetics
//! and Biopharmaceutics 15, 1987; R. Berger, J. Hsu, *Bioequivalence trials, intersection-union tests …*, Statistical Science
//! 11, 1996.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::result::{
    Alternative, Method, TestResult, around, check_finite, check_share, ln_p_normal, ln_p_student,
};
use crate::interval::Interval;

/// Evidence about a paired difference, second minus first.
pub trait Difference {
    /// How it was measured.
    fn method(&self) -> Method;

    /// The rows it rests on.
    fn n(&self) -> u64;

    /// The difference on these rows.
    fn estimate(&self) -> Measured;

    /// ln of the one-sided p-value of "the true difference is at most `null`": small where the data lie above it.
    fn ln_p_at_most(&self, null: f64) -> Measured;

    /// ln of the one-sided p-value of "the true difference is at least `null`".
    fn ln_p_at_least(&self, null: f64) -> Measured;

    /// The two-sided interval; `None` where the data give none.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    fn interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError>;
}

/// An estimate with a standard error: normal, or Student's t where there are degrees of freedom.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_eval::compare::{Verdict, Wald, non_inferiority};
///
/// let auc = Wald::new(Measured::Value(0.004), Measured::Value(0.003), 5_000);
/// assert_eq!(non_inferiority(&auc, 0.01, 0.05)?.verdict, Verdict::Shown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wald {
    /// How the standard error was found.
    pub method: Method,
    /// The difference.
    pub estimate: Measured,
    /// Its standard error.
    pub standard_error: Measured,
    /// Degrees of freedom of the standard error; `None` for the normal law.
    pub degrees_of_freedom: Option<f64>,
    /// The rows.
    pub n: u64,
}

impl Wald {
    /// An estimate with a standard error from elsewhere, and the normal law.
    pub const fn new(estimate: Measured, standard_error: Measured, n: u64) -> Self {
        Self { method: Method::Wald, estimate, standard_error, degrees_of_freedom: None, n }
    }

    /// (estimate − null)/s, undefined without variance.
    fn statistic(&self, null: f64) -> Measured {
        let (estimate, error) = match (self.estimate, self.standard_error) {
            (Measured::Value(estimate), Measured::Value(error)) => (estimate, error),
            (Measured::Undefined(_), _) => return self.estimate,
            (_, none) => return none,
        };
        let statistic = (estimate - null) / error;
        let law = self.degrees_of_freedom.is_none_or(|dof| dof >= 1.0 && dof.is_finite());
        if law && error > 0.0 && statistic.is_finite() {
            return Measured::Value(statistic);
        }
        Measured::none(UndefinedReason::Constant, 0, 1)
    }

    fn ln_p(&self, null: f64, alternative: Alternative) -> Measured {
        self.statistic(null).map(|statistic| match self.degrees_of_freedom {
            None => ln_p_normal(statistic, alternative),
            Some(dof) => ln_p_student(statistic, dof, alternative),
        })
    }

    /// The test that the true difference is 0, with its interval. Without any variance, p is 1 for a difference of 0 and
    /// undefined with [`UndefinedReason::Constant`] for another.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn test(&self, alternative: Alternative, confidence: f64) -> Result<TestResult, StatsError> {
        let interval = self.interval(confidence)?;
        let constant = self.standard_error.value() == Some(0.0) && self.estimate.value() == Some(0.0);
        let result = if constant {
            TestResult::nothing_differs(self.method, alternative)
        } else {
            TestResult::new(self.method, alternative, self.statistic(0.0), self.ln_p(0.0, alternative))
        };
        Ok(result.with(self.estimate, interval, self.n))
    }
}

impl Difference for Wald {
    fn method(&self) -> Method {
        self.method
    }

    fn n(&self) -> u64 {
        self.n
    }

    fn estimate(&self) -> Measured {
        self.estimate
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Greater)
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Less)
    }

    fn interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError> {
        crate::interval::check_confidence(confidence)?;
        match (self.statistic(0.0), self.estimate.value(), self.standard_error.value()) {
            (Measured::Value(_), Some(estimate), Some(error)) => {
                around(estimate, error, self.degrees_of_freedom, confidence).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// What the data say about a claim.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The claim holds, but for a chance of α.
    Shown,
    /// The claim is false, but for a chance of α.
    Refuted,
    /// These rows cannot tell.
    Undecided,
}

/// A claim about a difference, judged.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// How the difference was measured.
    pub method: Method,
    /// The difference on these rows.
    pub difference: Measured,
    /// Its two-sided interval of confidence 1 − 2α: the claim is shown exactly when it lies on the right side of the margin, for
    /// methods whose interval inverts their test.
    pub interval: Option<Interval>,
    /// The p-value of the claim's negation: small when the claim is shown.
    pub p: Measured,
    /// Its natural logarithm.
    pub ln_p: Measured,
    /// The margin of the claim.
    pub margin: f64,
    /// The level α of each one-sided test.
    pub alpha: f64,
    /// The rows.
    pub n: u64,
    /// What follows.
    pub verdict: Verdict,
}

/// Whether the difference is larger than `margin` (0: any improvement) at level `alpha`. The margin may have either sign.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_eval::compare::{Verdict, Wald, superiority};
/// let gain = Wald::new(Measured::Value(0.02), Measured::Value(0.02), 100);
/// assert_eq!(superiority(&gain, 0.0, 0.05)?.verdict, Verdict::Undecided);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a margin that is not finite or an `alpha` outside (0, 0.5).
pub fn superiority(
    difference: &(impl Difference + ?Sized),
    margin: f64,
    alpha: f64,
) -> Result<Judgement, StatsError> {
    check_level(alpha)?;
    check_finite("margin", margin)?;
    let (for_claim, against) = (difference.ln_p_at_most(margin), difference.ln_p_at_least(margin));
    judge(difference, for_claim, against, margin, alpha)
}

/// Whether the difference is larger than −`margin` at level `alpha`: not worse, but for a margin of at least 0.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_eval::compare::{Verdict, Wald, non_inferiority};
/// let loss = Wald::new(Measured::Value(-0.05), Measured::Value(0.01), 100);
/// assert_eq!(non_inferiority(&loss, 0.02, 0.05)?.verdict, Verdict::Refuted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a margin that is negative or not finite, or an `alpha` outside (0, 0.5).
pub fn non_inferiority(
    difference: &(impl Difference + ?Sized),
    margin: f64,
    alpha: f64,
) -> Result<Judgement, StatsError> {
    check_margin(margin)?;
    let judgement = superiority(difference, -margin, alpha)?;
    Ok(Judgement { margin, ..judgement })
}

/// Whether the difference lies inside (−`margin`, `margin`): two one-sided tests (TOST), both at level `alpha`; p is the larger.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_eval::compare::{Verdict, Wald, equivalence};
/// let same = Wald::new(Measured::Value(0.001), Measured::Value(0.002), 10_000);
/// assert_eq!(equivalence(&same, 0.01, 0.05)?.verdict, Verdict::Shown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`non_inferiority`].
pub fn equivalence(
    difference: &(impl Difference + ?Sized),
    margin: f64,
    alpha: f64,
) -> Result<Judgement, StatsError> {
    check_level(alpha)?;
    check_margin(margin)?;
    let for_claim = larger([difference.ln_p_at_most(-margin), difference.ln_p_at_least(margin)].into_iter());
    let against = match (difference.ln_p_at_least(-margin), difference.ln_p_at_most(margin)) {
        (Measured::Value(a), Measured::Value(b)) => Measured::Value(a.min(b)),
        (none @ Measured::Undefined(_), _) | (_, none) => none,
    };
    judge(difference, for_claim, against, margin, alpha)
}

fn judge(
    difference: &(impl Difference + ?Sized),
    for_claim: Measured,
    against: Measured,
    margin: f64,
    alpha: f64,
) -> Result<Judgement, StatsError> {
    let small = |ln_p: Measured| ln_p.value().is_some_and(|ln_p| ln_p <= alpha.ln());
    let verdict = match (small(for_claim), small(against)) {
        (true, _) => Verdict::Shown,
        (false, true) => Verdict::Refuted,
        (false, false) => Verdict::Undecided,
    };
    Ok(Judgement {
        method: difference.method(),
        difference: difference.estimate(),
        interval: difference.interval(1.0 - 2.0 * alpha)?,
        p: for_claim.map(|ln_p| ln_p.exp().min(1.0)),
        ln_p: for_claim,
        margin,
        alpha,
        n: difference.n(),
        verdict,
    })
}

/// The p-value of "all of these claims hold" at level α each, without a correction: the intersection–union test. Its p is the
/// largest; undefined if any is, and without claims. The whole claim is shown only if every part is.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_eval::compare::intersection_union;
/// let p = intersection_union(&[Measured::Value(0.01), Measured::Value(0.04)]);
/// assert_eq!(p, Measured::Value(0.04));
/// ```
pub fn intersection_union(p: &[Measured]) -> Measured {
    larger(p.iter().copied())
}

fn larger(values: impl Iterator<Item = Measured>) -> Measured {
    let mut largest = Measured::none(UndefinedReason::NothingDefined, 0, 1);
    for (position, value) in values.enumerate() {
        match (value, largest) {
            (Measured::Undefined(_), _) => return value,
            (Measured::Value(x), Measured::Value(y)) if position > 0 => largest = Measured::Value(x.max(y)),
            _ => largest = value,
        }
    }
    largest
}

fn check_level(alpha: f64) -> Result<(), StatsError> {
    check_share("alpha", alpha)?;
    if alpha < 0.5 {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter: "alpha", value: alpha, reason: "must lie below 0.5" })
}

fn check_margin(margin: f64) -> Result<(), StatsError> {
    check_finite("margin", margin)?;
    if margin >= 0.0 {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter: "margin", value: margin, reason: "must not be negative" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wald(estimate: f64, error: f64) -> Wald {
        Wald::new(Measured::Value(estimate), Measured::Value(error), 10)
    }

    #[test]
    fn every_verdict_follows_from_where_the_interval_lies() {
        for estimate in [-0.3, -0.1, -0.05, 0.0, 0.02, 0.1, 0.3] {
            for error in [0.001, 0.02, 0.05, 0.2] {
                let difference = wald(estimate, error);
                let judged = equivalence(&difference, 0.1, 0.05).unwrap();
                let interval = judged.interval.unwrap();
                let expected = if interval.lower >= -0.1 && interval.upper <= 0.1 {
                    Verdict::Shown
                } else if interval.lower >= 0.1 || interval.upper <= -0.1 {
                    Verdict::Refuted
                } else {
                    Verdict::Undecided
                };
                assert_eq!(judged.verdict, expected, "{estimate} {error}");
                let judged = non_inferiority(&difference, 0.1, 0.05).unwrap();
                assert_eq!(judged.verdict == Verdict::Shown, interval.lower >= -0.1);
                assert_eq!(judged.verdict == Verdict::Refuted, interval.upper <= -0.1);
            }
        }
    }

    #[test]
    fn what_has_no_variance_shows_nothing() {
        let judged = non_inferiority(&wald(0.0, 0.0), 0.1, 0.05).unwrap();
        assert_eq!((judged.verdict, judged.p.value()), (Verdict::Undecided, None));
        assert_eq!(wald(0.0, 0.0).test(Alternative::TwoSided, 0.95).unwrap().p, Measured::Value(1.0));
        assert_eq!(wald(0.1, 0.0).test(Alternative::TwoSided, 0.95).unwrap().p.value(), None);
    }

    #[test]
    fn bad_choices_are_named() {
        let difference = wald(0.0, 1.0);
        assert!(equivalence(&difference, -0.1, 0.05).is_err());
        assert!(superiority(&difference, f64::NAN, 0.05).is_err());
        for alpha in [0.0, 0.5, 1.0, f64::NAN] {
            assert!(superiority(&difference, 0.0, alpha).is_err(), "{alpha}");
        }
        assert_eq!(intersection_union(&[]).value(), None);
        let none = Measured::none(UndefinedReason::TooFew, 0, 2);
        assert_eq!(intersection_union(&[Measured::Value(0.5), none]), none);
    }
}
