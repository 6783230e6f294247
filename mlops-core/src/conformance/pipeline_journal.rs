//! The suite of [`PipelineJournal`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::support::{RACERS, TEXTS, at, fault, race};
use crate::artifact::Blob;
use crate::error::{Error, ErrorKind};
use crate::hash::Digest;
use crate::id::{AssetName, ComponentName, PortName, RunId, StepName, Version};
use crate::pipeline::{
    Content, Difference, ErrorClass, ParamValue, PipelineEntry, PipelineEvent, PipelineJournal,
    PipelineStatus, PlannedStep, PortType, RunPlan, RunReason, SkipReason, StepKey,
};

/// Makes a test of every case of the [`PipelineJournal`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`PipelineJournalUnderTest`](crate::conformance::pipeline_journal::PipelineJournalUnderTest). See
/// [the module](crate::conformance) for a whole example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::pipeline_journal::PipelineJournalUnderTest;
/// use mlops_core::memory::MemoryPipelineJournal;
///
/// mlops_core::pipeline_journal_suite!(
///     in_memory,
///     PipelineJournalUnderTest::new(Arc::new(MemoryPipelineJournal::default()))
/// );
/// ```
#[macro_export]
macro_rules! pipeline_journal_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, pipeline_journal, [
            entries_come_back_in_order,
            entries_come_back_as_they_were,
            an_unknown_run_has_no_entries,
            entries_follow_one_another,
            an_entry_that_was_made_otherwise_is_a_conflict,
            the_last_entry_again_changes_nothing,
            runs_are_kept_apart,
            of_many_executors_one_wins,
        ] }
    };
}

/// A journal that has nothing written down.
#[derive(Debug)]
pub struct PipelineJournalUnderTest {
    journal: Arc<dyn PipelineJournal>,
}

impl PipelineJournalUnderTest {
    /// A journal that has nothing written down.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::pipeline_journal::PipelineJournalUnderTest;
    /// use mlops_core::memory::MemoryPipelineJournal;
    /// let under_test = PipelineJournalUnderTest::new(Arc::new(MemoryPipelineJournal::default()));
    /// assert!(format!("{under_test:?}").contains("MemoryPipelineJournal"));
    /// ```
    pub fn new(journal: Arc<dyn PipelineJournal>) -> Self {
        Self { journal }
    }

    async fn write(&self, run: &RunId, entries: u64) -> Vec<PipelineEntry> {
        let written: Vec<_> = (1..=entries).map(|sequence| entry(sequence, "")).collect();
        for entry in &written {
            self.journal.append(run, entry).await.unwrap();
        }
        written
    }

    async fn refused(&self, run: &RunId, entry: &PipelineEntry) -> Error {
        fault(self.journal.append(run, entry).await)
    }

    async fn entries(&self, run: &RunId) -> Vec<PipelineEntry> {
        self.journal.entries(run).await.unwrap()
    }
}

fn step(name: &str) -> StepName {
    StepName::new(name).unwrap()
}

fn port(name: &str) -> PortName {
    PortName::new(name).unwrap()
}

/// An entry with this number, about a step that is cancelled for this reason.
fn entry(sequence: u64, reason: &str) -> PipelineEntry {
    let event = PipelineEvent::Cancelled { step: step("a"), reason: reason.to_owned() };
    PipelineEntry::new(sequence, at("2026-01-01T00:00:00.000001Z"), event)
}

/// Everything written down is read in the order in which it was.
pub async fn entries_come_back_in_order(under: &PipelineJournalUnderTest) {
    let run = RunId::generate();
    let written = under.write(&run, 30).await;
    assert_eq!(under.entries(&run).await, written);
    under.journal.append(&run, &entry(31, "one more")).await.unwrap();
    assert!(under.entries(&run).await.iter().map(|entry| entry.sequence).eq(1..=31));
}

/// Every kind of event comes back as it was: every text, every number, what is not there.
pub async fn entries_come_back_as_they_were(under: &PipelineJournalUnderTest) {
    let run = RunId::generate();
    let blob = Blob { digest: Digest::of(b"x"), size: u64::MAX };
    let content = Content::new(PortType::MlTable, blob)
        .with_asset(AssetName::new("rows").unwrap(), Version::new(1 << 40).unwrap());
    let outputs: BTreeMap<_, _> = [(port("rows"), content.clone())].into();
    let steps = vec![PlannedStep { name: step("a"), before: Vec::new() }];
    let mut plan = RunPlan::new(ComponentName::new("p").unwrap(), blob.digest, steps);
    plan.inputs = [(port("raw"), content)].into();
    plan.seed = u64::MAX;
    for (name, value) in [
        ("whole", ParamValue::Integer(i64::MIN)),
        ("number", ParamValue::Number(1.0)),
        ("small", ParamValue::Number(5e-324)),
        ("sum", ParamValue::Number(0.1 + 0.2)),
        ("yes", ParamValue::Boolean(true)),
        ("text", ParamValue::Text(TEXTS.concat())),
    ] {
        plan.arguments.insert(port(name), value);
    }
    let a = || step("a");
    let (took, key, text) = (Duration::new(u64::MAX, 999_999_999), StepKey::new(blob.digest), TEXTS.concat());
    let difference = Difference { field: text.clone(), before: None, after: Some(String::new()) };
    let reason = RunReason::Changed { since: run.clone(), differences: vec![difference] };
    let events = vec![
        PipelineEvent::Begun(Box::new(plan)),
        PipelineEvent::Resumed,
        PipelineEvent::Started { step: a(), attempt: u32::MAX, reason },
        PipelineEvent::Checkpointed { step: a(), attempt: 1, blob },
        PipelineEvent::Spent { step: a(), attempt: 1, cost: 0.1 + 0.2 },
        PipelineEvent::AttemptFailed {
            step: a(),
            attempt: 1,
            class: ErrorClass::Preempted,
            message: text.clone(),
            wait: took,
        },
        PipelineEvent::Succeeded { step: a(), attempt: 1, key, outputs: outputs.clone(), took },
        PipelineEvent::Reused { step: a(), key, outputs, from: run.clone() },
        PipelineEvent::Failed { step: a(), class: ErrorClass::Permanent, message: text },
        PipelineEvent::Skipped { step: a(), reason: SkipReason::Failed(step("b")) },
        PipelineEvent::Ended { status: PipelineStatus::Cancelled },
    ];
    let entry = |(event, sequence)| PipelineEntry::new(sequence, at("1969-12-31T23:59:59.999999Z"), event);
    let written: Vec<_> = events.into_iter().zip(1..).map(entry).collect();
    for entry in &written {
        under.journal.append(&run, entry).await.unwrap();
    }
    assert_eq!(under.entries(&run).await, written);
}

