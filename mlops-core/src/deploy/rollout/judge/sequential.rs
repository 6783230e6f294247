//! What the sequential judges share: two tests against a margin, by evidence that may be looked at as often as one likes.
//!
//! An e-process for a hypothesis is a number that starts at 1 and, while the hypothesis is true, is expected to be at most 1 whenever
//! somebody stops to look. By Ville's inequality it ever reaches 1/α with probability at most α, however often it is looked
//! at. Those of one step after another multiply: the product is an e-process again.

use serde::{Deserialize, Serialize};

use super::{Direction, Finding};
use crate::deploy::rollout::GuardVerdict;
use crate::num::StatsError;

/// Natural logarithms of the evidence that earlier steps left: 0 is none.
///
/// ```
/// use mlops_core::deploy::rollout::judge::Evidence;
/// assert_eq!(Evidence::default(), Evidence { beyond: 0.0, within: 0.0 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// ln e against "the change is at most the margin".
    pub beyond: f64,
    /// ln e against "the change is at least the margin".
    pub within: f64,
}

impl Evidence {
    /// Both together: e-values of different steps multiply, their logarithms add.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { beyond: self.beyond + other.beyond, within: self.within + other.within }
    }

    /// What is carried on when a step ends: half of it is kept back, e becomes ½ + ½e, so that a step that showed nothing costs the
    /// next one a factor of 2 at most. That is an e-value too.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::judge::Evidence;
    /// let carried = Evidence { beyond: -1e6, within: 3.0_f64.ln() }.carried();
    /// assert!((carried.beyond - 0.5_f64.ln()).abs() < 1e-15 && (carried.within - 2.0_f64.ln()).abs() < 1e-15);
    /// ```
    #[must_use]
    pub fn carried(self) -> Self {
        let half = |ln_e: f64| ln_e.max(0.0) + (-ln_e.abs()).exp().ln_1p() - std::f64::consts::LN_2;
        let bounded = self.bounded();
        Self { beyond: half(bounded.beyond), within: half(bounded.within) }
    }

    /// The evidence in a finding of a sequential judge about its own step; none in others.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::judge::{Count, Evidence, Observations, Proportions};
    /// let judge = Proportions::new(0.01);
    /// let seen = Observations::Counts { candidate: Count::new(9, 90)?, stable: Count::new(3, 900)? };
    /// let finding = judge.judge(&seen, Evidence::default())?;
    /// assert!(Evidence::of(&finding).beyond > 0.0);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn of(finding: &Finding) -> Self {
        let number = |name| finding.numbers.get(name).copied().unwrap_or(0.0);
        Self { beyond: number("ln_e_beyond"), within: number("ln_e_within") }
    }

    /// Neither NaN nor infinite: what it is multiplied with later stays a number.
    pub(super) fn bounded(self) -> Self {
        let bound = |value: f64| if value.is_nan() { 0.0 } else { value.clamp(-1e6, 1e6) };
        Self { beyond: bound(self.beyond), within: bound(self.within) }
    }
}

/// The setters of what every sequential judge has: the direction and the level.
macro_rules! shared_setters {
    ($judge:ident) => {
        impl $judge {
            /// Sets which change is bad.
            #[must_use]
            pub fn with_direction(mut self, direction: Direction) -> Self {
                self.direction = direction;
                self
            }

            /// Sets the level.
            #[must_use]
            pub fn with_level(mut self, level: Level) -> Self {
                self.level = level;
                self
            }
        }
    };
}
pub(super) use shared_setters;

/// The level and what must be shown; shared by the sequential judges.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Level {
    /// The probability of a false alarm over the whole rollout, in (0, 0.5]. Default 0.05.
    pub alpha: f64,
    /// Whether what is not shown to be beyond the margin passes. Default yes: a sequential test may take long to show the
    /// opposite, and goes on being asked.
    pub pass_unless_shown: bool,
}

impl Default for Level {
    fn default() -> Self {
        Self { alpha: 0.05, pass_unless_shown: true }
    }
}

impl Level {
    pub(super) fn check(&self) -> Result<(), StatsError> {
        if self.alpha > 0.0 && self.alpha <= 0.5 {
            return Ok(());
        }
        let reason = "must lie in (0, 0.5]";
        Err(StatsError::Parameter { parameter: "alpha", value: self.alpha, reason })
    }

    /// ln(1/α): what ln e must reach.
    pub(super) fn needed(&self) -> f64 {
        -self.alpha.ln()
    }

    /// The verdict over this step's evidence and that of the steps before.
    pub(super) fn decide(&self, judge: &str, now: Evidence, earlier: Evidence, change: f64) -> Finding {
        let (now, earlier) = (now.bounded(), earlier.bounded());
        let (total, needed) = (now.plus(earlier), self.needed());
        let (rule, verdict, words) = if total.beyond >= needed {
            ("beyond", GuardVerdict::Fail, "the change is beyond the margin")
        } else if total.within >= needed {
            ("within", GuardVerdict::Pass, "the change is within the margin")
        } else if self.pass_unless_shown {
            ("not_shown", GuardVerdict::Pass, "no change beyond the margin was shown")
        } else {
            ("open", GuardVerdict::Inconclusive, "neither was shown yet")
        };
        let decisive = if rule == "within" { total.within } else { total.beyond };
        let reason = format!("{words}: a change of {change:.6}, ln e {decisive:.2} where {needed:.2} decide");
        Finding::new(format!("{judge}.{rule}"), verdict, reason)
            .with("change", change)
            .with("ln_e_beyond", now.beyond)
            .with("ln_e_within", now.within)
            .with("ln_e_beyond_total", total.beyond)
            .with("ln_e_within_total", total.within)
            .with("ln_e_needed", needed)
    }
}

/// `(x, y)` such that a bad change makes x − y grow: the two swapped where less is bad.
pub(super) fn bad_first<T>(direction: Direction, candidate: T, stable: T) -> Result<(T, T), StatsError> {
    match direction {
        Direction::Increase => Ok((candidate, stable)),
        Direction::Decrease => Ok((stable, candidate)),
        Direction::Either => Err(StatsError::Unsupported {
            what: "a sequential test in either direction",
            reason: "a margin lies on one side: use two guards",
        }),
    }
}

pub(super) fn check_margin(margin: f64) -> Result<(), StatsError> {
    if margin.is_finite() {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter: "margin", value: margin, reason: "must be finite" })
}
