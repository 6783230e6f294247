//! MLflow's filters and orders: clauses joined by `AND`, and `column ASC` or `DESC`.

use std::cmp::Ordering;

use super::Fail;

/// What a clause compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Attribute,
    Metric,
    Param,
    Tag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Like,
    ILike,
    In,
    NotIn,
}

/// What a value of a row is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Number(f64),
    Text(String),
}

impl Cell {
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// A comparison of a column with a constant, or with several.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clause {
    pub column: Column,
    pub key: String,
    operator: Operator,
    values: Vec<Cell>,
}

impl Clause {
    /// Whether a row with this value matches; one without does not.
    pub(super) fn matches(&self, cell: Option<&Cell>) -> bool {
        let (Some(cell), Some(value)) = (cell, self.values.first()) else { return false };
        let order = cell.order(value);
        match self.operator {
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal,
            Operator::Less => order == Ordering::Less,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Greater => order == Ordering::Greater,
            Operator::AtLeast => order != Ordering::Less,
            Operator::In => self.values.contains(cell),
            Operator::NotIn => !self.values.contains(cell),
            Operator::Like | Operator::ILike => match (cell, value) {
                (Cell::Text(text), Cell::Text(pattern)) if self.operator == Operator::Like => {
                    like(text, pattern)
                }
                (Cell::Text(text), Cell::Text(pattern)) => {
                    like(&text.to_lowercase(), &pattern.to_lowercase())
                }
                _ => false,
            },
        }
    }
}

