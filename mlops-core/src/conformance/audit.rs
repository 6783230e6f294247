//! The suite of [`AuditLog`].

use std::sync::Arc;
use std::time::Duration;

use super::support::{RACERS, TEXTS, actor, at, fault, kind, race, skipped};
use crate::error::ErrorKind;
use crate::governance::{
    AuditEntry, AuditLog, AuditLogExt as _, AuditRecord, AuditVerification, Checkpoint, verify_chain,
};
use crate::hash::Digest;
use crate::id::{ActorId, IdempotencyKey, MAX_TEXT};
use crate::time::{Clock as _, ManualClock};

/// Makes a test of every case of the [`AuditLog`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`AuditUnderTest`](crate::conformance::audit::AuditUnderTest). See [the module](crate::conformance) for a whole example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::audit::AuditUnderTest;
/// use mlops_core::memory::MemoryAuditLog;
///
/// mlops_core::audit_log_suite!(memory, AuditUnderTest::new(Arc::new(MemoryAuditLog::default())));
/// ```
#[macro_export]
macro_rules! audit_log_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, audit, [
            records_are_contiguous,
            concurrent_appends_form_one_chain,
            append_is_idempotent,
            key_reuse_is_a_conflict,
            concurrent_replays_are_one_record,
            records_are_read_in_order,
            reads_begin_and_end_where_asked,
            reading_past_the_end_is_empty,
            readers_see_a_prefix_while_others_append,
            records_never_change,
            text_is_kept_exactly,
            bad_entries_leave_no_gap,
            an_empty_log_is_intact,
            an_honest_log_verifies,
            a_checkpoint_taken_earlier_verifies,
            a_checkpoint_of_another_log_does_not_verify,
            a_checkpoint_of_the_future_does_not_verify,
            time_comes_from_the_clock_and_order_does_not,
            recording_is_appending,
        ] }
    };
}

/// An empty audit log and what the suite may do to it.
#[derive(Debug)]
pub struct AuditUnderTest {
    log: Arc<dyn AuditLog>,
    clock: Option<Arc<ManualClock>>,
}

impl AuditUnderTest {
    /// An empty log.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::audit::AuditUnderTest;
    /// use mlops_core::memory::MemoryAuditLog;
    /// let under_test = AuditUnderTest::new(Arc::new(MemoryAuditLog::default()));
    /// assert!(format!("{under_test:?}").contains("MemoryAuditLog"));
    /// ```
    pub fn new(log: Arc<dyn AuditLog>) -> Self {
        Self { log, clock: None }
    }

    /// The clock from which records have their time, when it can be turned.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = Some(clock);
        self
    }
}

fn entry(subject: &str) -> AuditEntry {
    AuditEntry::new(actor(), "model.promote", subject).with_detail("gate passed")
}

async fn append(log: &dyn AuditLog, count: usize) -> Vec<AuditRecord> {
    let mut records = Vec::with_capacity(count);
    for i in 0..count {
        records.push(log.append(&entry(&format!("model/churn:{i}"))).await.unwrap());
    }
    records
}

async fn all(log: &dyn AuditLog) -> Vec<AuditRecord> {
    log.read(0, usize::MAX).await.unwrap()
}

#[track_caller]
fn is_chain(records: &[AuditRecord]) -> Checkpoint {
    match verify_chain(records, None) {
        AuditVerification::Intact(checkpoint) => checkpoint,
        broken => panic!("{broken:?}"),
    }
}

/// Sequence numbers are 1, 2, 3, …, and each record holds the hash of the one before.
pub async fn records_are_contiguous(under: &AuditUnderTest) {
    let records = append(&under.log, 10).await;
    assert!(records.iter().map(|r| r.sequence).eq(1..=10));
    assert_eq!(records[0].previous, AuditRecord::genesis());
    assert_eq!(is_chain(&records), Checkpoint { size: 10, head: records[9].hash });
}

/// Many that append at once make one chain without gaps, with every entry in it.
pub async fn concurrent_appends_form_one_chain(under: &AuditUnderTest) {
    let each = 5;
    let mut answers: Vec<AuditRecord> = race(RACERS, |_| {
        let log = under.log.clone();
        async move { append(&log, each).await }
    })
    .await
    .concat();
    answers.sort_by_key(|r| r.sequence);
    assert_eq!(is_chain(&answers).size, (RACERS * each) as u64);
    assert_eq!(all(&under.log).await, answers, "what was answered is what is kept");
}

/// The same append again is the record that was made.
pub async fn append_is_idempotent(under: &AuditUnderTest) {
    let first = entry("model/churn:1");
    let record = under.log.append(&first).await.unwrap();
    append(&under.log, 3).await;
    if let Some(clock) = &under.clock {
        clock.advance(Duration::from_secs(60));
    }
    assert_eq!(under.log.append(&first).await.unwrap(), record);
    assert_eq!(all(&under.log).await.len(), 4);
    // Content that is the same under another key is another record.
    let again = under.log.append(&AuditEntry { key: IdempotencyKey::generate(), ..first }).await.unwrap();
    assert_eq!(again.sequence, 5);
}

