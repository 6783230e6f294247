//! Many files at once: one `fsync` waits for the disk as long as eight that are under way together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::time::lock;

const THREADS: usize = 8;

/// Does `work` for each item on a few threads; the answers, in the order of the items.
///
/// # Errors
/// One of the errors of `work`, after which nothing new is begun; [`ErrorKind::Internal`] when it panics.
pub(super) fn parallel<T: Sync, R: Send>(
    operation: &'static str,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return Ok(()) };
            match work(item) {
                Ok(answer) => lock(&answers).push((index, answer)),
                Err(error) => {
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    thread::scope(|scope| {
        // Where no more threads are to be had, this one does the work.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, run).ok();
        let others: Vec<_> = (1..THREADS.min(items.len())).filter_map(spawn).collect();
        let mine = run();
        let panicked = |_| Err(Error::new(ErrorKind::Internal, operation, "a thread panicked"));
        let theirs = others.into_iter().map(|other| other.join().unwrap_or_else(panicked));
        // All are waited for, whoever fails.
        theirs.fold(mine, |first, answer| first.and(answer))
    })?;
    let mut answers = answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    answers.sort_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_answers_are_in_order() {
        for count in [0, 1, 2, 7, 8, 9, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let done = AtomicUsize::new(0);
            let answers = parallel("op", &items, |item| {
                done.fetch_add(1, Ordering::Relaxed);
                Ok(item * 2)
            });
            assert_eq!(answers.unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
            assert_eq!(done.into_inner(), count);
        }
    }

    #[test]
    fn the_first_error_ends_it_and_a_panic_is_one() {
        let items: Vec<usize> = (0..10_000).collect();
        let done = AtomicUsize::new(0);
        let answer = parallel("op", &items, |item| {
            done.fetch_add(1, Ordering::Relaxed);
            if *item == 100 { Err(Error::new(ErrorKind::Integrity, "op", "bad")) } else { Ok(()) }
        });
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Integrity);
        assert!(done.into_inner() < 10_000);
        // On one of the other threads: this one waits until they took the rest.
        let here = thread::current().id();
        let taken = AtomicUsize::new(0);
        let answer = parallel("op", &items[..8], |_| {
            if thread::current().id() != here {
                taken.fetch_add(1, Ordering::SeqCst);
                panic!("canary");
            }
            while taken.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            Ok(())
        });
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(!format!("{error:?}").contains("canary"));
    }
}
