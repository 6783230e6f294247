//! The suite of [`LoopJournal`].

use std::sync::Arc;

use super::support::{RACERS, TEXTS, actor, at, fault, race};
use crate::error::{Error, ErrorKind};
use crate::hash::Digest;
use crate::id::{Alias, EndpointName, IdempotencyKey, ModelName, Version};
use crate::problem::Direction;
use crate::retrain::TriggerState;
use crate::retrain::closed_loop::{
    LoopConfig, LoopEffect, LoopEntry, LoopEvent, LoopJournal, LoopPhase, LoopStanding, LoopState, step,
};
use crate::retrain::gates::{CauseKind, CauseLevel, GateInput, RetrainCause};

/// Makes a test of every case of the [`LoopJournal`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`LoopJournalUnderTest`](crate::conformance::loop_journal::LoopJournalUnderTest). See [the module](crate::conformance) for a
/// whole example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::loop_journal::LoopJournalUnderTest;
/// use mlops_core::retrain::closed_loop::VecLoopJournal;
///
/// mlops_core::loop_journal_suite!(in_memory, LoopJournalUnderTest::new(Arc::new(VecLoopJournal::default())));
/// ```
#[macro_export]
macro_rules! loop_journal_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, loop_journal, [
            an_entry_and_its_state_come_back,
            entries_follow_one_another,
            an_entry_that_was_made_otherwise_is_a_conflict,
            the_last_entry_again_changes_nothing,
            the_last_state_stands,
            an_unknown_loop_stands_nowhere,
            loops_are_kept_apart,
            entries_are_paged,
            of_many_drivers_one_wins,
        ] }
    };
}

/// A journal that has nothing written down.
#[derive(Debug)]
pub struct LoopJournalUnderTest {
    journal: Arc<dyn LoopJournal>,
}

impl LoopJournalUnderTest {
    /// A journal that has nothing written down.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::loop_journal::LoopJournalUnderTest;
    /// use mlops_core::retrain::closed_loop::VecLoopJournal;
    /// let under_test = LoopJournalUnderTest::new(Arc::new(VecLoopJournal::default()));
    /// assert!(format!("{under_test:?}").contains("VecLoopJournal"));
    /// ```
    pub fn new(journal: Arc<dyn LoopJournal>) -> Self {
        Self { journal }
    }

    async fn append(&self, entry: &LoopEntry, state: &LoopState) {
        self.journal.append(entry, state).await.unwrap();
    }

    /// Writes down the first entries of a loop.
    async fn write(&self, id: &str, entries: u64) -> Vec<LoopEntry> {
        let written: Vec<_> = (1..=entries).map(|sequence| entry(sequence, "")).collect();
        for entry in &written {
            self.append(entry, &state(id, entry.sequence)).await;
        }
        written
    }

    async fn refused(&self, entry: &LoopEntry, state: &LoopState) -> Error {
        fault(self.journal.append(entry, state).await)
    }

    async fn entries(&self, id: &str) -> Vec<LoopEntry> {
        self.journal.entries(&key(id), 0, 1_000).await.unwrap()
    }

    async fn standing(&self, id: &str) -> Option<LoopStanding> {
        self.journal.standing(&key(id)).await.unwrap()
    }
}

fn key(id: &str) -> IdempotencyKey {
    IdempotencyKey::new(id).unwrap()
}

/// The state after so many cycles.
fn state(id: &str, cycle: u64) -> LoopState {
    let (model, alias) = (ModelName::new("diabetes").unwrap(), Alias::new("champion").unwrap());
    let config = LoopConfig::new(model, alias, EndpointName::new("diabetes").unwrap(), actor());
    let mut state = LoopState::new(config, None).with_id(key(id));
    state.cycle = cycle;
    state
}

/// An entry with this number, about a reason that was held back.
fn entry(sequence: u64, reason: &str) -> LoopEntry {
    let event = LoopEvent::HeldBack(reason.to_owned());
    let effects = vec![LoopEffect::Suppressed(reason.to_owned())];
    LoopEntry::new(sequence, at("2026-01-01T00:00:00.000001Z"), event, None, effects)
}

/// Events, phases, effects and states come back as they were: every text, every number, what is not there.
pub async fn an_entry_and_its_state_come_back(under: &LoopJournalUnderTest) {
    let mut written = Vec::new();
    let mut standing = state("one", 0);
    for (text, sequence) in TEXTS.iter().zip(1..) {
        let mut next = entry(sequence, text);
        next.at = at("1969-12-31T23:59:59.999999Z");
        let (version, until, reason) = (Version::FIRST, next.at, (*text).to_owned());
        next.phase = Some(match sequence % 3 {
            0 => LoopPhase::GateFailed { reason },
            1 => LoopPhase::Superseded { version, reason },
            _ => LoopPhase::Expired { version, until },
        });
        standing.quarantine.insert(Digest::of(text.as_bytes()));
        let memory = TriggerState {
            seen_events: vec![(String::new(), (*text).to_owned())],
            ..TriggerState::default()
        };
        standing.triggers.insert((*text).to_owned(), memory);
        under.append(&next, &standing).await;
        written.push(next);
    }
    // What the rules make of a reason with numbers that are easily rounded.
    let level = CauseLevel::new("inputs", 0.1 + 0.2, 5e-324, Direction::LowerIsBetter);
    let cause = RetrainCause::new(CauseKind::Drift, TEXTS.concat(), "1", TEXTS.concat());
    let event = LoopEvent::Signalled(GateInput::Cause(cause.with_level(level).with_cost(1.0 / 3.0)));
    let now = at("2026-01-01T00:00:00Z");
    let (next, effects) = step(&standing, &event, now).unwrap();
    let sequence = written.len() as u64 + 1;
    let last = LoopEntry::new(sequence, now, event, Some(next.phase.clone()), effects);
    assert_eq!(last.records().count(), 1);
    under.append(&last, &next).await;
    written.push(last);
    assert_eq!(under.entries("one").await, written);
    assert_eq!(under.standing("one").await, Some(LoopStanding::new(sequence, next)));
}

