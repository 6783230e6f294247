//! A Parquet file in batches is the file as a whole, whoever wrote it; and damaged files end in errors that name the place.

use std::path::{Path, PathBuf};

use mlops_core::ErrorKind;
use mlops_core::data::frame::{ParquetBatches, ParquetOptions, read_parquet};
use mlops_core::data::{
    DataType, Expectations, ExtraColumns, Field, ProfileOptions, Profiler, Range, Schema, Table,
    ValidateOptions, Validator, row_digests,
};
use polars::prelude::{Column as Polars, DataFrame, ParquetReader, ParquetWriter, SerReader as _, TimeUnit};

/// pyarrow 26.0.1, by `reference/data_parquet.py`: 1000 rows in groups of 300.
fn written_by_pyarrow() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/data_parquet.parquet")
}

const COLUMNS: [&str; 8] = ["id", "age", "bmi", "site", "note", "day", "at", "flag"];

fn flat() -> ParquetOptions {
    ParquetOptions::default().with_select(COLUMNS)
}

fn batches(path: &Path, options: &ParquetOptions, rows: usize) -> mlops_core::Result<Vec<Table<'static>>> {
    ParquetBatches::open(path, options, rows)?.collect()
}

/// The rows that the script wrote.
fn expected(i: i64) -> [Option<String>; 8] {
    let time = |micros| chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
    let bmi = if i % 13 == 0 { f64::NAN } else { i as f64 / 8.0 };
    let site = ["bonn", "köln", "trier"][usize::try_from(i % 3).unwrap()];
    [
        Some(i.to_string()),
        (i % 7 != 0).then(|| (i % 90).to_string()),
        (i % 11 != 0).then(|| bmi.to_string()),
        (i % 17 != 0).then(|| site.to_owned()),
        (i % 5 != 0).then(|| format!("note {}", i % 250)),
        // 1969-12-01 is 31 days before 1970.
        (i % 3 != 0).then(|| time((i - 31) * 86_400_000_000)),
        Some(time(1_704_067_200_000_000 + i * 1_000)),
        Some((i % 2 == 0).to_string()),
    ]
}

#[test]
fn what_pyarrow_wrote_is_read_group_by_group() {
    let path = written_by_pyarrow();
    let open = ParquetBatches::open(&path, &flat(), 128).unwrap();
    use DataType::{Bool, Category, F64, I64, Time};
    let types = [I64, I64, F64, Category, Category, Time, Time, Bool];
    assert_eq!(open.columns(), COLUMNS.into_iter().zip(types).collect::<Vec<_>>());
    assert_eq!(open.row_groups(), 4);
    for rows in [1, 128, 299, 300, 301, usize::MAX] {
        let parts = batches(&path, &flat(), rows).unwrap();
        assert!(parts.iter().all(|part| (1..=rows.min(300)).contains(&part.rows())), "{rows}");
        let whole = Table::concat(&parts).unwrap();
        assert_eq!(whole.rows(), 1_000);
        for i in 0..1_000_usize {
            let labels: Vec<_> = whole.columns().iter().map(|c| c.label(i).map(|l| l.into_owned())).collect();
            assert_eq!(labels, expected(i64::try_from(i).unwrap()), "row {i} in batches of {rows}");
        }
    }
    let whole = read_parquet(&path, &flat()).unwrap();
    let parts = Table::concat(&batches(&path, &flat(), 100).unwrap()).unwrap();
    assert_eq!(row_digests(&parts), row_digests(&whole));
}

#[test]
fn only_the_columns_of_a_schema_are_read_and_all_of_them_are_judged() {
    let age = Range::new(Some(0.0), Some(80.0)).unwrap();
    let schema = Schema::new(vec![
        Field::new("age", DataType::I64).with_nullable(true).with_range(age),
        Field::new("site", DataType::Category).with_levels(["bonn", "köln", "trier"]).with_nullable(true),
        Field::new("weight", DataType::F64),
    ])
    .unwrap()
    .with_extra_columns(ExtraColumns::Refuse);
    let options = ParquetOptions::default().with_schema(&schema);
    let batches = ParquetBatches::open(written_by_pyarrow(), &options, 77).unwrap();
    // The list in `tags` has no place in a table, and is not read.
    assert_eq!(batches.columns(), [("age", DataType::I64), ("site", DataType::Category)]);
    let mut validator = Validator::new(&Expectations::from_schema(&schema), ValidateOptions::default());
    validator.see_columns(&batches.columns()).unwrap();
    assert_eq!(validator.shape_failures().len(), 2, "`weight` is neither there nor present");
    let mut profiler = Profiler::new(ProfileOptions::default()).unwrap();
    for batch in batches {
        let batch = batch.unwrap();
        validator.push(&batch).unwrap();
        profiler.push(&batch).unwrap();
    }
    let report = validator.report();
    let old = (0..1_000).filter(|i| i % 7 != 0 && i % 90 > 80).count() as u64;
    assert_eq!(
        (report.rows, report.bad_rows, report.result("within(age)").unwrap().failed),
        (1_000, old, old)
    );
    let profile = profiler.profile().unwrap();
    assert_eq!((profile.rows, profile.column("age").unwrap().missing), (1_000, 143));
    let mut nothing = ParquetOptions::default();
    nothing.expected = Some(vec!["x".to_owned()]);
    let error = ParquetBatches::open(written_by_pyarrow(), &nothing, 1).unwrap_err();
    assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("expected")));
}