/// SQL's `LIKE`: `%` is any text, `_` any character.
fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut with, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(with) {
            Some('%') => {
                star = Some((with, at));
                with += 1;
            }
            Some(c) if *c == '_' || text.get(at) == Some(c) => (at, with) = (at + 1, with + 1),
            _ => match star {
                // The last `%` takes one character more.
                Some((place, from)) => {
                    star = Some((place, from + 1));
                    (at, with) = (from + 1, place + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(with).all(|c| *c == '%')
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A name with its quoted parts as they are: `metrics`, `.`, `loss`.
    Word(String),
    Quoted(String),
    Number(f64),
    Operator(Operator),
    Dot,
    Open,
    Close,
    Comma,
}

fn invalid(text: &str) -> Fail {
    Fail::invalid(format!("Invalid filter string: '{text}'"))
}

fn tokens(text: &str) -> Result<Vec<Token>, Fail> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(c) = chars.get(at) {
        at += 1;
        let next = chars.get(at).copied();
        let token = match c {
            c if c.is_whitespace() => continue,
            '\'' | '"' | '`' => {
                let length = chars.iter().skip(at).position(|end| end == c).ok_or_else(|| invalid(text))?;
                let inner: String = chars.iter().skip(at).take(length).collect();
                at += length + 1;
                // Back-ticks and double quotes stand around names too; what it is, its place says.
                Token::Quoted(inner)
            }
            '.' => Token::Dot,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Operator(Operator::Equal),
            '!' | '<' | '>' if next == Some('=') => {
                at += 1;
                Token::Operator(match c {
                    '!' => Operator::NotEqual,
                    '<' => Operator::AtMost,
                    _ => Operator::AtLeast,
                })
            }
            '<' => Token::Operator(Operator::Less),
            '>' => Token::Operator(Operator::Greater),
            c if c.is_ascii_digit() || *c == '-' => {
                let length = chars
                    .iter()
                    .skip(at)
                    .position(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')))
                    .unwrap_or(chars.len() - at);
                let number: String = chars.iter().skip(at - 1).take(length + 1).collect();
                at += length;
                match number.parse() {
                    Ok(number) => Token::Number(number),
                    Err(_) => Token::Word(number),
                }
            }
            c if c.is_alphanumeric() || matches!(c, '_' | '/') => {
                let length = chars
                    .iter()
                    .skip(at)
                    .position(|c| !(c.is_alphanumeric() || matches!(c, '_' | '/' | '-' | ':')))
                    .unwrap_or(chars.len() - at);
                let word = chars.iter().skip(at - 1).take(length + 1).collect();
                at += length;
                Token::Word(word)
            }
            _ => return Err(invalid(text)),
        };
        found.push(token);
    }
    Ok(found)
}

fn word(token: Option<&Token>, wanted: &str) -> bool {
    matches!(token, Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted))
}

struct Reader<'a> {
    text: &'a str,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Reader<'_> {
    fn bad(&self) -> Fail {
        invalid(self.text)
    }

    fn part(&mut self) -> Result<String, Fail> {
        match self.tokens.next() {
            Some(Token::Word(text) | Token::Quoted(text)) => Ok(text),
            _ => Err(self.bad()),
        }
    }

    /// `name`, `attributes.name`, `` tags.`a key` ``, `metrics.a.b`.
    fn column(&mut self) -> Result<(Column, String), Fail> {
        let first = self.part()?;
        if self.tokens.peek() != Some(&Token::Dot) {
            return Ok((Column::Attribute, first));
        }
        let column = match first.to_ascii_lowercase().as_str() {
            "metric" | "metrics" => Column::Metric,
            "param" | "params" | "parameter" | "parameters" => Column::Param,
            "tag" | "tags" => Column::Tag,
            "attribute" | "attributes" | "attr" | "run" => Column::Attribute,
            _ => return Err(self.bad()),
        };
        let mut key = String::new();
        while self.tokens.next_if_eq(&Token::Dot).is_some() {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(&self.part()?);
        }
        Ok((column, key))
    }

    fn operator(&mut self) -> Result<Operator, Fail> {
        let token = self.tokens.next();
        match &token {
            Some(Token::Operator(operator)) => Ok(*operator),
            token if word(token.as_ref(), "LIKE") => Ok(Operator::Like),
            token if word(token.as_ref(), "ILIKE") => Ok(Operator::ILike),
            token if word(token.as_ref(), "IN") => Ok(Operator::In),
            token if word(token.as_ref(), "NOT") && word(self.tokens.next().as_ref(), "IN") => {
                Ok(Operator::NotIn)
            }
            _ => Err(self.bad()),
        }
    }

    fn value(&mut self) -> Result<Cell, Fail> {
        match self.tokens.next() {
            Some(Token::Quoted(text)) => Ok(Cell::Text(text)),
            Some(Token::Number(number)) => Ok(Cell::Number(number)),
            _ => Err(self.bad()),
        }
    }

    fn list(&mut self) -> Result<Vec<Cell>, Fail> {
        if self.tokens.next() != Some(Token::Open) {
            return Err(self.bad());
        }
        let mut values = vec![self.value()?];
        loop {
            match self.tokens.next() {
                Some(Token::Comma) => values.push(self.value()?),
                Some(Token::Close) => return Ok(values),
                _ => return Err(self.bad()),
            }
        }
    }

    fn clause(&mut self) -> Result<Clause, Fail> {
        let (column, key) = self.column()?;
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.list()?,
            _ => vec![self.value()?],
        };
        // Numbers are compared with numbers, and texts with texts.
        let numbers = column == Column::Metric
            || (column == Column::Attribute
                && matches!(key.as_str(), "start_time" | "end_time" | "created" | "creation_time"));
        let fits = values.iter().all(|value| matches!(value, Cell::Number(_)) == numbers)
            || (column == Column::Attribute && key == "version_number");
        match fits {
            true => Ok(Clause { column, key, operator, values }),
            false => Err(self.bad()),
        }
    }
}

/// Reads a filter; an empty one has no clauses.
pub(super) fn parse(text: &str) -> Result<Vec<Clause>, Fail> {
    let mut reader = Reader { text, tokens: tokens(text)?.into_iter().peekable() };
    let mut clauses = Vec::new();
    if reader.tokens.peek().is_none() {
        return Ok(clauses);
    }
    loop {
        clauses.push(reader.clause()?);
        match reader.tokens.next() {
            None => return Ok(clauses),
            token if word(token.as_ref(), "AND") => {}
            _ => return Err(reader.bad()),
        }
    }
}

/// A column by which rows are ordered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub column: Column,
    pub key: String,
    descending: bool,
}

