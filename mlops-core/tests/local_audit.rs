//! The audit log of the embedded store.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{children, open, sabotage, wait};
use mlops_core::conformance::audit::AuditUnderTest;
use mlops_core::governance::{
    AuditEntry, AuditLog as _, AuditLogExt as _, AuditRecord, AuditVerification, Checkpoint,
};
use mlops_core::hash::Digest;
use mlops_core::local::{LocalAuditLog, LocalStore, NetworkPolicy};
use mlops_core::time::ManualClock;
use mlops_core::{ActorId, ErrorKind};
use tempfile::TempDir;

fn under_test(network: NetworkPolicy) -> AuditUnderTest {
    let (store, clock) = common::fresh(network);
    AuditUnderTest::new(Arc::new(store.audit_log())).with_clock(clock)
}

mlops_core::audit_log_suite!(suite, under_test(NetworkPolicy::Refuse));
mlops_core::audit_log_suite!(on_a_network_file_system, under_test(NetworkPolicy::Assume));

fn actor() -> ActorId {
    ActorId::new("tests").unwrap()
}

async fn fill(store: &LocalStore, count: usize) {
    for number in 0..count {
        store
            .audit_log()
            .record(&actor(), "model.register", &format!("model/churn:{number}"), "")
            .await
            .unwrap();
    }
}

/// A store in its folder, with so many records, opened and closed.
fn filled(count: usize) -> (TempDir, Arc<ManualClock>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    wait(fill(&open(dir.path(), &clock), count));
    (dir, clock)
}

fn verified(dir: &Path, clock: &Arc<ManualClock>) -> AuditVerification {
    wait(open(dir, clock).audit_log().verify(None)).unwrap()
}

#[track_caller]
fn broken_at(found: &AuditVerification, place: u64, what: &str) {
    match found {
        AuditVerification::Broken { sequence, reason } => assert_eq!(*sequence, place, "{what}: {reason}"),
        intact => panic!("{what} went unnoticed: {intact:?}"),
    }
}

/// Makes the records after number `keep` anew, in a chain that holds, as somebody would who knows how.
fn forge(dir: &Path, keep: u64, forged: usize) {
    let connection = rusqlite::Connection::open(dir.join("mlops.db")).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok(AuditRecord::from_parts(
            u64::try_from(row.get::<_, i64>(0)?).unwrap(),
            chrono::DateTime::from_timestamp_micros(row.get(1)?).unwrap(),
            serde_json::from_str(&row.get::<_, String>(2)?).unwrap(),
            Digest::from_bytes(row.get(3)?),
            Digest::from_bytes(row.get(4)?),
        ))
    };
    let sql = "SELECT sequence, at, doc, previous, hash FROM audit_record WHERE sequence = ?1";
    let mut last = Some(connection.query_row(sql, [i64::try_from(keep).unwrap()], row).unwrap());
    connection
        .execute("DELETE FROM audit_record WHERE sequence > ?1", [i64::try_from(keep).unwrap()])
        .unwrap();
    for number in 0..forged {
        let entry = AuditEntry::new(actor(), "model.promote", format!("forged {number}"));
        let record = AuditRecord::chain(last.as_ref(), entry, chrono::DateTime::UNIX_EPOCH).unwrap();
        let values = rusqlite::params![
            i64::try_from(record.sequence).unwrap(),
            record.at.timestamp_micros(),
            record.entry.key.as_str(),
            serde_json::to_string(&record.entry).unwrap(),
            record.previous.as_bytes(),
            record.hash.as_bytes(),
        ];
        connection.execute("INSERT INTO audit_record VALUES (?1, ?2, ?3, ?4, ?5, ?6)", values).unwrap();
        last = Some(record);
    }
}

/// Says that there are `count` records, as the store would have written it.
fn recount(dir: &Path, count: u64) {
    let other = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
    wait(fill(&open(other.path(), &clock), usize::try_from(count).unwrap()));
    let sql = format!(
        "ATTACH '{}' AS other; INSERT OR REPLACE INTO main.tally SELECT * FROM other.tally;",
        other.path().join("mlops.db").display()
    );
    sabotage(dir, &sql);
}

