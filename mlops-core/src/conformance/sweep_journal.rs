//! The suite of [`SweepJournal`].

use std::sync::Arc;

use super::support::{RACERS, TEXTS, actor, at, fault, race};
use crate::error::{Error, ErrorKind};
use crate::experiment::sampler::{Goal, SamplerSpec};
use crate::experiment::space::{Assignment, Distribution, SearchSpace, Value};
use crate::experiment::stopping::{Evidence, PolicyKind, Reports};
use crate::experiment::sweep::{
    Budget, Decision, EndReason, FailureClass, SamplerRecord, SweepEntry, SweepEvent, SweepJournal,
    SweepSpec, TrialOutcome,
};
use crate::id::{ExperimentName, MetricKey, RunId};

/// Makes a test of every case of the [`SweepJournal`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`SweepsUnderTest`](crate::conformance::sweep_journal::SweepsUnderTest). See [the module](crate::conformance) for a whole
/// example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::sweep_journal::SweepsUnderTest;
/// use mlops_core::memory::MemorySweepJournal;
///
/// mlops_core::sweep_journal_suite!(in_memory, SweepsUnderTest::new(Arc::new(MemorySweepJournal::default())));
/// ```
#[macro_export]
macro_rules! sweep_journal_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, sweep_journal, [
            entries_come_back_in_order,
            entries_come_back_as_they_were,
            reading_may_begin_anywhere,
            an_unknown_sweep_has_no_entries,
            entries_follow_one_another,
            an_entry_that_was_made_otherwise_is_a_conflict,
            the_last_entry_again_changes_nothing,
            sweeps_are_kept_apart,
            of_many_engines_one_wins,
            an_engine_that_was_overtaken_writes_nothing_more,
            concurrent_sweeps_do_not_meet,
        ] }
    };
}

/// A journal that has nothing written down.
#[derive(Debug)]
pub struct SweepsUnderTest {
    journal: Arc<dyn SweepJournal>,
}

impl SweepsUnderTest {
    /// A journal that has nothing written down.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::sweep_journal::SweepsUnderTest;
    /// use mlops_core::memory::MemorySweepJournal;
    /// let under_test = SweepsUnderTest::new(Arc::new(MemorySweepJournal::default()));
    /// assert!(format!("{under_test:?}").contains("MemorySweepJournal"));
    /// ```
    pub fn new(journal: Arc<dyn SweepJournal>) -> Self {
        Self { journal }
    }

    async fn append(&self, sweep: &RunId, entry: &SweepEntry) {
        self.journal.append(sweep, entry).await.unwrap();
    }

    /// Writes down the first entries of a sweep.
    async fn write(&self, sweep: &RunId, entries: u64) -> Vec<SweepEntry> {
        let written: Vec<_> = (1..=entries).map(|sequence| entry(sequence, "")).collect();
        for entry in &written {
            self.append(sweep, entry).await;
        }
        written
    }

    async fn refused(&self, sweep: &RunId, entry: &SweepEntry) -> Error {
        fault(self.journal.append(sweep, entry).await)
    }

    async fn entries(&self, sweep: &RunId) -> Vec<SweepEntry> {
        self.journal.entries(sweep, 0).await.unwrap()
    }
}

fn sweep(number: usize) -> RunId {
    RunId::new(format!("{number:032x}")).unwrap()
}

/// An entry with this number, about a checkpoint of this text.
fn entry(sequence: u64, text: &str) -> SweepEntry {
    let event = SweepEvent::Checkpointed { trial: sequence, attempt: 1, checkpoint: text.to_owned() };
    SweepEntry::new(sequence, at("2026-01-01T00:00:00.000001Z"), event)
}

#[track_caller]
fn assert_same(found: &[SweepEntry], written: &[SweepEntry]) {
    let same = found.len() == written.len() && found.iter().zip(written).all(|(a, b)| a.is_same(b));
    assert!(same, "{found:?}\n{written:?}");
}

/// Everything written down is read in the order in which it was.
pub async fn entries_come_back_in_order(under: &SweepsUnderTest) {
    let written = under.write(&sweep(1), 30).await;
    assert_same(&under.entries(&sweep(1)).await, &written);
    under.append(&sweep(1), &entry(31, "one more")).await;
    assert!(under.entries(&sweep(1)).await.iter().map(|entry| entry.sequence).eq(1..=31));
}

