//! The suite of [`RolloutJournal`].

use std::sync::Arc;
use std::time::Duration;

use super::support::{RACERS, TEXTS, actor, at, fault, race};
use crate::deploy::rollout::{
    Cause, Effect, Event, GuardEvidence, GuardVerdict, JournalEntry, Judgement, LabelledPerformance,
    ObservedTraffic, Phase, RolloutJournal, RolloutOptions, RolloutPlan, RolloutState,
};
use crate::deploy::{OperationStats, TrafficChange, TrafficSplit};
use crate::error::{Error, ErrorKind};
use crate::evaluation::Estimate;
use crate::hash::Digest;
use crate::id::{DeploymentName, EndpointName, IdempotencyKey, MetricKey, Percent};
use crate::num::Measured;
use crate::problem::Direction;

/// Makes a test of every case of the [`RolloutJournal`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`JournalUnderTest`](crate::conformance::rollout_journal::JournalUnderTest). See [the module](crate::conformance) for a
/// whole example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::rollout_journal::JournalUnderTest;
/// use mlops_core::deploy::rollout::VecJournal;
///
/// mlops_core::rollout_journal_suite!(in_memory, JournalUnderTest::new(Arc::new(VecJournal::default())));
/// ```
#[macro_export]
macro_rules! rollout_journal_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, rollout_journal, [
            entries_come_back_in_order,
            entries_come_back_as_they_were,
            an_unknown_rollout_has_no_entries,
            entries_follow_one_another,
            an_entry_that_was_made_otherwise_is_a_conflict,
            the_last_entry_again_changes_nothing,
            rollouts_are_kept_apart,
            of_many_drivers_one_wins,
            concurrent_rollouts_do_not_meet,
        ] }
    };
}

/// A journal that has nothing written down.
#[derive(Debug)]
pub struct JournalUnderTest {
    journal: Arc<dyn RolloutJournal>,
}

impl JournalUnderTest {
    /// A journal that has nothing written down.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::rollout_journal::JournalUnderTest;
    /// use mlops_core::deploy::rollout::VecJournal;
    /// let under_test = JournalUnderTest::new(Arc::new(VecJournal::default()));
    /// assert!(format!("{under_test:?}").contains("VecJournal"));
    /// ```
    pub fn new(journal: Arc<dyn RolloutJournal>) -> Self {
        Self { journal }
    }

    async fn append(&self, rollout: &Digest, entry: &JournalEntry) {
        self.journal.append(rollout, entry).await.unwrap();
    }

    /// Writes down the first entries of a rollout.
    async fn write(&self, rollout: &Digest, entries: u64) -> Vec<JournalEntry> {
        let written: Vec<_> = (1..=entries).map(|sequence| entry(sequence, "")).collect();
        for entry in &written {
            self.append(rollout, entry).await;
        }
        written
    }

    async fn refused(&self, rollout: &Digest, entry: &JournalEntry) -> Error {
        fault(self.journal.append(rollout, entry).await)
    }

    async fn entries(&self, rollout: &Digest) -> Vec<JournalEntry> {
        self.journal.entries(rollout).await.unwrap()
    }
}

fn rollout(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn state() -> RolloutState {
    let (endpoint, blue) = (EndpointName::new("diabetes").unwrap(), DeploymentName::new("blue").unwrap());
    let plan = RolloutPlan::first(endpoint, blue, actor(), RolloutOptions::default()).unwrap();
    RolloutState::new(plan.with_key(IdempotencyKey::new("a-rollout").unwrap()))
}

/// An entry with this number, about a pause for this reason.
fn entry(sequence: u64, reason: &str) -> JournalEntry {
    let mut state = state();
    state.epoch = sequence;
    let event = Event::PauseRequested(reason.to_owned());
    JournalEntry::new(sequence, at("2026-01-01T00:00:00.000001Z"), event, state, vec![Effect::ObserveTraffic])
}

/// Everything written down is read in the order in which it was.
pub async fn entries_come_back_in_order(under: &JournalUnderTest) {
    let rollout = rollout("one");
    let written = under.write(&rollout, 30).await;
    assert_eq!(under.entries(&rollout).await, written);
    under.append(&rollout, &entry(31, "one more")).await;
    assert!(under.entries(&rollout).await.iter().map(|entry| entry.sequence).eq(1..=31));
}

/// Events, states and effects come back as they were: every text, every number, what is not there.
pub async fn entries_come_back_as_they_were(under: &JournalUnderTest) {
    let rollout = rollout("one");
    let mut written: Vec<_> = TEXTS.iter().zip(1..).map(|(text, sequence)| entry(sequence, text)).collect();
    let blue = DeploymentName::new("blue").unwrap();
    let change = TrafficChange {
        key: IdempotencyKey::new("a-change").unwrap(),
        endpoint: EndpointName::new("diabetes").unwrap(),
        split: TrafficSplit::all_to(blue.clone()),
        expected: Some(u64::MAX),
        actor: actor(),
    };
    let mut state = state();
    state.phase = Phase::RollingBack { cause: Cause::Guard(TEXTS.concat()) };
    state.observed = Some(ObservedTraffic::new(TrafficSplit::all_to(blue), u64::MAX));
    state.problem = Some(String::new());
    let effects = vec![Effect::SetTraffic { epoch: u64::MAX, change: Box::new(change) }, Effect::Promoted];
    let sequence = written.len() as u64 + 1;
    written.push(JournalEntry::new(sequence, at("1969-12-31T23:59:59.999999Z"), Event::Tick, state, effects));
    written.push(judged(sequence + 1));
    for entry in &written {
        under.append(&rollout, entry).await;
    }
    assert_eq!(under.entries(&rollout).await, written);
}

/// An entry about what guards saw, with numbers that are easily rounded.
fn judged(sequence: u64) -> JournalEntry {
    let score = |value| Estimate::new(Measured::Value(value), Direction::HigherIsBetter, u64::MAX);
    let metric = MetricKey::new("größe").unwrap();
    let performance = LabelledPerformance { metric, candidate: score(0.1 + 0.2), stable: score(5e-324) };
    let stats = OperationStats {
        requests: u64::MAX,
        total_latency: Duration::new(123_456_789, 987_654_321),
        ..OperationStats::default()
    };
    let mut evidence = GuardEvidence::new(Percent::ALL, Some(stats), None).with_performance(performance);
    evidence.elapsed = Duration::from_nanos(1_000_000_007);
    let judgement = Judgement::new(GuardVerdict::Inconclusive, TEXTS.concat());
    let event = Event::GuardJudged { epoch: 7, judgement, evidence: Some(Box::new(evidence)) };
    JournalEntry { event, ..entry(sequence, "") }
}

/// A rollout that nobody wrote about has no entries, and that is no error.
pub async fn an_unknown_rollout_has_no_entries(under: &JournalUnderTest) {
    assert!(under.entries(&rollout("one")).await.is_empty());
    under.write(&rollout("one"), 2).await;
    assert!(under.entries(&rollout("another")).await.is_empty());
}

/// After entry n comes entry n + 1; a gap, a step back and a beginning in the middle are refused and leave nothing.
pub async fn entries_follow_one_another(under: &JournalUnderTest) {
    let rollout = rollout("one");
    for number in [0, 2, u64::MAX] {
        let error = under.refused(&rollout, &entry(number, "")).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "entry {number} first");
        assert!(under.entries(&rollout).await.is_empty());
    }
    let written = under.write(&rollout, 3).await;
    for number in [0, 1, 2, 5, u64::MAX] {
        let error = under.refused(&rollout, &entry(number, "")).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "entry {number} after 3");
        assert_eq!(error.context("expected"), Some("4"), "{error}");
        assert_eq!(under.entries(&rollout).await, written);
    }
    under.append(&rollout, &entry(4, "")).await;
}

