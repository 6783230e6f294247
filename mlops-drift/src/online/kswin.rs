//! Kolmogorov–Smirnov windowing.

use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::check::{self, Version};
use super::run_length::Calibration;
use super::tree::Tree;
use super::{OnlineDetector, OnlineState};

/// How a [`Kswin`] decides.
///
/// ```
/// use mlops_drift::online::{Kswin, KswinOptions};
///
/// let options = KswinOptions::default().with_window(300).with_recent(60);
/// assert_eq!((options.window, options.recent), (300, 60));
/// Kswin::new(options)?;
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KswinOptions {
    /// α in (0, 1): the level of one test. Default: 0.005.
    pub alpha: f64,
    /// The length of the window, at least twice `recent`. Default: 100.
    pub window: usize,
    /// r: how many values at the recent end are held against as many older ones. Default: 30.
    pub recent: usize,
    /// D must be larger than this too, in [0, 1). Default: 0.1.
    pub min_statistic: f64,
    /// The seed of the choice among the older values. Default: 0.
    pub seed: u64,
    /// Whether an alarm empties the window; else the recent values stay. Default: no.
    pub restart: bool,
}

impl Default for KswinOptions {
    fn default() -> Self {
        Self { alpha: 0.005, window: 100, recent: 30, min_statistic: 0.1, seed: 0, restart: false }
    }
}

impl KswinOptions {
    /// With tests at this level.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// With a window of this length.
    #[must_use]
    pub fn with_window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// With so many recent values held against as many older ones.
    #[must_use]
    pub fn with_recent(mut self, recent: usize) -> Self {
        self.recent = recent;
        self
    }

    /// With alarms only for D above this.
    #[must_use]
    pub fn with_min_statistic(mut self, min_statistic: f64) -> Self {
        self.min_statistic = min_statistic;
        self
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With a window that an alarm empties, or not.
    #[must_use]
    pub fn with_restart(mut self, restart: bool) -> Self {
        self.restart = restart;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        check::open_unit("alpha", self.alpha)?;
        check::window("recent", self.recent, 2)?;
        check::window("window", self.window, 2 * self.recent)?;
        let least = self.min_statistic;
        check::option("min_statistic", least, (0.0..1.0).contains(&least), "must lie in [0, 1)")?;
        let reachable = self.critical() <= self.recent;
        check::option("alpha", self.alpha, reachable, "is below the p-value of any two samples of this size")
    }

    /// The smallest r·D that is an alarm; r + 1 if there is none.
    fn critical(&self) -> usize {
        let alarms = |d: usize| {
            d as f64 / self.recent as f64 > self.min_statistic && p_value(self.recent, d) <= self.alpha
        };
        let (mut low, mut high) = (0, self.recent + 1);
        while high > low + 1 {
            let middle = low.midpoint(high);
            if alarms(middle) { high = middle } else { low = middle }
        }
        high
    }
}

/// P(r·D ≥ d) for two samples of r values from one continuous law: 2 Σ (−1)ʲ⁻¹ C(2r, r − jd)/C(2r, r) over j ≥ 1
/// (Gnedenko, Korolyuk, 1951).
fn p_value(r: usize, d: usize) -> f64 {
    if d == 0 {
        return 1.0;
    }
    // Horner's scheme from the far end: each factor is the ratio of two successive terms.
    let ratio =
        |j: usize| (0..d).map(|i| (r - j * d - i) as f64 / (r + j * d + i + 1) as f64).product::<f64>();
    let sum = (0..r / d).rev().fold(0.0, |rest, j| ratio(j) * (1.0 - rest));
    (2.0 * sum).clamp(0.0, 1.0)
}

/// KSWIN: the distribution of the most recent values against that of older ones in the window.
///
/// The last r values are held against r others, drawn from the older part of the window, by the two-sample
/// Kolmogorov–Smirnov test:
///
/// > alarm when P(D or more) ≤ α and D > 0.1
///
/// (Raab, Heusinger, Schleif, *Reactive soft prototype computing for concept drift streams*, Neurocomputing 416, 2020). D is
/// exact, ties included; its p-value is the exact one of continuous laws, and with ties an upper bound.
///
/// The choice among the older values is uniform at any time, but not drawn anew for each value: a value that enters the older
/// part takes the role of the one that leaves it, and then one chosen value changes its role with one that is not. So a step
/// changes at most six values of the comparison, and D is kept in a tree: O(log r) where others sort both samples. Values may
/// be any finite number; memory for the window is taken at construction.
///
/// After an alarm the recent values stay as the beginning of a new window. river 0.26 empties it instead
/// ([`KswinOptions::restart`]); where `window` is 2·`recent` nothing is left to choose, and every alarm is equal to its.
///
/// ```
/// use mlops_drift::online::{Kswin, OnlineDetector};
///
/// // The spread changes, the mean does not.
/// let mut detector = Kswin::default();
/// let noise = |i: u32| f64::from(i.wrapping_mul(2_654_435_769)) / f64::from(u32::MAX) - 0.5;
/// let stream = (0..1000).map(|i| if i < 500 { noise(i) } else { 1000.0 * noise(i) });
/// let alarm = stream.map(|value| detector.update(value)).position(|s| s.is_ok_and(|s| s.is_drift()));
/// assert!(alarm.is_some_and(|at| (500..540).contains(&at)));
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Kswin {
    stored: Stored,
    critical: usize,
    tree: Tree,
    /// Where a position of the window is found: in `chosen`, or in `others` with [`OTHER`] added.
    places: Vec<usize>,
}

const OTHER: usize = 1 << 32;

/// What is written; the tree and the places follow from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    version: Version,
    options: KswinOptions,
    seen: u64,
    state: OnlineState,
    random: u64,
    /// The window as a ring: at most `window` values, the oldest at `next` once it is full.
    values: Vec<f64>,
    next: usize,
    /// Positions in the older part of a full window: those compared, and the others.
    chosen: Vec<usize>,
    others: Vec<usize>,
}