fn write(frame: &mut DataFrame, rows: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    ParquetWriter::new(file.reopen().unwrap()).with_row_group_size(Some(rows)).finish(frame).unwrap();
    file
}

#[test]
fn what_does_not_fit_is_named_with_its_group_and_column() {
    let far = Polars::new("at".into(), [0_i64, 1, 2, i64::MAX]);
    let far = far.cast(&polars::prelude::DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap();
    let file = write(&mut DataFrame::new(4, vec![far]).unwrap(), 2);
    let mut read = ParquetBatches::open(file.path(), &ParquetOptions::default(), 10).unwrap();
    assert_eq!(read.next().unwrap().unwrap().rows(), 2);
    let error = read.next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.context("row_group")), (ErrorKind::InvalidInput, Some("2")));
    assert_eq!((error.context("column"), error.context("rows_before")), (Some("at"), Some("2")));
    assert!(error.message().contains("row 2") && error.context("file").is_some(), "{error}");
    assert!(read.next().is_none(), "nothing comes after an error");
}

#[test]
fn what_is_no_parquet_file_is_refused() {
    let file = |content: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    };
    for (content, kind) in [
        (&b""[..], ErrorKind::InvalidInput),
        (b"a,b\n1,2\n", ErrorKind::InvalidInput),
        (b"PAR1PAR1", ErrorKind::InvalidInput),
        (b"PAR1\0\0\0\0PAR1", ErrorKind::Corrupt),
        (b"PAR1\xff\xff\xff\xffPAR1", ErrorKind::Corrupt),
    ] {
        let error = batches(file(content).path(), &ParquetOptions::default(), 10).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let none = write(&mut DataFrame::new(0, vec![Polars::new("x".into(), Vec::<i64>::new())]).unwrap(), 10);
    let error = batches(none.path(), &ParquetOptions::default(), 10).unwrap_err();
    assert_eq!(error.message(), "has no rows");
    let pyarrow = written_by_pyarrow();
    assert!(batches(&pyarrow, &flat(), 0).is_err());
    assert!(batches(&pyarrow, &ParquetOptions::default(), 1).unwrap_err().message().contains("`tags`"));
    assert_eq!(batches(Path::new("none.parquet"), &flat(), 1).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn damage_is_named_with_its_group_and_column_and_what_lies_before_it_is_read() {
    let path = written_by_pyarrow();
    let good = std::fs::read(&path).unwrap();
    let mut reader = ParquetReader::new(std::fs::File::open(&path).unwrap());
    let metadata = reader.get_metadata().unwrap().clone();
    let file = tempfile::NamedTempFile::new().unwrap();
    for (number, group) in (0..).zip(&metadata.row_groups) {
        for name in COLUMNS {
            let range = group.columns_under_root_iter(name).unwrap().next().unwrap().byte_range();
            let start = usize::try_from(range.start).unwrap();
            let mut bad = good.clone();
            // What says how long a page is.
            bad[start..start + 16].fill(0);
            std::fs::write(file.path(), &bad).unwrap();
            let mut read = ParquetBatches::open(file.path(), &flat(), 300).unwrap();
            for _ in 0..number {
                assert_eq!(read.next().unwrap().unwrap().rows(), 300);
            }
            let error = read.next().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert_eq!(error.context("row_group"), Some((number + 1).to_string().as_str()), "{error}");
            assert_eq!(error.context("column"), Some(name), "{error}");
            // Nobody who does not ask for the column is troubled.
            let others = COLUMNS.into_iter().filter(|other| *other != name);
            let rows: usize = batches(file.path(), &ParquetOptions::default().with_select(others), 300)
                .unwrap()
                .iter()
                .map(Table::rows)
                .sum();
            assert_eq!(rows, 1_000);
        }
    }
    // Of a file whose middle is gone, columns lie beyond its end, or the footer is not where it should be.
    let mut short = good[..good.len() / 2].to_vec();
    let footer = u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap());
    short.extend_from_slice(&good[good.len() - 8 - usize::try_from(footer).unwrap()..]);
    std::fs::write(file.path(), &short).unwrap();
    let error = batches(file.path(), &flat(), 300).unwrap_err();
    assert_eq!((error.kind(), error.context("row_group").is_some()), (ErrorKind::Corrupt, true), "{error}");
}