/// A key that was used for something else is a conflict, whatever differs.
pub async fn key_reuse_is_a_conflict(under: &AuditUnderTest) {
    let first = entry("model/churn:1");
    under.log.append(&first).await.unwrap();
    let others = [
        AuditEntry { actor: ActorId::new("another").unwrap(), ..first.clone() },
        AuditEntry { action: "model.demote".to_owned(), ..first.clone() },
        AuditEntry { subject: "model/churn:2".to_owned(), ..first.clone() },
        AuditEntry { digest: Some(Digest::of(b"x")), ..first.clone() },
        AuditEntry { detail: String::new(), ..first.clone() },
    ];
    for other in others {
        assert_eq!(kind(under.log.append(&other).await), ErrorKind::Conflict, "{other:?}");
    }
    assert_eq!(all(&under.log).await.len(), 1);
}

/// Many that append the same entry at once make one record.
pub async fn concurrent_replays_are_one_record(under: &AuditUnderTest) {
    let same = entry("model/churn:1");
    let answers = race(RACERS, |_| {
        let (log, same) = (under.log.clone(), same.clone());
        async move { log.append(&same).await.unwrap() }
    })
    .await;
    assert!(answers.iter().all(|r| *r == answers[0]));
    assert_eq!(all(&under.log).await, answers[..1]);
}

/// Records are read in order, in pieces of any size.
pub async fn records_are_read_in_order(under: &AuditUnderTest) {
    let records = append(&under.log, 25).await;
    for limit in [1, 7, 25, 100] {
        let (mut read, mut after) = (Vec::new(), 0);
        loop {
            let mut piece = under.log.read(after, limit).await.unwrap();
            assert!(piece.len() <= limit);
            let Some(last) = piece.last() else { break };
            after = last.sequence;
            read.append(&mut piece);
        }
        assert_eq!(read, records, "in pieces of {limit}");
    }
}

/// A read begins after the sequence number given, and has at most as many records as asked for.
pub async fn reads_begin_and_end_where_asked(under: &AuditUnderTest) {
    let records = append(&under.log, 5).await;
    for (after, limit, expected) in [(0, 5, 0..5), (0, 2, 0..2), (1, 2, 1..3), (4, 10, 4..5), (2, 0, 0..0)] {
        assert_eq!(under.log.read(after, limit).await.unwrap(), records[expected], "{limit} after {after}");
    }
}

/// Behind the end there is nothing, and that is no error.
pub async fn reading_past_the_end_is_empty(under: &AuditUnderTest) {
    assert!(all(&under.log).await.is_empty());
    append(&under.log, 2).await;
    for after in [2, 3, 1 << 32, u64::MAX / 2] {
        assert!(under.log.read(after, 10).await.unwrap().is_empty(), "after {after}");
    }
}

/// Whoever reads while others append sees the beginning of the chain, never one with a hole.
pub async fn readers_see_a_prefix_while_others_append(under: &AuditUnderTest) {
    let answers = race(8, |i| {
        let log = under.log.clone();
        async move {
            if i % 2 == 0 {
                append(&log, 20).await;
                return Vec::new();
            }
            let mut reads = Vec::new();
            for _ in 0..20 {
                reads.push(all(&log).await);
                let verified = log.verify(None).await.unwrap();
                assert!(verified.is_intact(), "{verified:?}");
                tokio::task::yield_now().await;
            }
            reads
        }
    })
    .await;
    let whole = all(&under.log).await;
    assert_eq!(is_chain(&whole).size, 80);
    for read in answers.iter().flatten() {
        assert!(whole.starts_with(read));
    }
}

/// What was read once is read the same for ever.
pub async fn records_never_change(under: &AuditUnderTest) {
    let records = append(&under.log, 3).await;
    let _ =
        under.log.append(&AuditEntry { detail: "rewritten".to_owned(), ..records[1].entry.clone() }).await;
    append(&under.log, 3).await;
    assert_eq!(all(&under.log).await[..3], records);
}

/// Every text comes back as it was, and is part of the chain.
pub async fn text_is_kept_exactly(under: &AuditUnderTest) {
    let mut sent = Vec::new();
    for text in TEXTS {
        let subject = format!("model/{text}");
        let full = AuditEntry::new(ActorId::new("größe 家族").unwrap(), format!("a.{text}"), subject)
            .with_digest(Digest::of(text.as_bytes()))
            .with_detail(*text);
        under.log.append(&full).await.unwrap();
        sent.push(full);
    }
    let records = all(&under.log).await;
    is_chain(&records);
    assert_eq!(records.into_iter().map(|r| r.entry).collect::<Vec<_>>(), sent);
}

