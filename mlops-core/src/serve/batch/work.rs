//! Work that is going on: its folder, its files, and how they become the results.

use std::fs;
use std::path::{Path, PathBuf};

use super::journal::{Checkpoint, Extent, Journal};
use super::part::{self, Part};
use super::{BatchCounts, BatchOptions, OP, name, storage};
use crate::disk::sync_folder_of;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;

/// Where everything lies.
#[derive(Clone, Debug)]
pub(super) struct Places {
    folder: PathBuf,
    output: PathBuf,
    /// Where rows that were set aside are in the end.
    aside: PathBuf,
}

impl Places {
    /// The places of results with this name.
    pub(super) fn of(output: &Path) -> Result<Self> {
        let beside = |ending: &str| {
            let mut name = output.file_name()?.to_owned();
            name.push(ending);
            Some(output.with_file_name(name))
        };
        match (beside(".batch"), beside(".refused.jsonl")) {
            (Some(folder), Some(aside)) => Ok(Self { folder, output: output.to_owned(), aside }),
            _ => Err(Error::invalid(OP, "output", "must be the name of a file")),
        }
    }

    fn results(&self) -> PathBuf {
        self.folder.join("results")
    }

    fn refused(&self) -> PathBuf {
        self.folder.join("refused")
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// Makes what happened to names in the folder of the results last.
    fn sync(&self) -> Result<()> {
        sync_folder_of(&self.output).map_err(storage(&self.output))
    }
}

/// Work that is going on.
#[derive(Debug)]
pub(super) struct Work {
    places: Places,
    journal: Journal,
    pub(super) results: Part,
    pub(super) refused: Part,
    /// How far it was when it was taken up: from there on it goes.
    pub(super) from: Option<Checkpoint>,
    /// How far it had come: there the same bytes must be.
    reached: Option<Checkpoint>,
    /// The batches that the journal knows of.
    written: u64,
}

/// Whether there is anything left to do.
#[derive(Debug)]
pub(super) enum Opened {
    Work(Box<Work>),
    /// All was done, and now it has its names.
    Done(Checkpoint),
}

impl Work {
    /// Takes up the work, or begins it.
    pub(super) fn open(places: Places, job: &Digest, options: &BatchOptions) -> Result<Opened> {
        if !places.folder.exists() {
            check_free(&places, options)?;
        }
        match fs::create_dir(&places.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let error = Error::new(ErrorKind::NotFound, OP, "there is no folder for the results");
                return Err(error.with("file", name(&places.output)).with_source(e));
            }
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(storage(&places.folder)(e));
            }
            _ => {}
        }
        let (journal, found) = Journal::open(&places.journal(), job, options.restart)?;
        if let Some(last) = found.last.as_ref().filter(|last| last.done) {
            publish(&places, last, options.overwrite)?;
            drop(journal);
            return Ok(Opened::Done(last.clone()));
        }
        if let Err(taken) = check_free(&places, options) {
            if found.last.is_none() {
                // Nothing is lost with what has not come to a checkpoint, or is the rest of work that was done.
                remove(&places.journal())?;
                remove(&places.results())?;
                remove(&places.refused())?;
                let _ = fs::remove_dir(&places.folder);
            }
            return Err(taken);
        }
        let from = found.before;
        let results = Part::open(places.results(), from.as_ref().map(|from| from.results))?;
        let refused = Part::open(places.refused(), from.as_ref().map(|from| from.refused))?;
        sync_folder_of(&places.results()).map_err(storage(&places.folder))?;
        places.sync()?;
        let (reached, written) = (found.last, from.as_ref().map_or(0, |from| from.batches));
        Ok(Opened::Work(Box::new(Self { places, journal, results, refused, from, reached, written })))
    }

    /// Writes down how far the work is. Where the work that was interrupted had come to, it has to be as it was there; nothing is written down
    /// before that place.
    pub(super) fn checkpoint(
        &mut self,
        batches: u64,
        counts: BatchCounts,
        answers: Option<&[String]>,
        done: bool,
    ) -> Result<Checkpoint> {
        let answers = answers.map(<[String]>::to_vec);
        let (results, refused) = (self.results.sync()?, self.refused.sync()?);
        let now = Checkpoint { batches, counts, results, refused, answers, done };
        if let Some(reached) = self.reached.take() {
            if now != (Checkpoint { done, ..reached.clone() }) {
                let message = "the same rows give other results than before the interruption; restart";
                let error = Error::conflict(OP, message, reached.results.digest, now.results.digest);
                return Err(error.with("rows", counts.rows));
            }
            self.written = batches;
        }
        // Two checkpoints at one place would say nothing about the way between them.
        if done || batches > self.written {
            self.journal.append(&now)?;
            self.written = batches;
        }
        Ok(now)
    }

    /// The batch at which the work has to be as it was before.
    pub(super) fn reached(&self) -> Option<u64> {
        self.reached.as_ref().map(|reached| reached.batches)
    }

    /// The name of the file with the rows that were set aside so far.
    pub(super) fn aside(&self) -> String {
        format!("{}/refused", name(&self.places.folder))
    }

    /// Gives the results their names. The last checkpoint says that all is done.
    pub(super) fn publish(self, last: &Checkpoint, overwrite: bool) -> Result<()> {
        let Self { places, journal, .. } = self;
        publish(&places, last, overwrite)?;
        drop(journal);
        Ok(())
    }
}

/// Refuses to begin where results are already.
fn check_free(places: &Places, options: &BatchOptions) -> Result<()> {
    let there = [&places.output, &places.aside].into_iter().find(|path| path.symlink_metadata().is_ok());
    match there.filter(|_| !options.overwrite) {
        None => Ok(()),
        Some(path) => Err(taken(path)),
    }
}

fn taken(path: &Path) -> Error {
    Error::new(ErrorKind::AlreadyExists, OP, "the results are there already").with("file", name(path))
}

/// Gives files that are whole their names: first the rows that were set aside, then the results, so that where results are, everything is.
/// Whoever was killed in between does the rest again.
fn publish(places: &Places, last: &Checkpoint, overwrite: bool) -> Result<()> {
    match last.counts.bad {
        0 => {
            if overwrite && places.results().exists() {
                remove(&places.aside)?;
            }
        }
        _ => settle(&places.refused(), &places.aside, &last.refused)?,
    }
    if !overwrite && places.results().exists() && places.output.symlink_metadata().is_ok() {
        return Err(taken(&places.output));
    }
    settle(&places.results(), &places.output, &last.results)?;
    places.sync()?;
    remove(&places.refused())?;
    remove(&places.journal())?;
    // Whatever else somebody has put there stays.
    let _ = fs::remove_dir(&places.folder);
    places.sync()
}

/// Gives one file its name, unless it has it.
fn settle(part: &Path, place: &Path, expected: &Extent) -> Result<()> {
    if !part.exists() {
        return part::verify(place, expected);
    }
    part::verify(part, expected)?;
    fs::rename(part, place).map_err(storage(place))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(storage(path)(e)),
        _ => Ok(()),
    }
}
