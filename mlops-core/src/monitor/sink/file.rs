//! Alerts as lines of a file.

use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;

use crate::disk::{LineFile, storage};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdempotencyKey, check_text};
use crate::monitor::{Alert, AlertReceipt, AlertSink};
use crate::time::lock;

const OPEN: &str = "FileAlertSink::open";
const DELIVER: &str = "AlertSink::deliver";
/// The longest line that is read back: text in an alert is bounded, and this is far beyond.
const MAX_LINE: u64 = 16 << 20;

/// Appends alerts to a file, one JSON object a line.
///
/// * A line is on the disk (`fdatasync`) before `deliver` returns, and so is the file's name.
/// * Every key in the file is known: after a restart, an alert that is there is not written again. Keys are held in memory.
/// * A crash can leave half a line at the end. It was never confirmed; opening the file cuts it off. A line elsewhere that is no
///   alert is [`ErrorKind::Corrupt`], with its number.
/// * One sink writes to a file at a time: it holds the file's lock, which ends with it or its process. Who opens the file meanwhile is
///   told [`ErrorKind::Busy`].
///
/// Writing blocks the calling thread for the time of one write and one sync.
///
/// ```
/// use mlops_core::monitor::sink::FileAlertSink;
/// use mlops_core::monitor::{Alert, AlertSink as _, Severity};
/// use mlops_core::IdempotencyKey;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("alerts.jsonl");
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let alert = Alert::new(IdempotencyKey::generate(), "diabetes".parse()?, "inputs", Severity::Warning, "age drifted", at);
/// assert!(!FileAlertSink::open(&path)?.deliver(&alert).await?.duplicate);
/// // Another process, later.
/// assert!(FileAlertSink::open(&path)?.deliver(&alert).await?.duplicate);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileAlertSink {
    path: PathBuf,
    to: Mutex<To>,
}

struct To {
    lines: LineFile,
    keys: HashSet<IdempotencyKey>,
}

impl FileAlertSink {
    /// Opens a file, or makes it; its folder has to be there.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] for what the file system refuses; [`ErrorKind::Busy`] while another sink has the file;
    /// [`ErrorKind::Corrupt`] for a line that is no alert.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let fault = |e| storage(OPEN, path.display(), e);
        let Some(mut lines) = LineFile::open(&path).map_err(fault)? else {
            let error = Error::new(ErrorKind::Busy, OPEN, "another sink writes to the file");
            return Err(error.with("path", path.display()));
        };
        let (end, keys) = read(&lines, &path)?;
        lines.keep(end).map_err(fault)?;
        Ok(Self { to: Mutex::new(To { lines, keys }), path })
    }
}

/// The length of all whole lines, and the keys in them.
fn read(lines: &LineFile, path: &Path) -> Result<(u64, HashSet<IdempotencyKey>)> {
    #[derive(serde::Deserialize)]
    struct Keyed {
        key: IdempotencyKey,
    }
    let fault = |e| storage(OPEN, path.display(), e);
    let mut reader = lines.read().map_err(fault)?;
    let (mut keys, mut length, mut line) = (HashSet::new(), 0, Vec::new());
    for number in 1_u64.. {
        line.clear();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).map_err(fault)? as u64;
        let corrupt = |message: &str| {
            let error = Error::new(ErrorKind::Corrupt, OPEN, message.to_owned());
            error.with("path", path.display()).with("line", number)
        };
        if read == MAX_LINE {
            return Err(corrupt("the line is too long for an alert"));
        }
        if line.last() != Some(&b'\n') {
            break;
        }
        let keyed: Keyed = serde_json::from_slice(&line)
            .map_err(|source| corrupt("the line is no alert").with_source(source))?;
        keys.insert(keyed.key);
        length += read;
    }
    Ok((length, keys))
}

impl fmt::Debug for FileAlertSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileAlertSink").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl AlertSink for FileAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        check_text(DELIVER, "the signal's name", &alert.signal)?;
        check_text(DELIVER, "the message", &alert.message)?;
        let receipt = |duplicate| AlertReceipt::new(duplicate, self.path.display().to_string());
        let mut to = lock(&self.to);
        if to.keys.contains(&alert.key) {
            return Ok(receipt(true));
        }
        let mut line = serde_json::to_vec(alert).map_err(|source| {
            Error::new(ErrorKind::Internal, DELIVER, "cannot write the alert down").with_source(source)
        })?;
        line.push(b'\n');
        to.lines.append(&line, true).map_err(|e| storage(DELIVER, self.path.display(), e))?;
        to.keys.insert(alert.key.clone());
        Ok(receipt(false))
    }
}
