//! The truth as the metrics take it: yes and no, codes of classes, numbers.

use std::collections::HashMap;

use mlops_core::data::{Column, Values};
use mlops_core::{Error, Result};

use super::OP;

/// A truth of yes and no: booleans, the integers 0 and 1, or categories that are called so; nothing missing.
pub(crate) fn booleans(truth: &Column<'_>) -> Result<Vec<bool>> {
    match truth.values() {
        Values::Bool(values) => {
            present(truth)?;
            Ok(values.to_vec())
        }
        Values::I64(values) => {
            present(truth)?;
            let one = |(row, value): (usize, &i64)| match value {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(unknown(truth, row, "is 0 or 1 where it is an integer", &value.to_string())),
            };
            values.iter().enumerate().map(one).collect()
        }
        Values::Category { codes, levels } => {
            present(truth)?;
            let meant: Vec<Option<bool>> = levels.iter().map(|level| yes_or_no(level)).collect();
            let one = |(row, &code): (usize, &u32)| {
                let place = code as usize;
                meant.get(place).copied().flatten().ok_or_else(|| {
                    let level = levels.get(place).map_or("", String::as_str);
                    unknown(truth, row, "is `0` or `1`, or `false` or `true`, where it is text", level)
                })
            };
            codes.iter().enumerate().map(one).collect()
        }
        _ => Err(wrong_type(truth, "must be boolean, 0 and 1, or `false` and `true` for a binary task")),
    }
}

/// The words of which nobody doubts which is the positive class.
fn yes_or_no(level: &str) -> Option<bool> {
    match level {
        "0" | "false" | "False" | "FALSE" => Some(false),
        "1" | "true" | "True" | "TRUE" => Some(true),
        _ => None,
    }
}

/// The place of every row's class among the classes of the model, matched by name.
pub(crate) fn codes(truth: &Column<'_>, labels: &[String]) -> Result<Vec<u32>> {
    let places: HashMap<&str, u32> = labels.iter().map(String::as_str).zip(0_u32..).collect();
    let place = |name: &str| places.get(name).copied();
    match truth.values() {
        Values::Category { codes, levels } => {
            present(truth)?;
            let known: Vec<Option<u32>> = levels.iter().map(|level| place(level)).collect();
            let one = |(row, &code): (usize, &u32)| {
                let level = code as usize;
                known.get(level).copied().flatten().ok_or_else(|| {
                    not_a_class(truth, row, levels.get(level).map_or("", String::as_str), labels)
                })
            };
            codes.iter().enumerate().map(one).collect()
        }
        Values::I64(values) => {
            present(truth)?;
            let one = |(row, value): (usize, &i64)| {
                let name = value.to_string();
                place(&name).ok_or_else(|| not_a_class(truth, row, &name, labels))
            };
            values.iter().enumerate().map(one).collect()
        }
        Values::Bool(values) => {
            present(truth)?;
            let one = |(row, value): (usize, &bool)| {
                let names = if *value { ["true", "True", "1"] } else { ["false", "False", "0"] };
                let found = names.into_iter().find_map(place);
                found.ok_or_else(|| not_a_class(truth, row, names[0], labels))
            };
            values.iter().enumerate().map(one).collect()
        }
        _ => Err(wrong_type(
            truth,
            "must be a category, or integers or booleans that classes are called after",
        )),
    }
}

/// A truth of numbers, nothing missing.
pub(crate) fn numbers(truth: &Column<'_>) -> Result<Vec<f64>> {
    present(truth)?;
    Ok(truth.to_f64()?.into_owned())
}

fn present(truth: &Column<'_>) -> Result<()> {
    match (0..truth.len()).find(|&row| !truth.is_valid(row)) {
        Some(row) => {
            Err(Error::invalid(OP, "truth", "has no value").with("column", truth.name()).with("row", row))
        }
        None => Ok(()),
    }
}

fn wrong_type(truth: &Column<'_>, what: &str) -> Error {
    let message = format!("{what}, is {:?}", truth.data_type());
    Error::invalid(OP, "truth", message).with("column", truth.name())
}

fn unknown(truth: &Column<'_>, row: usize, what: &str, value: &str) -> Error {
    let message = format!("{what}, row {row} has `{}`", shown(value));
    Error::invalid(OP, "truth", message)
        .with("column", truth.name())
        .with("row", row)
        .with("value", shown(value))
}

