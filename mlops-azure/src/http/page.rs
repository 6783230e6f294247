//! Lists that come in pages.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use mlops_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::call::Call;
use super::service::Service;

/// A page of a list: `{"value": […], "nextLink": "…"}`. Without a link, or with an empty one, it is the last. What has no `value` is
/// no page: an answer of another kind is not an empty list.
///
/// ```
/// use mlops_azure::http::Page;
/// assert!(serde_json::from_str::<Page<u8>>(r#"{"value":[1]}"#).is_ok_and(|page| page.value == [1]));
/// assert!(serde_json::from_str::<Page<u8>>(r#"{"error":{"code":"X"}}"#).is_err());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// The items; a page may have none and not be the last.
    #[serde(deserialize_with = "items_or_null", bound(deserialize = "T: Deserialize<'de>"))]
    pub value: Vec<T>,
    /// Where the next page is.
    #[serde(rename = "nextLink", default)]
    pub next_link: Option<String>,
}

/// `null` is how some services write that there are none.
fn items_or_null<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

enum Next<T> {
    First(Box<Call<Page<T>>>),
    Link(String),
    End,
}

struct State<T> {
    service: Service,
    operation: &'static str,
    next: Next<T>,
    /// The links so far, by hash: a hostile one may be megabytes long.
    seen: HashSet<u64>,
}

/// The most pages that a list may have; a list that is longer is one without an end.
const MAX_PAGES: usize = 100_000;

pub(super) fn pages<T>(
    service: Service,
    call: Call<Page<T>>,
) -> impl Stream<Item = Result<Vec<T>>> + Send + use<T>
where
    T: DeserializeOwned + Send + 'static,
{
    let operation = call.operation;
    let state = State { service, operation, next: Next::First(Box::new(call)), seen: HashSet::new() };
    stream::try_unfold(state, |mut state| async move {
        let reply = match std::mem::replace(&mut state.next, Next::End) {
            Next::First(call) => state.service.reply(*call).await?,
            Next::Link(link) => state.service.follow(state.operation, &link, None).await?,
            Next::End => return Ok(None),
        };
        let page: Page<T> = reply.json(state.operation)?;
        if let Some(link) = page.next_link.filter(|link| !link.is_empty()) {
            state.remember(&link)?;
            state.next = Next::Link(link);
        }
        Ok(Some((page.value, state)))
    })
}

pub(super) fn items<T>(service: Service, call: Call<Page<T>>) -> impl Stream<Item = Result<T>> + Send + use<T>
where
    T: DeserializeOwned + Send + 'static,
{
    pages(service, call).map_ok(|page| stream::iter(page).map(Ok)).try_flatten()
}

impl<T> State<T> {
    /// Remembers a link; one that was there already leads in a circle.
    fn remember(&mut self, link: &str) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        link.hash(&mut hasher);
        let endless = self.seen.len() >= MAX_PAGES || !self.seen.insert(hasher.finish());
        match endless {
            true => Err(Error::new(ErrorKind::Protocol, self.operation, "the list's pages have no end")
                .with("pages", self.seen.len())),
            false => Ok(()),
        }
    }
}
