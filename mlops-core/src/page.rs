//! Paging: how a list too long for one answer is read, also while it grows.

pub mod pager;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a page ended: opaque, made by the backend, valid for the query it came from.
///
/// ```
/// use mlops_core::page::PageToken;
/// assert_eq!(PageToken::new("after:7").as_str(), "after:7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageToken(String);

impl PageToken {
    /// Wraps a backend's own text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which page is wanted.
///
/// ```
/// use mlops_core::PageRequest;
/// assert_eq!(PageRequest::default().limit, 100);
/// assert!(PageRequest::first(0).check("list").is_err());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// The most items to return: 1 to 10 000.
    pub limit: usize,
    /// The [`Page::next`] of the page before; `None` starts at the beginning.
    pub token: Option<PageToken>,
}

impl PageRequest {
    /// Starting where a page before ended; `None` starts at the beginning.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<Option<PageToken>>) -> Self {
        self.token = token.into();
        self
    }

    /// The most items that may be asked for at once.
    pub const MAX_LIMIT: usize = 10_000;

    /// The first page, of at most `limit` items.
    pub fn first(limit: usize) -> Self {
        Self { limit, token: None }
    }

    /// The page that follows `page`, if there is one.
    pub fn after<T>(&self, page: &Page<T>) -> Option<Self> {
        page.next.clone().map(|token| Self { limit: self.limit, token: Some(token) })
    }

    /// Refuses limits outside 1 to [`Self::MAX_LIMIT`]; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the limit.
    pub fn check(&self, operation: &'static str) -> Result<()> {
        if (1..=Self::MAX_LIMIT).contains(&self.limit) {
            return Ok(());
        }
        Err(Error::invalid(operation, "limit", "must lie between 1 and 10000").with("value", self.limit))
    }

    /// The error for a token this backend did not make for this query.
    pub fn bad_token(&self, operation: &'static str) -> Error {
        let shown = self.token.as_ref().map_or("", PageToken::as_str);
        Error::invalid(operation, "token", "is not a page token of this query").with("value", shown)
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::first(100)
    }
}

/// One page of a list.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items, in the order the method documents.
    pub items: Vec<T>,
    /// Where the next page starts; `None` when this was the last one.
    pub next: Option<PageToken>,
}

impl<T> Page<T> {
    /// A page of these items, with where the next one starts.
    ///
    /// ```
    /// use mlops_core::page::{Page, PageToken};
    ///
    /// let first = Page::new(vec!["a", "b"], PageToken::new("2"));
    /// assert_eq!(first.next, Some(PageToken::new("2")));
    /// let last = Page::new(vec!["c"], None);
    /// assert_eq!((last.items, last.next), (vec!["c"], None));
    /// ```
    pub fn new(items: Vec<T>, next: impl Into<Option<PageToken>>) -> Self {
        Self { items, next: next.into() }
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}
