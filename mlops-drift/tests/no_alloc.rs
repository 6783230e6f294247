//! One check of a fitted reference allocates nothing: a counting allocator says so. A binary of its own, with one test, because the
//! allocator counts for the whole process.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use mlops_drift::{
    BinRule, Bins, KsMethod, KsOptions, LogBase, Smoothing, SortedReference, WassersteinOptions,
    js_from_counts, psi_from_counts,
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, so from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as for `dealloc`, and the caller's promises about `size` are those that `System` asks for.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// How often `work` allocates.
fn allocations<R>(work: impl FnOnce() -> R) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    black_box(work());
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn wave(n: u32, by: f64) -> Vec<f64> {
    (0..n).map(|i| (f64::from(i) * 0.618_033_988_749_894_9 + by).fract() * 8.0 - 4.0).collect()
}

#[test]
fn a_check_of_something_fitted_allocates_nothing() {
    assert!(allocations(|| vec![1u8; 100]) > 0, "the allocator counts");
    let (reference, holed) = (wave(100_000, 0.0), {
        let mut holed = wave(50_000, 0.4);
        holed[7] = f64::NAN;
        holed
    });
    let asymptotic =
        KsOptions::default().with_method(KsMethod::Asymptotic).with_nan(mlops_core::num::NanPolicy::Omit);
    let distance = WassersteinOptions::default().with_nan(mlops_core::num::NanPolicy::Omit);
    for k in [5, 10, 64, 200] {
        let bins = Bins::fit(&reference, BinRule::Quantile(k)).unwrap();
        let (before, mut after) = (bins.count(&reference), bins.count(&holed[..0]));
        let count = allocations(|| {
            bins.count_into(&mut after, &holed).unwrap();
            let psi = psi_from_counts(before.as_slice(), after.as_slice(), Smoothing::default()).unwrap();
            let js = js_from_counts(before.as_slice(), after.as_slice(), LogBase::Two).unwrap();
            (psi, js)
        });
        assert_eq!(count, 0, "{k} cells");
    }
    let fitted = SortedReference::fit(&reference).unwrap();
    let mut workspace = fitted.workspace(holed.len());
    let rounded: Vec<f64> = holed.iter().map(|value| (value * 4.0).round()).collect();
    for (name, current) in
        [("plain", &holed[8..]), ("holed", &holed[..]), ("few", &holed[..100]), ("tied", &rounded[..])]
    {
        let count = allocations(|| fitted.ks(current, &asymptotic, &mut workspace).unwrap());
        assert_eq!(count, 0, "KS, {name}");
        let count = allocations(|| fitted.wasserstein(current, &distance, &mut workspace).unwrap());
        assert_eq!(count, 0, "Wasserstein, {name}");
    }
}
