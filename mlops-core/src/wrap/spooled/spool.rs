//! The spool: what waits, in order, and what was refused; in a file of this process and those of processes that are gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::call::{Refusal, SpoolId, SpooledCall};
use super::file::{self, Place, SpoolFile, TakeOver};
use super::views::Views;
use crate::disk::frame::{Found, HEAD, MAX_PAYLOAD};
use crate::disk::make_folders;
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::time::{Timestamp, lock};

/// A call that waits.
const CALL: u8 = 1;
/// A call that was acknowledged.
const DONE: u8 = 2;
/// A call that was refused.
const REFUSED: u8 = 3;
/// A call that was thrown away on request.
const DISCARDED: u8 = 4;

/// From this many useless bytes on a file is replaced, when most of it is of no use.
const WASTE: u64 = 1 << 20;

/// What was found in the folder of a spool.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolRecovery {
    /// How many files of processes that are gone were taken over.
    pub files: u64,
    /// How many calls waited in them.
    pub waiting: u64,
    /// How many refused calls were kept in them.
    pub rejected: u64,
    /// The files that were not what they should be.
    pub damaged: Vec<DamagedSpool>,
}

/// A file of which something cannot be read.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSpool {
    /// Its name.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
    /// How many bytes cannot be read: calls that a kill cut off before they were acknowledged to the caller, or damage.
    pub bytes: u64,
    /// The name under which it is kept as it was. What could be read was taken over; `None` if nothing was, and the file is
    /// where it was.
    pub kept_as: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: SpoolId,
    file: Uuid,
    place: Place,
}

#[derive(Clone, Debug)]
pub(super) struct Refused {
    entry: Entry,
    pub(super) refusal: Refusal,
}

#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    own: Uuid,
    files: HashMap<Uuid, SpoolFile>,
    waiting: VecDeque<Entry>,
    rejected: Vec<Refused>,
    limit: u64,
    pub(super) recovery: SpoolRecovery,
    /// How many wait; read without the lock.
    count: Arc<AtomicU64>,
}

/// What one file says.
#[derive(Default)]
struct Content {
    calls: Vec<(SpoolId, Place, SpooledCall)>,
    over: HashSet<SpoolId>,
    refused: HashMap<SpoolId, Refusal>,
    unreadable: u64,
    tail: bool,
}

impl Content {
    fn read(file: &SpoolFile, bytes: &[u8]) -> Self {
        let mut content = Self::default();
        for found in file.frames(bytes) {
            match found {
                Found::Frame { kind, payload, start, end } => {
                    if !content.take(kind, payload, Place { start, end }) {
                        content.unreadable += end - start;
                    }
                }
                Found::Damaged { start, end } => content.unreadable += end - start,
                Found::Tail { start } => {
                    content.unreadable += file.end - start;
                    content.tail = true;
                }
            }
        }
        content
    }

    /// Whether the frame says something.
    fn take(&mut self, kind: u8, payload: &[u8], place: Place) -> bool {
        match kind {
            CALL => SpooledCall::decode(payload).is_some_and(|(id, call)| {
                self.calls.push((id, place, call));
                true
            }),
            DONE | DISCARDED => SpoolId::split(payload).is_some_and(|(id, _)| {
                self.over.insert(id);
                true
            }),
            REFUSED => Refusal::decode(payload).is_some_and(|(id, refusal)| {
                self.refused.insert(id, refusal);
                true
            }),
            _ => false,
        }
    }
}