#[test]
fn every_kind_of_tampering_in_the_database_is_found_at_its_place() {
    let swap = "UPDATE audit_record SET sequence = -1 WHERE sequence = 5;
                UPDATE audit_record SET sequence = 5 WHERE sequence = 6;
                UPDATE audit_record SET sequence = 6 WHERE sequence = -1;";
    let cases = [
        (
            "an edit of the entry",
            7,
            "UPDATE audit_record SET doc = replace(doc, 'churn:6', 'churn:9') WHERE sequence = 7",
        ),
        ("an edit that is no entry", 7, "UPDATE audit_record SET doc = '{}' WHERE sequence = 7"),
        ("an edit of the key", 7, "UPDATE audit_record SET key = 'another' WHERE sequence = 7"),
        ("an edit of the time", 3, "UPDATE audit_record SET at = at + 1 WHERE sequence = 3"),
        ("an edit of the hash", 3, "UPDATE audit_record SET hash = zeroblob(32) WHERE sequence = 3"),
        (
            "an edit of the hash before",
            3,
            "UPDATE audit_record SET previous = zeroblob(32) WHERE sequence = 3",
        ),
        ("a hash that is none", 3, "UPDATE audit_record SET hash = x'00' WHERE sequence = 3"),
        ("a removal", 4, "DELETE FROM audit_record WHERE sequence = 4"),
        ("the removal of the first", 1, "DELETE FROM audit_record WHERE sequence = 1"),
        (
            "a removal that closes the gap",
            4,
            "DELETE FROM audit_record WHERE sequence = 4;
            UPDATE audit_record SET sequence = sequence - 1 WHERE sequence > 4",
        ),
        ("a swap", 5, swap),
        (
            "an insertion",
            11,
            "INSERT INTO audit_record SELECT 11, at, 'key', doc, previous, hash FROM audit_record WHERE sequence = 10",
        ),
        ("the end cut off", 9, "DELETE FROM audit_record WHERE sequence > 8"),
        ("everything removed", 1, "DELETE FROM audit_record"),
        ("the count changed", 11, "UPDATE tally SET value = 3 WHERE name = 'audit records'"),
    ];
    for (what, place, sql) in cases {
        let (dir, clock) = filled(10);
        assert!(verified(dir.path(), &clock).is_intact());
        sabotage(dir.path(), sql);
        broken_at(&verified(dir.path(), &clock), place, what);
        // Also by a handle that was open all the time.
        let (dir, clock) = filled(10);
        let store = open(dir.path(), &clock);
        assert!(wait(store.audit_log().verify(None)).unwrap().is_intact());
        sabotage(dir.path(), sql);
        broken_at(&wait(store.audit_log().verify(None)).unwrap(), place, what);
    }
}

#[test]
fn what_the_chain_cannot_show_the_checkpoints_outside_the_database_do() {
    let every = LocalAuditLog::CHECKPOINT_EVERY;
    let count = usize::try_from(2 * every + 3).unwrap();
    // (kept, forged): made anew from there on, so that chain and count hold.
    let tails = [(every - 5, 5), (every - 5, count), (every - 1, 0), (2 * every - 1, 4), (every, count)];
    let places = [every, every, every, 2 * every, 2 * every];
    for ((keep, forged), place) in tails.into_iter().zip(places) {
        let (dir, clock) = filled(count);
        forge(dir.path(), keep, forged);
        recount(dir.path(), keep + forged as u64);
        broken_at(&verified(dir.path(), &clock), place, &format!("{keep} kept, {forged} forged"));
    }
    // After the last checkpoint nobody can tell, unless a checkpoint was asked for: there, or kept elsewhere.
    let (keep, forged) = (2 * every + 1, 2);
    for asked in [false, true] {
        let (dir, clock) = filled(count);
        let seen = wait(async {
            if asked { open(dir.path(), &clock).audit_log().checkpoint().await.ok() } else { None }
        });
        forge(dir.path(), keep, forged);
        recount(dir.path(), keep + forged as u64);
        assert_eq!(verified(dir.path(), &clock).is_intact(), !asked);
        if let Some(seen) = seen {
            std::fs::remove_file(dir.path().join("audit.checkpoints")).unwrap();
            let log = open(dir.path(), &clock).audit_log();
            broken_at(&wait(log.verify(Some(&seen))).unwrap(), every, "the file of checkpoints is gone");
        }
    }
}

#[test]
fn the_file_of_checkpoints_is_watched_too() {
    let every = LocalAuditLog::CHECKPOINT_EVERY;
    let (dir, clock) = filled(usize::try_from(3 * every + 1).unwrap());
    let path = dir.path().join("audit.checkpoints");
    let honest = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = honest.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 3);
    let cases = [
        ("no file", String::new(), every),
        ("the first line removed", lines[1..].concat(), 1),
        ("the second line removed", [lines[0], lines[2]].concat(), every),
        ("the last line removed", lines[..2].concat(), 3 * every),
        ("two lines swapped", [lines[1], lines[0], lines[2]].concat(), 1),
        ("a size changed", honest.replacen("32 ", "33 ", 1), 1),
        ("noise", format!("{}\n", "x".repeat(1000)), 1),
    ];
    for (what, text, place) in cases {
        std::fs::write(&path, text).unwrap();
        broken_at(&verified(dir.path(), &clock), place, what);
    }
    // The line of another store does not pass for one of this.
    let (other, _) = filled(usize::try_from(3 * every + 1).unwrap());
    std::fs::copy(other.path().join("audit.checkpoints"), &path).unwrap();
    broken_at(&verified(dir.path(), &clock), 1, "the file of another store");
    // A line that was torn off is nobody's: its writer was killed before anything followed from it.
    std::fs::write(&path, format!("{honest}128 sha256:00")).unwrap();
    assert!(verified(dir.path(), &clock).is_intact());
    wait(fill(&open(dir.path(), &clock), usize::try_from(every).unwrap()));
    assert!(verified(dir.path(), &clock).is_intact());
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
}

