//! The grammar. Nesting is counted before it is followed, so that no text exhausts the stack.

use super::field::{self, Named};
use super::number::Nanos;
use super::scan::{Scanner, Source, is_word};
use crate::error::Result;
use crate::experiment::{Comparison, Field, Filter, InputMatch, Match, OrderBy, RunStatus};
use crate::id::{AssetName, RunId, Version};
use crate::time::{Timestamp, duration_text};

/// The most brackets and `NOT`s around a comparison. A filter at [`Filter::MAX_DEPTH`] is written with fewer.
const MAX_NESTING: usize = 2 * Filter::MAX_DEPTH;

/// What nobody's digest starts with here, and what is pasted easily.
const ALGORITHM: &str = "sha256:";

/// The longest number, in bytes: longer than any that means something, short enough to read at once.
const MAX_NUMBER: usize = 1_000;

/// MLflow's names of a run's status.
pub(super) fn mlflow_status(status: RunStatus) -> String {
    status.as_str().to_ascii_uppercase()
}

/// What is said of a field.
enum Said {
    Compared(Comparison),
    Matches(Operator),
    NoMatch(Operator),
    Listed { negated: bool },
    Null { negated: bool },
}

/// The operators that take one text.
#[derive(Clone, Copy)]
enum Operator {
    Like,
    ILike,
    Contains,
    StartsWith,
}

impl Operator {
    fn with(self, text: String) -> Match {
        match self {
            Self::Like => Match::Like(text),
            Self::ILike => Match::ILike(text),
            Self::Contains => Match::Contains(text),
            Self::StartsWith => Match::StartsWith(text),
        }
    }
}

