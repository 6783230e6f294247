//! The tail of a job's log.
//!
//! Logs are blobs that grow, behind addresses that run history signs for a while. Only what is new is read (`Range`), in pieces of a
//! bounded size; an address whose signature has run out is asked for again. No token goes there, and no signature is shown.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use mlops_core::{Error, ErrorKind, Result};
use reqwest::Method;
use reqwest::header::{HeaderValue, RANGE};
use tokio::time::Instant;

use super::client::Jobs;
use crate::error::{Answer, from_response};
use crate::http::retry::{self, Draws};
use crate::http::{HttpRequest, HttpResponse, Repeat};
use crate::wire::history::{RunDetails, SignedUrl};
use crate::wire::job::JobStatus;

/// Which log is read, and how.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The log's path, as [`Jobs::logs`] lists it. Default: `user_logs/std_log.txt`, what the command writes.
    pub path: String,
    /// From which byte on. Default 0.
    pub from: u64,
    /// The most bytes of a piece, and so the most that are held. Default 1 MiB.
    pub piece: usize,
    /// Whether it is read until the job is over, or only what is there. Default: until it is over.
    pub follow: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { path: "user_logs/std_log.txt".to_owned(), from: 0, piece: 1 << 20, follow: true }
    }
}

impl LogOptions {
    /// The longest piece: 64 MiB.
    pub const MAX_PIECE: usize = 64 << 20;

    /// The same of another log.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same from another byte on.
    #[must_use]
    pub fn with_from(mut self, from: u64) -> Self {
        self.from = from;
        self
    }

    /// The same in pieces of at most so many bytes.
    #[must_use]
    pub fn with_piece(mut self, bytes: usize) -> Self {
        self.piece = bytes;
        self
    }

    /// The same, but only what is there now.
    #[must_use]
    pub fn now(mut self) -> Self {
        self.follow = false;
        self
    }
}

/// A piece of a log.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// The number of its first byte in the log.
    pub offset: u64,
    /// The bytes; a character of several may be cut in two.
    pub bytes: Bytes,
}

/// A log that is read.
struct Tail {
    jobs: Jobs,
    name: String,
    options: LogOptions,
    offset: u64,
    /// Where the log is, while the signature holds.
    url: Option<SignedUrl>,
    /// Whether the job was over before the log was last looked at.
    over: bool,
    done: bool,
    asked: u32,
    /// How often in a row run history did not know the job.
    absent: u32,
    /// How often in a row the log could not be read.
    failures: u32,
    started: Instant,
    draws: Draws,
}

const OP: &str = "Jobs::log";

/// What came of one look at the blob.
enum Look {
    /// Bytes, and whether there were no more.
    Bytes(Bytes, bool),
    /// Nothing beyond what was read.
    Nothing,
    /// The signature has run out, the blob is not there, or the connection broke.
    Refused(Error),
}

