//! Pages by key: a page starts after the last key of the page before, whatever was written in between.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher};
use crate::page::{Page, PageRequest, PageToken};

/// Cuts lists into pages, and seals the key where a page ended into a token that only this store and this query accept; for
/// backends.
///
/// ```
/// use mlops_core::page::{PageRequest, pager::Pager};
/// let pager = Pager::new();
/// let list = |page: &PageRequest| {
///     // The second argument is the query: a token of another one is refused.
///     pager.page("list", &"all", page, |after: Option<u32>| {
///         Ok((after.map_or(0, |n| n + 1)..3).map(|n| (n, n * 10)))
///     })
/// };
/// let first = PageRequest::first(2);
/// let page = list(&first)?;
/// assert_eq!(page.items, [0, 10]);
/// assert_eq!(list(&first.after(&page).unwrap())?.items, [20]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct Pager {
    secret: uuid::Uuid,
}

impl Default for Pager {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pager { .. }")
    }
}

impl Pager {
    /// A pager whose tokens are its own.
    pub fn new() -> Self {
        Self { secret: uuid::Uuid::new_v4() }
    }

    /// A pager whose tokens hold for everybody who knows the secret: other handles of the same store, other processes.
    pub fn with_secret(secret: uuid::Uuid) -> Self {
        Self { secret }
    }

    /// One page of `rows`, which yields the items after a key (all of them for `None`), each with its own key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a bad limit and for a token that this pager did not make for this query; those of
    /// `rows`.
    pub fn page<K, T, R>(
        &self,
        operation: &'static str,
        query: &impl Serialize,
        page: &PageRequest,
        rows: impl FnOnce(Option<K>) -> Result<R>,
    ) -> Result<Page<T>>
    where
        K: Serialize + DeserializeOwned,
        R: Iterator<Item = (K, T)>,
    {
        let after = self.after(operation, query, page)?;
        let query = digest(operation, query)?;
        let mut answer = Page::default();
        let mut last = None;
        for (key, item) in rows(after)? {
            if answer.items.len() == page.limit {
                answer.next = last.map(|key| self.seal(operation, &query, &key)).transpose()?;
                break;
            }
            answer.items.push(item);
            last = Some(key);
        }
        Ok(answer)
    }

    /// The key after which the page starts, for backends that must fetch before they can answer.
    ///
    /// # Errors
    /// As by [`Self::page`].
    pub fn after<K: DeserializeOwned>(
        &self,
        operation: &'static str,
        query: &impl Serialize,
        page: &PageRequest,
    ) -> Result<Option<K>> {
        page.check(operation)?;
        let query = digest(operation, query)?;
        let open = |token| self.open(&query, token).ok_or_else(|| page.bad_token(operation));
        page.token.as_ref().map(open).transpose()
    }

    fn seal(&self, operation: &'static str, query: &Digest, key: &impl Serialize) -> Result<PageToken> {
        let key = json(operation, key)?;
        Ok(PageToken::new(format!("{}:{key}", self.mark(query, &key).hex())))
    }

    fn open<K: DeserializeOwned>(&self, query: &Digest, token: &PageToken) -> Option<K> {
        let (mark, key) = token.as_str().split_once(':')?;
        if mark != self.mark(query, key).hex() {
            return None;
        }
        serde_json::from_str(key).ok()
    }

    fn mark(&self, query: &Digest, key: &str) -> Digest {
        Hasher::new("mlops.page/v1").field(self.secret).field(query.as_bytes()).field(key).finish()
    }
}

fn digest(operation: &'static str, query: &impl Serialize) -> Result<Digest> {
    Ok(Hasher::new("mlops.query/v1").field(operation).field(json(operation, query)?).finish())
}

fn json(operation: &'static str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| {
        Error::new(ErrorKind::Internal, operation, "a page token cannot be written").with_source(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(pager: &Pager, query: &str, page: &PageRequest) -> Result<Page<u32>> {
        pager.page("numbers", &query, page, |after: Option<u32>| {
            Ok((after.map_or(0, |n| n + 1)..5).map(|n| (n, n * 10)))
        })
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let pager = Pager::new();
        let first = PageRequest::first(2);
        let one = numbers(&pager, "q", &first).unwrap();
        let two = numbers(&pager, "q", &first.after(&one).unwrap()).unwrap();
        let three = numbers(&pager, "q", &first.after(&two).unwrap()).unwrap();
        assert_eq!([one.items, two.items, three.items.clone()].concat(), [0, 10, 20, 30, 40]);
        assert!(three.next.is_none());
        // A list that fills its page exactly has no page after it.
        assert!(numbers(&pager, "q", &PageRequest::first(5)).unwrap().next.is_none());
    }

    #[test]
    fn tokens_of_another_query_another_store_or_nobody_are_refused() {
        let pager = Pager::new();
        let first = PageRequest::first(1);
        let next = first.after(&numbers(&pager, "q", &first).unwrap()).unwrap();
        assert!(numbers(&pager, "q", &next).is_ok());
        let sealed = next.token.as_ref().unwrap().as_str().to_owned();
        for (pager, query, token) in [
            (&pager, "other", sealed.clone()),
            (&Pager::new(), "q", sealed.clone()),
            (&pager, "q", sealed.replace(":0", ":1")),
            (&pager, "q", "0".to_owned()),
            (&pager, "q", String::new()),
        ] {
            let page = PageRequest { limit: 1, token: Some(PageToken::new(token)) };
            assert_eq!(numbers(pager, query, &page).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
