//! Everything that a fake remembers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mlops_core::time::{Clock, Timestamp};

use super::faults::Faults;
use super::operation::Operations;
use super::provider::Registration;
use super::schema::Schemas;
use super::store::Store;

/// What the fake remembers.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) operations: Operations,
    pub(super) operations_begun: u64,
    /// How often somebody was turned away because of another operation.
    pub(super) turned_away: u64,
    pub(super) faults: Arc<Faults>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) schemas: Option<Arc<Schemas>>,
    /// Every request.
    pub(super) requests: Vec<String>,
    /// Every body that was refused, and why.
    pub(super) refused: Vec<String>,
    /// How many items a page of a list has.
    pub(super) page: usize,
    /// Reads, writes and deletes so far.
    pub(super) counts: [u64; 3],
    /// Providers that are not registered.
    pub(super) unregistered: BTreeMap<String, Registration>,
    /// Ids of requests that were refused because of them: the same id gets the same answer.
    pub(super) remembered: HashSet<String>,
}

impl State {
    pub(super) fn new(faults: Arc<Faults>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store: Store::default(),
            operations: Operations::default(),
            operations_begun: 0,
            turned_away: 0,
            faults,
            clock,
            schemas: None,
            requests: Vec::new(),
            refused: Vec::new(),
            page: 5,
            counts: [0; 3],
            unregistered: BTreeMap::new(),
            remembered: HashSet::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn looks(&self) -> Option<u32> {
        self.faults.looks()
    }

    pub(super) fn take_failure(&self, key: &str) -> Option<(String, String)> {
        self.faults.take_failure(key)
    }
}

/// A GUID that says what it is of: the kind in its first digits, the number in its last.
pub(super) fn guid(kind: u32, number: u64) -> String {
    format!("{kind:08x}-0000-4000-8000-{:012x}", number & 0xffff_ffff_ffff)
}
