//! What is worth a look.

use crate::data::DataType;
use crate::error::quote;

use super::options::ProfileOptions;
use super::summary::{Alert, AlertKind, ColumnProfile, Profile};

/// The alerts of a profile: those of the table, of each column in order, then of pairs.
pub(super) fn alerts(profile: &Profile, options: &ProfileOptions) -> Vec<Alert> {
    let mut out = Vec::new();
    let mut add = |kind, columns: &[&str], message: String| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        out.push(Alert { kind, columns, message });
    };
    if profile.rows == 0 {
        add(AlertKind::Empty, &[], "the table has no rows".to_owned());
    }
    if let Some(rows) = profile.duplicates.filter(|rows| *rows > 0) {
        add(AlertKind::Duplicates, &[], format!("{rows} of {} rows repeat an earlier one", profile.rows));
    }
    for column in &profile.columns {
        for (kind, message) in of_column(column, profile.rows, options) {
            add(kind, &[&column.name], format!("`{}` {message}", quote(&column.name)));
        }
    }
    for pair in profile.correlations.iter().filter(|pair| pair.value.abs() >= options.high_correlation) {
        let (a, b) = (quote(&pair.a), quote(&pair.b));
        let message = format!("`{a}` and `{b}`: {} {:.3}", pair.kind.as_str(), pair.value);
        add(AlertKind::HighCorrelation, &[&pair.a, &pair.b], message);
    }
    out
}

fn of_column(column: &ColumnProfile, rows: u64, options: &ProfileOptions) -> Vec<(AlertKind, String)> {
    let mut out = Vec::new();
    if rows == 0 {
        return out;
    }
    let share = |count: u64| count as f64 / rows as f64;
    let percent = |count: u64| format!("{:.1} %", 100.0 * share(count));
    if column.count == 0 {
        out.push((AlertKind::Unsupported, "has no value".to_owned()));
        return out;
    }
    let distinct = column.distinct;
    let nan = column.numeric.as_ref().map_or(0, |numeric| numeric.nan);
    if distinct.count + u64::from(nan > 0) == 1 {
        out.push((AlertKind::Constant, "has one value only".to_owned()));
    }
    if share(column.missing) > options.share {
        out.push((AlertKind::Missing, format!("is missing in {} of the rows", percent(column.missing))));
    }
    if let Some(numeric) = &column.numeric {
        let infinite = numeric.positive_infinite + numeric.negative_infinite;
        if share(infinite) > options.share {
            out.push((AlertKind::Infinite, format!("is infinite in {} of the rows", percent(infinite))));
        }
        if share(numeric.zeros) > options.share {
            out.push((AlertKind::Zeros, format!("is zero in {} of the rows", percent(numeric.zeros))));
        }
        if let Some(skewness) = numeric.skewness.filter(|skewness| skewness.abs() >= options.skewed) {
            out.push((AlertKind::Skewed, format!("has a skewness of {skewness:.1}")));
        }
    }
    // An estimate is not enough to say that no value comes twice.
    if distinct.exact && distinct.count == column.count && column.count > 1 {
        out.push((AlertKind::Unique, "has no value twice".to_owned()));
    }
    if column.data_type == DataType::Category && distinct.count >= options.high_cardinality {
        out.push((AlertKind::HighCardinality, format!("has {} different texts", distinct.count)));
    }
    if let Some(imbalance) = column.imbalance.filter(|imbalance| *imbalance > options.imbalanced) {
        let first = column.top.first().map(|top| quote(&top.value)).unwrap_or_default();
        out.push((AlertKind::Imbalance, format!("is mostly \"{first}\": an imbalance of {imbalance:.2}")));
    }
    if let Some(text) = &column.text
        && text.min_length == text.max_length
        && distinct.count > 1
    {
        out.push((AlertKind::ConstantLength, format!("has texts of {} characters only", text.min_length)));
    }
    out
}