fn spec() -> SweepSpec {
    let space = SearchSpace::new([("rate", Distribution::float(0.0, 0.1 + 0.2))]).unwrap();
    let sampler = SamplerSpec::Random(Default::default());
    let (experiment, metric) = (ExperimentName::new("diabetes").unwrap(), MetricKey::new("loss").unwrap());
    SweepSpec::new(experiment, TEXTS.concat(), actor(), metric, Goal::Minimize, space, sampler)
        .with_seed(u64::MAX)
        .with_budget(Budget::trials(7).with_lease(std::time::Duration::from_nanos(1_000_000_007)))
}

fn events() -> Vec<SweepEvent> {
    let assignment = Assignment::new().with("a", 0.1 + 0.2).unwrap().with("b", TEXTS.concat()).unwrap();
    let assignment = assignment.with("c", Value::Int(i64::MIN)).unwrap();
    let mut reports = Reports::new();
    reports.push(Reports::MAX_STEP, 1.0).unwrap();
    let evidence = |own, bound| Evidence::new(PolicyKind::Asha, &reports, own, bound, 3).with_rung(u32::MAX);
    let report = |value, decision| SweepEvent::Reported {
        trial: u64::MAX,
        attempt: u32::MAX,
        step: Reports::MAX_STEP,
        value,
        cost: 5e-324,
        decision,
    };
    let sampler =
        SamplerRecord { name: "random".to_owned(), parameters: serde_json::json!({"a": [1.5, null]}) };
    let finish = |outcome| SweepEvent::Finished { trial: 0, attempt: 1, outcome, cost: 0.1 };
    let failed = TrialOutcome::Failed { class: FailureClass::Panic, message: TEXTS.concat() };
    vec![
        SweepEvent::Created { spec: Box::new(spec()), sampler },
        SweepEvent::Opened { budget: Budget::default() },
        SweepEvent::Asked { trial: 0, assignment, prefix: u64::MAX },
        SweepEvent::Exhausted,
        SweepEvent::Promoted { trial: 0 },
        SweepEvent::Started { trial: 0, attempt: 1 },
        report(f64::NAN, None),
        report(f64::NEG_INFINITY, Some(Decision::Stop(evidence(f64::NAN, 0.1 + 0.2)))),
        report(-0.0, Some(Decision::Pause(evidence(f64::INFINITY, 1e-310)))),
        SweepEvent::LeaseExpired { trial: 0, attempt: 1 },
        finish(TrialOutcome::Completed { value: f64::MIN_POSITIVE }),
        finish(TrialOutcome::Pruned),
        finish(TrialOutcome::Cancelled),
        finish(failed),
        SweepEvent::Paused,
        SweepEvent::Refused { reason: "the budget `team` of 100 has 6 left".to_owned() },
        SweepEvent::Ended { reason: EndReason::Exhausted },
    ]
}

/// Events come back as they were: every text, every number, what is not there.
pub async fn entries_come_back_as_they_were(under: &SweepsUnderTest) {
    let times = ["2026-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z"].map(at);
    let texts = TEXTS.iter().map(|text| entry(1, text).event);
    let events = events().into_iter().chain(texts);
    let written: Vec<SweepEntry> = (1..)
        .zip(events)
        .map(|(sequence, event)| SweepEntry::new(sequence, times[usize::from(sequence % 2 == 0)], event))
        .collect();
    for entry in &written {
        under.append(&sweep(1), entry).await;
    }
    assert_same(&under.entries(&sweep(1)).await, &written);
}

/// Reading may leave out the first entries, as many as there are or more.
pub async fn reading_may_begin_anywhere(under: &SweepsUnderTest) {
    let written = under.write(&sweep(1), 5).await;
    for after in [0, 1, 4, 5, 6, u64::MAX] {
        let found = under.journal.entries(&sweep(1), after).await.unwrap();
        assert_same(&found, &written[usize::try_from(after).unwrap_or(5).min(5)..]);
    }
}

/// A sweep that nobody wrote about has no entries, and that is no error.
pub async fn an_unknown_sweep_has_no_entries(under: &SweepsUnderTest) {
    assert!(under.entries(&sweep(1)).await.is_empty());
    under.write(&sweep(1), 2).await;
    assert!(under.entries(&sweep(2)).await.is_empty());
}

/// After entry n comes entry n + 1; a gap, a step back and a beginning in the middle are refused and leave nothing.
pub async fn entries_follow_one_another(under: &SweepsUnderTest) {
    for number in [0, 2, u64::MAX] {
        let error = under.refused(&sweep(1), &entry(number, "")).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "entry {number} first");
        assert!(under.entries(&sweep(1)).await.is_empty());
    }
    let written = under.write(&sweep(1), 3).await;
    for number in [0, 1, 2, 5, u64::MAX] {
        let error = under.refused(&sweep(1), &entry(number, "")).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "entry {number} after 3");
        assert_eq!(error.context("expected"), Some("4"), "{error}");
        assert_same(&under.entries(&sweep(1)).await, &written);
    }
    under.append(&sweep(1), &entry(4, "")).await;
}