#[test]
fn nothing_is_appended_to_a_log_that_lost_its_end_and_no_checkpoint_covers_it_up() {
    let (dir, clock) = filled(10);
    sabotage(dir.path(), "DELETE FROM audit_record WHERE sequence = 10");
    let log = open(dir.path(), &clock).audit_log();
    let failed = [
        wait(log.record(&actor(), "model.register", "model/churn:1", "")).unwrap_err(),
        wait(log.checkpoint()).unwrap_err(),
        wait(log.read(0, 100)).unwrap_err(),
    ];
    for error in failed {
        assert_eq!((error.kind(), error.context("row")), (ErrorKind::Corrupt, Some("audit_record 10")));
    }
    // Whoever corrects the count as well is betrayed by the file.
    let (dir, clock) = filled(10);
    wait(open(dir.path(), &clock).audit_log().checkpoint()).unwrap();
    sabotage(dir.path(), "DELETE FROM audit_record WHERE sequence > 7");
    recount(dir.path(), 7);
    let error = wait(open(dir.path(), &clock).audit_log().checkpoint()).unwrap_err();
    assert_eq!((error.kind(), error.context("row")), (ErrorKind::Corrupt, Some("audit_record 8")));
    broken_at(&verified(dir.path(), &clock), 8, "the end cut off");
}

#[test]
fn a_log_that_was_closed_goes_on_where_it_ended() {
    let (dir, clock) = filled(3);
    let entry = AuditEntry::new(actor(), "model.promote", "model/churn:1");
    let made = wait(open(dir.path(), &clock).audit_log().append(&entry)).unwrap();
    assert_eq!(made.sequence, 4);
    clock.set("1999-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(wait(open(dir.path(), &clock).audit_log().append(&entry)).unwrap(), made);
    let other = entry.with_detail("other");
    let conflict = wait(open(dir.path(), &clock).audit_log().append(&other)).unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert_eq!(
        verified(dir.path(), &clock),
        AuditVerification::Intact(Checkpoint { size: 4, head: made.hash })
    );
}

const STORE: &str = "MLOPS_TEST_AUDIT";

/// Does nothing unless it is told to, in a process of its own, by the test after it.
#[test]
fn child_appends() {
    let Some(folder) = std::env::var_os(STORE) else { return };
    let store = LocalStore::open(Path::new(&folder)).unwrap();
    wait(async {
        for _ in 0..5 {
            fill(&store, 10).await;
            assert!(store.audit_log().verify(None).await.unwrap().is_intact());
            store.audit_log().checkpoint().await.unwrap();
        }
    });
}

#[test]
fn many_processes_make_one_chain_in_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new store");
    children(8, "child_appends", STORE, &folder);
    let store = LocalStore::open(&folder).unwrap();
    match wait(store.audit_log().verify(None)).unwrap() {
        AuditVerification::Intact(checkpoint) => assert_eq!(checkpoint.size, 400),
        broken => panic!("{broken:?}"),
    }
}

#[test]
fn a_link_in_the_place_of_the_checkpoints_leads_nobody_out_of_the_folder() {
    let (dir, clock) = filled(3);
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join("audit.checkpoints")).unwrap();
    let log = open(dir.path(), &clock).audit_log();
    assert_eq!(wait(log.verify(None)).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(wait(log.checkpoint()).unwrap_err().kind(), ErrorKind::Corrupt);
    let every = usize::try_from(LocalAuditLog::CHECKPOINT_EVERY).unwrap();
    wait(fill(&open(dir.path(), &clock), every - 3));
    let error = wait(log.record(&actor(), "model.register", "model/churn:1", "")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    // Once it is gone everything goes on, and nothing was lost.
    std::fs::remove_file(dir.path().join("audit.checkpoints")).unwrap();
    assert_eq!(
        wait(log.record(&actor(), "model.register", "model/churn:1", "")).unwrap().sequence,
        every as u64 + 1
    );
    assert!(wait(log.verify(None)).unwrap().is_intact());
}
