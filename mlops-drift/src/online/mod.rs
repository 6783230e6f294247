//! Streaming: one value at a time, constant memory, an alarm when the stream has changed.
//!
//! | detector | watches | values | warns | source |
//! |---|---|---|---|---|
//! | [`Adwin`] | the mean, in a window that adapts | any | | Bifet, Gavaldà 2007 |
//! | [`PageHinkley`] | the mean, against its running mean | any | | Page 1954 |
//! | [`Cusum`] | the mean, against a target | any | | Page 1954 |
//! | [`Ewma`] | the mean, against a target | any | | Roberts 1959 |
//! | [`Kswin`] | the distribution | any | | Raab, Heusinger, Schleif 2020 |
//! | [`Ddm`] | the error rate | 0 or 1 | yes | Gama, Medas, Castillo, Rodrigues 2004 |
//! | [`Eddm`] | the distance between errors | 0 or 1 | yes | Baena-García et al. 2006 |
//! | [`HddmA`] | the mean, by Hoeffding's inequality | 0 … 1 | yes | Frías-Blanco et al. 2015 |
//! | [`HddmW`] | the weighted mean, by McDiarmid's inequality | 0 … 1 | yes | Frías-Blanco et al. 2015 |
//! | [`Fhddm`] | the error rate in a sliding window | 0 or 1 | | Pesaranghader, Viktor 2016 |
//!
//! In streams of errors 1 stands for a wrong prediction and 0 for a right one, in every detector.
//!
//! # Contract
//! - [`OnlineDetector::update`] takes one value, allocates nothing, and answers with the [`OnlineState`] after it.
//! - A value that is not finite, or outside the detector's range, is a [`StatsError`] and leaves the detector as it was.
//! - After [`OnlineState::Drift`] the next value starts afresh, as each detector documents.
//! - Memory is fixed at construction. No detector keeps more than its window.
//! - Detectors are serialisable; one that was written and read back goes on bit for bit as if it had never stopped. A state of
//!   another version, or one that contradicts itself, is refused.
//!
//! # How often it cries wolf
//! A threshold such as "λ = 50" means something else for every column. What a user can say is how many values should pass
//! between two false alarms: the *average run length*. Each detector has a constructor `for_run_length`, which finds the
//! threshold: by the Markov chain of Brook and Evans for [`Cusum`], [`Ewma`] and [`PageHinkley`], by seeded simulation for the
//! others (see [`run_length`]). Where the scale of values matters they are standardised by [`Standard`], fitted on a reference.
//!
//! ```
//! use mlops_core::num::Random;
//! use mlops_drift::online::{Cusum, OnlineDetector, OnlineState};
//!
//! // Latencies of a healthy service: skewed, in milliseconds.
//! let mut random = Random::new(1);
//! let mut latency = || -20.0 * (1.0 - random.next_f64()).ln();
//! let reference: Vec<f64> = (0..2000).map(|_| latency()).collect();
//!
//! // One false alarm in ten thousand requests; a shift of one standard deviation should be seen as early as possible.
//! let mut detector = Cusum::for_run_length(10_000.0, 1.0, &reference)?;
//! let mut late = (0..).map(|_| latency() + 20.0);
//! let delay = late.position(|value| matches!(detector.update(value), Ok(OnlineState::Drift)));
//! assert!(delay.is_some_and(|requests| requests < 60));
//! # Ok::<(), mlops_core::num::StatsError>(())
//! ```

mod adwin;
mod any;
mod check;
mod cusum;
mod ddm;
mod eddm;
mod ewma;
mod fhddm;
mod hddm_a;
mod hddm_w;
mod kswin;
mod page_hinkley;
pub mod run_length;
mod standard;
mod tree;

use std::fmt::Debug;

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

pub use self::adwin::{Adwin, AdwinOptions};
pub use self::any::AnyOnlineDetector;
pub use self::cusum::{Cusum, CusumOptions};
pub use self::ddm::{Ddm, DdmOptions};
pub use self::eddm::{Eddm, EddmOptions};
pub use self::ewma::{Ewma, EwmaOptions};
pub use self::fhddm::{Fhddm, FhddmOptions};
pub use self::hddm_a::{HddmA, HddmAOptions};
pub use self::hddm_w::{HddmW, HddmWOptions};
pub use self::kswin::{Kswin, KswinOptions};
pub use self::page_hinkley::{PageHinkley, PageHinkleyOptions};
pub use self::standard::Standard;

/// What a detector says after a value.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnlineState {
    /// Nothing points to a change, or there are too few values yet.
    #[default]
    Stable,
    /// A change may be coming: the moment to collect data for a retraining.
    Warning,
    /// The stream has changed. The next value starts afresh.
    Drift,
}

impl OnlineState {
    /// Whether this is [`OnlineState::Drift`].
    ///
    /// ```
    /// assert!(!mlops_drift::online::OnlineState::Warning.is_drift());
    /// ```
    pub const fn is_drift(self) -> bool {
        matches!(self, Self::Drift)
    }

    /// Drift when the first holds, else a warning when the second does.
    const fn of(drift: bool, warning: bool) -> Self {
        match (drift, warning) {
            (true, _) => Self::Drift,
            (false, true) => Self::Warning,
            (false, false) => Self::Stable,
        }
    }
}

/// Which changes of a level are alarms.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Increases.
    Up,
    /// Decreases.
    Down,
    /// Both. The default.
    #[default]
    Both,
}

impl Direction {
    /// Whether an increase, and whether a decrease, is an alarm.
    const fn sides(self) -> (bool, bool) {
        (!matches!(self, Self::Down), !matches!(self, Self::Up))
    }
}

/// A detector that takes a stream value by value; see the [module](self) for the contract.
///
/// ```
/// use mlops_drift::online::{Ddm, OnlineDetector, OnlineState, PageHinkley};
///
/// let mut detectors: Vec<Box<dyn OnlineDetector>> = vec![Box::<Ddm>::default(), Box::<PageHinkley>::default()];
/// for detector in &mut detectors {
///     assert_eq!(detector.update(1.0)?, OnlineState::Stable);
///     assert!(detector.update(f64::NAN).is_err());
///     assert_eq!(detector.seen(), 1);
/// }
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub trait OnlineDetector: Debug + Send + Sync {
    /// Takes the next value.
    ///
    /// # Errors
    /// [`StatsError::NotFinite`], [`StatsError::OutOfRange`] or [`StatsError::Parameter`] for a value the detector does not
    /// take, with the number of values taken before as its index. The detector is as it was.
    fn update(&mut self, value: f64) -> Result<OnlineState, StatsError>;

    /// What the last value led to; stable before the first.
    fn state(&self) -> OnlineState;

    /// How many values were taken since construction or [`OnlineDetector::reset`], over all alarms.
    fn seen(&self) -> u64;

    /// As it was when constructed, with the same options.
    fn reset(&mut self);

    /// The id of the definition, with its version: `adwin/1`.
    fn definition(&self) -> &'static str;
}

const _: Option<&dyn OnlineDetector> = None;