/// Another entry under the number of the last one is not the last one: somebody else runs the sweep too.
pub async fn an_entry_that_was_made_otherwise_is_a_conflict(under: &SweepsUnderTest) {
    let written = under.write(&sweep(1), 3).await;
    let later = SweepEntry { at: at("2026-01-01T00:00:00.000002Z"), ..written[2].clone() };
    let nan =
        SweepEvent::Reported { trial: 0, attempt: 1, step: 1, value: f64::NAN, cost: 0.0, decision: None };
    for other in [entry(3, "another text"), later, SweepEntry::new(3, written[2].at, nan)] {
        assert_eq!(under.refused(&sweep(1), &other).await.kind(), ErrorKind::Conflict, "{other:?}");
        assert_same(&under.entries(&sweep(1)).await, &written);
    }
}

/// The last entry again is the last entry: an engine whose answer was lost asks once more. NaN is no exception.
pub async fn the_last_entry_again_changes_nothing(under: &SweepsUnderTest) {
    for (sequence, event) in (1..).zip(events()) {
        let entry = SweepEntry::new(sequence, at("2026-01-01T00:00:00Z"), event);
        for _ in 0..3 {
            under.append(&sweep(1), &entry).await;
        }
        assert_eq!(under.entries(&sweep(1)).await.len() as u64, sequence);
    }
}

/// Each sweep counts its own entries.
pub async fn sweeps_are_kept_apart(under: &SweepsUnderTest) {
    let longer = under.write(&sweep(1), 5).await;
    let shorter = under.write(&sweep(2), 2).await;
    assert_same(&under.entries(&sweep(1)).await, &longer);
    assert_same(&under.entries(&sweep(2)).await, &shorter);
    assert_eq!(under.refused(&sweep(2), &entry(6, "")).await.kind(), ErrorKind::Conflict);
}

/// Of many that write the next entry at once one does, and what it wrote is what there is.
pub async fn of_many_engines_one_wins(under: &SweepsUnderTest) {
    for sequence in 1..=3 {
        let answers = race(RACERS, |i| {
            let (journal, entry) = (under.journal.clone(), entry(sequence, &format!("engine {i}")));
            async move { journal.append(&sweep(1), &entry).await.map(|()| entry) }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
        assert!(lost.into_iter().all(|answer| fault(answer).kind() == ErrorKind::Conflict));
        assert_eq!(under.entries(&sweep(1)).await.pop(), won.into_iter().next().unwrap().ok());
    }
}

/// An engine that another one has overtaken is told at its next entry, and at each one after.
pub async fn an_engine_that_was_overtaken_writes_nothing_more(under: &SweepsUnderTest) {
    under.write(&sweep(1), 3).await;
    under.append(&sweep(1), &entry(4, "the new one")).await;
    under.append(&sweep(1), &entry(5, "the new one")).await;
    for _ in 0..3 {
        assert_eq!(under.refused(&sweep(1), &entry(4, "the old one")).await.kind(), ErrorKind::Conflict);
    }
    assert_eq!(under.entries(&sweep(1)).await.len(), 5);
}

/// Sweeps that are written about at once get all of their entries.
pub async fn concurrent_sweeps_do_not_meet(under: &SweepsUnderTest) {
    race(RACERS / 4, |i| {
        let journal = under.journal.clone();
        async move {
            for sequence in 1..=5 {
                journal.append(&sweep(i), &entry(sequence, &i.to_string())).await.unwrap();
            }
        }
    })
    .await;
    for i in 0..RACERS / 4 {
        let expected: Vec<_> = (1..=5).map(|sequence| entry(sequence, &i.to_string())).collect();
        assert_same(&under.entries(&sweep(i)).await, &expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemorySweepJournal;

    fn fresh(wrap: impl FnOnce(MemorySweepJournal) -> Arc<dyn SweepJournal>) -> SweepsUnderTest {
        SweepsUnderTest::new(wrap(MemorySweepJournal::default()))
    }

    crate::sweep_journal_suite!(plain, fresh(|journal| Arc::new(journal)));
    crate::sweep_journal_suite!(
        in_an_arc,
        fresh(|journal| Arc::new(Arc::new(journal) as Arc<dyn SweepJournal>))
    );
    crate::sweep_journal_suite!(
        in_a_box,
        fresh(|journal| Arc::new(Box::new(journal) as Box<dyn SweepJournal>))
    );
}
