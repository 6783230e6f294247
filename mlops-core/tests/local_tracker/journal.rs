//! The journal: what is logged is there, in order, once; what a disk did to it is seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mlops_core::RunId;
use mlops_core::experiment::{ExperimentTracker as _, MetricPoint, RunEnd};
use mlops_core::local::{JournalOutcome, LocalStore, LoggerOptions, RecoveredJournal};
use mlops_core::time::Clock as _;

use super::support::{block, clock, copy, history, journals, key, open, start};

/// Nothing is committed unless somebody asks.
fn never() -> LoggerOptions {
    LoggerOptions::default().with_lease(None).with_commit_every(Duration::from_secs(3600))
}

/// What the logs of a few values look like: two metrics, values of all kinds.
const VALUES: [f64; 8] = [1.0, -0.0, f64::NAN, f64::INFINITY, 5e-324, -2.5, f64::MAX, 0.1];

/// The folder of a process that logged [`VALUES`] and died before it committed any of them, with what it logged.
fn died(folder: &Path) -> (RunId, Vec<MetricPoint>) {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let run = start(&store.tracker());
    // Whatever is in memory goes into the file that is copied.
    drop(store);
    let store = open(home.path());
    let logger = store.tracker().logger(&run, never()).unwrap();
    for (step, value) in (0..).zip(VALUES) {
        logger.metric(&key(["loss", "acc"][usize::from(step % 3 == 0)]), value, step);
    }
    let report = logger.status();
    assert_eq!((report.accepted, report.pending(), report.in_memory), (8, 8, 0));
    copy(home.path(), folder);
    (run.clone(), all(&store, &run))
}

fn all(store: &LocalStore, run: &RunId) -> Vec<MetricPoint> {
    let tracker = store.tracker();
    let mut points = history(&tracker, run, "loss");
    points.extend(history(&tracker, run, "acc"));
    points.sort_by_key(|point| point.step);
    points
}

/// Opens a copy of a store, after something was done to its journal.
fn reopen(home: &Path, damage: impl FnOnce(&Path)) -> (LocalStore, RecoveredJournal, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    copy(home, folder.path());
    damage(&journals(folder.path())[0]);
    let store = open(folder.path());
    let report = store.recovery().journals.clone();
    assert_eq!(report.len(), 1);
    (store, report[0].clone(), folder)
}

#[test]
fn what_is_logged_is_read_at_once_and_the_folder_is_clean_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tracker = store.tracker();
    let run = start(&tracker);
    let logger = tracker.logger(&run, never()).unwrap();
    let loss = logger.handle(&key("loss"));
    for step in 0..1000 {
        logger.metric(&loss, step as f64, step);
        logger.metric(&key("acc"), -(step as f64), step);
    }
    let summary = block(tracker.run(&run)).unwrap().metrics[&key("loss")].clone();
    assert_eq!((summary.count, summary.last.value, summary.min), (1000, 999.0, Some(0.0)));
    let steps: Vec<i64> = history(&tracker, &run, "acc").iter().map(|p| p.step).collect();
    assert_eq!(steps, (0..1000).collect::<Vec<_>>());
    for step in 0..10 {
        logger.metric(&loss, 7.0, step);
    }
    let report = logger.finish(&RunEnd::FINISHED).unwrap();
    assert_eq!((report.accepted, report.committed, report.is_complete()), (2010, 2010, true));
    assert!(report.last_error.is_none());
    assert_eq!(history(&tracker, &run, "loss").len(), 1010);
    drop((logger, tracker, store));
    assert!(journals(folder.path()).is_empty(), "what is committed needs no file");
    let store = open(folder.path());
    assert!(store.recovery().journals.is_empty());
    assert_eq!(history(&store.tracker(), &run, "loss").len(), 1010);
}

