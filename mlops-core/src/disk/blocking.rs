//! Work that waits for the disk, kept off the threads that drive futures.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind, Result};

/// Runs `work` on tokio's threads for blocking work, or in place where no tokio runtime drives the caller.
///
/// A panic inside is [`ErrorKind::Internal`]; its text is not kept, it may hold anything. A runtime that shuts down first is
/// [`ErrorKind::Cancelled`]. Work that began runs to its end, also when the caller stops waiting.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = || Error::new(ErrorKind::Internal, operation, "a task panicked");
    let Ok(runtime) = Handle::try_current() else {
        return catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()));
    };
    match runtime.spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => Err(panicked()),
        Err(_) => Err(Error::new(ErrorKind::Cancelled, operation, "the runtime is shutting down")),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn without_a_runtime_the_work_runs_in_place() {
        let here = thread::current().id();
        let there = futures_util::FutureExt::now_or_never(blocking("op", || Ok(thread::current().id())));
        assert_eq!(there.unwrap().unwrap(), here);
        let panicked = futures_util::FutureExt::now_or_never(blocking::<()>("op", || panic!("canary")));
        let error = panicked.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Internal, "op"));
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[tokio::test]
    async fn within_a_runtime_the_work_runs_elsewhere() {
        let here = thread::current().id();
        assert_ne!(blocking("op", || Ok(thread::current().id())).await.unwrap(), here);
        let error = blocking::<()>("op", || panic!("canary")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(!format!("{error:?}").contains("canary"));
    }
}