fn not_a_class(truth: &Column<'_>, row: usize, value: &str, labels: &[String]) -> Error {
    let first: Vec<String> = labels.iter().take(10).map(|label| format!("`{}`", shown(label))).collect();
    let more = if labels.len() > first.len() { ", …" } else { "" };
    let message = format!(
        "row {row} is of the class `{}`, which the model does not know; it knows {}{more}",
        shown(value),
        first.join(", ")
    );
    Error::invalid(OP, "truth", message)
        .with("column", truth.name())
        .with("row", row)
        .with("value", shown(value))
}

/// Escaped and cut: the text comes from a data set, and the message goes to a terminal.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::ErrorKind;
    use mlops_core::data::Validity;

    fn names(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| (*label).to_owned()).collect()
    }

    #[test]
    fn yes_and_no_come_as_booleans_integers_and_words() {
        for column in [
            Column::bool("y", vec![true, false]).unwrap(),
            Column::i64("y", vec![1, 0]).unwrap(),
            Column::text("y", ["1", "0"]).unwrap(),
            Column::text("y", ["True", "False"]).unwrap(),
            Column::text("y", ["true", "false"]).unwrap(),
        ] {
            assert_eq!(booleans(&column).unwrap(), [true, false], "{column:?}");
        }
    }

    #[test]
    fn what_may_mean_either_is_refused_with_row_and_value() {
        for (column, row, value) in [
            (Column::i64("y", vec![0, 1, 2]).unwrap(), "2", "2"),
            (Column::i64("y", vec![-1, 1]).unwrap(), "0", "-1"),
            (Column::text("y", ["0", "ill\n"]).unwrap(), "1", "ill\\n"),
            (Column::text("y", ["yes", "no"]).unwrap(), "0", "yes"),
        ] {
            let error = booleans(&column).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!((error.context("row"), error.context("value")), (Some(row), Some(value)), "{error}");
            assert_eq!(error.context("column"), Some("y"));
        }
        assert!(booleans(&Column::f64("y", vec![0.0, 1.0]).unwrap()).is_err());
    }

    #[test]
    fn classes_are_matched_by_name_and_not_by_code() {
        let labels = names(&["low", "mid", "high"]);
        let column = Column::text("y", ["high", "low", "high", "mid"]).unwrap();
        assert_eq!(codes(&column, &labels).unwrap(), [2, 0, 2, 1]);
        // A level that no row has need not be a class.
        let rest = column.take(&[1, 3]).unwrap();
        assert_eq!(codes(&rest, &labels).unwrap(), [0, 1]);
        let fewer = names(&["low", "mid"]);
        assert_eq!(codes(&rest, &fewer).unwrap(), [0, 1]);
        let error = codes(&column, &fewer).unwrap_err();
        assert_eq!((error.context("row"), error.context("value")), (Some("0"), Some("high")));
        assert!(error.to_string().contains("it knows `low`, `mid`"), "{error}");
    }

    #[test]
    fn integers_and_booleans_are_the_classes_of_their_name() {
        let digits = names(&["3", "0", "1"]);
        assert_eq!(codes(&Column::i64("y", vec![0, 1, 3]).unwrap(), &digits).unwrap(), [1, 2, 0]);
        let error = codes(&Column::i64("y", vec![0, 2]).unwrap(), &digits).unwrap_err();
        assert_eq!((error.context("row"), error.context("value")), (Some("1"), Some("2")));
        let flags = Column::bool("y", vec![false, true]).unwrap();
        for labels in [["true", "false"], ["True", "False"], ["1", "0"]] {
            assert_eq!(codes(&flags, &names(&labels)).unwrap(), [1, 0], "{labels:?}");
        }
        assert!(codes(&flags, &names(&["yes", "no"])).is_err());
        assert!(codes(&Column::f64("y", vec![0.0, 1.0]).unwrap(), &digits).is_err());
    }

    #[test]
    fn a_row_without_truth_is_named() {
        let values = Values::I64(vec![0, 1].into());
        let column = Column::new("y", values, Some(Validity::from_bools(&[true, false]))).unwrap();
        for error in [booleans(&column).unwrap_err(), codes(&column, &names(&["0", "1"])).unwrap_err()] {
            assert_eq!(error.context("row"), Some("1"));
        }
        let text = Column::optional_text("y", [None, Some("1")]).unwrap();
        for error in [booleans(&text).unwrap_err(), codes(&text, &names(&["0", "1"])).unwrap_err()] {
            assert_eq!((error.context("row"), error.kind()), (Some("0"), ErrorKind::InvalidInput));
        }
    }
}
