//! Uploads in parts: each goes to a URL that the server hands out, so that the bytes do not pass through it.

use mlops_core::{Error, ErrorKind, Result};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::folder::CONTENT;
use crate::artifact::spool::Spool;
use crate::http::{HttpBody, Repeat};
use crate::mlflow::MlflowClient;

/// The most parts that an object store takes.
const MAX_PARTS: u64 = 10_000;

/// Where the parts go. Its `Debug` shows no URL: whoever has it may write.
#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    upload_id: Option<String>,
    #[serde(default)]
    credentials: Vec<Credential>,
}

#[derive(Deserialize)]
struct Credential {
    url: String,
    part_number: u64,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

/// The length of every part but the last, so that there are not too many.
fn part_size(size: u64, wanted: u64) -> u64 {
    wanted.max(size.div_ceil(MAX_PARTS)).max(1)
}

/// Uploads content in parts to its folder; `false` when the server does not offer it.
///
/// # Errors
/// Those of the transport; the upload is then called off.
pub(super) async fn upload(
    client: &MlflowClient,
    operation: &'static str,
    folder: &str,
    spool: &Spool,
    part: u64,
) -> Result<bool> {
    let part = part_size(spool.blob.size, part);
    let count = spool.blob.size.div_ceil(part);
    let begin = json!({ "path": CONTENT, "num_parts": count });
    // Begun twice, one of the two is never completed, and the store forgets it.
    let answer =
        client.post(operation, &format!("mlflow-artifacts/mpu/create/{folder}"), &begin, Repeat::Safe).await;
    let answer = match answer {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(false),
        other => other?,
    };
    let mut created: Created = serde_json::from_value(answer).map_err(|e| {
        let message = "the server's offer of an upload in parts cannot be read";
        // The answer holds signatures; what serde says of it may, too.
        Error::new(ErrorKind::Protocol, operation, message).with("category", format!("{:?}", e.classify()))
    })?;
    created.credentials.sort_by_key(|c| c.part_number);
    let result = match numbered(&created.credentials, count) {
        true => parts(client, operation, spool, part, &created).await,
        false => {
            Err(Error::new(ErrorKind::Protocol, operation, "the server did not offer a place for every part"))
        }
    };
    match result {
        Ok(parts) => complete(client, operation, folder, &created, parts).await.map(|()| true),
        Err(error) => {
            let body = json!({ "path": CONTENT, "upload_id": created.upload_id });
            // What went wrong first is what the caller should hear.
            let _ = client
                .post(operation, &format!("mlflow-artifacts/mpu/abort/{folder}"), &body, Repeat::Safe)
                .await;
            Err(error)
        }
    }
}

fn numbered(credentials: &[Credential], count: u64) -> bool {
    credentials.iter().map(|c| c.part_number).eq(1..=count)
}

async fn parts(
    client: &MlflowClient,
    operation: &'static str,
    spool: &Spool,
    part: u64,
    created: &Created,
) -> Result<Vec<serde_json::Value>> {
    let mut done = Vec::with_capacity(created.credentials.len());
    for credential in &created.credentials {
        let start = (credential.part_number - 1) * part;
        let range = start..(start + part).min(spool.blob.size);
        let limit = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        // One part in memory can be sent again; a stream could not.
        let bytes = spool.stream(operation, range).await?.collect(limit).await?;
        let mut headers = headers(operation, credential)?;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
        let answer =
            client.foreign(operation, Method::PUT, &credential.url, headers, HttpBody::Bytes(bytes)).await?;
        let etag = answer.header("etag").unwrap_or_default();
        done.push(json!({ "part_number": credential.part_number, "etag": etag, "url": credential.url }));
    }
    Ok(done)
}

fn headers(operation: &'static str, credential: &Credential) -> Result<HeaderMap> {
    let bad = || Error::new(ErrorKind::Protocol, operation, "the server asks for a header that is none");
    let mut headers = HeaderMap::new();
    for (name, value) in &credential.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        headers.insert(name, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(headers)
}

async fn complete(
    client: &MlflowClient,
    operation: &'static str,
    folder: &str,
    created: &Created,
    parts: Vec<serde_json::Value>,
) -> Result<()> {
    let body = json!({ "path": CONTENT, "upload_id": created.upload_id, "parts": parts });
    let path = format!("mlflow-artifacts/mpu/complete/{folder}");
    client.post(operation, &path, &body, Repeat::Never).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_upload_has_more_parts_than_a_store_takes() {
        for (size, wanted) in
            [(1, 10), (10, 10), (11, 10), (100_000, 10), (100_001, 10), (5 << 40, 10 << 20), (7, 0)]
        {
            let part = part_size(size, wanted);
            assert!(part >= wanted && (1..=MAX_PARTS).contains(&size.div_ceil(part)), "{size} {wanted}");
        }
    }

    #[test]
    fn an_offer_with_holes_is_none() {
        let offer = |numbers: &[u64]| -> Vec<Credential> {
            numbers
                .iter()
                .map(|n| Credential { url: String::new(), part_number: *n, headers: Default::default() })
                .collect()
        };
        assert!(numbered(&offer(&[1, 2, 3]), 3));
        for bad in [&[1, 2][..], &[1, 2, 2], &[0, 1, 2], &[1, 2, 3, 4], &[]] {
            assert!(!numbered(&offer(bad), 3), "{bad:?}");
        }
    }
}
