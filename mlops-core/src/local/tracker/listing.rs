//! What searches found, for the pages that come after the first.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

/// Which runs the latest searches found, in their order.
pub(crate) struct Listings {
    /// Tells the listings of this handle from those of others.
    pub(crate) handle: Uuid,
    made: u64,
    kept: VecDeque<(u64, Arc<[i64]>)>,
    /// How many runs the kept ones have.
    runs: usize,
}

impl Default for Listings {
    fn default() -> Self {
        Self { handle: Uuid::new_v4(), made: 0, kept: VecDeque::new(), runs: 0 }
    }
}

impl Listings {
    /// How many are kept.
    pub(crate) const MOST: usize = 256;
    /// How many runs they may have together, the latest aside: 64 MiB.
    const MOST_RUNS: usize = 8 << 20;

    /// Remembers what a search found.
    pub(crate) fn keep(&mut self, found: Arc<[i64]>) -> u64 {
        self.made += 1;
        self.runs += found.len();
        self.kept.push_back((self.made, found));
        while self.kept.len() > 1 && (self.kept.len() > Self::MOST || self.runs > Self::MOST_RUNS) {
            if let Some((_, oldest)) = self.kept.pop_front() {
                self.runs -= oldest.len();
            }
        }
        self.made
    }

    pub(crate) fn find(&self, number: u64) -> Option<Arc<[i64]>> {
        self.kept.iter().find(|(n, _)| *n == number).map(|(_, found)| found.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut listings = Listings::default();
        let first = listings.keep([1].into());
        assert_eq!(listings.find(first).as_deref(), Some(&[1][..]));
        for _ in 0..Listings::MOST {
            listings.keep([2].into());
        }
        assert_eq!((listings.find(first), listings.runs), (None, Listings::MOST));
        let large = listings.keep(vec![0; Listings::MOST_RUNS + 1].into());
        assert!(listings.find(large).is_some() && listings.kept.len() == 1);
    }
}