impl Tail {
    async fn next(&mut self) -> Result<Option<LogChunk>> {
        while !self.done {
            let fresh = self.url.is_none();
            if fresh {
                self.locate().await?;
            }
            let look = match self.url.clone() {
                Some(url) => self.look(&url).await?,
                None => Look::Nothing,
            };
            match look {
                Look::Bytes(bytes, end) => {
                    let offset = self.offset;
                    self.offset = offset.saturating_add(bytes.len() as u64);
                    (self.asked, self.failures) = (0, 0);
                    // The job was over before this look, or nobody waits for more: what was there is all there is.
                    self.done = end && (self.over || !self.options.follow);
                    return Ok(Some(LogChunk { offset, bytes }));
                }
                Look::Nothing if fresh => self.rest().await?,
                // All that was there is read: what is new, and whether anything will be, run history says.
                Look::Nothing => self.url = None,
                Look::Refused(error) => {
                    self.url = None;
                    self.failures = self.failures.saturating_add(1);
                    if self.failures > self.jobs.arm.poll_policy().failures {
                        return Err(error);
                    }
                    if fresh {
                        self.pause().await?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Asks where the log is, and whether the job is over.
    async fn locate(&mut self) -> Result<()> {
        let call = self.jobs.calls.details(OP, &self.name)?;
        let details = match self.jobs.history().await?.call(call).await {
            Ok(details) => details,
            // What was submitted a moment ago is not yet in run history.
            Err(error) if error.kind() == ErrorKind::NotFound && self.options.follow => {
                self.absent = self.absent.saturating_add(1);
                if self.absent > self.jobs.arm.poll_policy().failures {
                    return Err(error);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.absent = 0;
        self.over = details.status.as_ref().is_some_and(JobStatus::is_final);
        let mut files = details.log_files;
        self.url = files.remove(&self.options.path);
        if self.url.is_none() && (self.over || !self.options.follow) {
            let known = files.into_keys().take(16).collect::<Vec<_>>().join(", ");
            return Err(Error::not_found(OP, "log", &self.options.path)
                .with("job", &self.name)
                .with("known", known));
        }
        Ok(())
    }

    /// Ends, if there will be nothing more; else waits.
    async fn rest(&mut self) -> Result<()> {
        if self.over || !self.options.follow {
            self.done = true;
            return Ok(());
        }
        self.pause().await
    }

    /// Waits, longer each time, and not beyond the deadline.
    async fn pause(&mut self) -> Result<()> {
        let wait = self.jobs.arm.poll_policy().delay(self.asked, None, self.draws.draw());
        self.asked = self.asked.saturating_add(1);
        let left = self.jobs.deadline.saturating_sub(self.started.elapsed());
        tokio::time::sleep(wait.min(left)).await;
        self.url = None;
        match wait >= left {
            false => Ok(()),
            true => {
                Err(Error::new(ErrorKind::Timeout, OP, "the job did not end in time; it goes on in Azure")
                    .with("job", &self.name)
                    .with_retryable(false))
            }
        }
    }

    /// Reads what is beyond what was read, at most a piece.
    async fn look(&self, url: &SignedUrl) -> Result<Look> {
        let piece = self.options.piece as u64;
        let last = self.offset.saturating_add(piece).saturating_sub(1);
        let mut request = HttpRequest::new(Method::GET, url.url_at(OP, &self.jobs.hosts)?);
        let range = HeaderValue::from_str(&format!("bytes={}-{last}", self.offset));
        request.headers.insert(RANGE, range.map_err(|_| Error::invalid(OP, "from", "is no place in a log"))?);
        request.timeout = Duration::from_secs(120);
        let arm = &self.jobs.arm;
        let (transport, policy) = (&**arm.transport(), arm.retry_policy());
        let response = retry::send(transport, policy, OP, Repeat::Safe, None, request).await?;
        match response.status {
            206 => self.bytes(response, 0).await,
            // A server that knows no ranges sends everything: what was read is passed over.
            200 => self.bytes(response, self.offset).await,
            // There is nothing beyond.
            416 | 204 => Ok(Look::Nothing),
            // Nothing was written yet.
            404 if self.options.follow && !self.over => Ok(Look::Nothing),
            403 | 404 => Ok(Look::Refused(self.refusal(response).await)),
            _ => Err(self.refusal(response).await),
        }
    }

    /// The bytes of an answer after the first so many, at most a piece of them.
    async fn bytes(&self, response: HttpResponse, mut skip: u64) -> Result<Look> {
        let mut body = response.body;
        let (mut out, mut end) = (Vec::new(), true);
        while let Some(part) = body.next().await {
            let part = match part {
                Ok(part) => part,
                Err(error) if out.is_empty() => return Ok(Look::Refused(error)),
                // What came before the connection broke is good.
                Err(_) => {
                    end = false;
                    break;
                }
            };
            let passed = usize::try_from(skip).unwrap_or(usize::MAX).min(part.len());
            skip = skip.saturating_sub(passed as u64);
            let rest = part.get(passed..).unwrap_or_default();
            let room = self.options.piece.saturating_sub(out.len());
            out.extend_from_slice(rest.get(..room.min(rest.len())).unwrap_or_default());
            if out.len() >= self.options.piece {
                end = false;
                break;
            }
        }
        Ok(if out.is_empty() { Look::Nothing } else { Look::Bytes(out.into(), end) })
    }

    async fn refusal(&self, response: HttpResponse) -> Error {
        const LIMIT: usize = 64 << 10;
        let status = response.status;
        let body = response.body.collect(LIMIT).await.unwrap_or_default();
        from_response(OP, &Answer::new(status, &body)).with("job", &self.name).with("log", &self.options.path)
    }
}

impl Jobs {
    /// The paths of the logs of a job, such as `user_logs/std_log.txt`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a job that run history does not know, or not yet.
    pub async fn logs(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.details(name).await?.log_files.into_keys().collect())
    }

    /// How a job went, as run history has it.
    ///
    /// # Errors
    /// As of [`logs`](Self::logs).
    pub async fn details(&self, name: &str) -> Result<RunDetails> {
        self.history().await?.call(self.calls.details("Jobs::details", name)?).await
    }

    /// The log of a job, piece by piece, until the job is over and its log read.
    ///
    /// Two calls for each look where nothing is new (run history, and the blob), one for each piece. At most one piece is held.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for pieces of nothing or of more than [`LogOptions::MAX_PIECE`]. In the stream, after which it ends:
    /// [`ErrorKind::NotFound`] for a log that a job which is over does not have; [`ErrorKind::Timeout`] at the deadline; those of the
    /// connection.
    pub fn log(
        &self,
        name: &str,
        options: LogOptions,
    ) -> Result<impl Stream<Item = Result<LogChunk>> + Send + use<>> {
        if !(1..=LogOptions::MAX_PIECE).contains(&options.piece) {
            let message = format!("must be from 1 to {} bytes", LogOptions::MAX_PIECE);
            return Err(Error::invalid(OP, "piece", message).with("value", options.piece));
        }
        let tail = Tail {
            jobs: self.clone(),
            name: name.to_owned(),
            offset: options.from,
            options,
            url: None,
            over: false,
            done: false,
            asked: 0,
            absent: 0,
            failures: 0,
            started: Instant::now(),
            draws: self.arm.draws(OP),
        };
        Ok(stream::try_unfold(
            tail,
            |mut tail| async move { Ok(tail.next().await?.map(|chunk| (chunk, tail))) },
        ))
    }
}
