//! The memory of what was seen lately.

use super::TriggerState;

/// How many events a trigger remembers.
pub(super) const LIMIT: usize = 1000;

/// Whether `(source, id)` is new; from now on it is not. Seen again, it becomes the newest, so that what keeps arriving is
/// not forgotten. The oldest are dropped beyond [`LIMIT`].
pub(super) fn is_new(state: &mut TriggerState, source: &str, id: &str) -> bool {
    let seen = &mut state.seen_events;
    let known = seen.iter().position(|(s, i)| s == source && i == id);
    if let Some(place) = known {
        seen[place..].rotate_left(1);
        return false;
    }
    seen.push((source.to_owned(), id.to_owned()));
    seen.drain(..seen.len().saturating_sub(LIMIT));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_and_id_together_are_the_identity() {
        let mut state = TriggerState::default();
        for (source, id, new) in
            [("a", "1", true), ("a", "2", true), ("b", "1", true), ("a", "1", false), ("b", "1", false)]
        {
            assert_eq!(is_new(&mut state, source, id), new, "{source} {id}");
        }
        assert_eq!(state.seen_events.len(), 3);
    }

    #[test]
    fn the_oldest_is_forgotten_and_what_keeps_arriving_is_not() {
        let mut state = TriggerState::default();
        for id in 0..LIMIT {
            assert!(is_new(&mut state, "s", &id.to_string()));
        }
        assert!(!is_new(&mut state, "s", "0"));
        assert!(is_new(&mut state, "s", "one more"));
        assert_eq!(state.seen_events.len(), LIMIT);
        assert!(!is_new(&mut state, "s", "0"));
        assert!(is_new(&mut state, "s", "1"));
    }

    #[test]
    fn a_memory_that_arrives_too_long_is_cut() {
        let seen_events = (0..LIMIT + 500).map(|id| ("s".to_owned(), id.to_string())).collect();
        let mut state = TriggerState { seen_events, ..TriggerState::default() };
        assert!(is_new(&mut state, "s", "new"));
        assert_eq!(state.seen_events.len(), LIMIT);
        assert_eq!(state.seen_events.last().map(|(_, id)| id.as_str()), Some("new"));
    }
}
