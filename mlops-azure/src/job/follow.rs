//! The stream of a job's states, and how it ended.

use futures_util::{Stream, stream};
use mlops_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::client::Jobs;
use crate::error::{Answer, from_operation};
use crate::http::retry::Draws;
use crate::wire::Resource;
use crate::wire::job::{Job, JobStatus};

/// A job that is asked how it is, less and less often while nothing changes.
struct Follower {
    jobs: Jobs,
    operation: &'static str,
    name: String,
    started: Instant,
    /// What was heard last.
    status: Option<JobStatus>,
    /// How often it was asked since something changed.
    asked: u32,
    /// How many questions in a row failed.
    failures: u32,
    first: bool,
    draws: Draws,
}

impl Follower {
    fn new(jobs: &Jobs, operation: &'static str, name: &str) -> Self {
        Self {
            jobs: jobs.clone(),
            operation,
            name: name.to_owned(),
            started: Instant::now(),
            status: None,
            asked: 0,
            failures: 0,
            first: true,
            draws: jobs.arm.draws(operation),
        }
    }

    fn is_over(&self) -> bool {
        self.status.as_ref().is_some_and(JobStatus::is_final)
    }

    /// Waits, but for the first time, and not beyond the deadline.
    async fn pause(&mut self) -> Result<()> {
        if std::mem::take(&mut self.first) {
            return Ok(());
        }
        let wait = self.jobs.arm.poll_policy().delay(self.asked, None, self.draws.draw());
        let left = self.jobs.deadline.saturating_sub(self.started.elapsed());
        tokio::time::sleep(wait.min(left)).await;
        if wait >= left {
            let message = "the job did not end in time; it goes on in Azure";
            let state = self.status.as_ref().map_or("unknown", JobStatus::as_str);
            return Err(Error::new(ErrorKind::Timeout, self.operation, message)
                .with("job", &self.name)
                .with("state", state)
                .with_retryable(false));
        }
        Ok(())
    }

    /// The job, once its state is another than before.
    async fn next(&mut self) -> Result<Resource<Job>> {
        let call = self.jobs.place.job(&self.name)?;
        loop {
            self.pause().await?;
            self.asked = self.asked.saturating_add(1);
            match self.jobs.arm.call(call.get(self.operation)).await {
                Ok(job) => {
                    self.failures = 0;
                    let status = job.properties.status().unwrap_or(JobStatus::Unknown);
                    if self.status.as_ref() != Some(&status) {
                        (self.status, self.asked) = (Some(status), 0);
                        return Ok(job);
                    }
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    // A job that was submitted a moment ago is not yet known everywhere.
                    let may_pass = error.is_retryable() || error.kind() == ErrorKind::NotFound;
                    if !may_pass || self.failures > self.jobs.arm.poll_policy().failures {
                        return Err(error);
                    }
                }
            }
        }
    }
}

impl Jobs {
    /// The states of a job, each as it is heard of, up to the last one: `Completed`, `Failed` or `Canceled`.
    ///
    /// The job is asked as the [`PollPolicy`](crate::http::PollPolicy) of the service says, less and less often while nothing changes.
    /// Questions that fail in a way that may pass are passed over, so many in a row as the policy lets. The stream ends after an error,
    /// and with [`ErrorKind::Timeout`] at the deadline. To drop it does not end the job.
    pub fn follow(&self, name: &str) -> impl Stream<Item = Result<JobStatus>> + Send + use<> {
        let follower = Follower::new(self, "Jobs::follow", name);
        stream::try_unfold(follower, |mut follower| async move {
            if follower.is_over() {
                return Ok(None);
            }
            let job = follower.next().await?;
            let status = job.properties.status().unwrap_or(JobStatus::Unknown);
            Ok(Some((status, follower)))
        })
    }

    /// Waits until a job has ended, and returns it if it was successful.
    ///
    /// # Errors
    /// Of a job that failed, what the service says of it, with its code, inner codes and correlation id, as by
    /// [`from_operation`]; [`ErrorKind::Cancelled`] of one that was cancelled; as of [`follow`](Self::follow).
    pub async fn wait(&self, name: &str) -> Result<Resource<Job>> {
        self.wait_with(name, |_| {}).await
    }

    /// Waits until a job has ended, and tells of every state.
    ///
    /// # Errors
    /// As of [`wait`](Self::wait).
    pub async fn wait_with(
        &self,
        name: &str,
        mut progress: impl FnMut(&JobStatus) + Send,
    ) -> Result<Resource<Job>> {
        const OP: &str = "Jobs::wait";
        let mut follower = Follower::new(self, OP, name);
        loop {
            let job = follower.next().await?;
            follower.status.iter().for_each(&mut progress);
            match &follower.status {
                Some(JobStatus::Completed) => return Ok(job),
                Some(JobStatus::Failed) => return Err(self.failure(OP, name).await?),
                Some(JobStatus::Canceled) => {
                    let message = "the job was cancelled";
                    return Err(Error::new(ErrorKind::Cancelled, OP, message).with("job", name));
                }
                _ => {}
            }
        }
    }

    /// Why a job failed, as run history has it.
    async fn failure(&self, operation: &'static str, name: &str) -> Result<Error> {
        let details = self.history().await?.call(self.calls.details(operation, name)?).await?;
        let error = match details.error_body() {
            Some(body) => from_operation(operation, "Failed", &Answer::new(200, &body)),
            None => {
                Error::new(ErrorKind::Rejected, operation, "the job failed; the service does not say why")
            }
        };
        Ok(error.with("job", name).with_retryable(false))
    }
}
