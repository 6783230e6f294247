//! How often a test set has decided: one line of JSON for each decision, in a file that only grows.
//!
//! A test set wears out: whoever tries models on it until one passes has fitted the test set. The file is locked while a decision is
//! made, so that two builds at once count as two. The same model at the same gate counts once, however often it is tried.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use mlops_core::evaluation::{EarlierUses, GateDecision, GateSpec, Verdict};
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

const OP: &str = "gate";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    data: Digest,
    gate: Digest,
    model: Digest,
    verdict: Verdict,
    at: String,
}

/// The open file, locked until it is dropped.
pub struct Ledger {
    file: File,
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Ledger {
    pub fn open(path: &Path) -> Result<Self> {
        let broken = |error: std::io::Error| {
            Error::new(ErrorKind::Storage, OP, "the ledger cannot be used")
                .with("file", path.display())
                .with_source(error)
        };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(broken)?;
        file.lock().map_err(broken)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(broken)?;
        let entry = |(line, text): (usize, &str)| {
            serde_json::from_str(text).map_err(|error| {
                let message = "a line of the ledger is damaged";
                let error = Error::new(ErrorKind::Corrupt, OP, message).with_source(error);
                error.with("file", path.display()).with("line", line + 1)
            })
        };
        let entries = text.lines().enumerate().map(entry).collect::<Result<_>>()?;
        Ok(Self { file, path: path.to_owned(), entries })
    }

    /// Decisions about other models on this test set, and passes among them.
    pub fn uses(&self, data: Digest, gate: &GateSpec, model: Digest) -> EarlierUses {
        let others =
            self.entries.iter().filter(|e| e.data == data && (e.gate, e.model) != (gate.digest(), model));
        // Of several decisions about one model at one gate the last counts.
        let verdicts: BTreeMap<(Digest, Digest), Verdict> =
            others.map(|e| ((e.gate, e.model), e.verdict)).collect();
        let passes = verdicts.values().filter(|verdict| **verdict == Verdict::Pass).count();
        EarlierUses::new(verdicts.len() as u64, passes as u64)
    }

    /// Writes a decision down, and waits until it is on disk.
    pub fn append(&mut self, data: Digest, decision: &GateDecision) -> Result<()> {
        let entry = Entry {
            data,
            gate: decision.gate_digest,
            model: decision.model,
            verdict: decision.verdict,
            at: decision.at.to_rfc3339(),
        };
        let broken =
            |message: String| Error::new(ErrorKind::Storage, OP, message).with("file", self.path.display());
        let mut line = serde_json::to_string(&entry).map_err(|error| broken(error.to_string()))?;
        line.push('\n');
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| broken("the ledger cannot be written".to_owned()).with_source(error))
    }
}