/// An entry that is refused uses up no sequence number and no key.
pub async fn bad_entries_leave_no_gap(under: &AuditUnderTest) {
    let good = entry("model/churn:1");
    let long = "x".repeat(MAX_TEXT + 1);
    for (bad, expected) in [
        (AuditEntry { action: String::new(), ..good.clone() }, ErrorKind::InvalidInput),
        (AuditEntry { subject: " \t".to_owned(), ..good.clone() }, ErrorKind::InvalidInput),
        (AuditEntry { action: long.clone(), ..good.clone() }, ErrorKind::LimitExceeded),
        (AuditEntry { detail: long, ..good.clone() }, ErrorKind::LimitExceeded),
    ] {
        assert_eq!(fault(under.log.append(&bad).await).kind(), expected);
    }
    assert_eq!(under.log.append(&good).await.unwrap().sequence, 1);
}

/// A log without records is intact, and its checkpoint holds for the log that grows from it.
pub async fn an_empty_log_is_intact(under: &AuditUnderTest) {
    let empty = under.log.checkpoint().await.unwrap();
    assert_eq!(empty, Checkpoint { size: 0, head: AuditRecord::genesis() });
    assert_eq!(under.log.verify(Some(&empty)).await.unwrap(), AuditVerification::Intact(empty));
    append(&under.log, 1).await;
    assert!(under.log.verify(Some(&empty)).await.unwrap().is_intact());
}

/// A log that nobody touched verifies, and says so as [`verify_chain`] does over what it reads out.
pub async fn an_honest_log_verifies(under: &AuditUnderTest) {
    append(&under.log, 12).await;
    let checkpoint = under.log.checkpoint().await.unwrap();
    let records = all(&under.log).await;
    assert_eq!(is_chain(&records), checkpoint);
    for known in [None, Some(&checkpoint)] {
        assert_eq!(under.log.verify(known).await.unwrap(), verify_chain(&records, known));
        assert!(under.log.verify(known).await.unwrap().is_intact());
    }
}

/// A checkpoint taken at any time before holds.
pub async fn a_checkpoint_taken_earlier_verifies(under: &AuditUnderTest) {
    let mut checkpoints = Vec::new();
    for size in 1..=5 {
        append(&under.log, 1).await;
        checkpoints.push(under.log.checkpoint().await.unwrap());
        assert_eq!(checkpoints.last().map(|c| c.size), Some(size));
    }
    for checkpoint in checkpoints {
        assert!(under.log.verify(Some(&checkpoint)).await.unwrap().is_intact(), "{checkpoint:?}");
    }
}

/// A checkpoint of another log does not hold, however long either of them is.
pub async fn a_checkpoint_of_another_log_does_not_verify(under: &AuditUnderTest) {
    append(&under.log, 3).await;
    let foreign = Digest::of(b"the head of another log");
    for size in [0, 1, 2, 3, 4] {
        let verified = under.log.verify(Some(&Checkpoint { size, head: foreign })).await.unwrap();
        assert!(!verified.is_intact(), "of size {size}: {verified:?}");
    }
}

/// A checkpoint of records that are not there says where they are missing.
pub async fn a_checkpoint_of_the_future_does_not_verify(under: &AuditUnderTest) {
    let records = append(&under.log, 2).await;
    let next = AuditRecord::chain(records.last(), entry("model/churn:3"), records[1].at).unwrap();
    let cut_off = Checkpoint { size: 3, head: next.hash };
    match under.log.verify(Some(&cut_off)).await.unwrap() {
        AuditVerification::Broken { sequence, reason } => {
            assert_eq!(sequence, 3);
            assert!(!reason.is_empty());
        }
        intact => panic!("{intact:?}"),
    }
}

/// Records have the clock's time, and follow each other also where that goes back.
pub async fn time_comes_from_the_clock_and_order_does_not(under: &AuditUnderTest) {
    let Some(clock) = &under.clock else { return skipped("the clock cannot be turned here") };
    let mut times = Vec::new();
    for now in ["2026-03-01T00:00:00.123456Z", "2026-02-01T00:00:00Z", "1969-12-31T23:59:59.000001Z"] {
        clock.set(at(now));
        append(&under.log, 1).await;
        times.push(clock.now());
    }
    let records = all(&under.log).await;
    assert_eq!(records.iter().map(|r| r.at).collect::<Vec<_>>(), times);
    assert!(under.log.verify(None).await.unwrap().is_intact());
}

/// `record` appends what it is told.
pub async fn recording_is_appending(under: &AuditUnderTest) {
    let record = under.log.record(&actor(), "model.register", "model/churn:1", "accuracy 0.8").await.unwrap();
    let AuditEntry { actor: who, action, subject, detail, digest, .. } = &record.entry;
    assert_eq!((who, action.as_str(), subject.as_str()), (&actor(), "model.register", "model/churn:1"));
    assert_eq!((detail.as_str(), digest), ("accuracy 0.8", &None));
    assert_eq!(all(&under.log).await, [record]);
}