/// A run that nobody wrote about has no entries, and that is no error.
pub async fn an_unknown_run_has_no_entries(under: &PipelineJournalUnderTest) {
    assert!(under.entries(&RunId::generate()).await.is_empty());
    under.write(&RunId::generate(), 2).await;
    assert!(under.entries(&RunId::generate()).await.is_empty());
}

/// After entry n comes entry n + 1; a gap, a step back and a beginning in the middle are refused and leave nothing.
pub async fn entries_follow_one_another(under: &PipelineJournalUnderTest) {
    let run = RunId::generate();
    for number in [0, 2, u64::MAX] {
        assert_eq!(
            under.refused(&run, &entry(number, "")).await.kind(),
            ErrorKind::Conflict,
            "entry {number} first"
        );
        assert!(under.entries(&run).await.is_empty());
    }
    let written = under.write(&run, 3).await;
    for number in [0, 1, 2, 5, u64::MAX] {
        let error = under.refused(&run, &entry(number, "")).await;
        assert_eq!(
            (error.kind(), error.context("expected")),
            (ErrorKind::Conflict, Some("4")),
            "entry {number}"
        );
        assert_eq!(under.entries(&run).await, written);
    }
    under.journal.append(&run, &entry(4, "")).await.unwrap();
}

/// Another entry under the number of the last one is not the last one: somebody else drives the run too.
pub async fn an_entry_that_was_made_otherwise_is_a_conflict(under: &PipelineJournalUnderTest) {
    let run = RunId::generate();
    let written = under.write(&run, 3).await;
    let later = PipelineEntry { at: at("2026-01-01T00:00:00.000002Z"), ..written[2].clone() };
    for other in [entry(3, "another reason"), later] {
        assert_eq!(under.refused(&run, &other).await.kind(), ErrorKind::Conflict, "{other:?}");
        assert_eq!(under.entries(&run).await, written);
    }
}

/// The last entry again is the last entry: an executor whose answer was lost asks once more.
pub async fn the_last_entry_again_changes_nothing(under: &PipelineJournalUnderTest) {
    let run = RunId::generate();
    for number in 1..=3 {
        for _ in 0..3 {
            under.journal.append(&run, &entry(number, "")).await.unwrap();
        }
        assert_eq!(under.entries(&run).await.len() as u64, number);
    }
}

/// Each run counts its own entries.
pub async fn runs_are_kept_apart(under: &PipelineJournalUnderTest) {
    let (one, other) = (RunId::generate(), RunId::generate());
    let (longer, shorter) = (under.write(&one, 5).await, under.write(&other, 2).await);
    assert_eq!((under.entries(&one).await, under.entries(&other).await), (longer, shorter));
    assert_eq!(under.refused(&other, &entry(6, "")).await.kind(), ErrorKind::Conflict);
}

/// Of many that write the next entry at once one does, and what it wrote is what there is.
pub async fn of_many_executors_one_wins(under: &PipelineJournalUnderTest) {
    let run = RunId::generate();
    for sequence in 1..=3 {
        let answers = race(RACERS, |i| {
            let (journal, run, entry) =
                (under.journal.clone(), run.clone(), entry(sequence, &format!("executor {i}")));
            async move { journal.append(&run, &entry).await.map(|()| entry) }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
        assert!(lost.into_iter().all(|answer| fault(answer).kind() == ErrorKind::Conflict));
        assert_eq!(under.entries(&run).await.pop(), won.into_iter().next().unwrap().ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryPipelineJournal;

    fn fresh(
        wrap: impl FnOnce(MemoryPipelineJournal) -> Arc<dyn PipelineJournal>,
    ) -> PipelineJournalUnderTest {
        PipelineJournalUnderTest::new(wrap(MemoryPipelineJournal::default()))
    }

    crate::pipeline_journal_suite!(plain, fresh(|journal| Arc::new(journal)));
    crate::pipeline_journal_suite!(
        in_an_arc,
        fresh(|journal| Arc::new(Arc::new(journal) as Arc<dyn PipelineJournal>))
    );
    crate::pipeline_journal_suite!(
        in_a_box,
        fresh(|journal| Arc::new(Box::new(journal) as Box<dyn PipelineJournal>))
    );
}
