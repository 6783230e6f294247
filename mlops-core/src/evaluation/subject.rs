//! Which number of a report a rule speaks of, whether it can be used, and how it compares with a bound.

use super::{Estimate, EvaluationReport};
use crate::config::hint;
use crate::error::{Error, Result, quote};
use crate::id::MetricKey;

/// A metric over all rows, over a slice, or a disparity between the groups of an attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) metric: &'a MetricKey,
    pub(super) slice: Option<&'a str>,
    pub(super) attribute: Option<&'a str>,
}

/// What a report says about a subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) estimate: &'a Estimate,
    left_out: &'a [String],
}

impl<'a> Subject<'a> {
    /// What a report says about the subject, or a sentence that says what it does not have.
    pub(super) fn find<'r>(&self, report: &'r EvaluationReport) -> Result<Found<'r>, String> {
        match (self.slice, self.attribute) {
            (None, None) => self.among(&report.metrics, "the report").map(Found::whole),
            (Some(slice), _) => {
                let slice = only(&report.slices, |s| &s.name, "slice", slice)?;
                self.among(&slice.metrics, &format!("slice `{}`", quote(&slice.name))).map(Found::whole)
            }
            (None, Some(attribute)) => {
                let fairness = only(&report.fairness, |f| &f.attribute, "sensitive attribute", attribute)?;
                let place = format!("the comparison over `{}`", quote(attribute));
                let disparity = self.among(&fairness.disparities, &place)?;
                Ok(Found { estimate: &disparity.estimate, left_out: &disparity.left_out })
            }
        }
    }

    fn among<'r, T>(
        &self,
        metrics: &'r std::collections::BTreeMap<MetricKey, T>,
        place: &str,
    ) -> Result<&'r T, String> {
        metrics.get(self.metric).ok_or_else(|| {
            let known: Vec<&str> = metrics.keys().map(MetricKey::as_str).collect();
            let near = hint(self.metric.as_str(), &known);
            format!("{place} has no metric `{}`{near}", quote(self.metric.as_str()))
        })
    }
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quote(self.metric.as_str()))?;
        match (self.slice, self.attribute) {
            (Some(slice), _) => write!(f, " in slice `{}`", quote(slice)),
            (None, Some(attribute)) => write!(f, " over `{}`", quote(attribute)),
            (None, None) => Ok(()),
        }
    }
}

/// The one thing of a name: two of one name are as unusable as none.
fn only<'r, T>(
    things: &'r [T],
    name_of: impl Fn(&T) -> &String,
    what: &str,
    name: &str,
) -> Result<&'r T, String> {
    let mut matching = things.iter().filter(|thing| name_of(thing) == name);
    match (matching.next(), matching.next()) {
        (Some(thing), None) => Ok(thing),
        (Some(_), Some(_)) => Err(format!("the report has more than one {what} `{}`", quote(name))),
        (None, _) => {
            let known: Vec<&str> = things.iter().map(|thing| name_of(thing).as_str()).collect();
            Err(format!("the report has no {what} `{}`{}", quote(name), hint(name, &known)))
        }
    }
}

impl<'a> Found<'a> {
    fn whole(estimate: &'a Estimate) -> Self {
        Self { estimate, left_out: &[] }
    }

    /// The value, or a clause that says why it decides nothing. A value always needs a row to rest on.
    pub(super) fn usable(&self, min_rows: u64) -> Result<f64, String> {
        let Estimate { value, rows, .. } = *self.estimate;
        if let Some(undefined) = value.undefined() {
            return Err(format!("has no value: {}", undefined.reason));
        }
        if let Some(first) = self.left_out.first() {
            let count = self.left_out.len();
            let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            return Err(format!(
                "leaves out groups that are too small or undefined: `{}`{more}",
                quote(first)
            ));
        }
        let needed = min_rows.max(1);
        if rows < needed {
            return Err(format!("rests on {rows} rows, at least {needed} are needed"));
        }
        value.value().ok_or_else(|| "has no value".to_owned())
    }
}

