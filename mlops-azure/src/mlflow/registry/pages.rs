//! Pages by key, sealed into tokens that only the same query accepts.

use mlops_core::hash::{Digest, Hasher};
use mlops_core::{Error, ErrorKind, Page, PageRequest, Result};
use mlops_core::page::PageToken;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One page of `rows`, which yields the items after a key (all of them for `None`), each with its own key. `query` is what
/// a token is bound to. A token holds in every process: it is a place in a list, and no secret.
pub(super) fn page<K, T, R>(
    operation: &'static str,
    query: &str,
    page: &PageRequest,
    rows: impl FnOnce(Option<K>) -> Result<R>,
) -> Result<Page<T>>
where
    K: Serialize + DeserializeOwned,
    R: Iterator<Item = (K, T)>,
{
    page.check(operation)?;
    let open = |token: &PageToken| open(operation, query, token).ok_or_else(|| page.bad_token(operation));
    let after = page.token.as_ref().map(open).transpose()?;
    let mut answer = Page::default();
    let mut last = None;
    for (key, item) in rows(after)? {
        if answer.items.len() == page.limit {
            answer.next = last.map(|key| seal(operation, query, &key)).transpose()?;
            break;
        }
        answer.items.push(item);
        last = Some(key);
    }
    Ok(answer)
}

fn seal(operation: &'static str, query: &str, key: &impl Serialize) -> Result<PageToken> {
    let key = serde_json::to_string(key).map_err(|e| {
        Error::new(ErrorKind::Internal, operation, "a page token cannot be written").with_source(e)
    })?;
    Ok(PageToken::new(format!("{}:{key}", mark(operation, query, &key).hex())))
}

fn open<K: DeserializeOwned>(operation: &'static str, query: &str, token: &PageToken) -> Option<K> {
    let (found, key) = token.as_str().split_once(':')?;
    if found != mark(operation, query, key).hex() {
        return None;
    }
    serde_json::from_str(key).ok()
}

fn mark(operation: &'static str, query: &str, key: &str) -> Digest {
    Hasher::new("mlops.mlflow.page/v1").field(operation).field(query).field(key).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(query: &str, request: &PageRequest) -> Result<Page<u32>> {
        page("numbers", query, request, |after: Option<u32>| {
            Ok((after.map_or(0, |n| n + 1)..5).map(|n| (n, n * 10)))
        })
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let first = PageRequest::first(2);
        let one = numbers("q", &first).unwrap();
        let two = numbers("q", &first.after(&one).unwrap()).unwrap();
        let three = numbers("q", &first.after(&two).unwrap()).unwrap();
        assert_eq!([one.items, two.items, three.items.clone()].concat(), [0, 10, 20, 30, 40]);
        assert!(three.next.is_none());
        assert!(numbers("q", &PageRequest::first(5)).unwrap().next.is_none());
    }

    #[test]
    fn tokens_of_another_query_or_of_nobody_are_refused() {
        let first = PageRequest::first(1);
        let next = first.after(&numbers("q", &first).unwrap()).unwrap();
        assert!(numbers("q", &next).is_ok());
        assert_eq!(numbers("other", &next).unwrap_err().kind(), ErrorKind::InvalidInput);
        let token = next.token.unwrap();
        for forged in [token.as_str().replace(":0", ":3"), "3".to_owned(), ":3".to_owned(), String::new()] {
            let bad = PageRequest { limit: 1, token: Some(PageToken::new(forged)) };
            assert_eq!(numbers("q", &bad).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
