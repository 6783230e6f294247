//! Values as MLflow's JSON has them: numbers that JSON has no number for, integers that may be text, runs, pages.
//!
//! Every field that MLflow leaves out when it is empty has a default.

use mlops_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// A metric's value. NaN and the infinities are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`: as bare literals, as
/// `null` or in any other spelling MLflow stores 0.0 and answers 200.
///
/// ```
/// use mlops_azure::mlflow::wire::float;
/// assert_eq!(float(0.1).to_string(), "0.1");
/// assert_eq!(float(f64::NAN).to_string(), r#""NaN""#);
/// assert_eq!(float(f64::NEG_INFINITY).to_string(), r#""-Infinity""#);
/// ```
pub fn float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => Value::from("NaN"),
        None if value > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

/// Reads an answer, or a part of it, as `T`.
///
/// # Errors
/// [`ErrorKind::Protocol`]: the server does not speak MLflow's language.
pub fn read<T: DeserializeOwned>(operation: &'static str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|e| {
        Error::new(ErrorKind::Protocol, operation, "the server's answer does not have MLflow's form")
            .with_source(e)
    })
}

/// Serde for integers that a server may write as numbers or as text, as Protocol Buffers' JSON does.
pub mod int64 {
    use serde::{Deserialize, Deserializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Integer(i64),
        Text(String),
    }

    /// Reads one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        match Number::deserialize(deserializer)? {
            Number::Integer(number) => Ok(number),
            Number::Text(text) => text.parse().map_err(|_| de::Error::custom("is not an integer")),
        }
    }

    /// Serde for one that may be missing.
    pub mod optional {
        use serde::{Deserialize, Deserializer};

        #[derive(Deserialize)]
        struct Wrapped(#[serde(with = "super")] i64);

        /// Reads one, or nothing.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
            Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|Wrapped(number)| number))
        }
    }
}

/// A key and a value, as MLflow writes tags and parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// The value; what is empty may be left out.
    #[serde(default)]
    pub value: String,
}

impl KeyValue {
    /// A pair.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// One value of a metric. The step may be left out when it is 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// Which metric.
    pub key: String,
    /// The value.
    #[serde(with = "mlops_core::num::json_float")]
    pub value: f64,
    /// When, in milliseconds since 1970.
    #[serde(deserialize_with = "int64::deserialize")]
    pub timestamp: i64,
    /// The step.
    #[serde(default, deserialize_with = "int64::deserialize")]
    pub step: i64,
}

/// What MLflow knows of a run besides what was logged.
#[derive(Clone, Debug, Deserialize)]
pub struct RunInfo {
    /// MLflow's own id.
    pub run_id: String,
    /// The experiment's id.
    pub experiment_id: String,
    /// The name.
    #[serde(default)]
    pub run_name: String,
    /// The user.
    #[serde(default)]
    pub user_id: String,
    /// `RUNNING`, `SCHEDULED`, `FINISHED`, `FAILED` or `KILLED`.
    #[serde(default)]
    pub status: String,
    /// When it started, in milliseconds since 1970.
    #[serde(default, deserialize_with = "int64::optional::deserialize")]
    pub start_time: Option<i64>,
    /// When it ended.
    #[serde(default, deserialize_with = "int64::optional::deserialize")]
    pub end_time: Option<i64>,
    /// `active` or `deleted`.
    #[serde(default)]
    pub lifecycle_stage: String,
    /// Where its artifacts are.
    #[serde(default)]
    pub artifact_uri: String,
}

/// What was logged to a run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RunData {
    /// The latest value of every metric.
    pub metrics: Vec<Metric>,
    /// The parameters.
    pub params: Vec<KeyValue>,
    /// The tags.
    pub tags: Vec<KeyValue>,
}

/// A run.
#[derive(Clone, Debug, Deserialize)]
pub struct RunBody {
    /// What MLflow knows.
    pub info: RunInfo,
    /// What was logged.
    #[serde(default)]
    pub data: RunData,
}

/// An answer with one run.
#[derive(Clone, Debug, Deserialize)]
pub struct RunAnswer {
    /// The run.
    pub run: RunBody,
}

/// A page of runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RunsAnswer {
    /// The runs.
    pub runs: Vec<RunBody>,
    /// Where the next page starts.
    pub next_page_token: Option<String>,
}

/// A page of a metric's history.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HistoryAnswer {
    /// The points.
    pub metrics: Vec<Metric>,
    /// Where the next page starts.
    pub next_page_token: Option<String>,
}

/// An experiment.
#[derive(Clone, Debug, Deserialize)]
pub struct ExperimentBody {
    /// Its id.
    pub experiment_id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// `active` or `deleted`.
    #[serde(default)]
    pub lifecycle_stage: String,
    /// When it was made, in milliseconds since 1970.
    #[serde(default, deserialize_with = "int64::optional::deserialize")]
    pub creation_time: Option<i64>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<KeyValue>,
}

/// An answer with one experiment.
#[derive(Clone, Debug, Deserialize)]
pub struct ExperimentAnswer {
    /// The experiment.
    pub experiment: ExperimentBody,
}

/// A page of experiments.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExperimentsAnswer {
    /// The experiments.
    pub experiments: Vec<ExperimentBody>,
    /// Where the next page starts.
    pub next_page_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_travels_as_mlflow_needs_it() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::NAN, "\"NaN\""),
            (-f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            let sent = float(value).to_string();
            assert_eq!(sent.replace("e+", "e"), text);
            assert_ne!(sent, "null");
        }
    }

    #[test]
    fn integers_are_read_as_numbers_and_as_text() {
        #[derive(serde::Deserialize)]
        struct One {
            #[serde(with = "int64")]
            step: i64,
            #[serde(default, deserialize_with = "int64::optional::deserialize")]
            end: Option<i64>,
        }
        for (text, step, end) in [
            (r#"{"step": -9223372036854775808}"#, i64::MIN, None),
            (r#"{"step": "9223372036854775807", "end": "1"}"#, i64::MAX, Some(1)),
            (r#"{"step": 0, "end": null}"#, 0, None),
        ] {
            let one: One = read("op", serde_json::from_str(text).unwrap()).unwrap();
            assert_eq!((one.step, one.end), (step, end));
        }
        let bad = read::<One>("op", serde_json::json!({"step": 1.5})).map(|one| one.step);
        assert_eq!(bad.unwrap_err().kind(), ErrorKind::Protocol);
    }
}
