//! Content on its way: held until its digest is known, in memory while it is small and in a temporary file when it is not.

use std::io::{self, SeekFrom};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use mlops_core::artifact::{Blob, ByteStream, Manifest};
use mlops_core::hash::{Digest, StreamHasher};
use mlops_core::{Error, ErrorKind, Result};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// How much is held in memory.
pub(crate) const IN_MEMORY: usize = 8 << 20;

/// How much is read from a file at once.
const PIECE: usize = 256 << 10;

/// The longest manifest of a tree.
pub(crate) const MAX_MANIFEST: usize = 64 << 20;

/// All of a content, and what it is.
#[derive(Debug)]
pub(crate) struct Spool {
    pub blob: Blob,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Memory(Bytes),
    /// A file without a name: it is gone when this is.
    File(File),
}

fn storage(operation: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |e| Error::new(ErrorKind::Storage, operation, "a temporary file cannot be used").with_source(e)
}

impl Spool {
    /// Reads a stream to its end. Its errors come back as they are.
    pub(crate) async fn read(operation: &'static str, mut body: ByteStream) -> Result<Self> {
        let (mut hasher, mut size) = (StreamHasher::new(), 0_u64);
        let (mut memory, mut file) = (BytesMut::new(), None);
        while let Some(piece) = body.next().await {
            let piece = piece?;
            hasher.update(&piece);
            size += piece.len() as u64;
            if file.is_none() && memory.len() + piece.len() > IN_MEMORY {
                let new = tempfile::tempfile().map_err(storage(operation))?;
                let mut new = File::from_std(new);
                new.write_all(&memory).await.map_err(storage(operation))?;
                memory = BytesMut::new();
                file = Some(new);
            }
            match &mut file {
                Some(file) => file.write_all(&piece).await.map_err(storage(operation))?,
                None => memory.extend_from_slice(&piece),
            }
        }
        let held = match file {
            Some(mut file) => {
                file.flush().await.map_err(storage(operation))?;
                Held::File(file)
            }
            None => Held::Memory(memory.freeze()),
        };
        Ok(Self { blob: Blob { digest: hasher.finish(), size }, held })
    }

    /// The bytes, where they are in memory.
    pub(crate) fn in_memory(&self) -> Option<Bytes> {
        match &self.held {
            Held::Memory(bytes) => Some(bytes.clone()),
            Held::File(_) => None,
        }
    }

    /// The bytes of a range that lies within the content. One stream at a time: they share a place in the file.
    pub(crate) async fn stream(&self, operation: &'static str, range: Range<u64>) -> Result<ByteStream> {
        let file = match &self.held {
            Held::Memory(bytes) => {
                let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                return Ok(bytes.slice(at(range.start)..at(range.end)).into());
            }
            Held::File(file) => file,
        };
        let mut file = file.try_clone().await.map_err(storage(operation))?;
        file.seek(SeekFrom::Start(range.start)).await.map_err(storage(operation))?;
        let left = range.end.saturating_sub(range.start);
        let pieces = futures_util::stream::try_unfold((file, left), move |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let mut piece = BytesMut::zeroed(wanted);
            file.read_exact(&mut piece).await.map_err(storage(operation))?;
            Ok(Some((piece.freeze(), (file, left - wanted as u64))))
        });
        Ok(ByteStream::new(pieces))
    }
}

/// Whether content is the manifest of a tree. Its canonical form begins in one way only, so that most content is known by
/// its first bytes.
pub(crate) async fn is_manifest(operation: &'static str, spool: &Spool) -> Result<bool> {
    const START: &[u8] = br#"{"entries":["#;
    let (size, start) = (spool.blob.size, START.len() as u64);
    if !(start..=MAX_MANIFEST as u64).contains(&size)
        || spool.stream(operation, 0..start).await?.collect(START.len()).await? != START
    {
        return Ok(false);
    }
    let bytes = spool.stream(operation, 0..size).await?.collect(MAX_MANIFEST).await?;
    Ok(Manifest::from_bytes(&bytes).is_ok())
}

/// Content of this digest as the manifest of a tree.
pub(crate) async fn manifest(operation: &'static str, digest: &Digest, spool: &Spool) -> Result<Manifest> {
    let size = spool.blob.size;
    if size > MAX_MANIFEST as u64 {
        let error = Error::new(ErrorKind::Corrupt, operation, "is too long for a manifest");
        return Err(error.with("digest", digest).with("size", size));
    }
    let bytes = spool.stream(operation, 0..size).await?.collect(MAX_MANIFEST).await?;
    Manifest::from_bytes(&bytes).map_err(|e| e.with("digest", digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::hash::Digest;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[tokio::test]
    async fn small_and_large_content_is_the_same_in_whole_and_in_part() {
        for length in [0, 1, IN_MEMORY, IN_MEMORY + 1, IN_MEMORY + PIECE * 2 + 7] {
            let content = bytes(length);
            let pieces = content.chunks(100_003).map(|c| Ok(Bytes::copy_from_slice(c))).collect::<Vec<_>>();
            let spool = Spool::read("op", ByteStream::new(futures_util::stream::iter(pieces))).await.unwrap();
            assert_eq!(spool.blob, Blob { digest: Digest::of(&content), size: length as u64 });
            assert_eq!(spool.in_memory().is_some(), length <= IN_MEMORY);
            // A stream can be made again: an upload that broke off begins anew.
            for _ in 0..2 {
                let all = spool.stream("op", 0..length as u64).await.unwrap();
                assert_eq!(all.collect(usize::MAX).await.unwrap(), content);
            }
            let (from, to) = (length / 3, length / 2);
            let part = spool.stream("op", from as u64..to as u64).await.unwrap();
            assert_eq!(part.collect(usize::MAX).await.unwrap(), content[from..to]);
        }
    }

    #[tokio::test]
    async fn the_error_of_a_body_comes_back_as_it_was() {
        let broken = [Ok(Bytes::from_static(b"a")), Err(Error::new(ErrorKind::Transport, "peer", "cut"))];
        let error = Spool::read("op", ByteStream::new(futures_util::stream::iter(broken))).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Transport, "peer"));
    }
}
