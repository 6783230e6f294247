//! What the suites share: races, hostile text, skipping.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{ActorId, TagKey, Tags};
use crate::page::{Page, PageRequest, PageToken};
use crate::time::Timestamp;

/// How many tasks race in a concurrency case.
pub(super) const RACERS: usize = 64;

/// Text that somebody will send, and that must come back as it was.
pub(super) const TEXTS: &[&str] = &[
    "",
    " leading and trailing ",
    "e\u{301} is not é", // decomposed and composed: two texts that look alike
    "ﬁ ligature, ß, İ, ǆ",
    "家族 👩‍👩‍👧‍👦 🏳️‍🌈",
    "שלום עולם \u{202e}abc",
    "العربية ١٢٣",
    "'; DROP TABLE runs;--",
    "100% _under_ \\% \\_",
    "\"quoted\" `back` $(id) ${HOME} {{7*7}}",
    "a\0b",
    "line\r\nline\ttab\u{1b}[2J",
    "\u{feff}bom \u{200b}zero width",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\u{10ffff}\u{fffd}",
];

/// Says that a case could not run here. Look for it in the output with `--nocapture`.
pub(super) fn skipped(reason: &str) {
    println!("skipped: {reason}");
}

/// The kind of the error in `result`, which must be one; that it has an operation and says whether to retry is checked too.
#[track_caller]
pub(super) fn kind<T: Debug>(result: Result<T>) -> ErrorKind {
    fault(result).kind()
}

/// The error in `result`, which must be one.
#[track_caller]
pub(super) fn fault<T: Debug>(result: Result<T>) -> Error {
    let error = result.expect_err("this call must fail");
    assert!(!error.operation().is_empty() && !error.message().is_empty(), "{error}");
    assert!(!error.to_string().contains(['\n', '\r', '\u{1b}', '\0', '\u{202e}']), "{error:?}");
    if error.kind() != ErrorKind::Storage {
        assert_eq!(error.is_retryable(), error.kind().is_retryable(), "{error}");
    }
    error
}

/// Runs `count` tasks that start at the same moment, and returns what they answered, in the order they were made.
pub(super) async fn race<T, F>(count: usize, mut task: impl FnMut(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|i| {
            let (start, work) = (start.clone(), task(i));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut answers = Vec::with_capacity(count);
    for task in tasks {
        answers.push(task.await.expect("no task panics"));
    }
    answers
}

/// Reads a list to its end in pages of `limit`, calling `between` after each page.
pub(super) async fn read_all<T, F, G, B>(
    limit: usize,
    mut list: impl FnMut(PageRequest) -> F,
    mut between: impl FnMut(usize) -> G,
) -> Vec<T>
where
    F: Future<Output = Result<Page<T>>>,
    G: Future<Output = B>,
{
    let mut all = Vec::new();
    let mut request = PageRequest::first(limit);
    for number in 0.. {
        let mut page = list(request.clone()).await.expect("a page is read");
        assert!(page.items.len() <= limit, "a page has more than {limit} items");
        assert!(page.next.is_none() || !page.items.is_empty(), "an empty page is the last one");
        all.append(&mut page.items);
        match request.after(&page) {
            Some(next) => request = next,
            None => break,
        }
        between(number).await;
    }
    all
}

/// [`read_all`] while nobody writes.
pub(super) async fn read_quietly<T, F>(limit: usize, list: impl FnMut(PageRequest) -> F) -> Vec<T>
where
    F: Future<Output = Result<Page<T>>>,
{
    read_all(limit, list, |_| async {}).await
}

/// Checks that a list refuses limits of nobody and tokens that it did not make.
pub(super) async fn refuses_bad_pages<T: Debug, F>(mut list: impl FnMut(PageRequest) -> F)
where
    F: Future<Output = Result<Page<T>>>,
{
    for limit in [0, PageRequest::MAX_LIMIT + 1, usize::MAX] {
        assert_eq!(kind(list(PageRequest::first(limit)).await), ErrorKind::InvalidInput, "limit {limit}");
    }
    for token in ["", "0", "1", "-1", "99999999999999999999", "after:1", "' OR 1=1--", "\0", "🦀", "bnVsbA=="]
    {
        let page = PageRequest { limit: 1, token: Some(PageToken::new(token)) };
        assert_eq!(kind(list(page).await), ErrorKind::InvalidInput, "token {token:?}");
    }
}

/// Tags with every hostile text as a value, and keys of several scripts.
pub(super) fn hostile_tags() -> Tags {
    let mut tags: Tags = TEXTS
        .iter()
        .enumerate()
        .map(|(i, text)| (TagKey::new(format!("text-{i}")).unwrap(), (*text).to_owned()))
        .collect();
    for key in ["größe", "標籤", "метка", "تسمية", "a.b/c:d e", "Key", "key"] {
        tags.insert(TagKey::new(key).unwrap(), key.to_owned());
    }
    tags
}

/// An actor.
pub(super) fn actor() -> ActorId {
    ActorId::new("conformance").unwrap()
}

/// A point in time.
pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
