//! Leases beyond the suite: clocks that are set, several handles, loggers that keep a run alive.

use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::experiment::{ExperimentTracker as _, RunEnd, RunQuery, RunStatus};
use mlops_core::local::{LocalStore, LoggerOptions};
use mlops_core::time::Clock as _;

use super::support::{block, clock, key, start};

#[test]
fn a_wall_clock_that_is_set_does_not_end_leases() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let tracker = LocalStore::options().with_clock(clock.clone()).open(folder.path()).unwrap().tracker();
    let run = start(&tracker);
    block(tracker.heartbeat(&run, Duration::from_secs(60))).unwrap();
    clock.set("2038-01-19T03:14:08Z".parse().unwrap());
    assert_eq!(block(tracker.run(&run)).unwrap().status, RunStatus::Running);
    clock.set("1901-12-13T20:45:52Z".parse().unwrap());
    clock.advance(Duration::from_secs(60));
    assert_eq!(block(tracker.run(&run)).unwrap().status, RunStatus::Killed);
}

#[test]
fn what_was_seen_to_be_killed_stays_killed() {
    let (early, late, folder) = (clock(), clock(), tempfile::tempdir().unwrap());
    let open = |clock| LocalStore::options().with_clock(clock).open(folder.path()).unwrap().tracker();
    let (writer, reader) = (open(early.clone()), open(late.clone()));
    let runs = [start(&writer), start(&writer), start(&writer)];
    for run in &runs {
        block(writer.heartbeat(run, Duration::from_secs(60))).unwrap();
    }
    assert_eq!(
        block(reader.run(&runs[0])).unwrap().status,
        RunStatus::Running,
        "the lease is seen by others"
    );
    late.advance(Duration::from_secs(61));
    let until = early.now() + Duration::from_secs(60);
    // By looking at one, by searching, and by trying to write.
    let seen = block(reader.run(&runs[0])).unwrap();
    assert_eq!((seen.status, seen.ended_at), (RunStatus::Killed, Some(until)));
    let refused = block(reader.heartbeat(&runs[1], Duration::from_secs(60))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(block(writer.run(&runs[1])).unwrap().status, RunStatus::Killed);
    let found = block(reader.search_runs(&RunQuery::everywhere())).unwrap().items;
    assert!(found.iter().all(|run| run.status == RunStatus::Killed && run.ended_at == Some(until)));
    // Who gave the lease has an earlier clock, and agrees: it was written down.
    for run in &runs {
        assert_eq!(block(writer.run(run)).unwrap().status, RunStatus::Killed);
    }
}

#[test]
fn a_store_that_cannot_be_written_shows_killed_runs_all_the_same() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let tracker = LocalStore::options().with_clock(clock.clone()).open(folder.path()).unwrap().tracker();
    let run = start(&tracker);
    block(tracker.heartbeat(&run, Duration::from_secs(60))).unwrap();
    drop(tracker);
    clock.advance(Duration::from_secs(61));
    let options = LocalStore::options().with_clock(clock).with_read_only(true);
    let tracker = options.open(folder.path()).unwrap().tracker();
    assert_eq!(block(tracker.run(&run)).unwrap().status, RunStatus::Killed);
    use mlops_core::experiment::{Field, Filter, OrderBy};
    for (status, count) in [(RunStatus::Killed, 1), (RunStatus::Running, 0)] {
        let query = RunQuery::everywhere()
            .with_filter(Filter::And(vec![Filter::Status(vec![status]), Filter::HasEnded]))
            .with_order(OrderBy::descending(Field::Ended))
            .with_order(OrderBy::descending(Field::Status));
        assert_eq!(block(tracker.search_runs(&query)).unwrap().items.len(), count);
    }
    let refused = tracker.logger(&run, LoggerOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Storage);
}

