//! The names of the columns, and which of them are kept.

use std::collections::HashMap;

use crate::data::DataType;
use crate::error::{Error, ErrorKind, Result};

use super::OP;
use super::options::CsvOptions;
use super::records::{At, Records};

/// The most columns a file may have.
pub(super) const MAX_COLUMNS: usize = 100_000;

/// The names of the columns, each once; `None` where there is no record.
pub(super) fn header(records: &mut Records<'_>, options: &CsvOptions) -> Result<Option<Vec<String>>> {
    let start = records.mark();
    let at = loop {
        match records.advance(0, None)? {
            None => return Ok(None),
            Some(_) if records.is_blank() => {}
            Some(at) => break at,
        }
    };
    let width = records.fields.len();
    if width > MAX_COLUMNS {
        return Err(Error::limit(OP, "the number of columns", MAX_COLUMNS, width));
    }
    let names = match &options.columns {
        None if !options.has_header => {
            return Err(Error::invalid(
                OP,
                "columns",
                "must name the columns of a file without a header row",
            ));
        }
        None => (0..width).map(|i| records.text(i).into_owned()).collect(),
        Some(names) if names.len() == width => names.clone(),
        Some(names) => {
            let message = format!("names {} columns, but line {} has {width} fields", names.len(), at.line);
            return Err(Error::invalid(OP, "columns", message));
        }
    };
    let at = At { row: 0, ..at };
    check_names(&names, |name, message| match options.columns {
        None => at.fail(name, message),
        Some(_) => Error::invalid(OP, "columns", message).with("column", name.unwrap_or_default()),
    })?;
    if !options.has_header {
        records.rewind(start);
    }
    Ok(Some(names))
}

fn check_names(names: &[String], fail: impl Fn(Option<&str>, &str) -> Error) -> Result<()> {
    let mut seen = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(fail(None, &format!("column {} has no name", i + 1)));
        }
        if let Some(first) = seen.insert(name, i) {
            return Err(fail(Some(name), &format!("columns {} and {} have one name", first + 1, i + 1)));
        }
    }
    Ok(())
}

/// The positions of the columns to keep, in order, and their given types.
#[derive(Debug)]
pub(super) struct Kept(pub(super) Vec<(usize, Option<DataType>)>);

impl Kept {
    pub(super) fn new(names: &[String], options: &CsvOptions) -> Result<Self> {
        let positions: HashMap<&str, usize> =
            names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        let find = |name: &str| {
            positions.get(name).copied().ok_or_else(|| {
                let known: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
                Error::new(ErrorKind::NotFound, OP, "no such column")
                    .with("column", name)
                    .with("columns", known.join(", "))
            })
        };
        options.types.keys().try_for_each(|name| find(name).map(drop))?;
        let given = |position: usize| {
            let name = &names[position];
            (position, options.types.get(name).or_else(|| options.expected.get(name)).copied())
        };
        let Some(select) = &options.select else {
            return Ok(Self((0..names.len()).map(given).collect()));
        };
        if select.is_empty() {
            return Err(Error::invalid(OP, "select", "must not be empty"));
        }
        select.iter().map(|name| find(name).map(given)).collect::<Result<Vec<_>>>().map(Self)
    }
}