impl Spool {
    pub(super) fn open(folder: &Path, limit: u64, count: Arc<AtomicU64>) -> Result<Self> {
        const OP: &str = "Spooled::open";
        make_folders(folder).map_err(|e| storage(OP, "the spool's folder", e))?;
        let own = Uuid::now_v7();
        let file = SpoolFile::create(folder, own).map_err(|e| storage(OP, "a spool", e))?;
        Ok(Self {
            folder: folder.to_owned(),
            own,
            files: HashMap::from([(own, file)]),
            waiting: VecDeque::new(),
            rejected: Vec::new(),
            limit,
            recovery: SpoolRecovery::default(),
            count,
        })
    }

    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    fn publish(&self) {
        self.count.store(self.waiting.len() as u64, Ordering::SeqCst);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The bytes of all files.
    fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.end).sum()
    }

    fn file(&mut self, operation: &'static str, id: Uuid) -> Result<&mut SpoolFile> {
        let missing = || Error::new(ErrorKind::Internal, operation, "a spool is gone");
        self.files.get_mut(&id).ok_or_else(missing)
    }

    // ------------------------------------------------------------------------------------------------------ taking over

    /// Takes over the files of processes that are gone. What waits in them comes before everything else.
    pub(super) fn adopt(
        &mut self,
        operation: &'static str,
        views: &Mutex<Views>,
        now: Timestamp,
    ) -> Result<()> {
        let mut first = VecDeque::new();
        let answer = self.adopt_all(operation, &mut first, views, now);
        self.enqueue_first(first);
        answer
    }

    fn adopt_all(
        &mut self,
        operation: &'static str,
        first: &mut VecDeque<Entry>,
        views: &Mutex<Views>,
        now: Timestamp,
    ) -> Result<()> {
        let paths = file::list(&self.folder).map_err(|e| storage(operation, "the spool's folder", e))?;
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let refused = |e| storage(operation, &name, e);
            match SpoolFile::take_over(&path).map_err(refused)? {
                TakeOver::Theirs => {}
                TakeOver::Unreadable(reason) => self.report(name, reason, 0, None),
                TakeOver::Ours(file, bytes) => {
                    self.take_in(file, &bytes, first, views, now).map_err(refused)?;
                }
            }
        }
        Ok(())
    }

    fn enqueue_first(&mut self, mut first: VecDeque<Entry>) {
        self.recovery.waiting += first.len() as u64;
        first.append(&mut self.waiting);
        self.waiting = first;
        self.publish();
    }

    fn report(&mut self, file: String, reason: &str, bytes: u64, kept_as: Option<String>) {
        let damaged = DamagedSpool { file, reason: reason.to_owned(), bytes, kept_as };
        if !self.recovery.damaged.contains(&damaged) {
            self.recovery.damaged.push(damaged);
        }
    }

    fn take_in(
        &mut self,
        mut file: SpoolFile,
        bytes: &[u8],
        first: &mut VecDeque<Entry>,
        views: &Mutex<Views>,
        now: Timestamp,
    ) -> io::Result<()> {
        if self.files.contains_key(&file.id) {
            // A copy of a file under another name: its entries are here already.
            self.report(file.name(), "it is the copy of another", 0, None);
            return Ok(());
        }
        let content = Content::read(&file, bytes);
        let (mut waiting, mut rejected) = (Vec::new(), Vec::new());
        for (id, place, call) in content.calls {
            if content.over.contains(&id) {
                continue;
            }
            let entry = Entry { id, file: file.id, place };
            match content.refused.get(&id) {
                Some(refusal) => rejected.push(Refused { entry, refusal: refusal.clone() }),
                None => {
                    lock(views).absorb(&call, now);
                    waiting.push(entry);
                }
            }
            file.live += 1;
            file.live_bytes += place.len();
        }
        if content.unreadable > 0 {
            let kept = file.keep_aside()?;
            let reason = if content.tail { "its end cannot be read" } else { "a part cannot be read" };
            rewrite(&mut file, waiting.iter_mut(), rejected.iter_mut())?;
            self.report(file.name(), reason, content.unreadable, Some(kept));
        }
        self.recovery.files += 1;
        if file.live == 0 {
            return file.remove();
        }
        self.recovery.rejected += rejected.len() as u64;
        self.rejected.extend(rejected);
        first.extend(waiting);
        self.files.insert(file.id, file);
        Ok(())
    }

    // --------------------------------------------------------------------------------------------------------- what waits

    /// Keeps a call behind those that wait; the disk has it when this returns.
    pub(super) fn push(&mut self, call: &SpooledCall) -> Result<()> {
        let operation = call.operation();
        let id = SpoolId::new();
        let payload = call.encode(id)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::limit(
                operation,
                "the length of a call in the spool",
                MAX_PAYLOAD,
                payload.len(),
            ));
        }
        let needed = (HEAD + payload.len()) as u64;
        let own = self.own;
        if self.bytes().saturating_add(needed) > self.limit || self.file(operation, own)?.broken {
            self.compact(own).map_err(|e| storage(operation, "the spool", e))?;
        }
        let got = self.bytes().saturating_add(needed);
        if got > self.limit {
            let error = Error::limit(operation, "the size of the spool in bytes", self.limit, got);
            return Err(error.with("waiting", self.waiting.len()));
        }
        let file = self.file(operation, own)?;
        let place = file.append(CALL, &payload, true).map_err(|e| storage(operation, "the spool", e))?;
        file.live += 1;
        file.live_bytes += place.len();
        self.waiting.push_back(Entry { id, file: own, place });
        self.publish();
        Ok(())
    }

    /// The call that is next, or that it cannot be read any more.
    pub(super) fn next(&self) -> Option<(SpoolId, Result<SpooledCall>)> {
        self.waiting.front().map(|entry| (entry.id, self.read(entry)))
    }

    fn read(&self, entry: &Entry) -> Result<SpooledCall> {
        const OP: &str = "Spooled::replay";
        let file = self.files.get(&entry.file);
        let payload = file.map_or(Ok(None), |file| file.read(entry.place));
        let payload = payload.map_err(|e| storage(OP, "the spool", e))?;
        match payload.as_deref().and_then(SpooledCall::decode) {
            Some((id, call)) if id == entry.id => Ok(call),
            _ => {
                let error = Error::new(ErrorKind::Corrupt, OP, "a call that waits cannot be read any more");
                Err(error.with("entry", entry.id))
            }
        }
    }

    /// Takes an entry out of those that wait, if it is there.
    fn take(&mut self, id: SpoolId) -> Option<Entry> {
        let at = self.waiting.iter().position(|entry| entry.id == id)?;
        let entry = self.waiting.remove(at);
        self.publish();
        entry
    }

    /// Notes that a call was acknowledged. Should the disk not take it, the call is the same when it is sent again.
    pub(super) fn done(&mut self, id: SpoolId) {
        if let Some(entry) = self.take(id) {
            if let Some(file) = self.files.get_mut(&entry.file) {
                drop(file.append(DONE, id.as_bytes(), false));
            }
            self.release(&entry);
        }
    }

    /// Notes that a call was refused. Should the disk not take it, the call still waits.
    pub(super) fn reject(&mut self, id: SpoolId, refusal: Refusal) -> Result<()> {
        const OP: &str = "Spooled::replay";
        let Some(entry) = self.waiting.iter().find(|entry| entry.id == id).copied() else { return Ok(()) };
        let payload = refusal.encode(id)?;
        self.note(OP, &entry, REFUSED, &payload)?;
        self.take(id);
        self.rejected.push(Refused { entry, refusal });
        Ok(())
    }

    fn note(&mut self, operation: &'static str, entry: &Entry, kind: u8, payload: &[u8]) -> Result<()> {
        let refused = |e| storage(operation, "the spool", e);
        if self.file(operation, entry.file)?.broken {
            self.compact(entry.file).map_err(refused)?;
        }
        self.file(operation, entry.file)?.append(kind, payload, true).map(drop).map_err(refused)
    }

    /// The refused calls; without the call where it cannot be read any more.
    pub(super) fn rejected(&self) -> Vec<(SpoolId, Option<SpooledCall>, Refusal)> {
        let shown = |r: &Refused| (r.entry.id, self.read(&r.entry).ok(), r.refusal.clone());
        self.rejected.iter().map(shown).collect()
    }

    /// Throws an entry away.
    pub(super) fn discard(&mut self, id: SpoolId) -> Result<()> {
        const OP: &str = "Spooled::discard";
        let refused = self.rejected.iter().map(|refused| &refused.entry);
        let entry = refused.chain(&self.waiting).find(|entry| entry.id == id).copied();
        let entry = entry.ok_or_else(|| Error::not_found(OP, "entry", id))?;
        self.note(OP, &entry, DISCARDED, id.as_bytes())?;
        self.rejected.retain(|refused| refused.entry.id != id);
        self.take(id);
        self.release(&entry);
        Ok(())
    }

    // -------------------------------------------------------------------------------------------------------------- room

    /// An entry is of no use any more: its file may be cut, removed or made smaller. What fails is left for later, it costs
    /// room alone.
    fn release(&mut self, entry: &Entry) {
        let own = entry.file == self.own;
        let Some(file) = self.files.get_mut(&entry.file) else { return };
        file.live = file.live.saturating_sub(1);
        file.live_bytes = file.live_bytes.saturating_sub(entry.place.len());
        let waste = file.end.saturating_sub(SpoolFile::EMPTY + file.live_bytes);
        match file.live {
            0 if own => drop(file.cut()),
            0 => {
                if let Some(file) = self.files.remove(&entry.file) {
                    drop(file.remove());
                }
            }
            _ if waste > WASTE && waste > file.live_bytes => drop(self.compact(entry.file)),
            _ => {}
        }
    }

    /// Replaces a file by one with what is of use.
    fn compact(&mut self, id: Uuid) -> io::Result<()> {
        let Some(file) = self.files.get_mut(&id) else { return Ok(()) };
        let waiting = self.waiting.iter_mut().filter(|entry| entry.file == id);
        let rejected = self.rejected.iter_mut().filter(|refused| refused.entry.file == id);
        rewrite(file, waiting, rejected)
    }
}

