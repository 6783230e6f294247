//! As JSON.

use crate::error::{Result, needs_escape};
use crate::evaluation::GateDecision;
use crate::hash::digest_json;

/// The decision as indented JSON, in the shape of [`GateDecision`] that registries keep; `schema` is its version. What was
/// written is read back the same with `serde_json`. Invisible characters are escaped, which changes no value.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a number in it is NaN or infinite, which JSON cannot say.
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let criteria = vec![CriterionResult::new("auc", Verdict::Pass, None, "good \u{202e}")];
/// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
/// let text = render::json(&decision)?;
/// assert!(text.contains(r"good \u202e"));
/// assert_eq!(serde_json::from_str::<GateDecision>(&text)?, decision);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn json(decision: &GateDecision) -> Result<String> {
    // Refuses what is no number; serde_json would write null.
    digest_json(decision)?;
    let value = serde_json::to_value(decision).map_err(unwritable)?;
    pretty(&value)
}

/// A JSON value, indented, with nothing invisible in it.
pub(super) fn pretty(value: &serde_json::Value) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(unwritable)?;
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // Outside of texts JSON has no such character but its own line ends.
        if needs_escape(c) && c != '\n' {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    Ok(out)
}

fn unwritable(source: serde_json::Error) -> crate::Error {
    crate::Error::invalid("render", "decision", "cannot be written as JSON").with_source(source)
}