#[test]
fn the_committer_commits_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, reader) = (open(folder.path()), open(folder.path()));
    let run = start(&writer.tracker());
    let options = LoggerOptions::default().with_commit_every(Duration::from_millis(1));
    let logger = writer.tracker().logger(&run, options).unwrap();
    logger.metric(&key("loss"), 1.0, 0);
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while history(&reader.tracker(), &run, "loss").is_empty() {
        assert!(std::time::Instant::now() < patience, "nobody commits");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_store_that_is_closed_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let run = start(&store.tracker());
    let logger = store.tracker().logger(&run, never()).unwrap();
    drop(store);
    (0..100).for_each(|step| logger.metric(&key("loss"), 1.0, step));
    drop(logger);
    assert_eq!(history(&open(folder.path()).tracker(), &run, "loss").len(), 100);
}

#[test]
fn a_wall_clock_that_is_set_back_neither_loses_nor_reorders() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let store = LocalStore::options().with_clock(clock.clone()).open(folder.path()).unwrap();
    let run = start(&store.tracker());
    let logger = store.tracker().logger(&run, never()).unwrap();
    let began = clock.now();
    for (i, value) in (0..).zip([1.0, 1.0, 2.0, 2.0, 1.0, 3.0]) {
        if i == 3 {
            clock.set("1969-07-20T20:17:40Z".parse().unwrap());
        }
        logger.metric(&key("loss"), value, 0);
    }
    let points = history(&store.tracker(), &run, "loss");
    assert_eq!(points.iter().map(|p| p.value).collect::<Vec<_>>(), [1.0, 1.0, 2.0, 2.0, 1.0, 3.0]);
    assert!(points[0].at >= began);
    // A time that was given is taken as it is, and makes the point the same.
    let at = "2001-01-01T00:00:00Z".parse().unwrap();
    for _ in 0..3 {
        logger.metric_at(&key("given"), 5.0, 1, at);
    }
    assert_eq!(logger.flush().unwrap().committed, 9);
    let given = history(&store.tracker(), &run, "given");
    assert_eq!(given, [MetricPoint::new(key("given"), 5.0, at).with_step(1)]);
}

#[test]
fn handles_of_another_store_log_by_their_key() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (open(one.path()), open(two.path()));
    let loggers = [&one, &two].map(|store| {
        let tracker = store.tracker();
        tracker.logger(&start(&tracker), never()).unwrap()
    });
    loggers[0].handle(&key("a"));
    let handle = loggers[0].handle(&key("b"));
    loggers[1].handle(&key("c"));
    loggers[1].metric(&handle, 1.0, 0);
    assert_eq!(history(&two.tracker(), loggers[1].run(), "b").len(), 1);
    assert_eq!((handle.key().as_str(), format!("{handle:?}").as_str()), ("b", "MetricHandle(\"b\")"));
}

#[test]
fn many_threads_log_to_many_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tracker = store.tracker();
    let runs: Vec<RunId> = (0..4).map(|_| start(&tracker)).collect();
    let options = LoggerOptions::default().with_commit_every(Duration::from_millis(1));
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let logger = tracker.logger(&runs[thread % 4], options.clone()).unwrap();
            scope.spawn(move || {
                for step in 0..1000 {
                    logger.metric(&key(&format!("m{}", step % 3)), thread as f64, step);
                }
            });
        }
    });
    for run in &runs {
        let counts: BTreeMap<String, u64> = block(tracker.run(run))
            .unwrap()
            .metrics
            .iter()
            .map(|(key, summary)| (key.to_string(), summary.count))
            .collect();
        let expected = [("m0", 668), ("m1", 666), ("m2", 666)].map(|(k, n)| (k.to_owned(), n));
        assert_eq!(counts, BTreeMap::from(expected));
    }
}

#[test]
fn a_process_that_died_is_replayed_once() {
    let home = tempfile::tempdir().unwrap();
    let (run, expected) = died(home.path());
    let (store, report, folder) = reopen(home.path(), |_| {});
    assert_eq!((report.outcome, report.points, report.is_whole()), (JournalOutcome::Replayed, 8, true));
    assert_eq!(all(&store, &run), expected);
    assert!(journals(folder.path()).is_empty());
    drop(store);
    // Somebody brings the file back: all of it is there already.
    copy(&home.path().join("journal"), &folder.path().join("journal"));
    let store = open(folder.path());
    assert_eq!((store.recovery().journals.len(), store.recovery().points()), (1, 0));
    assert_eq!(all(&store, &run), expected);
}

