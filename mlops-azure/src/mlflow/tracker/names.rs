//! The tags and parameters in which the tracker keeps what MLflow has no place for.

use mlops_core::experiment::{LogBatch, is_lifecycle_tag};
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result, Tags};
use serde::Serialize;

/// The client's id of a run.
pub(super) const RUN_KEY: &str = "mlops.run_key";
/// Which attempt to create the run this is.
pub(super) const ATTEMPT: &str = "mlops.attempt";
/// What the run was started with, exactly: a cell.
pub(super) const SPEC: &str = "mlops.spec";
/// The client's id of the parent run.
pub(super) const PARENT: &str = "mlops.parent";
/// Until when the run counts as alive, in microseconds since 1970.
pub(super) const LEASE: &str = "mlops.lease";
/// Prefixes of numbered cells: inputs, artifacts, receipts, slots, long parameters and long tags.
pub(super) const INPUT: &str = "mlops.input.";
pub(super) const ARTIFACT: &str = "mlops.artifact.";
pub(super) const RECEIPT: &str = "mlops.receipt.";
pub(super) const SLOT: &str = "mlops.slot.";
pub(super) const LONG_PARAM: &str = "mlops.long_param.";
pub(super) const LONG_TAG: &str = "mlops.long_tag.";
/// A parameter, because the first value of a parameter stays: whether this run is the one of its key.
pub(super) const CLAIM: &str = "mlops.claim";
/// A parameter, because the first value of a parameter stays: how and when the run ended.
pub(super) const END: &str = "mlops.end";

/// What MLflow's user interface reads, and the tracker writes.
pub(super) const RUN_NAME: &str = "mlflow.runName";
pub(super) const USER: &str = "mlflow.user";
pub(super) const PARENT_RUN: &str = "mlflow.parentRunId";
pub(super) const GIT: [&str; 4] = [
    "mlflow.source.git.commit",
    "mlflow.source.git.branch",
    "mlflow.source.git.repoURL",
    "mlflow.source.git.dirty",
];

const PREFIX: &str = "mlops.";

/// Whether a tag is the tracker's own, and no tag of the run.
pub(super) fn is_own_tag(key: &str) -> bool {
    key.starts_with(PREFIX) && !is_lifecycle_tag(key)
        || [RUN_NAME, USER, PARENT_RUN].contains(&key)
        || GIT.contains(&key)
}

/// Whether a parameter is the tracker's own.
pub(super) fn is_own_param(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// Refuses tags that would overwrite the tracker's own.
pub(super) fn check_tags(operation: &'static str, tags: &Tags) -> Result<()> {
    match tags.keys().find(|key| is_own_tag(key.as_str())) {
        Some(key) => Err(reserved(operation, "tags").with("tag", key)),
        None => Ok(()),
    }
}

/// Refuses parameters and tags that would overwrite the tracker's own.
pub(super) fn check_batch(operation: &'static str, batch: &LogBatch) -> Result<()> {
    match batch.params.keys().find(|key| is_own_param(key.as_str())) {
        Some(key) => Err(reserved(operation, "params").with("parameter", key)),
        None => check_tags(operation, &batch.tags),
    }
}

fn reserved(operation: &'static str, field: &'static str) -> Error {
    Error::invalid(operation, field, "has a key that this backend writes itself")
}

/// The name of a numbered cell: its prefix and 16 digits of what it is about.
pub(super) fn numbered(prefix: &str, about: &Digest) -> String {
    format!("{prefix}{}", about.hex().get(..16).unwrap_or_default())
}

/// Whether a tag is the head of a numbered cell, and not one of its pieces.
pub(super) fn is_head(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| rest.len() == 16)
}

/// JSON for a cell.
pub(super) fn json(operation: &'static str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| {
        Error::new(ErrorKind::Internal, operation, "a record cannot be written down").with_source(e)
    })
}

/// A name as MLflow's user interface shows it: visible, on one line, at most 250 characters, and never empty, because MLflow
/// would make one up. The exact name is in [`SPEC`].
pub(super) fn shown(name: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = name.chars().map(clean).take(250).collect();
    if text.trim().is_empty() { "(unnamed)".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::{ParamKey, TagKey};

    #[test]
    fn keys_of_the_tracker_are_refused_and_others_are_not() {
        let tag = |key: &str| LogBatch::new().tag(TagKey::new(key).unwrap(), "x");
        for key in
            ["mlops.run_key", "mlops.anything", "mlflow.runName", "mlflow.user", "mlflow.source.git.commit"]
        {
            let error = check_batch("op", &tag(key)).unwrap_err();
            assert_eq!((error.context("field"), error.context("tag")), (Some("tags"), Some(key)));
        }
        for key in ["mlopsx", "mlflow.note.content", "mlops.pipeline", "mlops.step.key", "team"] {
            assert!(check_batch("op", &tag(key)).is_ok(), "{key}");
        }
        let param = LogBatch::new().param(ParamKey::new("mlops.end").unwrap(), 1);
        assert_eq!(check_batch("op", &param).unwrap_err().context("parameter"), Some("mlops.end"));
    }

    #[test]
    fn names_are_fit_to_be_shown() {
        for (name, expected) in
            [("baseline", "baseline"), ("a\0b\nc", "a b c"), ("", "(unnamed)"), ("\n", "(unnamed)")]
        {
            assert_eq!(shown(name), expected);
        }
        assert_eq!(shown(&"家".repeat(1000)).chars().count(), 250);
    }

    #[test]
    fn heads_and_pieces_are_told_apart() {
        let name = numbered(SLOT, &Digest::of(b"x"));
        assert!(is_head(&name, SLOT) && !is_head(&format!("{name}.0"), SLOT) && !is_head(&name, INPUT));
    }
}
