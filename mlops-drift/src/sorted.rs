//! A reference made ready to have many samples held against it, exactly and without sorting them.
//!
//! Keeps the values themselves, in order: for references that have to be small, or mergeable, use cells instead
//! ([`Bins`](crate::Bins)).

use mlops_core::num::{NanPolicy, StatsError};

use crate::cells::{self, CELLS, Map};
use crate::distance::Distance;
use crate::ks::refine::{self, MOST, Ordered, Scratch};
use crate::ks::{self, Asked, Ks, KsOptions};
use crate::sample::{Sample, Side, Value};
use crate::wasserstein::exact::{Ready, points_of_sorted};
use crate::wasserstein::law::{self, Law, Point};
use crate::wasserstein::spread;
use crate::wasserstein::{self, WassersteinOptions, WassersteinScale};

/// A reference sample, sorted and counted once.
///
/// Statistics equal those on the raw samples: D is the same integer, the Wasserstein distance the same up to its last digits; its
/// noise floor and p, and with them the interval a little, come from the reference alone instead of both samples, which are one under
/// no drift.
///
/// # Example: one request after the other, without allocation
/// ```
/// use mlops_drift::{KsMethod, KsOptions, SortedReference, WassersteinOptions, ks};
///
/// let reference: Vec<f64> = (0..5000).map(|i| f64::from(i * 37 % 5000)).collect();
/// let fitted = SortedReference::fit(&reference)?;
/// let mut workspace = fitted.workspace(1000);
/// let options = KsOptions::default().with_method(KsMethod::Asymptotic);
/// for day in 0..3 {
///     let current: Vec<f64> = (0..1000).map(|i| f64::from(i * 5 + 100 * day)).collect();
///     let test = fitted.ks(&current, &options, &mut workspace)?;
///     assert_eq!(test.numerator, ks(&reference, &current)?.numerator);
///     let moved = fitted.wasserstein(&current, &WassersteinOptions::default(), &mut workspace)?;
///     assert!(moved.score < 0.1);
/// }
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SortedReference<T> {
    sorted: Vec<T>,
    side: Side,
    map: Map,
    counts: Box<[u32; CELLS]>,
    /// What the Wasserstein distance needs; `None` where a value is infinite.
    moments: Option<Box<Moments>>,
}

#[derive(Clone, Debug)]
struct Moments {
    ready: Ready,
    law: Law,
    iqr: f64,
    /// With squares divided by n and by n − 1.
    deviations: [f64; 2],
}

/// What comparisons with a [`SortedReference`] need room for; to be used again and again.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    scratch: Scratch,
    signs: Box<[u8; CELLS]>,
    values: Vec<T>,
    doubles: Vec<f64>,
}

