//! What models, aliases and tags are called on the server: reversible, or refused.

use mlops_core::id::TagKey;
use mlops_core::{Alias, Error, ModelName, Result};

/// What stands before every name of a registry, so that several share one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namespace(String);

impl Namespace {
    /// The longest name of a registered model that MLflow's databases hold.
    const MAX_NAME: usize = 256;

    /// Letters, digits, `-`, `_` and `.`, at most 64.
    pub(super) fn new(text: &str) -> Result<Self> {
        const OP: &str = "MlflowRegistry::with_namespace";
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !text.bytes().all(plain) {
            let message = "may have letters, digits, `-`, `_` and `.` only";
            return Err(Error::invalid(OP, "namespace", message).with("value", text));
        }
        match text.len() {
            got if got > 64 => Err(Error::limit(OP, "the namespace", 64, got)),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The name of a model on the server.
    pub(super) fn model(&self, operation: &'static str, model: &ModelName) -> Result<String> {
        let name = format!("{}{model}", self.0);
        match name.len() {
            got if got > Self::MAX_NAME => {
                Err(Error::limit(operation, "the name with its namespace", Self::MAX_NAME, got)
                    .with("model", model))
            }
            _ => Ok(name),
        }
    }

    /// The name of a part of the ledger, counted from 0. No model has a `.` in its name.
    pub(super) fn ledger(&self, part: u64) -> String {
        format!("{}mlops.ledger.{}", self.0, part + 1)
    }
}

/// An alias on the server, which takes letters, digits, `-` and `_`: one with a `.`, or with what stands for one, has its
/// `.` and `_` written as `_2e_` and `_5f_`; every other is itself.
pub(super) fn encode_alias(operation: &'static str, alias: &Alias) -> Result<String> {
    let text = alias.as_str();
    if !text.contains('.') && !text.contains("_2e_") && !text.contains("_5f_") {
        return Ok(text.to_owned());
    }
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '.' => out.push_str("_2e_"),
            '_' => out.push_str("_5f_"),
            c => out.push(c),
        }
    }
    match out.len() {
        got if got > 255 => {
            Err(Error::limit(operation, "the alias as the server keeps it", 255, got).with("alias", alias))
        }
        _ => Ok(out),
    }
}

/// The alias that [`encode_alias`] wrote; `None` for one that it does not write.
#[cfg(test)]
fn decode_alias(text: &str) -> Option<Alias> {
    if !text.contains("_2e_") && !text.contains("_5f_") {
        return Alias::new(text).ok();
    }
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('_') {
        plain.push_str(before);
        plain.push(match after.get(..3)? {
            "2e_" => '.',
            "5f_" => '_',
            _ => return None,
        });
        rest = after.get(3..)?;
    }
    Alias::new(plain + rest).ok()
}

/// The key under which a tag is shown on the server: itself, unless it could be taken for one of ours or MLflow's.
pub(super) fn shown_key(key: &TagKey) -> Option<String> {
    let text = key.as_str();
    let shown = match text.starts_with("mlops.") || text.starts_with("mlflow.") {
        true => format!("mlops.tag.{text}"),
        false => text.to_owned(),
    };
    (shown.chars().count() <= 250).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::ErrorKind;

    #[test]
    fn aliases_are_what_the_server_takes_and_never_meet() {
        let mut seen = std::collections::BTreeMap::new();
        for text in [
            "champion",
            "a.b-c_d",
            "a_b-c_d",
            "a_2e_b",
            "a_5f_b",
            "a.b",
            "a_b",
            "a_2e_b.c",
            "v1.2",
            "a_.b",
            "a._b",
            "a_5f_2e_b",
        ] {
            let alias = Alias::new(text).unwrap();
            let encoded = encode_alias("op", &alias).unwrap();
            assert!(
                encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
                "{encoded}"
            );
            assert_eq!(decode_alias(&encoded), Some(alias.clone()), "{text}: {encoded}");
            assert_eq!(seen.insert(encoded, alias), None, "{text}");
        }
        assert_eq!(encode_alias("op", &Alias::new("champion").unwrap()).unwrap(), "champion");
        let long = Alias::new("a.".repeat(100)).unwrap();
        assert_eq!(encode_alias("op", &long).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn namespaces_keep_names_apart_and_within_the_limit() {
        let space = Namespace::new("team-a.").unwrap();
        let model = |text: &str| ModelName::new(text).unwrap();
        assert_eq!(space.model("op", &model("churn")).unwrap(), "team-a.churn");
        assert_eq!(space.ledger(0), "team-a.mlops.ledger.1");
        assert_eq!(Namespace::default().model("op", &model("churn")).unwrap(), "churn");
        assert_eq!(space.model("op", &model(&"x".repeat(250))).unwrap_err().kind(), ErrorKind::LimitExceeded);
        for bad in ["a/b", "a b", "é", "a'b", "a%", "a:b"] {
            assert_eq!(Namespace::new(bad).unwrap_err().context("field"), Some("namespace"), "{bad}");
        }
        assert_eq!(Namespace::new(&"x".repeat(65)).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn tags_that_could_be_taken_for_ours_are_shown_under_another_key() {
        let shown = |text: &str| shown_key(&TagKey::new(text).unwrap());
        assert_eq!(shown("team").as_deref(), Some("team"));
        assert_eq!(shown("mlops.spec.000").as_deref(), Some("mlops.tag.mlops.spec.000"));
        assert_eq!(shown("mlflow.user").as_deref(), Some("mlops.tag.mlflow.user"));
        assert_eq!(shown(&format!("mlops.{}", "x".repeat(244))), None);
    }
}
