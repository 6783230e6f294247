//! Work that blocks, kept off the threads that drive futures.

use crate::error::{Error, ErrorKind, Result};

/// Runs `work` where blocking does no harm: on tokio's blocking threads inside a runtime, right here outside one.
///
/// Once it has begun it runs to its end, also when the future is dropped: a call that was cancelled has either happened as a
/// whole or not at all. A panic in it is [`ErrorKind::Internal`].
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Err(_) => work(),
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(e) if e.is_cancelled() => {
                let message = "the runtime is shutting down";
                Err(Error::new(ErrorKind::Cancelled, operation, message).with_source(e))
            }
            Err(e) => Err(Error::new(ErrorKind::Internal, operation, "a task panicked").with_source(e)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let error = blocking::<()>("op", || panic!("a defect")).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Internal, "op"));
    }

    #[test]
    fn it_works_without_a_runtime() {
        let answer = futures_util::FutureExt::now_or_never(blocking("op", || Ok(7)));
        assert_eq!(answer.unwrap().unwrap(), 7);
    }
}