pub(super) struct Parser<'t> {
    scanner: Scanner<'t>,
    nesting: usize,
    comparisons: usize,
    texts: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str, source: Source) -> Self {
        Self { scanner: Scanner::new(text, source), nesting: 0, comparisons: 0, texts: 0 }
    }

    /// A whole filter; the empty text is everything.
    pub(super) fn filter(mut self) -> Result<Filter> {
        if self.scanner.is_at_end() {
            return Ok(Filter::And(Vec::new()));
        }
        let filter = self.any()?;
        if !self.scanner.is_at_end() {
            return Err(self.expected("AND, OR or the end"));
        }
        Ok(filter)
    }

    /// A field and its direction.
    pub(super) fn order(mut self) -> Result<OrderBy> {
        let place = self.scanner.place();
        let named = field::read(&mut self.scanner)?;
        let Some(field) = order_field(named) else {
            return Err(self.scanner.complaint(place, "runs cannot be ordered by this field"));
        };
        let descending = self.scanner.word("DESC");
        if !descending {
            self.scanner.word("ASC");
        }
        if !self.scanner.is_at_end() {
            return Err(self.expected("ASC, DESC or the end"));
        }
        Ok(OrderBy { field, descending })
    }

    fn expected(&self, what: &str) -> crate::Error {
        self.scanner.fault(self.scanner.place(), what)
    }

    fn excess(&self, what: &'static str, limit: usize) -> crate::Error {
        self.scanner.excess(self.scanner.place(), what, limit)
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.nesting >= MAX_NESTING {
            return Err(self.excess("the filter's depth", Filter::MAX_DEPTH));
        }
        self.nesting += 1;
        let result = inner(self)?;
        self.nesting -= 1;
        Ok(result)
    }

    fn any(&mut self) -> Result<Filter> {
        self.joined("OR", Self::all, Filter::Or)
    }

    fn all(&mut self) -> Result<Filter> {
        self.joined("AND", Self::one, Filter::And)
    }

    /// One part, or several with a word between them.
    fn joined(
        &mut self,
        word: &str,
        part: impl Fn(&mut Self) -> Result<Filter>,
        join: impl Fn(Vec<Filter>) -> Filter,
    ) -> Result<Filter> {
        let first = part(self)?;
        if !self.scanner.word(word) {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.scanner.word(word) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn one(&mut self) -> Result<Filter> {
        if self.scanner.word("NOT") {
            return self.deeper(|p| Ok(Filter::Not(Box::new(p.one()?))));
        }
        if self.scanner.symbol("(") {
            return self.deeper(Self::closed);
        }
        if self.scanner.call("ALL") {
            return self.deeper(|p| Ok(Filter::And(vec![p.closed()?])));
        }
        if self.scanner.call("ANY") {
            return self.deeper(|p| Ok(Filter::Or(vec![p.closed()?])));
        }
        self.comparisons += 1;
        if self.comparisons > Filter::MAX_COMPARISONS {
            return Err(self.excess("the number of comparisons", Filter::MAX_COMPARISONS));
        }
        if self.scanner.word("TRUE") {
            return Ok(Filter::And(Vec::new()));
        }
        if self.scanner.word("FALSE") {
            return Ok(Filter::Or(Vec::new()));
        }
        if self.scanner.call("dataset") {
            return Ok(Filter::AnyInput(self.input()?));
        }
        self.comparison()
    }

    fn closed(&mut self) -> Result<Filter> {
        let inner = self.any()?;
        if self.scanner.symbol(")") {
            Ok(inner)
        } else {
            Err(self.expected("AND, OR or a closing parenthesis"))
        }
    }

    /// What stands in `dataset(…)`: conditions that one input meets together.
    fn input(&mut self) -> Result<InputMatch> {
        let mut wanted = InputMatch::default();
        if self.scanner.symbol(")") {
            return Ok(wanted);
        }
        loop {
            self.input_part(&mut wanted)?;
            if self.scanner.symbol(")") {
                return Ok(wanted);
            }
            if !self.scanner.word("AND") {
                return Err(self.expected("AND or a closing parenthesis"));
            }
        }
    }

    fn input_part(&mut self, wanted: &mut InputMatch) -> Result<()> {
        let place = self.scanner.place();
        let name = self.scanner.run(is_word);
        self.scanner.end_of_token();
        let twice = match name {
            "name" => wanted.asset.replace(self.input_text(false)?).is_some(),
            "digest" => wanted.digest.replace(self.input_text(true)?).is_some(),
            "context" => wanted.role.replace(self.input_text(false)?).is_some(),
            "version" => wanted.version.replace(self.version()?).is_some(),
            _ => return Err(self.scanner.fault(place, "name, version, digest or context")),
        };
        if twice { Err(self.scanner.complaint(place, "this is asked for twice")) } else { Ok(()) }
    }

    fn version(&mut self) -> Result<Version> {
        if !self.scanner.symbol("=") {
            return Err(self.expected("="));
        }
        let place = self.scanner.place();
        let digits = self.scanner.run(|c| c.is_ascii_digit());
        self.scanner.end_of_token();
        digits.parse().map_err(|_| self.scanner.fault(place, "a version: 1, 2, 3 and so on"))
    }

    fn comparison(&mut self) -> Result<Filter> {
        let named = field::read(&mut self.scanner)?;
        match named {
            Named::Metric(key) => match self.said()? {
                Said::Compared(comparison) => Ok(Filter::Metric { key, comparison, value: self.number()? }),
                Said::Null { negated } => Ok(unless(negated, Filter::HasMetric(key))),
                _ => Err(self.not_for("a metric is a number: =, !=, <, <=, >, >= or IS NULL")),
            },
            Named::Stat(key, stat) => match self.said()? {
                Said::Compared(comparison) => {
                    Ok(Filter::MetricStat { key, stat, comparison, value: self.number()? })
                }
                _ => Err(self.not_for("this is a number: =, !=, <, <=, > or >=")),
            },
            Named::Param(key) => {
                self.text(Some(Filter::HasParam(key.clone())), |text| Filter::Param(key.clone(), text))
            }
            Named::Tag(key) => {
                self.text(Some(Filter::HasTag(key.clone())), |text| Filter::Tag(key.clone(), text))
            }
            Named::Id => self.text(None, Filter::Id),
            Named::Name => self.text(None, Filter::Name),
            Named::Actor => self.text(None, Filter::Actor),
            Named::Status => self.status(),
            Named::Parent => self.parent(),
            Named::Started => {
                let (comparison, at) = self.time_compared()?;
                Ok(Filter::Started(comparison, at))
            }
            Named::Ended => self.ended(),
            Named::Took => self.took(),
            Named::InputAsset => {
                Ok(Filter::AnyInput(InputMatch::default().with_asset(self.input_text(false)?)))
            }
            Named::InputDigest => {
                Ok(Filter::AnyInput(InputMatch::default().with_digest(self.input_text(true)?)))
            }
            Named::InputRole => {
                Ok(Filter::AnyInput(InputMatch::default().with_role(self.input_text(false)?)))
            }
            Named::Input => self.asset(),
        }
    }

    /// The operator that comes next.
    fn said(&mut self) -> Result<Said> {
        let scanner = &mut self.scanner;
        const SYMBOLS: [(&str, Comparison); 8] = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<>", Comparison::NotEqual),
            ("!=", Comparison::NotEqual),
            ("==", Comparison::Equal),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        if let Some((_, comparison)) = SYMBOLS.into_iter().find(|(symbol, _)| scanner.symbol(symbol)) {
            return Ok(Said::Compared(comparison));
        }
        if scanner.word("IS") {
            let negated = scanner.word("NOT");
            return if scanner.word("NULL") {
                Ok(Said::Null { negated })
            } else {
                Err(self.expected("NULL or NOT NULL"))
            };
        }
        let negated = scanner.word("NOT");
        if scanner.word("IN") {
            return Ok(Said::Listed { negated });
        }
        let operator = if scanner.word("LIKE") {
            Operator::Like
        } else if scanner.word("ILIKE") {
            Operator::ILike
        } else if scanner.word("CONTAINS") {
            Operator::Contains
        } else if scanner.words(&["STARTS", "WITH"]) {
            Operator::StartsWith
        } else if negated {
            return Err(self.expected("IN, LIKE, ILIKE, CONTAINS or STARTS WITH"));
        } else {
            return Err(self.expected(
                "an operator: =, !=, <, <=, >, >=, LIKE, ILIKE, IN, IS NULL, CONTAINS or STARTS WITH",
            ));
        };
        Ok(if negated { Said::NoMatch(operator) } else { Said::Matches(operator) })
    }

    /// The error that the operator just read does not go with the field.
    fn not_for(&self, why: &str) -> crate::Error {
        self.scanner.complaint(self.scanner.place(), why)
    }

    /// A comparison of text; with `has`, of a text that may not be there.
    fn text(&mut self, has: Option<Filter>, with: impl Fn(Match) -> Filter) -> Result<Filter> {
        let said = self.said()?;
        match (said, has) {
            (Said::Null { negated }, Some(has)) => Ok(unless(negated, has)),
            (Said::NoMatch(operator), has) => {
                let not = Filter::Not(Box::new(with(operator.with(self.string()?))));
                Ok(match has {
                    Some(has) => Filter::And(vec![has, not]),
                    None => not,
                })
            }
            (said, _) => Ok(with(self.matched(said)?)),
        }
    }

    /// The match that an operator makes of the value after it.
    fn matched(&mut self, said: Said) -> Result<Match> {
        match said {
            Said::Compared(Comparison::Equal) => Ok(Match::Equals(self.string()?)),
            Said::Compared(Comparison::NotEqual) => Ok(Match::differs_from(self.string()?)),
            Said::Compared(_) => Err(self
                .not_for("texts are not compared by size: =, !=, LIKE, ILIKE, IN, CONTAINS or STARTS WITH")),
            Said::Matches(operator) => Ok(operator.with(self.string()?)),
            Said::Listed { negated: false } => Ok(Match::In(self.list()?)),
            Said::Listed { negated: true } => Ok(Match::NotIn(self.list()?)),
            Said::NoMatch(_) => Err(self.not_for("this cannot be negated here: put NOT before the field")),
            Said::Null { .. } => Err(self.not_for("this field is always there")),
        }
    }

    /// What is asked of an input's text; digests are asked for by their digits alone.
    fn input_text(&mut self, digest: bool) -> Result<Match> {
        let said = self.said()?;
        let place = self.scanner.place();
        let text = self.matched(said)?;
        let named = match &text {
            Match::Equals(text) => text.starts_with(ALGORITHM),
            Match::In(texts) | Match::NotIn(texts) => texts.iter().any(|text| text.starts_with(ALGORITHM)),
            _ => false,
        };
        if digest && named {
            return Err(self.scanner.complaint(place, "a digest is written without `sha256:`"));
        }
        Ok(text)
    }

    fn asset(&mut self) -> Result<Filter> {
        let Said::Compared(Comparison::Equal) = self.said()? else {
            return Err(self.not_for("a data set alone is compared with =; see dataset.name for more"));
        };
        let place = self.scanner.place();
        let name = self.string()?;
        let name = AssetName::new(name)
            .map_err(|e| self.scanner.complaint(place, format!("the asset name {}", e.fault())))?;
        Ok(Filter::Input(name))
    }

    fn status(&mut self) -> Result<Filter> {
        let place = self.scanner.place();
        let said = self.said()?;
        let (said, negated) = match said {
            Said::NoMatch(operator) => (Said::Matches(operator), true),
            other => (other, false),
        };
        let wanted = self.matched(said)?;
        if let Match::Equals(name) = &wanted {
            return self.known_status(place, name).map(|status| Filter::Status(vec![status]));
        }
        if let Match::In(names) = &wanted {
            let known: Result<_> = names.iter().map(|name| self.known_status(place, name)).collect();
            return known.map(Filter::Status);
        }
        if let Match::NotIn(names) = &wanted {
            names.iter().try_for_each(|name| self.known_status(place, name).map(drop))?;
        }
        let holds = |status: &RunStatus| wanted.holds(&mlflow_status(*status)) != negated;
        Ok(Filter::Status(RunStatus::ALL.into_iter().filter(holds).collect()))
    }

    fn known_status(&self, place: usize, name: &str) -> Result<RunStatus> {
        let known = RunStatus::ALL.into_iter().find(|status| mlflow_status(*status) == name);
        known.ok_or_else(|| {
            let names = RunStatus::ALL.map(mlflow_status).join(", ");
            self.scanner.complaint(place, format!("a status is one of {names}"))
        })
    }

    fn parent(&mut self) -> Result<Filter> {
        let said = self.said()?;
        let differs = |parents: Vec<Filter>| {
            let parents = parents.into_iter().map(|parent| Filter::Not(Box::new(parent)));
            Filter::And(std::iter::once(Filter::HasParent).chain(parents).collect())
        };
        match said {
            Said::Null { negated } => Ok(unless(negated, Filter::HasParent)),
            Said::Compared(Comparison::Equal) => Ok(self.parent_id()?),
            Said::Compared(Comparison::NotEqual) => Ok(differs(vec![self.parent_id()?])),
            Said::Listed { negated } => {
                let place = self.scanner.place();
                let ids = self.list()?;
                let ids: Result<Vec<_>> = ids.iter().map(|id| self.checked_parent(place, id)).collect();
                Ok(if negated { differs(ids?) } else { Filter::Or(ids?) })
            }
            // The way to ask for any parent where `IS NOT NULL` is not known.
            Said::Matches(Operator::Like) if self.string()? == "%" => Ok(Filter::HasParent),
            _ => Err(self.not_for("a parent is compared with =, !=, IN, NOT IN or IS NULL")),
        }
    }

    fn parent_id(&mut self) -> Result<Filter> {
        let place = self.scanner.place();
        let id = self.string()?;
        self.checked_parent(place, &id)
    }

    fn checked_parent(&self, place: usize, id: &str) -> Result<Filter> {
        let id = RunId::new(id)
            .map_err(|_| self.scanner.fault(place, "a run's id: 32 lower-case hexadecimal digits"))?;
        Ok(Filter::Parent(id))
    }

    fn ended(&mut self) -> Result<Filter> {
        match self.said()? {
            Said::Null { negated } => Ok(unless(negated, Filter::HasEnded)),
            Said::Compared(comparison) => Ok(Filter::Ended(comparison, self.time()?)),
            _ => Err(self.not_for("a time is compared with =, !=, <, <=, >, >= or IS NULL")),
        }
    }

    fn time_compared(&mut self) -> Result<(Comparison, Timestamp)> {
        match self.said()? {
            Said::Compared(comparison) => Ok((comparison, self.time()?)),
            _ => Err(self.not_for("a time is compared with =, !=, <, <=, > or >=")),
        }
    }

    /// Milliseconds since 1970, or a date in quotes.
    fn time(&mut self) -> Result<Timestamp> {
        const EXPECTED: &str =
            "milliseconds since 1970, no finer than a nanosecond, or a time such as '2026-01-31T12:00:00Z'";
        let place = self.scanner.place();
        let time = match self.quoted_value()? {
            Some(text) => text.parse().ok(),
            None => self.digits().and_then(|digits| Nanos::of_millis(digits).timestamp()),
        };
        time.ok_or_else(|| self.scanner.fault(place, EXPECTED))
    }

    fn took(&mut self) -> Result<Filter> {
        let Said::Compared(comparison) = self.said()? else {
            return Err(self.not_for("a duration is compared with =, !=, <, <=, > or >="));
        };
        let place = self.scanner.place();
        let duration = match self.quoted_value()? {
            Some(text) => duration_text::parse(&text),
            None => self.digits().and_then(|digits| Nanos::of_millis(digits).duration()),
        };
        let duration = duration
            .ok_or_else(|| self.scanner.fault(place, "milliseconds or a duration such as '90s' or '15m'"))?;
        Ok(Filter::Took(comparison, duration))
    }

    /// A number as it is written, if one is next: no name of infinity or NaN.
    fn digits(&mut self) -> Option<&'t str> {
        let text = self.number_text();
        let plain = text.contains(|c: char| c.is_ascii_digit());
        (plain && text.len() <= MAX_NUMBER && text.parse::<f64>().is_ok()).then_some(text)
    }

    fn number(&mut self) -> Result<f64> {
        let place = self.scanner.place();
        let text = self.number_text();
        let number = if text.len() <= MAX_NUMBER { text.parse().ok() } else { None };
        number.ok_or_else(|| {
            self.scanner.fault(place, "a number without quotes, such as 0.9, -1e-3, inf or nan")
        })
    }

    /// What may be a number: a sign, word characters and points, and a sign after the `e`.
    fn number_text(&mut self) -> &'t str {
        let place = self.scanner.place();
        if !self.scanner.take('-') {
            self.scanner.take('+');
        }
        let mantissa = self.scanner.run(|c| is_word(c) || c == '.');
        let signed =
            mantissa.ends_with(['e', 'E']) && mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        if signed && (self.scanner.take('-') || self.scanner.take('+')) {
            self.scanner.run(is_word);
        }
        let text = self.scanner.since(place);
        self.scanner.end_of_token();
        text
    }

    fn quoted_value(&mut self) -> Result<Option<String>> {
        let text = self.scanner.quoted(&['\'', '"'])?;
        if text.is_some() {
            self.scanner.end_of_token();
        }
        Ok(text.map(std::borrow::Cow::into_owned))
    }

    fn string(&mut self) -> Result<String> {
        let place = self.scanner.place();
        self.quoted_value()?.ok_or_else(|| self.scanner.fault(place, "a text in quotes"))
    }

    fn list(&mut self) -> Result<Vec<String>> {
        if !self.scanner.symbol("(") {
            return Err(self.expected("a list such as ('a', 'b')"));
        }
        let mut texts = Vec::new();
        loop {
            // A comma may follow the last one.
            if self.scanner.symbol(")") {
                return Ok(texts);
            }
            self.texts += 1;
            if self.texts > Filter::MAX_TEXTS {
                return Err(self.excess("the number of texts in lists", Filter::MAX_TEXTS));
            }
            texts.push(self.string()?);
            if !self.scanner.symbol(",") {
                return if self.scanner.symbol(")") {
                    Ok(texts)
                } else {
                    Err(self.expected("a comma or a closing parenthesis"))
                };
            }
        }
    }
}

/// `IS NOT NULL` is what `has` asks for, `IS NULL` is the opposite.
fn unless(negated: bool, has: Filter) -> Filter {
    if negated { has } else { Filter::Not(Box::new(has)) }
}

fn order_field(named: Named) -> Option<Field> {
    Some(match named {
        Named::Metric(key) => Field::Metric(key),
        Named::Stat(key, stat) => Field::MetricStat(key, stat),
        Named::Param(key) => Field::Param(key),
        Named::Tag(key) => Field::Tag(key),
        Named::Id => Field::Id,
        Named::Name => Field::Name,
        Named::Actor => Field::Actor,
        Named::Status => Field::Status,
        Named::Started => Field::Started,
        Named::Ended => Field::Ended,
        Named::Took => Field::Took,
        Named::Parent | Named::InputAsset | Named::InputDigest | Named::InputRole | Named::Input => {
            return None;
        }
    })
}