#[test]
fn a_process_that_died_between_commits_is_replayed_from_where_it_was() {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(home.path());
    let run = start(&store.tracker());
    let logger = store.tracker().logger(&run, never()).unwrap();
    (0..100).for_each(|step| logger.metric(&key("loss"), 1.0, step));
    logger.flush().unwrap();
    (100..150).for_each(|step| logger.metric(&key("loss"), 1.0, step));
    copy(home.path(), folder.path());
    let store = open(folder.path());
    assert_eq!(store.recovery().points(), 50);
    let steps: Vec<i64> = history(&store.tracker(), &run, "loss").iter().map(|p| p.step).collect();
    assert_eq!(steps, (0..150).collect::<Vec<_>>());
}

#[test]
fn a_file_whose_writer_lives_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let run = start(&store.tracker());
    let logger = store.tracker().logger(&run, never()).unwrap();
    logger.metric(&key("loss"), 1.0, 0);
    let other = open(folder.path());
    assert!(other.recovery().journals.is_empty() && other.recovery().is_whole());
    assert!(history(&other.tracker(), &run, "loss").is_empty());
    logger.metric(&key("loss"), 1.0, 1);
    assert_eq!(history(&store.tracker(), &run, "loss").len(), 2);
    assert_eq!(history(&other.tracker(), &run, "loss").len(), 2);
}

#[test]
fn a_journal_that_was_cut_anywhere_in_its_last_record_has_all_the_others() {
    let home = tempfile::tempdir().unwrap();
    let (run, expected) = died(home.path());
    let length = fs::metadata(&journals(home.path())[0]).unwrap().len();
    // Head, numbers, step, time, value: 43 bytes.
    for cut in 1..=43 {
        let (store, report, _folder) = reopen(home.path(), |path| {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length - cut).unwrap();
        });
        assert_eq!(all(&store, &run), expected[..7], "{cut}");
        assert_eq!((report.points, report.torn_bytes), (7, 43 - cut), "{cut}");
        assert_eq!(report.is_whole(), cut == 43);
    }
}

#[test]
fn a_turned_bit_takes_one_value_at_most_and_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let (run, expected) = died(home.path());
    let length = fs::metadata(&journals(home.path())[0]).unwrap().len() as usize;
    let mut lost = 0;
    for place in 0..length {
        let (store, report, _folder) = reopen(home.path(), |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[place] ^= 1 << (place % 8);
            fs::write(path, bytes).unwrap();
        });
        let found = all(&store, &run);
        assert!(found.iter().all(|point| expected.contains(point)), "byte {place}: a value changed");
        assert!(found.len() >= expected.len() - 1, "byte {place}");
        if found.len() < expected.len() {
            lost += 1;
            assert!(!report.is_whole(), "byte {place}: lost in silence");
            assert_eq!(
                (report.outcome, report.damaged + u64::from(report.torn_bytes > 0)),
                (JournalOutcome::PutAside, 1)
            );
            assert!(report.kept.unwrap().is_file(), "what was damaged is kept");
        }
    }
    assert_eq!(lost, 8 * 43, "each byte of each value, and no other");
}

#[test]
fn what_is_not_ours_newer_or_of_another_store_is_left_alone() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    died(home.path());
    died(other.path());
    let foreign = fs::read(&journals(other.path())[0]).unwrap();
    let newer = {
        let mut bytes = fs::read(&journals(home.path())[0]).unwrap();
        for copy in bytes[..128].chunks_mut(64) {
            copy[8] = 2;
            let crc = crc32fast::hash(&copy[..60]);
            copy[60..].copy_from_slice(&crc.to_le_bytes());
        }
        bytes
    };
    for (bytes, problem) in
        [(&b"no journal at all"[..], "no journal"), (&newer, "version 2"), (&foreign, "another store")]
    {
        let (_store, report, folder) = reopen(home.path(), |path| fs::write(path, bytes).unwrap());
        assert_eq!((report.outcome, report.points, report.is_whole()), (JournalOutcome::Left, 0, false));
        assert!(report.problem.as_ref().unwrap().contains(problem), "{report:?}");
        assert_eq!(fs::read(report.kept.unwrap()).unwrap(), bytes);
        assert_eq!(journals(folder.path()).len(), 1);
    }
    // Ours, but nobody can say what its salt was.
    let (_store, report, _folder) = reopen(home.path(), |path| {
        let mut bytes = fs::read(path).unwrap();
        (bytes[12], bytes[76]) = (!bytes[12], !bytes[76]);
        fs::write(path, bytes).unwrap();
    });
    assert_eq!((report.outcome, report.damaged), (JournalOutcome::PutAside, 1));
}

