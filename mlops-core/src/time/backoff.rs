//! Waiting longer each time.

use std::time::Duration;

/// How long to wait after each of several failures in a row: the n-th wait is at most `base` · 2ⁿ⁻¹, and at most `longest`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The longest first wait.
    pub(crate) base: Duration,
    /// The longest wait of all.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The most that is waited after the n-th failure, counted from 1.
    pub(crate) fn most(self, n: u32) -> Duration {
        const SECOND: u128 = 1_000_000_000;
        let factor = 1_u128.checked_shl(n.saturating_sub(1)).unwrap_or(u128::MAX);
        let nanos = self.base.as_nanos().saturating_mul(factor);
        let (seconds, rest) = (u64::try_from(nanos / SECOND), u32::try_from(nanos % SECOND));
        let whole = seconds.map_or(Duration::MAX, |seconds| Duration::new(seconds, rest.unwrap_or_default()));
        whole.min(self.longest)
    }

    /// The wait after the n-th failure: between (1 − `jitter`) of and all of the [most](Self::most), by what was `drawn` evenly from
    /// [0, 1).
    ///
    /// What lies outside of [0, 1] counts as what is next to it, and a NaN as 0.
    pub(crate) fn wait(self, n: u32, jitter: f64, drawn: f64) -> Duration {
        let most = self.most(n);
        let share = |of: f64| if of.is_nan() { 0.0 } else { of.clamp(0.0, 1.0) };
        let off = share(jitter) * share(drawn);
        // Rounded to f64 the longest duration there is lies beyond itself.
        Duration::try_from_secs_f64(most.as_secs_f64() * (1.0 - off)).map_or(most, |wait| wait.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { base: MS(100), longest: MS(350) };
        for (n, most) in [(0, 100), (1, 100), (2, 200), (3, 350), (4, 350), (33, 350), (u32::MAX, 350)] {
            assert_eq!(backoff.most(n), MS(most), "{n}");
            assert_eq!(backoff.wait(n, 0.0, 0.9), MS(most), "{n}");
            assert_eq!(backoff.wait(n, 0.5, 0.0), MS(most), "{n}");
            assert_eq!(backoff.wait(n, 0.5, 1.0), MS(most) / 2, "{n}");
            assert_eq!(backoff.wait(n, 1.0, 1.0), Duration::ZERO, "{n}");
        }
        let endless = Backoff { base: Duration::from_nanos(1), longest: Duration::MAX };
        assert_eq!(endless.most(32), Duration::from_nanos(1 << 31));
        assert_eq!(endless.most(41), Duration::from_nanos(1 << 40));
        assert_eq!(endless.most(95), Duration::MAX);
    }

    #[test]
    fn no_setting_panics_or_waits_longer_than_the_longest() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 0.5, 1.0 - f64::EPSILON, 1.0, 7.0];
        let durations = [Duration::ZERO, Duration::from_nanos(1), MS(100), Duration::MAX];
        for (base, longest) in durations.into_iter().flat_map(|a| durations.map(|b| (a, b))) {
            for (jitter, drawn) in odd.into_iter().flat_map(|a| odd.map(|b| (a, b))) {
                for n in [0, 1, 2, 31, 32, 33, 64, u32::MAX] {
                    let wait = Backoff { base, longest }.wait(n, jitter, drawn);
                    assert!(wait <= longest, "{base:?} {longest:?} {jitter} {drawn} {n}: {wait:?}");
                }
            }
        }
    }
}