/// The next number of SplitMix64 (Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014): a
/// generator whose whole state is one number, to be written with the detector.
pub(super) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A number below a bound of at most 2²⁴; the bias is below 2⁻⁴⁰.
fn below(state: &mut u64, bound: usize) -> usize {
    ((u128::from(mix(state)) * bound as u128) >> 64) as usize
}

impl Default for Kswin {
    fn default() -> Self {
        Self::fresh(KswinOptions::default())
    }
}

impl PartialEq for Kswin {
    fn eq(&self, other: &Self) -> bool {
        self.stored == other.stored
    }
}

impl From<Kswin> for Stored {
    fn from(detector: Kswin) -> Self {
        detector.stored
    }
}

impl TryFrom<Stored> for Kswin {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        stored.options.check()?;
        check::counted(stored.seen, stored.values.len() as u64)?;
        let KswinOptions { window, recent, .. } = stored.options;
        let Stored { values, next, chosen, others, .. } = &stored;
        let full = values.len() == window;
        let ring = values.len() <= window && *next < window && (full || *next == values.len());
        let sized = if full {
            chosen.len() == recent && others.len() == window - 2 * recent
        } else {
            chosen.is_empty() && others.is_empty()
        };
        let finite = values.iter().all(|value| value.is_finite());
        check::consistent(ring && sized && finite, "a KSWIN")?;
        let mut known = vec![false; window];
        for &position in chosen.iter().chain(others) {
            let older = position < window && (position + window - next) % window < window - recent;
            check::consistent(older && !std::mem::replace(&mut known[position], true), "a KSWIN")?;
        }
        let mut detector = Self::fresh(stored.options);
        // The buffers keep the room that they were made with.
        let own = &mut detector.stored;
        (own.seen, own.state, own.random, own.next) = (stored.seen, stored.state, stored.random, stored.next);
        own.values.extend_from_slice(&stored.values);
        own.chosen.extend_from_slice(&stored.chosen);
        own.others.extend_from_slice(&stored.others);
        if full {
            detector.build();
        }
        Ok(detector)
    }
}