#[test]
fn values_of_a_run_that_the_database_does_not_have_wait_for_it() {
    let (home, early) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(home.path());
    let tracker = store.tracker();
    let known = start(&tracker);
    drop((tracker, store));
    copy(home.path(), early.path());
    let store = open(home.path());
    let tracker = store.tracker();
    let unknown = start(&tracker);
    for run in [&known, &unknown] {
        let logger = tracker.logger(run, never()).unwrap();
        (0..3).for_each(|step| logger.metric(&key("loss"), 1.0, step));
    }
    copy(&home.path().join("journal"), &early.path().join("journal"));
    for points in [3, 0] {
        let store = open(early.path());
        let report = &store.recovery().journals[0];
        assert_eq!((report.outcome, report.points, report.unattributed), (JournalOutcome::Left, points, 3));
        assert_eq!(history(&store.tracker(), &known, "loss").len(), 3);
    }
    // The database is brought up to date.
    fs::copy(home.path().join("mlops.db-wal"), early.path().join("mlops.db-wal")).unwrap();
    fs::copy(home.path().join("mlops.db"), early.path().join("mlops.db")).unwrap();
    let store = open(early.path());
    assert!(store.recovery().is_whole());
    assert_eq!(history(&store.tracker(), &unknown, "loss").len(), 3);
}

#[test]
fn values_of_a_run_that_somebody_else_ended_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    let run = start(&one.tracker());
    let logger = one.tracker().logger(&run, never()).unwrap();
    logger.metric(&key("loss"), 1.0, 0);
    block(two.tracker().finish_run(&run, &RunEnd::KILLED)).unwrap();
    logger.metric(&key("loss"), 1.0, 1);
    assert_eq!(logger.flush().unwrap().committed, 2);
    assert_eq!(history(&two.tracker(), &run, "loss").len(), 2);
}

#[test]
fn debug_output_has_no_content() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let run = start(&store.tracker());
    let logger = store.tracker().logger(&run, never()).unwrap();
    logger.metric(&key("secret-metric"), 1.0, 0);
    let shown = format!("{logger:?} {:?}", store.tracker());
    assert!(!shown.contains("secret-metric") && shown.contains(run.as_str()));
}

/// What was measured before it could be known is kept; after that the run takes no more, whoever ended it.
#[test]
fn a_run_that_another_handle_ended_takes_no_more_values_once_that_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (open(folder.path()), open(folder.path()));
    let (run, other) = (start(&ours.tracker()), start(&ours.tracker()));
    let logger = ours.tracker().logger(&run, never()).unwrap();
    let goes_on = ours.tracker().logger(&other, never()).unwrap();
    logger.metric(&key("loss"), 0.5, 1);
    assert_eq!(logger.flush().unwrap().committed, 1);
    block(theirs.tracker().finish_run(&run, &RunEnd::FINISHED)).unwrap();
    for step in 2..=4 {
        logger.metric(&key("loss"), 0.25, step);
        logger.metric(&key("acc"), 0.25, step);
        goes_on.metric(&key("loss"), 0.25, step);
    }
    assert!(logger.flush().unwrap().is_complete());
    for step in 5..=8 {
        logger.metric(&key("loss"), 0.25, step);
        goes_on.metric(&key("loss"), 0.25, step);
    }
    let report = logger.flush().unwrap();
    assert_eq!((report.accepted, report.committed, report.refused), (7, 7, 4), "{report:?}");
    assert!(!report.is_complete() && goes_on.status().is_complete());
    assert_eq!((all(&theirs, &run).len(), all(&theirs, &other).len()), (7, 7));
}
