//! What holds of a search space, and of values for it.

use std::collections::HashSet;

use super::assignment::{Assignment, check_name, finite};
use super::distribution::{ChoiceOption, Distribution};
use super::error::SpaceError;
use super::search_space::{SearchSpace, shown};
use super::value::Value;

/// How many choices deep a parameter may lie.
pub const MAX_DEPTH: usize = 4;

/// How many parameters a space may have in all, those of every option counted.
pub const MAX_PARAMETERS: usize = 1_000;

/// How many options a choice may have.
pub const MAX_OPTIONS: usize = 10_000;

/// 2⁵³: beyond it multiples of a step are no longer all there.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// No normal draw of this crate lies further from the mean, in standard deviations: the least probability drawn is 2⁻⁵⁴.
pub(super) const REACH: f64 = 9.0;

/// One nought, so that equal spaces have equal digests.
pub(super) fn normalise(distribution: &mut Distribution) {
    let plain = |value: &mut Value| {
        if let Value::Float(value) = value {
            *value += 0.0;
        }
    };
    match distribution {
        Distribution::Fixed { value } => plain(value),
        Distribution::Choice { values } => {
            for option in values {
                if let ChoiceOption::Value(value) = option {
                    plain(value);
                }
            }
        }
        _ => {}
    }
}

/// Checks a parameter as it is read: its name, and its distribution by itself.
pub(super) fn named(name: &str, mut law: Distribution) -> Result<Distribution, SpaceError> {
    normalise(&mut law);
    check_name(name)?;
    distribution(name, &law)?;
    Ok(law)
}

/// Checks a distribution by itself.
pub(super) fn distribution(name: &str, distribution: &Distribution) -> Result<(), SpaceError> {
    match *distribution {
        Distribution::Choice { ref values } => choice(name, values),
        Distribution::RandInt { upper } => {
            let fits = (1..=i64::MAX.unsigned_abs()).contains(&upper);
            require(fits, name, "upper", upper as f64, "must lie in 1 … 2^63 - 1")
        }
        Distribution::Uniform { min, max } => bounds(name, ("min", min), ("max", max)),
        Distribution::QUniform { min, max, q } => {
            bounds(name, ("min", min), ("max", max))?;
            grid(name, "q", q, min.abs().max(max.abs()))
        }
        Distribution::LogUniform { min, max } => log_bounds(name, min, max),
        Distribution::QLogUniform { min, max, q } => {
            log_bounds(name, min, max)?;
            grid(name, "q", q, max.exp())
        }
        Distribution::Normal { mu, sigma } => normal(name, mu, sigma).map(|_| ()),
        Distribution::QNormal { mu, sigma, q } => {
            let furthest = normal(name, mu, sigma)?;
            grid(name, "q", q, furthest)
        }
        Distribution::LogNormal { mu, sigma } => log_normal(name, mu, sigma),
        Distribution::QLogNormal { mu, sigma, q } => {
            log_normal(name, mu, sigma)?;
            grid(name, "q", q, (mu + REACH * sigma).exp())
        }
        Distribution::Fixed { ref value } => plain(name, value),
        Distribution::Int { low, high, step, log } => int(name, low, high, step, log),
        Distribution::Float { low, high, step, log } => float(name, low, high, step, log),
    }
}

fn require(
    holds: bool,
    name: &str,
    key: &'static str,
    value: f64,
    reason: &'static str,
) -> Result<(), SpaceError> {
    match holds {
        true => Ok(()),
        false => Err(SpaceError::Number { parameter: name.to_owned(), key, value, reason }),
    }
}

