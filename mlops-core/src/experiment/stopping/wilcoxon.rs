//! The signed-rank rule of Optuna.

use serde::{Deserialize, Serialize};

use super::percentile::completed;
use super::{
    Abstention, Evidence, PolicyKind, Reports, Standing, StoppingError, StoppingPolicy, TrialReports,
    Verdict, better,
};
use crate::experiment::sampler::Goal;
use crate::num::ranks::{midranks, tie_sum};
use crate::num::special::ln_normal_sf;

/// Stops a trial that is worse than the best completed one on the steps they share, by a one-sided Wilcoxon signed-rank test.
///
/// For objectives that are means over instances (folds, scenarios): step n is instance n. Needs `startup_steps` common steps,
/// at least 2. A trial whose mean is no worse than the best trial's goes on whatever the test says. Values that are not finite,
/// in either trial, are not tested.
///
/// Decides as Optuna 5's `WilcoxonPruner` does, with the p-values of SciPy 1.17.1's
/// `wilcoxon(d, alternative, zero_method="zsplit")`: see [`signed_rank_greater`]. The evidence's own number is the p-value, the
/// bound the threshold.
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{Standing, StoppingPolicy as _, TrialReports, Wilcoxon};
///
/// let best = TrialReports::new(0).with_standing(Standing::Completed { value: 0.1 }).with_values([0.1; 8])?;
/// let worse = TrialReports::new(1).with_values((0..6).map(|n| 0.2 + 0.01 * f64::from(n)))?;
/// let verdict = Wilcoxon::default().decide(&worse, &[best, worse.clone()], Goal::Minimize);
/// assert_eq!(verdict.evidence().map(|e| e.own), Some(1.0 / 64.0)); // all six differences have one sign
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Wilcoxon {
    p_threshold: f64,
    startup_steps: u64,
}

impl Default for Wilcoxon {
    fn default() -> Self {
        Self { p_threshold: 0.1, startup_steps: 2 }
    }
}

impl Wilcoxon {
    /// The p-value below which a trial stops, and how many common steps are needed.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a p-value outside \[0, 1\].
    pub fn new(p_threshold: f64, startup_steps: u64) -> Result<Self, StoppingError> {
        if !(0.0..=1.0).contains(&p_threshold) {
            let (argument, expected) = ("p_threshold", "from 0 to 1");
            return Err(StoppingError::Setting { argument, expected, value: p_threshold });
        }
        Ok(Self { p_threshold, startup_steps })
    }
}

/// The best completed trial; of several the one with the least number.
fn best_trial<'a>(completed: &[&'a TrialReports], goal: Goal) -> Option<&'a TrialReports> {
    let value = |trial: &TrialReports| match trial.standing {
        Standing::Completed { value } => value,
        _ => f64::NAN,
    };
    completed
        .iter()
        .copied()
        .reduce(|best, next| if better(goal, value(next), value(best)) { next } else { best })
}

fn finite(reports: &Reports) -> bool {
    reports.iter().all(|report| report.value.is_finite())
}

fn plain_mean(reports: &Reports) -> f64 {
    reports.mean_until(reports.interval()).unwrap_or(f64::NAN)
}

impl StoppingPolicy for Wilcoxon {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        let Some(best) = best_trial(&completed(trial.number, all), goal) else {
            return Verdict::Abstain(Abstention::TooFew { found: 0, needed: 1 });
        };
        if !finite(&trial.reports) || !finite(&best.reports) {
            return Verdict::Abstain(Abstention::NotFinite);
        }
        let worse = |own: f64, best: f64| if goal == Goal::Maximize { best - own } else { own - best };
        let common = trial.reports.iter().filter_map(|own| Some((own, best.reports.at_step(own.step)?)));
        let differences: Vec<f64> = common.map(|(own, best)| worse(own.value, best.value)).collect();
        let needed = usize::try_from(self.startup_steps.max(2)).unwrap_or(usize::MAX);
        if differences.len() < needed {
            return Verdict::Abstain(Abstention::TooFew { found: differences.len(), needed });
        }
        let (own, of_best) = (plain_mean(&trial.reports), plain_mean(&best.reports));
        match signed_rank_greater(&differences) {
            Some(p) if p < self.p_threshold && better(goal, of_best, own) => {
                Verdict::Stop(Evidence::new(PolicyKind::Wilcoxon, &trial.reports, p, self.p_threshold, 1))
            }
            Some(_) => Verdict::Continue,
            None => Verdict::Abstain(Abstention::NotFinite),
        }
    }
}