impl Kswin {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for an option outside its range, or an α so small that not even samples without overlap
    /// reach it.
    ///
    /// ```
    /// use mlops_drift::online::{Kswin, KswinOptions};
    /// assert!(Kswin::new(KswinOptions::default().with_window(50)).is_err());
    /// assert!(Kswin::new(KswinOptions::default().with_recent(5).with_alpha(0.005)).is_err());
    /// ```
    pub fn new(options: KswinOptions) -> Result<Self, StatsError> {
        options.check()?;
        Ok(Self::fresh(options))
    }

    /// A detector with one false alarm in at least `arl` values, for a window and a number of recent values.
    ///
    /// The false alarms of a rank test are the same for every continuous distribution, so no reference is needed. α is found
    /// by simulation. D has only r steps, and the run length grows by a factor of 1.5 to 4 from one to the next; the smallest
    /// that suffices is taken. With ties there are fewer false alarms. See [`run_length`](super::run_length) for cost and
    /// errors.
    ///
    /// ```
    /// let detector = mlops_drift::online::Kswin::for_run_length(500.0, 60, 20, 1)?;
    /// assert!(detector.options().alpha < 0.05);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn for_run_length(arl: f64, window: usize, recent: usize, seed: u64) -> Result<Self, StatsError> {
        check::window("recent", recent, 2)?;
        #[expect(clippy::cast_sign_loss, reason = "at least 2")]
        let with = |steps: f64| {
            let alpha = p_value(recent, steps.ceil() as usize);
            Self::new(KswinOptions { alpha, window, recent, min_statistic: 0.0, seed, ..Default::default() })
        };
        Calibration::new(arl, seed)?.loosest(2.0, recent as f64, with, Random::next_f64)
    }

    /// What it was made with.
    pub const fn options(&self) -> &KswinOptions {
        &self.stored.options
    }

    /// D between the recent and the chosen older values; undefined while the window fills.
    pub fn statistic(&self) -> Measured {
        self.full(|r, d| d as f64 / r as f64)
    }

    /// The p-value of D for continuous laws; undefined while the window fills.
    pub fn p(&self) -> Measured {
        self.full(p_value)
    }

    fn full(&self, f: impl Fn(usize, usize) -> f64) -> Measured {
        let Stored { options, values, .. } = &self.stored;
        if values.len() < options.window {
            return Measured::none(UndefinedReason::TooFew, values.len(), options.window);
        }
        Measured::Value(f(options.recent, self.tree.distance() as usize))
    }

    fn fresh(options: KswinOptions) -> Self {
        let KswinOptions { window, recent, seed, .. } = options;
        Self {
            critical: options.critical(),
            tree: Tree::new(2 * recent),
            places: vec![0; window],
            stored: Stored {
                version: Version,
                options,
                seen: 0,
                state: OnlineState::Stable,
                random: seed,
                values: Vec::with_capacity(window),
                next: 0,
                chosen: Vec::with_capacity(recent),
                others: Vec::with_capacity(window - 2 * recent),
            },
        }
    }

    /// Begins a new window with the recent values, or with none.
    fn restart(&mut self) {
        let Stored { options, values, next, chosen, others, .. } = &mut self.stored;
        if options.restart {
            values.clear();
        } else {
            values.rotate_left(*next);
            values.copy_within(options.window - options.recent.., 0);
            values.truncate(options.recent);
        }
        *next = values.len();
        chosen.clear();
        others.clear();
    }

    /// Adds a value to a window that is not full yet, and draws the older values to compare when it is.
    fn fill(&mut self, value: f64) {
        let Stored { options, random, values, next, chosen, others, .. } = &mut self.stored;
        values.push(value);
        *next = if values.len() == options.window { 0 } else { values.len() };
        if values.len() < options.window {
            return;
        }
        // Each older position is chosen with the probability that is left for it (Fan, Muller, Rezucha 1962).
        let older = options.window - options.recent;
        for position in 0..older {
            if below(random, older - position) < options.recent - chosen.len() {
                chosen.push(position);
            } else {
                others.push(position);
            }
        }
        self.build();
    }

    /// The tree and the places of a full window.
    fn build(&mut self) {
        let Stored { options, values, next, chosen, others, .. } = &self.stored;
        self.tree.clear();
        for (i, &position) in chosen.iter().enumerate() {
            self.places[position] = i;
            self.tree.insert(values[position], -1);
        }
        for (i, &position) in others.iter().enumerate() {
            self.places[position] = OTHER + i;
        }
        for back in 1..=options.recent {
            self.tree.insert(values[(next + options.window - back) % options.window], 1);
        }
    }

    /// Moves a full window on by one value.
    fn slide(&mut self, value: f64) {
        let Stored { options: KswinOptions { window, recent, .. }, values, next, chosen, others, .. } =
            &mut self.stored;
        let oldest = *next;
        let leaving = values[oldest];
        // The oldest recent value enters the older part.
        let entering = if oldest >= *recent { oldest - *recent } else { oldest + *window - *recent };
        let place = self.places[oldest];
        self.places[entering] = place;
        if place < OTHER {
            chosen[place] = entering;
            self.tree.remove(leaving, -1);
            self.tree.reweigh(values[entering], -2);
        } else {
            others[place - OTHER] = entering;
            self.tree.remove(values[entering], 1);
        }
        values[oldest] = value;
        self.tree.insert(value, 1);
        *next = if oldest + 1 == *window { 0 } else { oldest + 1 };
        self.exchange();
    }

    /// Lets one chosen value and one that is not change their roles.
    fn exchange(&mut self) {
        let Stored { random, values, chosen, others, .. } = &mut self.stored;
        if others.is_empty() {
            return;
        }
        let (i, j) = (below(random, chosen.len()), below(random, others.len()));
        let (out, into) = (chosen[i], others[j]);
        (chosen[i], others[j]) = (into, out);
        (self.places[into], self.places[out]) = (i, OTHER + j);
        self.tree.remove(values[out], -1);
        self.tree.insert(values[into], -1);
    }
}