#[test]
fn a_logger_keeps_its_run_alive_as_long_as_the_store_is_open() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let tracker = LocalStore::options().with_clock(clock.clone()).open(folder.path()).unwrap().tracker();
    let run = start(&tracker);
    let options = LoggerOptions::default().with_commit_every(Duration::from_millis(1));
    let logger = tracker.logger(&run, options).unwrap();
    let mut until = block(tracker.run(&run)).unwrap().lease_until.unwrap();
    assert_eq!(until, clock.now() + Duration::from_secs(60));
    drop(logger);
    for _ in 0..5 {
        clock.advance(Duration::from_secs(40));
        // The committer renews it when it wakes up next.
        let patience = std::time::Instant::now() + Duration::from_secs(60);
        let renewed = loop {
            assert!(std::time::Instant::now() < patience, "nobody renews it");
            let read = block(tracker.run(&run)).unwrap();
            assert_eq!(read.status, RunStatus::Running);
            if read.lease_until != Some(until) {
                break read.lease_until.unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(renewed, clock.now() + Duration::from_secs(60));
        until = renewed;
    }
    drop(tracker);
    clock.advance(Duration::from_secs(3600));
    let tracker = LocalStore::options().with_clock(clock).open(folder.path()).unwrap().tracker();
    let read = block(tracker.run(&run)).unwrap();
    assert_eq!((read.status, read.ended_at), (RunStatus::Killed, Some(until)));
}

#[test]
fn a_logger_that_goes_ends_its_run_where_it_was_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = LocalStore::open(folder.path()).unwrap().tracker();
    let ends = LoggerOptions::default().with_end_on_drop(RunStatus::Failed);
    let status = |run: &_| block(tracker.run(run)).unwrap().status;

    let (run, loss) = (start(&tracker), key("loss"));
    let logger = tracker.logger(&run, ends.clone()).unwrap();
    let clone = logger.clone();
    logger.metric(&loss, 0.5, 1);
    drop(logger);
    assert_eq!(status(&run), RunStatus::Running, "a clone lives");
    drop(clone);
    let read = block(tracker.run(&run)).unwrap();
    assert_eq!((read.status, read.metric("loss")), (RunStatus::Failed, Some(0.5)));

    // A panic is an early end as well.
    let run = start(&tracker);
    let logger = tracker.logger(&run, ends.clone()).unwrap();
    let panicked = std::thread::spawn(move || {
        let _training = logger;
        panic!("out of memory");
    });
    assert!(panicked.join().is_err());
    assert_eq!(status(&run), RunStatus::Failed);

    // Who ended it first is right: the logger, another logger, the tracker.
    let run = start(&tracker);
    tracker.logger(&run, ends.clone()).unwrap().finish(&RunEnd::FINISHED).unwrap();
    assert_eq!(status(&run), RunStatus::Finished);
    let run = start(&tracker);
    let logger = tracker.logger(&run, ends.clone()).unwrap();
    block(tracker.finish_run(&run, &RunEnd::KILLED)).unwrap();
    drop(logger);
    assert_eq!(status(&run), RunStatus::Killed);
    let run = start(&tracker);
    let (guard, other) = (tracker.logger(&run, ends), tracker.logger(&run, LoggerOptions::default()));
    other.unwrap().finish(&RunEnd::FINISHED).unwrap();
    drop(guard.unwrap());
    assert_eq!(status(&run), RunStatus::Finished);

    // Not told so, a run goes on; and running is no end.
    let run = start(&tracker);
    drop(tracker.logger(&run, LoggerOptions::default()).unwrap());
    assert_eq!(status(&run), RunStatus::Running);
    let none = LoggerOptions::default().with_end_on_drop(RunStatus::Running);
    let error = tracker.logger(&run, none).unwrap_err();
    assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("end_on_drop")));
}

#[test]
fn loggers_are_for_open_runs() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = LocalStore::open(folder.path()).unwrap().tracker();
    let logger = |run: &_, lease| {
        let options = LoggerOptions::default().with_lease(lease);
        tracker.logger(run, options).map(drop).map_err(|e| e.kind())
    };
    assert_eq!(logger(&mlops_core::RunId::generate(), None), Err(ErrorKind::NotFound));
    let run = start(&tracker);
    assert_eq!(logger(&run, Some(Duration::ZERO)), Err(ErrorKind::InvalidInput));
    assert_eq!(logger(&run, None), Ok(()));
    assert_eq!(block(tracker.run(&run)).unwrap().lease_until, None);
    block(tracker.set_deleted(&run, true)).unwrap();
    assert_eq!(logger(&run, None), Err(ErrorKind::Conflict));
    block(tracker.set_deleted(&run, false)).unwrap();
    let kept = tracker.logger(&run, LoggerOptions::default()).unwrap();
    block(tracker.finish_run(&run, &RunEnd::FAILED)).unwrap();
    assert_eq!(logger(&run, None), Err(ErrorKind::Conflict));
    kept.metric(&key("late"), 1.0, 0);
    let report = kept.flush().unwrap();
    assert_eq!((report.accepted, report.refused, report.is_complete()), (0, 1, false));
}
