//! A stream of bytes with our errors in it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;

use crate::error::{Error, Result};

/// Bytes that arrive in pieces. A piece that is an error ends the stream.
///
/// ```
/// use mlops_core::artifact::ByteStream;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let bytes = ByteStream::from(b"weights".to_vec()).collect(1024).await?;
/// assert_eq!(&bytes[..], b"weights");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ByteStream(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>);

impl ByteStream {
    /// Wraps any stream of pieces.
    pub fn new(stream: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// Reads everything into memory, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) as soon as there are more; any error in the stream.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(piece) = self.0.next().await {
            let piece = piece?;
            if piece.len() > limit - all.len() {
                return Err(Error::limit(
                    "ByteStream::collect",
                    "the content",
                    limit,
                    all.len() + piece.len(),
                ));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

impl<T: Into<Bytes>> From<T> for ByteStream {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self::new(futures_util::stream::iter((!bytes.is_empty()).then_some(Ok(bytes))))
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByteStream { .. }")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn collecting_stops_at_the_limit_and_at_errors() {
        let pieces =
            |n| ByteStream::new(futures_util::stream::iter((0..n).map(|_| Ok(Bytes::from_static(b"abcd")))));
        assert_eq!(pieces(2).collect(8).await.unwrap().len(), 8);
        assert_eq!(pieces(3).collect(8).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
        let broken = ByteStream::new(futures_util::stream::iter([
            Ok(Bytes::from_static(b"a")),
            Err(Error::new(ErrorKind::Transport, "test", "cut")),
        ]));
        assert_eq!(broken.collect(8).await.unwrap_err().kind(), ErrorKind::Transport);
        assert!(ByteStream::from(Vec::new()).collect(0).await.unwrap().is_empty());
    }
}