impl OnlineDetector for Kswin {
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
        if !value.is_finite() {
            let index = usize::try_from(self.stored.seen).unwrap_or(usize::MAX);
            return Err(StatsError::NotFinite { argument: "value", index, value });
        }
        // −0.0 equals 0.0.
        let value = value + 0.0;
        if self.stored.state.is_drift() {
            self.restart();
        }
        self.stored.seen += 1;
        if self.stored.values.len() < self.stored.options.window {
            self.fill(value);
        } else {
            self.slide(value);
        }
        let full = self.stored.values.len() == self.stored.options.window;
        let drift = full && self.tree.distance() as usize >= self.critical;
        self.stored.state = OnlineState::of(drift, false);
        Ok(self.stored.state)
    }

    fn state(&self) -> OnlineState {
        self.stored.state
    }

    fn seen(&self) -> u64 {
        self.stored.seen
    }

    fn reset(&mut self) {
        let stored = &mut self.stored;
        (stored.seen, stored.state, stored.random, stored.next) =
            (0, OnlineState::Stable, stored.options.seed, 0);
        stored.values.clear();
        stored.chosen.clear();
        stored.others.clear();
    }

    fn definition(&self) -> &'static str {
        "kswin/1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KsMethod, ks_sorted};

    fn stream(n: usize, levels: u64, seed: u64) -> Vec<f64> {
        let mut random = seed;
        (0..n).map(|_| (mix(&mut random) % levels) as f64).collect()
    }

    /// The two samples that are compared.
    fn samples(detector: &Kswin) -> (Vec<f64>, Vec<f64>) {
        let Stored { options, values, next, chosen, .. } = &detector.stored;
        let recent = (1..=options.recent).map(|back| values[(next + options.window - back) % options.window]);
        let mut pair =
            (chosen.iter().map(|&position| values[position]).collect::<Vec<_>>(), recent.collect::<Vec<_>>());
        pair.0.sort_by(f64::total_cmp);
        pair.1.sort_by(f64::total_cmp);
        pair
    }

    #[test]
    fn the_statistic_is_that_of_the_two_samples_after_every_value() {
        for (window, recent, levels) in [(100, 30, 1 << 40), (60, 30, 7), (25, 7, 1 << 40), (4, 2, 3)] {
            let options =
                KswinOptions { window, recent, alpha: 0.9, min_statistic: 0.9, ..Default::default() };
            let mut detector = Kswin::new(options).unwrap();
            for value in stream(1500, levels, 9) {
                detector.update(value).unwrap();
                let Some(statistic) = detector.statistic().value() else { continue };
                let (older, recent) = samples(&detector);
                let ks = ks_sorted(&older, &recent, KsMethod::Asymptotic).unwrap();
                assert!(
                    (statistic - ks.statistic.value().unwrap()).abs() < 1e-15,
                    "window {window}: {statistic} {ks:?}"
                );
            }
        }
    }

    /// `scipy.stats.ks_2samp(…, method="exact")` of SciPy 1.17.1, through `scipy.special` and by hand with fractions.
    #[test]
    fn p_values_are_exact_for_continuous_laws() {
        for (r, d, p) in [
            (3, 3, 0.1),
            (3, 2, 0.6),
            (3, 1, 1.0),
            (2, 2, 1.0 / 3.0),
            (30, 30, 2.0 / 118_264_581_564_861_424.0),
        ] {
            assert!((p_value(r, d) / p - 1.0).abs() < 1e-12, "{r} {d}: {}", p_value(r, d));
        }
        let ks = crate::ks(
            &(0..30).map(f64::from).collect::<Vec<_>>(),
            &(0..30).map(|i| f64::from(i) + 12.5).collect::<Vec<_>>(),
        );
        let ks = ks.unwrap();
        assert!((p_value(30, 13) / ks.p.value().unwrap() - 1.0).abs() < 1e-10, "{ks:?}");
    }

    #[test]
    fn every_older_value_is_chosen_equally_often() {
        let options =
            KswinOptions { window: 20, recent: 5, alpha: 0.9, min_statistic: 0.99, ..Default::default() };
        let mut detector = Kswin::new(options).unwrap();
        let mut by_age = [0_u32; 15];
        for i in 0..60_000 {
            // Equal values, so that there is no alarm.
            detector.update(0.5).unwrap();
            if i >= 20 {
                let next = detector.stored.next;
                detector.stored.chosen.iter().for_each(|&position| by_age[(position + 20 - next) % 20] += 1);
            }
        }
        // 20 000 each; successive choices are alike, hence the wide bound.
        assert!(by_age.iter().all(|&count| (19_000..21_000).contains(&count)), "{by_age:?}");
    }

    #[test]
    fn the_recent_values_stay_after_an_alarm_unless_told_to_restart() {
        for (restart, kept) in [(false, 31), (true, 1)] {
            let mut detector = Kswin::new(KswinOptions { restart, ..Default::default() }).unwrap();
            let mut values = (0..).map(|i| f64::from(i % 10) + if i < 150 { 0.0 } else { 100.0 });
            let at = values.position(|value| detector.update(value).unwrap().is_drift()).unwrap();
            assert!((150..180).contains(&at));
            detector.update(-1.0).unwrap();
            assert_eq!(detector.stored.values.len(), kept);
        }
    }
}
