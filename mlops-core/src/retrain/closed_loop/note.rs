//! What of an entry goes into the audit log.

use super::trigger::clip;
use super::{LoopEffect, LoopEntry, LoopEvent, LoopState};
use crate::governance::AuditEntry;
use crate::hash::{Digest, Hasher};
use crate::id::IdempotencyKey;
use crate::retrain::gates::GateOutcome;

/// The longest detail, in bytes.
const DETAIL: usize = 8_192;

struct Note {
    action: &'static str,
    detail: String,
    digest: Option<Digest>,
}

/// What is to be recorded about an entry: its phase where it is another one, what was held back, who was called, what somebody
/// decided. The keys follow from loop and entry, so that the same entry recorded again is recorded once.
pub(super) fn notes(entry: &LoopEntry, state: &LoopState, derived: bool) -> Vec<AuditEntry> {
    let config = &state.config;
    let made = of_event(entry).into_iter().chain(of_phase(entry)).chain(of_effects(entry)).zip(0_u64..);
    made.map(|(note, place)| {
        let subject = format!("model/{}", config.model);
        let mut audit = AuditEntry::new(config.actor.clone(), note.action, subject);
        if derived {
            audit.key = key(&state.id, entry.sequence, place);
        }
        (audit.detail, audit.digest) = (clip(&note.detail, DETAIL), note.digest);
        audit
    })
    .collect()
}

fn key(id: &IdempotencyKey, sequence: u64, place: u64) -> IdempotencyKey {
    let hasher = Hasher::new("mlops.closed_loop.audit/v1").field(id.as_str());
    IdempotencyKey::from_digest(&hasher.field(sequence.to_le_bytes()).field(place.to_le_bytes()).finish())
}

fn note(action: &'static str, detail: impl Into<String>) -> Note {
    Note { action, detail: detail.into(), digest: None }
}

fn of_event(entry: &LoopEntry) -> Option<Note> {
    match &entry.event {
        LoopEvent::Reset(reason) => Some(note("retrain.reset", reason)),
        LoopEvent::Released { artifact, reason } => {
            Some(Note { digest: Some(*artifact), ..note("retrain.release", reason) })
        }
        _ => None,
    }
}

fn of_phase(entry: &LoopEntry) -> Option<Note> {
    entry.phase.as_ref().map(|phase| note(phase.action(), phase.to_string()))
}

fn of_effects(entry: &LoopEntry) -> impl Iterator<Item = Note> {
    entry.effects.iter().filter_map(|effect| match effect {
        LoopEffect::Suppressed(reason) => Some(note("retrain.suppress", reason)),
        LoopEffect::Escalate(reason) => Some(note("retrain.escalate", reason)),
        LoopEffect::Recorded(record) => match &record.outcome {
            // The phase says it.
            GateOutcome::Requested(_) => None,
            GateOutcome::Suppressed { .. } => Some(note("retrain.suppress", record.to_string())),
            GateOutcome::Deferred { .. } => Some(note("retrain.defer", record.to_string())),
        },
        _ => None,
    })
}