impl Drop for Spool {
    /// Leaves nothing behind that is of no use.
    fn drop(&mut self) {
        if let Some(file) = self.files.remove(&self.own).filter(|file| file.live == 0) {
            drop(file.remove());
        }
    }
}

/// Replaces a file by one with these entries alone. Nothing changes unless all of them can be read.
fn rewrite<'e>(
    file: &mut SpoolFile,
    waiting: impl Iterator<Item = &'e mut Entry>,
    rejected: impl Iterator<Item = &'e mut Refused>,
) -> io::Result<()> {
    let mut frames = Vec::new();
    let mut entries: Vec<(usize, &mut Entry)> = Vec::new();
    let keep = |entry: &Entry, frames: &mut Vec<(u8, Vec<u8>)>| -> io::Result<usize> {
        let payload = file.read(entry.place)?.ok_or(io::ErrorKind::InvalidData)?;
        frames.push((CALL, payload));
        Ok(frames.len() - 1)
    };
    for refused in rejected {
        let at = keep(&refused.entry, &mut frames)?;
        let refusal = refused.refusal.encode(refused.entry.id).map_err(io::Error::other)?;
        frames.push((REFUSED, refusal));
        entries.push((at, &mut refused.entry));
    }
    for entry in waiting {
        entries.push((keep(entry, &mut frames)?, entry));
    }
    let places = file.replace(&frames)?;
    for (at, entry) in entries {
        if let Some(place) = places.get(at) {
            entry.place = *place;
            file.live += 1;
            file.live_bytes += place.len();
        }
    }
    Ok(())
}
