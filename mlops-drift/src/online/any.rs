//! Any of the detectors, for those who keep many of different kinds.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::{
    Adwin, Cusum, Ddm, Eddm, Ewma, Fhddm, HddmA, HddmW, Kswin, OnlineDetector, OnlineState, PageHinkley,
};

macro_rules! any {
    ($($(#[$doc:meta])* $kind:ident),* $(,)?) => {
        /// Any of the detectors of this module, as one serialisable type.
        ///
        /// ```
        /// use mlops_drift::online::{AnyOnlineDetector, Cusum, Kswin, OnlineDetector};
        ///
        /// let mut watched: Vec<AnyOnlineDetector> = vec![Cusum::default().into(), Kswin::default().into()];
        /// for detector in &mut watched {
        ///     detector.update(0.5)?;
        /// }
        /// let text = serde_json::to_string(&watched)?;
        /// assert_eq!(serde_json::from_str::<Vec<AnyOnlineDetector>>(&text)?, watched);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[non_exhaustive]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum AnyOnlineDetector {
            $($(#[$doc])* $kind($kind),)*
        }

        $(impl From<$kind> for AnyOnlineDetector {
            fn from(detector: $kind) -> Self {
                Self::$kind(detector)
            }
        })*

        impl OnlineDetector for AnyOnlineDetector {
            fn update(&mut self, value: f64) -> Result<OnlineState, StatsError> {
                match self { $(Self::$kind(detector) => detector.update(value),)* }
            }

            fn state(&self) -> OnlineState {
                match self { $(Self::$kind(detector) => detector.state(),)* }
            }

            fn seen(&self) -> u64 {
                match self { $(Self::$kind(detector) => detector.seen(),)* }
            }

            fn reset(&mut self) {
                match self { $(Self::$kind(detector) => detector.reset(),)* }
            }

            fn definition(&self) -> &'static str {
                match self { $(Self::$kind(detector) => detector.definition(),)* }
            }
        }
    };
}

any! {
    /// Adaptive windowing.
    Adwin,
    /// The Page–Hinkley test.
    PageHinkley,
    /// The cumulative sum chart.
    Cusum,
    /// The EWMA control chart.
    Ewma,
    /// Kolmogorov–Smirnov windowing.
    Kswin,
    /// The drift detection method.
    Ddm,
    /// The early drift detection method.
    Eddm,
    /// HDDM, A-test.
    HddmA,
    /// HDDM, W-test.
    HddmW,
    /// The fast Hoeffding drift detection method.
    Fhddm,
}