/// Another entry under the number of the last one is not the last one: somebody else drives the rollout too.
pub async fn an_entry_that_was_made_otherwise_is_a_conflict(under: &JournalUnderTest) {
    let rollout = rollout("one");
    let written = under.write(&rollout, 3).await;
    let last = &written[2];
    let mut others = vec![entry(3, "another reason")];
    others.push(JournalEntry { at: at("2026-01-01T00:00:00.000002Z"), ..last.clone() });
    others.push(JournalEntry { effects: Vec::new(), ..last.clone() });
    for other in others {
        assert_eq!(under.refused(&rollout, &other).await.kind(), ErrorKind::Conflict, "{other:?}");
        assert_eq!(under.entries(&rollout).await, written);
    }
}

/// The last entry again is the last entry: a driver whose answer was lost asks once more.
pub async fn the_last_entry_again_changes_nothing(under: &JournalUnderTest) {
    let rollout = rollout("one");
    for number in 1..=3 {
        for _ in 0..3 {
            under.append(&rollout, &entry(number, "")).await;
        }
        assert_eq!(under.entries(&rollout).await.len() as u64, number);
    }
}

/// Each rollout counts its own entries.
pub async fn rollouts_are_kept_apart(under: &JournalUnderTest) {
    let (one, other) = (rollout("one"), rollout("other"));
    let longer = under.write(&one, 5).await;
    let shorter = under.write(&other, 2).await;
    assert_eq!((under.entries(&one).await, under.entries(&other).await), (longer, shorter));
    assert_eq!(under.refused(&other, &entry(6, "")).await.kind(), ErrorKind::Conflict);
}

/// Of many that write the next entry at once one does, and what it wrote is what there is.
pub async fn of_many_drivers_one_wins(under: &JournalUnderTest) {
    let rollout = rollout("one");
    for sequence in 1..=3 {
        let answers = race(RACERS, |i| {
            let (journal, entry) = (under.journal.clone(), entry(sequence, &format!("driver {i}")));
            async move { journal.append(&rollout, &entry).await.map(|()| entry) }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
        assert!(lost.into_iter().all(|answer| fault(answer).kind() == ErrorKind::Conflict));
        assert_eq!(under.entries(&rollout).await.pop(), won.into_iter().next().unwrap().ok());
    }
}

/// Rollouts that are written about at once get all of their entries.
pub async fn concurrent_rollouts_do_not_meet(under: &JournalUnderTest) {
    race(RACERS / 4, |i| {
        let journal = under.journal.clone();
        async move {
            for sequence in 1..=5 {
                journal.append(&rollout(&i.to_string()), &entry(sequence, &i.to_string())).await.unwrap();
            }
        }
    })
    .await;
    for i in 0..RACERS / 4 {
        let expected: Vec<_> = (1..=5).map(|sequence| entry(sequence, &i.to_string())).collect();
        assert_eq!(under.entries(&rollout(&i.to_string())).await, expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::rollout::VecJournal;

    fn fresh(wrap: impl FnOnce(VecJournal) -> Arc<dyn RolloutJournal>) -> JournalUnderTest {
        JournalUnderTest::new(wrap(VecJournal::default()))
    }

    crate::rollout_journal_suite!(plain, fresh(|journal| Arc::new(journal)));
    crate::rollout_journal_suite!(
        in_an_arc,
        fresh(|journal| Arc::new(Arc::new(journal) as Arc<dyn RolloutJournal>))
    );
    crate::rollout_journal_suite!(
        in_a_box,
        fresh(|journal| Arc::new(Box::new(journal) as Box<dyn RolloutJournal>))
    );
}
