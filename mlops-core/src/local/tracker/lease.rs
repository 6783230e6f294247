//! Leases: until when a run counts as alive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;

use crate::time::{Clock, Timestamp, lock};

/// The leases that this store handle gave, measured by the clock's monotonic time.
///
/// The database has a lease's end by the wall clock, which is all that other processes can go by. Who gave the lease knows its
/// end by the monotonic clock too, and that one counts here: a wall clock that is set neither kills a run nor keeps one alive.
pub(crate) struct Leases {
    clock: Arc<dyn Clock>,
    /// By run: the end that was written, and when it is by the monotonic clock.
    given: Mutex<HashMap<i64, (i64, Duration)>>,
}

impl Leases {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, given: Mutex::default() }
    }

    /// Whether the lease that ends at `until`, by the database, is over.
    pub(crate) fn is_over(&self, run: i64, until: i64) -> bool {
        match lock(&self.given).get(&run) {
            Some((written, end)) if *written == until => self.clock.monotonic() >= *end,
            // Somebody else gave it.
            _ => self.clock.now().timestamp_micros() >= until,
        }
    }

    /// Gives a lease, and says what to write for its end.
    pub(crate) fn give(&self, run: i64, lease: Duration) -> i64 {
        let span = TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
        let until = self.clock.now().checked_add_signed(span).unwrap_or(Timestamp::MAX_UTC);
        let until = until.timestamp_micros();
        lock(&self.given).insert(run, (until, self.clock.monotonic().saturating_add(lease)));
        until
    }

    pub(crate) fn forget(&self, run: i64) {
        lock(&self.given).remove(&run);
    }
}
