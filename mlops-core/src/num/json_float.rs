//! Serde for `f64` that keeps what JSON has no number for: NaN and the infinities travel as the strings `"NaN"`,
//! `"Infinity"` and `"-Infinity"`, as in MLflow's REST API and Protocol Buffers' JSON. A NaN's payload is not kept.
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Point {
//!     #[serde(with = "mlops_core::num::json_float")]
//!     value: f64,
//! }
//! let text = serde_json::to_string(&Point { value: f64::NEG_INFINITY })?;
//! assert_eq!(text, r#"{"value":"-Infinity"}"#);
//! assert_eq!(serde_json::from_str::<Point>(&text)?.value, f64::NEG_INFINITY);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Writes a number, or its name when JSON has none.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else if value.is_nan() {
        serializer.serialize_str("NaN")
    } else {
        serializer.serialize_str(if *value > 0.0 { "Infinity" } else { "-Infinity" })
    }
}

/// Reads a number or one of the three names.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Name)
}

struct Name;

impl Visitor<'_> for Name {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<f64, E> {
        match value {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
        }
    }
}
