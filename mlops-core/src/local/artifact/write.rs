//! Storing: to a file of its own first, then under the digest.

use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;

use bytes::Bytes;

use super::cas::{Cas, Place, make_young, not_a_file, shown};
use super::read::verify;
use crate::artifact::Blob;
use crate::disk::folder::Found;
use crate::disk::storage;
use crate::disk::temp::TempFile;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, StreamHasher};
use crate::time::Timestamp;

/// Content on its way into the store. Dropping it leaves nothing behind.
pub(super) struct Writer {
    cas: Arc<Cas>,
    operation: &'static str,
    temp: TempFile,
    hasher: StreamHasher,
    size: u64,
}

impl Writer {
    pub(super) fn new(cas: Arc<Cas>, operation: &'static str) -> Result<Self> {
        let temp = TempFile::new(cas.temporary(operation)?);
        let temp = temp.map_err(|error| storage(operation, "cas/tmp", error))?;
        Ok(Self { cas, operation, temp, hasher: StreamHasher::new(), size: 0 })
    }

    /// Adds pieces. A writer that failed is of no more use.
    pub(super) fn write(&mut self, pieces: &[Bytes]) -> Result<()> {
        // Small pieces are put together, large ones go straight through.
        let mut file = BufWriter::with_capacity(1 << 16, self.temp.file());
        let mut write = |piece: &Bytes| -> io::Result<()> {
            self.hasher.update(piece);
            self.size += piece.len() as u64;
            file.write_all(piece)
        };
        let written = pieces.iter().try_for_each(&mut write).and_then(|()| file.flush());
        written.map_err(|error| storage(self.operation, "cas/tmp", error))
    }

    /// Stores the content, if `expect` is its digest and `check` agrees once nothing can be collected.
    ///
    /// Returns when it is durable under its digest: first the bytes, then the name, then the names above. A failed `fsync`
    /// is final.
    pub(super) fn commit(self, expect: Option<Digest>, check: impl FnOnce() -> Result<()>) -> Result<Blob> {
        let (cas, operation) = (self.cas.clone(), self.operation);
        let (blob, place) = self.commit_name(expect, check)?;
        cas.sync(operation, &place)?;
        Ok(blob)
    }

    /// As [`Writer::commit`], for a caller who makes the name durable later.
    pub(super) fn commit_name(
        mut self,
        expect: Option<Digest>,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<(Blob, Place)> {
        let (cas, operation) = (self.cas.clone(), self.operation);
        let digest = std::mem::take(&mut self.hasher).finish();
        if let Some(expected) = expect.filter(|expected| *expected != digest) {
            let error = Error::new(ErrorKind::Integrity, operation, "the content has another digest");
            return Err(error.with("expected", expected).with("found", digest));
        }
        let place = cas.make_place(operation, &digest)?;
        let good = good_file(operation, &place, &digest);
        if good.is_none() {
            self.make_durable()?;
        }
        {
            let _nothing_is_collected = cas.lock_to_store(operation)?;
            check()?;
            let now = cas.clock.now();
            if !good.as_ref().is_some_and(|good| renew(&place, good, now)) {
                if good.is_some() {
                    self.make_durable()?; // it was collected since it was verified
                }
                self.place(&place, &digest, now)?;
            }
        }
        Ok((Blob { digest, size: self.size }, place))
    }

    /// Finishes the file itself: nobody may write to it, and its bytes outlive a power failure.
    fn make_durable(&self) -> Result<()> {
        let file = self.temp.file();
        let finish = || {
            file.set_modified(self.cas.clock.now().into())?;
            file.set_permissions(std::fs::Permissions::from_mode(0o444))?;
            file.sync_all()
        };
        finish().map_err(|error| storage(self.operation, "cas/tmp", error))
    }

    /// Moves the file into place, over whatever is there.
    fn place(&mut self, place: &Place, digest: &Digest, now: Timestamp) -> Result<()> {
        let fault = |error| storage(self.operation, shown(place), error);
        self.temp.file().set_modified(now.into()).map_err(fault)?;
        match self.temp.place(&place.folder, &place.name) {
            Ok(()) => Ok(()),
            // An empty folder in the place of content is damage like any other; one with something in it is not ours.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                match place.folder.remove_folder(&place.name) {
                    Ok(()) => self.temp.place(&place.folder, &place.name).map_err(fault),
                    Err(_) => Err(not_a_file(self.operation, digest, rustix::fs::FileType::Directory)),
                }
            }
            Err(error) => Err(fault(error)),
        }
    }
}

/// The file in place, if it holds what it should. Anything else is to be replaced.
fn good_file(operation: &'static str, place: &Place, digest: &Digest) -> Option<std::fs::File> {
    let Ok(Found::File(file)) = place.folder.find(&place.name) else { return None };
    verify(operation, file.try_clone().ok()?, digest).ok().map(|_| file)
}

/// Makes the file in place as young as `now`, if it is still the `good` one; whether it is.
///
/// That may fail where the file is somebody else's; then a file of our own takes its place.
fn renew(place: &Place, good: &std::fs::File, now: Timestamp) -> bool {
    let same = || -> io::Result<bool> {
        let Found::File(file) = place.folder.find(&place.name)? else { return Ok(false) };
        let (one, two) = (file.metadata()?, good.metadata()?);
        if (one.dev(), one.ino()) != (two.dev(), two.ino()) {
            return Ok(false);
        }
        make_young(&file, now).map(|()| true)
    };
    same().unwrap_or(false)
}

/// Pieces that wait to be written together, so that a body in small pieces costs few changes of thread.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pieces: Vec<Bytes>,
    size: usize,
}

impl Batch {
    const SIZE: usize = 1 << 20;
    const PIECES: usize = 1 << 12;

    pub(super) fn push(&mut self, piece: Bytes) {
        self.size += piece.len();
        self.pieces.push(piece);
    }

    pub(super) fn is_full(&self) -> bool {
        self.size >= Self::SIZE || self.pieces.len() >= Self::PIECES
    }

    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.size = 0;
        std::mem::take(&mut self.pieces)
    }
}
