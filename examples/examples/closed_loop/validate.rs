//! Step 2, first half: a delivery is held to its schema; bad rows are set aside with their reasons.

use mlops_core::data::{
    CsvOptions, Expectations, RowSplit, Schema, Table, ValidateOptions, Validator, parse_csv,
};
use mlops_core::{Error, ErrorKind, Result};
use mlops_examples::narrate::say;
use mlops_examples::prepare::{self, Source};

/// Slips of the keyboard that the bundled data is delivered with: the row that each becomes, and the row.
const SLIPS: [(usize, &str); 5] = [
    (58, "480,1,24.1,87,183,103.2,70,3,3.8918,69,75"),
    (131, "63,3,28.4,97,192,113.1,44,4,4.9972,88,210"),
    (207, "41,2,-27.3,79,168,98.4,52,3,4.2047,81,97"),
    (290, "52,1,25.9,90,188,110.2,61,3,4.3175,86,"),
    (401, "36,1,22,930,201,122.6,49,4,4.8122,9000,118"),
];

/// What was delivered, and what of it may be used.
#[derive(Debug)]
pub struct Delivery {
    /// The bytes, as they came.
    pub bytes: Vec<u8>,
    /// What the rows were held to.
    pub schema: Schema,
    /// The rows that keep to it.
    pub good: Table<'static>,
    /// Which row of the delivery, counted from 1, each of them is.
    pub numbers: Vec<i64>,
    /// The others, with a column that says why.
    pub bad: Option<Table<'static>>,
}

/// The bundled data, as somebody typed it in: with [`SLIPS`].
///
/// # Errors
/// Where the schema refuses the delivery as a whole, and when it does not find the slips, all of them and nothing else.
pub fn bundled(source: &Source, schema: &Schema) -> Result<Delivery> {
    let text = String::from_utf8_lossy(&read(source)?).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    for (row, slip) in SLIPS {
        lines.insert(row.min(lines.len()), slip);
    }
    let bytes = (lines.join("\n") + "\n").into_bytes();
    // Types are what the schema says, not what the values look like.
    let typed = schema
        .fields()
        .iter()
        .fold(CsvOptions::default(), |options, field| options.with_type(field.name.clone(), field.data_type));
    let table = parse_csv(&bytes, &typed)?;
    let delivery = held(bytes, table, schema)?;
    let found: Vec<i64> = (1..).take(lines.len() - 1).filter(|row| !delivery.numbers.contains(row)).collect();
    if found == SLIPS.map(|(row, _)| i64::try_from(row).unwrap_or_default()) {
        return Ok(delivery);
    }
    let message = format!("the schema sets rows {found:?} aside, which are not the slips that were planted");
    Err(Error::new(ErrorKind::Integrity, "validate", message))
}

/// A file of the user's own, held to the schema that was given, or else to none: then everything is good until it is prepared.
///
/// # Errors
/// What reading it gives, and where the schema refuses it as a whole.
pub fn own(source: &Source, schema: Option<&Schema>) -> Result<Delivery> {
    let table = prepare::read(source)?;
    let bytes = read(source)?;
    match schema {
        Some(schema) => held(bytes, table, schema),
        None => {
            let numbers = (1..).take(table.rows()).collect();
            Ok(Delivery { bytes, schema: Schema::infer(&table)?, good: table, numbers, bad: None })
        }
    }
}

fn read(source: &Source) -> Result<Vec<u8>> {
    std::fs::read(&source.file).map_err(|e| {
        let error = Error::new(ErrorKind::Storage, "read", "the file cannot be read").with_source(e);
        error.with("file", source.file.display())
    })
}

fn held(bytes: Vec<u8>, table: Table<'static>, schema: &Schema) -> Result<Delivery> {
    let expected = match schema.environments().iter().any(|name| name == "training") {
        true => Expectations::for_environment(schema, "training")?,
        false => Expectations::from_schema(schema),
    };
    let mut validator = Validator::new(&expected, ValidateOptions::default());
    let split = validator.push(&table)?;
    let report = validator.report();
    say(format_args!(
        "{} rules, {} rows: {} good, {} set aside.",
        report.checked,
        report.rows,
        report.good_rows(),
        report.bad_rows
    ));
    if !report.good_rows_usable() {
        return report.require_passed().and(Err(Error::new(
            ErrorKind::Rejected,
            "validate",
            report.to_string(),
        )));
    }
    let bad = split.bad_table(&table, "why")?;
    tell(&split, &bad)?;
    let numbers = split.good().iter().map(|&row| i64::try_from(row + 1).unwrap_or(i64::MAX)).collect();
    let good = split.good_table(&table)?;
    Ok(Delivery { bytes, schema: schema.clone(), good, numbers, bad: (bad.rows() > 0).then_some(bad) })
}

/// The first ten bad rows, with what they break.
fn tell(split: &RowSplit, bad: &Table<'_>) -> Result<()> {
    const SHOWN: usize = 10;
    let why = bad.column("why")?;
    for (i, row) in split.bad().iter().enumerate().take(SHOWN) {
        say(format_args!("  row {:<4} {}", row + 1, why.label(i).unwrap_or_default()));
    }
    if bad.rows() > SHOWN {
        say(format_args!("  and {} more", bad.rows() - SHOWN));
    }
    Ok(())
}
