//! Values as MLflow's JSON has them: numbers that JSON has no number for, integers that may be text, pages.

use mlops_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
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
