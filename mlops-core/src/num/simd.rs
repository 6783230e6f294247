//! One source, several instruction sets: which one runs is decided when the program runs.
//!
//! A [`Kernel`] is a loop written in plain Rust. [`run`] compiles it for AVX-512, for AVX2 and for whatever the build targets
//! (on AArch64 that includes NEON, which every such machine has), and picks the widest the machine has. All of them are the
//! same arithmetic in the same order on the same types, without contraction into fused operations, so they agree bit for bit;
//! [`run_at`] is there for the tests that say so.
//!
//! ```
//! use mlops_core::num::simd::{Kernel, Level, run, run_at};
//!
//! struct Above<'a>(&'a [f64], f64);
//!
//! impl Kernel for Above<'_> {
//!     type Output = usize;
//!
//!     #[inline(always)]
//!     fn run(self) -> usize {
//!         self.0.iter().filter(|value| **value > self.1).count()
//!     }
//! }
//!
//! let values = [0.5, 1.5, 2.5];
//! assert_eq!(run(Above(&values, 1.0)), 2);
//! assert!(Level::all().all(|level| run_at(level, Above(&values, 1.0)) == 2));
//! ```
#![allow(
    unsafe_code,
    reason = "calling a function compiled for more than the build targets is unsafe by nature"
)]

/// A loop worth compiling for wider registers. `run` must be `#[inline(always)]`: it takes on the instruction set of the
/// function it is inlined into.
pub trait Kernel {
    /// What it computes.
    type Output;

    /// The loop.
    fn run(self) -> Self::Output;
}

/// An instruction set that a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What the build targets: SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// 256-bit registers.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit registers with masks.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The widest that this machine has. The answer is cached by the standard library.
    #[cfg(target_arch = "x86_64")]
    fn best() -> Self {
        if Self::Avx512.available() {
            Self::Avx512
        } else if Self::Avx2.available() {
            Self::Avx2
        } else {
            Self::Baseline
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn best() -> Self {
        Self::Baseline
    }

    /// Whether this machine has it.
    fn available(self) -> bool {
        match self {
            Self::Baseline => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    /// All that this machine has.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let levels = [Self::Baseline, Self::Avx2, Self::Avx512];
        #[cfg(not(target_arch = "x86_64"))]
        let levels = [Self::Baseline];
        levels.into_iter().filter(|level| level.available())
    }
}

/// Runs a kernel on the widest instruction set that this machine has.
#[inline]
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    run_at(Level::best(), kernel)
}

/// Runs a kernel on a given instruction set, or on the baseline where the machine does not have it.
#[inline]
pub fn run_at<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level {
        // SAFETY: the features that `avx512` is compiled for have just been found on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if level.available() => unsafe { avx512(kernel) },
        // SAFETY: the features that `avx2` is compiled for have just been found on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 if level.available() => unsafe { avx2(kernel) },
        _ => kernel.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count<'a>(&'a [f64]);

    impl Kernel for Count<'_> {
        type Output = usize;

        #[inline(always)]
        fn run(self) -> usize {
            self.0.iter().filter(|value| **value >= 0.5).count()
        }
    }

    #[test]
    fn every_level_gives_the_same_answer() {
        let values: Vec<f64> = (0..1001).map(|i| f64::from(i) / 1000.0).collect();
        assert!(Level::all().count() >= 1 && Level::all().any(|level| level == Level::best()));
        for level in Level::all() {
            assert_eq!(run_at(level, Count(&values)), 501, "{level:?}");
        }
        assert_eq!(run(Count(&values)), 501);
    }
}