fn ordered(
    holds: bool,
    name: &str,
    low: (&'static str, f64),
    high: (&'static str, f64),
) -> Result<(), SpaceError> {
    match holds {
        true => Ok(()),
        false => Err(SpaceError::Order {
            parameter: name.to_owned(),
            low_key: low.0,
            low: low.1,
            high_key: high.0,
            high: high.1,
        }),
    }
}

fn bounds(name: &str, low: (&'static str, f64), high: (&'static str, f64)) -> Result<(), SpaceError> {
    finite(name, low.0, low.1)?;
    finite(name, high.0, high.1)?;
    ordered(low.1 < high.1, name, low, high)?;
    require(
        (high.1 - low.1).is_finite(),
        name,
        high.0,
        high.1,
        "lies further from the lower bound than a number can say",
    )
}

fn log_bounds(name: &str, min: f64, max: f64) -> Result<(), SpaceError> {
    bounds(name, ("min", min), ("max", max))?;
    require(min.exp() > 0.0, name, "min", min, "is the logarithm of a number too small to be one")?;
    require(max.exp().is_finite(), name, "max", max, "is the logarithm of a number too large to be one")
}

/// A step, whose multiples must be exact up to the greatest number in size.
fn grid(name: &str, key: &'static str, q: f64, furthest: f64) -> Result<(), SpaceError> {
    finite(name, key, q)?;
    require(q > 0.0, name, key, q, "must be positive")?;
    require(furthest / q <= EXACT, name, key, q, "is too small for the range: more than 2^53 steps")
}

fn normal(name: &str, mu: f64, sigma: f64) -> Result<f64, SpaceError> {
    finite(name, "mu", mu)?;
    finite(name, "sigma", sigma)?;
    require(sigma > 0.0, name, "sigma", sigma, "must be positive")?;
    let furthest = mu.abs() + REACH * sigma;
    require(furthest.is_finite(), name, "sigma", sigma, "makes numbers beyond the finite ones")?;
    Ok(furthest)
}

fn log_normal(name: &str, mu: f64, sigma: f64) -> Result<(), SpaceError> {
    normal(name, mu, sigma)?;
    let (low, high) = ((mu - REACH * sigma).exp(), (mu + REACH * sigma).exp());
    require(
        low > 0.0 && high.is_finite(),
        name,
        "sigma",
        sigma,
        "makes numbers beyond the finite positive ones",
    )
}

fn int(name: &str, low: i64, high: i64, step: u64, log: bool) -> Result<(), SpaceError> {
    ordered(low <= high, name, ("low", low as f64), ("high", high as f64))?;
    require(high.checked_sub(low).is_some(), name, "high", high as f64, "lies 2^63 or more above `low`")?;
    require(step >= 1, name, "step", step as f64, "must be at least 1")?;
    require(!log || step == 1, name, "step", step as f64, "must be 1 with `log`")?;
    require(!log || low >= 1, name, "low", low as f64, "must be at least 1 with `log`")
}

fn float(name: &str, low: f64, high: f64, step: Option<f64>, log: bool) -> Result<(), SpaceError> {
    finite(name, "low", low)?;
    finite(name, "high", high)?;
    if low != high {
        bounds(name, ("low", low), ("high", high))?;
    }
    require(!log || low > 0.0, name, "low", low, "must be positive with `log`")?;
    match step {
        None => Ok(()),
        Some(step) => {
            require(!log, name, "step", step, "has no meaning with `log`")?;
            grid(name, "step", step, high - low)
        }
    }
}

/// A value that stands for itself.
fn plain(name: &str, value: &Value) -> Result<(), SpaceError> {
    match value {
        Value::Float(value) => finite(name, "value", *value).map(|_| ()),
        Value::Table(_) => {
            let expected = "a plain value";
            Err(SpaceError::Kind { parameter: name.to_owned(), expected, found: "a table" })
        }
        _ => Ok(()),
    }
}

fn choice(name: &str, options: &[ChoiceOption]) -> Result<(), SpaceError> {
    if options.is_empty() {
        return Err(SpaceError::Empty { parameter: name.to_owned() });
    }
    if options.len() > MAX_OPTIONS {
        let parameter = name.to_owned();
        return Err(SpaceError::TooMany {
            parameter,
            what: "options",
            limit: MAX_OPTIONS,
            got: options.len(),
        });
    }
    let mut seen = HashSet::new();
    for option in options {
        let key = match option {
            ChoiceOption::Value(value) => {
                plain(name, value)?;
                // What is equal as a number cannot be told apart where a trial's values come back.
                match value.as_f64() {
                    Some(number) => format!("n{:x}", (number + 0.0).to_bits()),
                    None => format!("{}{value:?}", value.kind()),
                }
            }
            ChoiceOption::Space(space) => format!("{space:?}"),
        };
        if !seen.insert(key) {
            let shown = match option {
                ChoiceOption::Value(value) => shown(value),
                ChoiceOption::Space(_) => "an option".to_owned(),
            };
            return Err(SpaceError::Duplicate { parameter: format!("{name}: {shown}") });
        }
    }
    Ok(())
}

/// Checks what only the whole can say: how deep and how much.
pub(super) fn size(space: &SearchSpace) -> Result<(), SpaceError> {
    if space.is_empty() {
        return Err(SpaceError::Empty { parameter: "space".to_owned() });
    }
    let got = count(space, "", 0)?;
    match got <= MAX_PARAMETERS {
        true => Ok(()),
        false => {
            let parameter = "space".to_owned();
            Err(SpaceError::TooMany { parameter, what: "parameters", limit: MAX_PARAMETERS, got })
        }
    }
}

fn count(space: &SearchSpace, prefix: &str, depth: usize) -> Result<usize, SpaceError> {
    let mut total = 0;
    for (name, distribution) in space.iter() {
        total += 1;
        let Distribution::Choice { values } = distribution else { continue };
        let path = format!("{prefix}{name}");
        for option in values {
            let ChoiceOption::Space(inner) = option else { continue };
            if depth >= MAX_DEPTH {
                return Err(SpaceError::Depth { parameter: path, limit: MAX_DEPTH });
            }
            total += count(inner, &format!("{path}."), depth + 1)?;
        }
    }
    Ok(total)
}

/// Checks that values are of a space.
pub(super) fn assignment(space: &SearchSpace, assignment: &Assignment) -> Result<(), SpaceError> {
    within(space, assignment, "")
}

fn within(space: &SearchSpace, assignment: &Assignment, prefix: &str) -> Result<(), SpaceError> {
    let path = |name: &str| format!("{prefix}{name}");
    for (name, distribution) in space.iter() {
        let value = assignment.get(name).ok_or_else(|| SpaceError::Missing { parameter: path(name) })?;
        value_of(distribution, value, &path(name))?;
    }
    match assignment.iter().find(|(name, _)| space.get(name).is_none()) {
        Some((name, _)) => Err(SpaceError::Unknown { parameter: path(name) }),
        None => Ok(()),
    }
}

fn value_of(distribution: &Distribution, value: &Value, path: &str) -> Result<(), SpaceError> {
    match distribution {
        Distribution::Choice { values } => option_at(values, value, path).map(|_| ()),
        other if super::law::contains(other, value) => Ok(()),
        _ => Err(outside(path, value)),
    }
}

fn outside(path: &str, value: &Value) -> SpaceError {
    SpaceError::Outside { parameter: path.to_owned(), value: shown(value) }
}

/// The index of the first option that a value is one of.
fn option_at(options: &[ChoiceOption], value: &Value, path: &str) -> Result<usize, SpaceError> {
    let mut fault = None;
    for (index, option) in options.iter().enumerate() {
        match (option, value) {
            (ChoiceOption::Value(option), value) if same(option, value) => return Ok(index),
            (ChoiceOption::Space(space), Value::Table(table)) => {
                match within(space, table, &format!("{path}.")) {
                    Ok(()) => return Ok(index),
                    // With one option the reason is that option's; with several it would be any one's.
                    Err(error) if options.len() == 1 => fault = Some(error),
                    Err(_) => {}
                }
            }
            _ => {}
        }
    }
    Err(fault.unwrap_or_else(|| outside(path, value)))
}

/// The index of the first option that a value is one of.
pub(in crate::experiment) fn option_of(options: &[ChoiceOption], value: &Value) -> Option<usize> {
    options.iter().position(|option| match option {
        ChoiceOption::Value(option) => same(option, value),
        ChoiceOption::Space(space) => value.as_table().is_some_and(|table| fits(space, table)),
    })
}

/// Whether values are of a space, without a reason: samplers ask often. Both are in the order of names.
fn fits(space: &SearchSpace, assignment: &Assignment) -> bool {
    let fits = |((name, law), (known, value)): ((&str, &Distribution), (&str, &Value))| {
        name == known
            && match law {
                Distribution::Choice { values } => option_of(values, value).is_some(),
                law => super::law::contains(law, value),
            }
    };
    space.len() == assignment.len() && space.iter().zip(assignment.iter()).all(fits)
}

/// Equal; a whole number is the number equal to it.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a == b,
        _ => a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b),
    }
}