impl Order {
    /// Reads `column`, `column ASC` or `column DESC`.
    pub(super) fn parse(text: &str) -> Result<Self, Fail> {
        let bad = || Fail::invalid(format!("Invalid order_by clause '{text}'"));
        let mut reader = Reader { text, tokens: tokens(text).map_err(|_| bad())?.into_iter().peekable() };
        let (column, key) = reader.column().map_err(|_| bad())?;
        let descending = match reader.tokens.next() {
            None => false,
            token if word(token.as_ref(), "ASC") => false,
            token if word(token.as_ref(), "DESC") => true,
            _ => return Err(bad()),
        };
        match reader.tokens.next() {
            None => Ok(Self { column, key, descending }),
            Some(_) => Err(bad()),
        }
    }

    /// What has no value comes last, either way.
    pub(super) fn compare(&self, left: Option<&Cell>, right: Option<&Cell>) -> Ordering {
        match (left, right) {
            (Some(left), Some(right)) if self.descending => right.order(left),
            (Some(left), Some(right)) => left.order(right),
            (left, right) => left.is_none().cmp(&right.is_none()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, column: Column, key: &str, cell: &Cell) -> bool {
        let clauses = parse(filter).unwrap();
        clauses.iter().all(|c| c.matches(Some(cell).filter(|_| c.column == column && c.key == key)))
    }

    #[test]
    fn filters_as_clients_write_them_are_read() {
        let text = |text: &str| Cell::Text(text.to_owned());
        for (filter, column, key, cell, expected) in [
            ("tags.`mlops.run_key` = 'a'", Column::Tag, "mlops.run_key", text("a"), true),
            ("tags.mlops.run_key = 'a'", Column::Tag, "mlops.run_key", text("a"), true),
            ("params.`a b` LIKE 'x_z%'", Column::Param, "a b", text("xyz1"), true),
            ("params.p LIKE 'X%'", Column::Param, "p", text("x"), false),
            ("params.p ILIKE 'X%'", Column::Param, "p", text("x"), true),
            ("metrics.`val/auc` >= 0.5", Column::Metric, "val/auc", Cell::Number(0.5), true),
            ("metrics.m < -1e-3 and metrics.m != 4", Column::Metric, "m", Cell::Number(-1.0), true),
            ("attributes.run_id IN ('a','b')", Column::Attribute, "run_id", text("b"), true),
            ("run_id NOT IN ('a','b')", Column::Attribute, "run_id", text("b"), false),
            ("name='m'", Column::Attribute, "name", text("m"), true),
            ("", Column::Attribute, "name", text("m"), true),
        ] {
            assert_eq!(matches(filter, column, key, &cell), expected, "{filter}");
        }
        assert!(!parse("tags.t != 'x'").unwrap()[0].matches(None), "what is not there matches nothing");
    }

    #[test]
    fn what_mlflow_refuses_is_refused() {
        for bad in [
            "a = 'b' or c = 'd'",
            "name",
            "name =",
            "name = 'x",
            "name = x",
            "metrics.m = 'a'",
            "params.p = 1",
            "things.a = 'b'",
            "run_id IN ()",
            "run_id IN 'a'",
            "name = 'a' 'b'",
            "name = 'a' AND",
            "a ; b",
        ] {
            assert_eq!(parse(bad).unwrap_err().code, "INVALID_PARAMETER_VALUE", "{bad}");
        }
        assert!(Order::parse("name UP").is_err() && Order::parse("name ASC DESC").is_err());
    }

    #[test]
    fn patterns_match_in_time_that_grows_with_both() {
        assert!(like("", "%%") && like("abc", "%b%") && !like("abc", "a_") && like("a%c", "a_c"));
        assert!(!like(&"a".repeat(5_000), &format!("{}b", "a%".repeat(500))));
    }
}
