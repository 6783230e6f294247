//! Work on several threads that gives the same bits as on one.
//!
//! Rows are cut into pieces of a fixed size, whatever the number of threads; every piece is worked on alone, and the results
//! are handed back in the order of the pieces. What is made of them in that order is the same on every machine.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};

/// Rows of a piece: enough to make a thread's start cheap, few enough that the columns of a piece stay in the cache.
pub const PIECE: usize = 65_536;

/// How many threads may work. One unless more are asked for: a library does not take a machine by itself.
///
/// ```
/// use mlops_core::num::parallel::Threads;
/// assert_eq!(Threads::default(), Threads::ONE);
/// assert!(Threads::available().get() >= 1);
/// assert_eq!(Threads::new(0), Threads::available());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// The caller's own thread.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// So many threads; 0 for as many as the machine has.
    pub fn new(threads: usize) -> Self {
        NonZeroUsize::new(threads).map_or_else(Self::available, Self)
    }

    /// As many as the machine has.
    pub fn available() -> Self {
        Self(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0.get()
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::ONE
    }
}

/// Applies `work` to every piece of `rows` rows and returns the results in the order of the pieces: the same on any number of
/// threads. Pieces have [`PIECE`] rows, the last one what is left; no rows are no piece. A piece that panics makes this panic.
///
/// ```
/// use mlops_core::num::parallel::{Threads, map_pieces};
///
/// let values: Vec<f64> = (0..200_000).map(f64::from).collect();
/// let sums = |threads| map_pieces(values.len(), threads, |rows| values[rows].iter().sum::<f64>());
/// assert_eq!(sums(Threads::ONE).len(), 4);
/// assert_eq!(sums(Threads::ONE), sums(Threads::new(3)));
/// ```
pub fn map_pieces<R: Send>(rows: usize, threads: Threads, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    let pieces = rows.div_ceil(PIECE);
    map(pieces, threads, |piece| work(piece * PIECE..rows.min((piece + 1) * PIECE)))
}

/// Applies `work` to 0, 1, … `count` − 1 and returns the results in that order: the same on any number of threads. Which
/// thread takes which is not fixed, so work that draws numbers draws them from a stream of its own
/// ([`Random::nth`](super::Random::nth)). Work that panics makes this panic.
///
/// ```
/// use mlops_core::num::parallel::{Threads, map};
/// assert_eq!(map(4, Threads::new(2), |i| i * i), [0, 1, 4, 9]);
/// ```
pub fn map<R: Send>(count: usize, threads: Threads, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let threads = threads.get().min(count);
    if threads <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return done;
            }
            done.push((index, work(index)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let mut done = take();
        for other in others {
            match other.join() {
                Ok(theirs) => done.extend(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_row_once_and_in_order() {
        for rows in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7] {
            for threads in [1, 2, 7] {
                let pieces = map_pieces(rows, Threads::new(threads), |rows| rows);
                let mut next = 0;
                for piece in pieces {
                    assert_eq!(piece.start, next);
                    assert!(piece.len() <= PIECE && !piece.is_empty());
                    next = piece.end;
                }
                assert_eq!(next, rows);
            }
        }
    }

    #[test]
    #[should_panic(expected = "piece 3")]
    fn a_panic_is_passed_on() {
        map(8, Threads::new(2), |i| assert!(i != 3, "piece {i}"));
    }
}
