//! What a request is called in answers, records and routing.

/// The id that a caller chose, if it is sane; else a new one. Sane are 1 to 128 letters, digits, `.`, `_`, `-` and `:`.
pub(super) fn accept(chosen: Option<&str>) -> String {
    let fits = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(allowed);
    chosen.filter(fits).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':')
}