/// After entry n comes entry n + 1; a gap, a step back and a beginning in the middle are refused and leave nothing.
pub async fn entries_follow_one_another(under: &LoopJournalUnderTest) {
    for number in [0, 2, u64::MAX] {
        let error = under.refused(&entry(number, ""), &state("one", 9)).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "entry {number} first");
        assert_eq!(under.standing("one").await, None);
    }
    let written = under.write("one", 3).await;
    for number in [0, 1, 2, 5, u64::MAX] {
        let error = under.refused(&entry(number, ""), &state("one", 9)).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "entry {number} after 3");
        assert_eq!(error.context("expected"), Some("4"), "{error}");
        assert_eq!(under.entries("one").await, written);
        assert_eq!(under.standing("one").await, Some(LoopStanding::new(3, state("one", 3))));
    }
    under.append(&entry(4, ""), &state("one", 4)).await;
}

/// Another entry under the number of the last one, or another state after it: somebody else drives the loop too.
pub async fn an_entry_that_was_made_otherwise_is_a_conflict(under: &LoopJournalUnderTest) {
    let written = under.write("one", 3).await;
    let mut later = entry(3, "");
    later.at = at("2026-01-01T00:00:00.000002Z");
    for (other, after) in
        [(entry(3, "another"), state("one", 3)), (later, state("one", 3)), (entry(3, ""), state("one", 7))]
    {
        assert_eq!(under.refused(&other, &after).await.kind(), ErrorKind::Conflict, "{other:?}");
        assert_eq!(under.entries("one").await, written);
        assert_eq!(under.standing("one").await, Some(LoopStanding::new(3, state("one", 3))));
    }
}

/// The last entry again is the last entry: a loop whose answer was lost asks once more.
pub async fn the_last_entry_again_changes_nothing(under: &LoopJournalUnderTest) {
    for number in 1..=3 {
        for _ in 0..3 {
            under.append(&entry(number, ""), &state("one", number)).await;
        }
        assert_eq!(under.entries("one").await.len() as u64, number);
    }
}

/// Where a loop stands is what the last entry led to.
pub async fn the_last_state_stands(under: &LoopJournalUnderTest) {
    for number in 1..=5 {
        under.append(&entry(number, ""), &state("one", 10 * number)).await;
        assert_eq!(under.standing("one").await, Some(LoopStanding::new(number, state("one", 10 * number))));
    }
}

/// A loop that nobody wrote about has neither entries nor a state, and that is no error.
pub async fn an_unknown_loop_stands_nowhere(under: &LoopJournalUnderTest) {
    assert_eq!((under.standing("one").await, under.entries("one").await), (None, Vec::new()));
    under.write("one", 2).await;
    assert_eq!((under.standing("another").await, under.entries("another").await), (None, Vec::new()));
}

/// Each loop counts its own entries.
pub async fn loops_are_kept_apart(under: &LoopJournalUnderTest) {
    let longer = under.write("one", 5).await;
    let shorter = under.write("other", 2).await;
    assert_eq!((under.entries("one").await, under.entries("other").await), (longer, shorter));
    let error = under.refused(&entry(6, ""), &state("other", 6)).await;
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(under.standing("one").await, Some(LoopStanding::new(5, state("one", 5))));
}

/// Entries come in order, after the one that was asked for, and no more of them.
pub async fn entries_are_paged(under: &LoopJournalUnderTest) {
    let written = under.write("one", 23).await;
    for (after, limit, expected) in [
        (0, 5, &written[..5]),
        (5, 5, &written[5..10]),
        (20, 5, &written[20..]),
        (0, usize::MAX, &written[..]),
        (0, 0, &[][..]),
        (23, 5, &[][..]),
        (u64::MAX, 5, &[][..]),
    ] {
        let found = under.journal.entries(&key("one"), after, limit).await.unwrap();
        assert_eq!(found, expected, "{limit} after {after}");
    }
}

/// Of many that write the next entry at once one does, and what it wrote is what there is.
pub async fn of_many_drivers_one_wins(under: &LoopJournalUnderTest) {
    for sequence in 1..=3 {
        let answers = race(RACERS, |driver| {
            let journal = under.journal.clone();
            let (entry, state) = (entry(sequence, &format!("driver {driver}")), state("one", driver as u64));
            async move { journal.append(&entry, &state).await.map(|()| (entry, state)) }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
        assert!(lost.into_iter().all(|answer| fault(answer).kind() == ErrorKind::Conflict));
        let (entry, state) = won.into_iter().next().unwrap().unwrap();
        assert_eq!(under.entries("one").await.pop(), Some(entry));
        assert_eq!(under.standing("one").await, Some(LoopStanding::new(sequence, state)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrain::closed_loop::VecLoopJournal;

    fn fresh(wrap: impl FnOnce(VecLoopJournal) -> Arc<dyn LoopJournal>) -> LoopJournalUnderTest {
        LoopJournalUnderTest::new(wrap(VecLoopJournal::default()))
    }

    crate::loop_journal_suite!(plain, fresh(|journal| Arc::new(journal)));
    crate::loop_journal_suite!(
        in_an_arc,
        fresh(|journal| Arc::new(Arc::new(journal) as Arc<dyn LoopJournal>))
    );
    crate::loop_journal_suite!(
        in_a_box,
        fresh(|journal| Arc::new(Box::new(journal) as Box<dyn LoopJournal>))
    );
}