/// The p-value of a one-sided Wilcoxon signed-rank test that differences tend to be above 0; half the rank of a zero counts for
/// either side. `None` for no differences, for one that is not finite, and for 14 or more that are all 0.
///
/// The statistic is the sum of the mid-ranks of |d| over the positive differences, and half of them over the zeros. Up to 50
/// differences without ties and zeros, and up to 13 with them, the p-value is exact: the share of all 2ⁿ choices of signs with a
/// sum at least as great, zeros staying zeros. Otherwise it is the normal approximation with correction for ties and none for
/// continuity. O(n³) for the exact one, O(n log n) else.
///
/// Agrees with SciPy 1.17.1's `wilcoxon(d, alternative="greater", zero_method="zsplit")` to 1e-13.
///
/// ```
/// use mlops_core::experiment::stopping::signed_rank_greater;
/// assert_eq!(signed_rank_greater(&[1.0, 2.0, 3.0]), Some(0.125));
/// assert_eq!(signed_rank_greater(&[0.0, 0.0]), Some(1.0));
/// assert_eq!(signed_rank_greater(&[]), None);
/// ```
pub fn signed_rank_greater(differences: &[f64]) -> Option<f64> {
    if differences.is_empty() || !differences.iter().all(|d| d.is_finite()) {
        return None;
    }
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let ranks = midranks("differences", &sizes).ok()?;
    let ties = tie_sum("differences", &sizes).ok()?;
    let (n, zeros) = (differences.len(), differences.contains(&0.0));
    match n {
        ..=13 => Some(exact(differences, &ranks)),
        14..=50 if ties == 0.0 && !zeros => Some(exact(differences, &ranks)),
        _ => asymptotic(differences, &ranks, ties),
    }
}

/// Twice the sum of ranks of positive differences, without zeros.
fn doubled(ranks: &[f64]) -> impl Iterator<Item = usize> + '_ {
    // Mid-ranks are multiples of a half and at most 50 here.
    #[allow(clippy::cast_sign_loss)]
    ranks.iter().map(|rank| (2.0 * rank) as usize)
}

fn exact(differences: &[f64], ranks: &[f64]) -> f64 {
    let weights: Vec<(usize, f64)> =
        doubled(ranks).zip(differences.iter().copied()).filter(|(_, d)| *d != 0.0).collect();
    let observed: usize = weights.iter().filter(|(_, d)| *d > 0.0).map(|(weight, _)| weight).sum();
    let total: usize = weights.iter().map(|(weight, _)| weight).sum();
    // How likely each sum is, one difference after the other.
    let mut share = vec![0.0; total + 1];
    share[0] = 1.0;
    let mut reached = 0;
    for (weight, _) in weights {
        reached += weight;
        for sum in (0..=reached).rev() {
            let with = sum.checked_sub(weight).map_or(0.0, |rest| share[rest]);
            share[sum] = 0.5 * share[sum] + 0.5 * with;
        }
    }
    // The shorter tail, so that what is small is exact.
    if 2 * observed >= total {
        share[observed..].iter().sum()
    } else {
        1.0 - share[..observed].iter().sum::<f64>()
    }
}

fn asymptotic(differences: &[f64], ranks: &[f64], ties: f64) -> Option<f64> {
    let n = differences.len() as f64;
    let part = |d: f64| if d > 0.0 { 1.0 } else { 0.5 * f64::from(u8::from(d == 0.0)) };
    let statistic: f64 = differences.iter().zip(ranks).map(|(d, rank)| part(*d) * rank).sum();
    let mean = n * (n + 1.0) * 0.25;
    let deviation = ((n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0).sqrt();
    let all_zero = differences.iter().all(|d| *d == 0.0);
    (!all_zero && deviation > 0.0).then(|| ln_normal_sf((statistic - mean) / deviation).exp())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default = "tenth")]
    p_threshold: f64,
    #[serde(default = "two")]
    startup_steps: u64,
}

fn tenth() -> f64 {
    0.1
}

fn two() -> u64 {
    2
}

impl TryFrom<Wire> for Wilcoxon {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        Self::new(wire.p_threshold, wire.startup_steps)
    }
}

impl From<Wilcoxon> for Wire {
    fn from(policy: Wilcoxon) -> Self {
        Self { p_threshold: policy.p_threshold, startup_steps: policy.startup_steps }
    }
}