impl<T: Value> SortedReference<T> {
    /// Sorts and counts a reference; NaN is an error. O(n log n), and n values of memory.
    ///
    /// # Errors
    /// [`StatsError::Empty`], [`StatsError::Nan`]; [`StatsError::Parameter`] for more than 2³¹ values.
    ///
    /// ```
    /// assert!(mlops_drift::SortedReference::fit(&[1.0, f64::NAN]).is_err());
    /// ```
    pub fn fit<'a>(reference: impl Into<Sample<'a, T>>) -> Result<Self, StatsError> {
        Self::fit_with(reference, NanPolicy::Raise)
    }

    /// Sorts and counts a reference under a NaN policy. [`NanPolicy::Propagate`] raises too: there is nothing to fit.
    ///
    /// # Errors
    /// As [`Self::fit`]; [`StatsError::AllMissing`] when nothing is left.
    ///
    /// ```
    /// use mlops_core::num::NanPolicy;
    /// let fitted = mlops_drift::SortedReference::fit_with(&[1.0, f64::NAN], NanPolicy::Omit)?;
    /// assert_eq!((fitted.side().rows, fitted.side().missing), (2, 1));
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn fit_with<'a>(reference: impl Into<Sample<'a, T>>, nan: NanPolicy) -> Result<Self, StatsError> {
        let nan = if nan == NanPolicy::Omit { nan } else { NanPolicy::Raise };
        let (values, side) = reference.into().present("reference", nan)?;
        if values.len() >= MOST {
            let reason = "must be less than 2^31";
            return Err(StatsError::Parameter {
                parameter: "reference rows",
                value: values.len() as f64,
                reason,
            });
        }
        let (map, mut counts) = (Map::fit(&values, &[]), cells::zeroed());
        cells::count(map, &values, &mut counts);
        let sorted = ks::sorted(&values);
        let moments = (side.infinite == 0).then(|| Box::new(Moments::new(&sorted, map)));
        Ok(Self { sorted, side, map, counts, moments })
    }

    /// Counts values in ascending order, without NaN, at least one and fewer than [`MOST`]; for the Wasserstein distance too only
    /// where that is wanted, as it needs five times the memory. The same values make the same reference, to the bit.
    pub(crate) fn of_sorted(sorted: Vec<T>, wasserstein: bool) -> Self {
        // From all of the range: the first values alone would be the smallest.
        let few: Vec<T> = sorted.iter().step_by(sorted.len().div_ceil(1024).max(1)).copied().collect();
        let (map, mut counts) = (Map::fit(&few, &[]), cells::zeroed());
        cells::count(map, &sorted, &mut counts);
        let infinite = sorted.iter().filter(|value| !value.is_finite()).count() as u64;
        let rows = sorted.len() as u64;
        let side = Side { rows, used: rows, missing: 0, infinite, unseen: 0 };
        let moments = (wasserstein && infinite == 0).then(|| Box::new(Moments::new(&sorted, map)));
        Self { sorted, side, map, counts, moments }
    }

    /// Whether it was made ready for the Wasserstein distance.
    pub(crate) fn knows_wasserstein(&self) -> bool {
        self.moments.is_some()
    }

    /// The values, and nothing else.
    pub(crate) fn into_sorted(self) -> Vec<T> {
        self.sorted
    }

    /// The values in ascending order.
    ///
    /// ```
    /// assert_eq!(mlops_drift::SortedReference::fit(&[3, 1, 2])?.sorted(), [1, 2, 3]);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn sorted(&self) -> &[T] {
        &self.sorted
    }

    /// What became of the reference values.
    ///
    /// ```
    /// assert_eq!(mlops_drift::SortedReference::fit(&[3, 1, 2])?.side().used, 3);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn side(&self) -> Side {
        self.side
    }

    /// Room for samples of up to `rows` values; larger ones make it grow.
    ///
    /// ```
    /// let fitted = mlops_drift::SortedReference::fit(&[3, 1, 2])?;
    /// let _workspace = fitted.workspace(1000);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn workspace(&self, rows: usize) -> Workspace<T> {
        Workspace {
            scratch: Scratch::new(rows),
            signs: cells::zeroed(),
            values: Vec::with_capacity(rows),
            doubles: Vec::with_capacity(rows),
        }
    }

    /// The [Kolmogorov–Smirnov test](mod@crate::ks) of a sample against this reference. Allocates nothing when the workspace has room
    /// and the method needs no exact walk.
    ///
    /// # Errors
    /// As [`ks_with`](crate::ks_with).
    ///
    /// ```
    /// use mlops_drift::{KsOptions, SortedReference};
    ///
    /// let fitted = SortedReference::fit(&[1.0, 2.0, 3.0, 4.0])?;
    /// let test = fitted.ks(&[3.5, 4.5, 5.5], &KsOptions::default(), &mut fitted.workspace(3))?;
    /// assert_eq!(test.numerator, 9);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn ks<'a>(
        &self,
        current: impl Into<Sample<'a, T>>,
        options: &KsOptions,
        workspace: &mut Workspace<T>,
    ) -> Result<Ks, StatsError> {
        let current = current.into();
        let Workspace { scratch, values, .. } = workspace;
        let (present, after) = present(current, options.nan, values)?;
        let nan = options.nan == NanPolicy::Propagate && after.missing > 0 && current.has_nan();
        let asked =
            Asked { n: self.sorted.len(), m: present.len(), options: *options, sides: (self.side, after) };
        if nan {
            return Ok(asked.propagated());
        }
        if present.is_empty() {
            return Err(StatsError::AllMissing { argument: "current" });
        }
        if present.len() < MOST {
            let ordered = Ordered { sorted: &self.sorted, map: self.map, counts: &self.counts };
            let numerator = || refine::numerator_ordered(ordered, present, options.alternative, scratch);
            if let Some(answer) = asked.without_order(numerator)? {
                return Ok(answer);
            }
        }
        asked.on_sorted(&self.sorted, &ks::sorted(present))
    }

    /// The [Wasserstein distance](mod@crate::wasserstein) of a sample from this reference. Allocates nothing when the workspace has
    /// room.
    ///
    /// # Errors
    /// As [`wasserstein_with`](crate::wasserstein_with); [`StatsError::Unsupported`] when the reference has an infinite value;
    /// [`StatsError::Parameter`] for more than 2³¹ values.
    ///
    /// ```
    /// use mlops_drift::{SortedReference, WassersteinOptions};
    ///
    /// let fitted = SortedReference::fit(&[0, 2, 4])?;
    /// let distance = fitted.wasserstein(&[1, 3, 5], &WassersteinOptions::default(), &mut fitted.workspace(3))?;
    /// assert_eq!(distance.score, 0.5);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn wasserstein<'a>(
        &self,
        current: impl Into<Sample<'a, T>>,
        options: &WassersteinOptions,
        workspace: &mut Workspace<T>,
    ) -> Result<Distance, StatsError> {
        wasserstein::refuse_propagation(options.nan)?;
        let Some(moments) = &self.moments else {
            let reason = "the reference has an infinite value";
            return Err(StatsError::Unsupported { what: "a Wasserstein distance", reason });
        };
        let current = current.into();
        let Workspace { scratch, signs, values, doubles } = workspace;
        let (present, after) = present(current, options.nan, values)?;
        if present.is_empty() {
            return Err(StatsError::AllMissing { argument: "current" });
        }
        if present.len() >= MOST {
            let reason = "must be less than 2^31";
            return Err(StatsError::Parameter {
                parameter: "current rows",
                value: present.len() as f64,
                reason,
            });
        }
        if after.infinite > 0 {
            return Err(wasserstein::not_finite("current", current));
        }
        let present = T::doubles_in(present, doubles);
        scratch.counts.fill(0);
        cells::count(self.map, present, &mut scratch.counts);
        let reference = (|i: usize| self.sorted[i].to_f64().key(), self.sorted.len());
        let counted = (self.map, &*self.counts, &*scratch.counts);
        let raw = moments.ready.integral(counted, reference, present, signs, &mut scratch.keys);
        let (low, high) = wasserstein::exact::extremes(present);
        let ends = |at: Option<&T>| at.map_or(0.0, |value| value.to_f64());
        let (low, high) = (low.min(ends(self.sorted.first())), high.max(ends(self.sorted.last())));
        let sizes = (self.sorted.len(), present.len());
        let spread = spread::of_cells(self.map, (counted.1, counted.2), sizes, (low, high));
        let scale = |scale| match scale {
            WassersteinScale::Iqr => moments.iqr,
            WassersteinScale::Std0 => moments.deviations[0],
            WassersteinScale::Std1 => moments.deviations[1],
            WassersteinScale::Raw | WassersteinScale::Range => high - low,
        };
        let inverse = 1.0 / self.sorted.len() as f64 + 1.0 / present.len() as f64;
        wasserstein::finish(raw, options.scale, scale, (moments.law, spread), inverse, (self.side, after))
    }
}

impl Moments {
    fn new<T: Value>(sorted: &[T], map: Map) -> Self {
        let keys: Vec<u64> = sorted.iter().map(|value| value.to_f64().key()).collect();
        let points: Vec<Point> = points_of_sorted(&keys, &[], &law::ranks(keys.len()));
        Self {
            ready: Ready::new(sorted.iter().map(|value| value.to_f64()), map),
            law: Law::new(&points),
            iqr: wasserstein::iqr_of_keys(&keys),
            deviations: [0, 1].map(|ddof| wasserstein::deviation_of_keys(&keys, ddof)),
        }
    }
}

/// The values that take part, copied only where something has to be left out.
fn present<'v, T: Value>(
    sample: Sample<'v, T>,
    nan: NanPolicy,
    buffer: &'v mut Vec<T>,
) -> Result<(&'v [T], Side), StatsError> {
    let argument = "current";
    if sample.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    let side = sample.account(argument, nan)?;
    if side.missing == 0 {
        return Ok((sample.values(), side));
    }
    buffer.clear();
    buffer.extend(sample.iter().filter(|value| !value.is_nan()));
    Ok((buffer, side))
}
