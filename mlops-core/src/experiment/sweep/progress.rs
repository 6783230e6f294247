//! How a sweep is doing, for people who watch.

use std::fmt;
use std::io::{IsTerminal as _, Write};
use std::sync::Mutex;

use super::{SweepEntry, SweepEvent, SweepState, TrialCounts, TrialPhase};
use crate::time::lock;

/// Is told of every entry, after it was written down.
pub trait SweepProgress: fmt::Debug + Send + Sync {
    /// What happened, and how the sweep stands after it. Must not block.
    fn heard(&self, state: &SweepState, entry: &SweepEntry);
}

/// Writes a line for every trial that ended; on a terminal one line that is written over.
///
/// A writer that fails is written to no more; the sweep goes on.
///
/// ```
/// use mlops_core::experiment::sweep::TerminalProgress;
/// let to_a_file = TerminalProgress::new(Vec::new(), false);
/// let to_standard_error = TerminalProgress::stderr();
/// # let _ = (to_a_file, to_standard_error);
/// ```
pub struct TerminalProgress {
    out: Mutex<Option<Box<dyn Write + Send>>>,
    live: bool,
}

impl TerminalProgress {
    /// To a writer; `live` when lines can be written over.
    pub fn new(out: impl Write + Send + 'static, live: bool) -> Self {
        Self { out: Mutex::new(Some(Box::new(out))), live }
    }

    /// To standard error: live on a terminal, plain lines elsewhere.
    pub fn stderr() -> Self {
        let out = std::io::stderr();
        let live = out.is_terminal();
        Self::new(out, live)
    }

    fn write(&self, text: &str) {
        let mut out = lock(&self.out);
        let failed = out
            .as_mut()
            .is_some_and(|out| out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err());
        if failed {
            *out = None;
        }
    }
}

impl fmt::Debug for TerminalProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalProgress").field("live", &self.live).finish_non_exhaustive()
    }
}

/// What a trial that ended is worth a line for.
fn line(state: &SweepState, entry: &SweepEntry) -> Option<String> {
    let number = entry.event.trial()?;
    let trial = state.trial(number).filter(|trial| trial.phase.is_final())?;
    let what = match &trial.phase {
        TrialPhase::Completed { value } => format!("{value}"),
        TrialPhase::Pruned(evidence) => format!("pruned by {evidence}"),
        TrialPhase::Failed { class, message } => {
            format!("failed ({class}): {}", crate::error::quote(message))
        }
        other => other.as_str().to_owned(),
    };
    let total = state.spec().budget.max_trials;
    let mut text = format!("trial {number} of {total}: {what}");
    if let Some(best) = state.best()
        && let TrialPhase::Completed { value } = best.phase
    {
        text.push_str(&format!("  [best {value} in trial {}]", best.number));
    }
    Some(text)
}

impl SweepProgress for TerminalProgress {
    fn heard(&self, state: &SweepState, entry: &SweepEntry) {
        let text = match &entry.event {
            SweepEvent::Ended { reason } => {
                format!("{}: ended by {reason}", TrialCounts::of(state))
            }
            _ => match line(state, entry) {
                Some(text) => text,
                None => return,
            },
        };
        let over = matches!(entry.event, SweepEvent::Ended { .. });
        match self.live {
            // Back to the start, the line, and what is left of a longer one erased.
            true if !over => self.write(&format!("\r{text}\u{1b}[K")),
            true => self.write(&format!("\r{text}\u{1b}[K\n")),
            false => self.write(&format!("{text}\n")),
        }
    }
}