/// Refuses a report in which a number is NaN or infinite, or an interval is upside down: no evaluator writes that.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the argument and the metric.
pub(super) fn check_report(
    operation: &'static str,
    argument: &'static str,
    report: &EvaluationReport,
) -> Result<()> {
    let overall = report.metrics.iter();
    let slices = report.slices.iter().flat_map(|s| &s.metrics);
    let groups = report.fairness.iter().flat_map(|f| &f.groups).flat_map(|g| &g.metrics);
    let fairness = report.fairness.iter().flat_map(|f| &f.disparities).map(|(key, d)| (key, &d.estimate));
    for (key, estimate) in overall.chain(slices).chain(groups).chain(fairness) {
        if let Some(message) = fault(estimate) {
            return Err(Error::invalid(operation, argument, message).with("metric", key));
        }
    }
    Ok(())
}

fn fault(estimate: &Estimate) -> Option<String> {
    if let Some(value) = estimate.value.value().filter(|v| !v.is_finite()) {
        return Some(format!("the report has the value {value}"));
    }
    let (low, high) = estimate.interval?;
    let sound = low.is_finite() && high.is_finite() && low <= high;
    (!sound).then(|| format!("the report has the interval [{low}, {high}]"))
}

/// Whether `x` is at least `bound`, or short of it by no more than four units in the last place of `scale`.
///
/// Decimal fractions are not binary ones: 0.8 + 0.05 is 0.8500000000000001, and whoever asks for a gain of 0.05 over 0.8 is
/// content with 0.85. `scale` is the largest magnitude that went into either side.
pub(super) fn at_least(x: f64, bound: f64, scale: f64) -> bool {
    x >= bound || bound - x <= 4.0 * f64::EPSILON * scale
}

/// The largest magnitude among some numbers.
pub(super) fn magnitude(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, v| most.max(v.abs()))
}

/// A number for a sentence: four significant digits, or as many more as it takes to stay on its side of `other`.
pub(super) fn show(value: f64, other: f64) -> String {
    let side = |v: f64| v.partial_cmp(&other);
    let rounded = (3..17)
        .filter_map(|digits| format!("{value:.digits$e}").parse::<f64>().ok())
        .find(|rounded| rounded.is_finite() && side(*rounded) == side(value));
    number(rounded.unwrap_or(value))
}

/// A number in its shortest exact form, with an exponent where it would be long.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-4..1e15).contains(&size) { value.to_string() } else { format!("{value:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_number_stays_on_its_side_of_the_bound() {
        for (value, other, shown) in [
            (0.714_285_714_285_714_3, 0.75, "0.7143"),
            (0.749_999_9, 0.75, "0.7499999"),
            (0.75, 0.75, "0.75"),
            (0.750_000_000_000_000_1, 0.75, "0.7500000000000001"),
            (1e300, 1.0, "1e300"),
            (-12_345.678, 0.0, "-12350"),
            (1.25e-7, 1.0, "1.25e-7"),
            (0.0, 1.0, "0"),
            (f64::MAX, 1.0, "1.79769e308"),
        ] {
            assert_eq!(show(value, other), shown);
        }
    }

    #[test]
    fn equal_in_decimal_is_equal_and_a_visible_difference_is_not() {
        for (x, bound, scale, expected) in [
            (0.85, 0.8 + 0.05, 0.85, true),
            (0.3, 0.1 + 0.2, 0.3, true),
            (1e15 + 0.1, 1e15 + 0.1, 1e15, true),
            (0.85, 0.850_000_001, 0.85, false),
            (0.0, f64::MIN_POSITIVE, 0.0, false),
            (1e-300, 2e-300, 2e-300, false),
            (f64::MAX, f64::INFINITY, f64::MAX, false),
            (f64::NAN, 0.0, 1.0, false),
        ] {
            assert_eq!(at_least(x, bound, scale), expected, "{x} {bound}");
        }
    }
}
