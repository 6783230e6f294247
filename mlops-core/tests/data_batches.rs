//! A CSV file in batches is the file as a whole, wherever its bytes are cut; and hostile files end in typed errors.

use std::io::Write as _;

use mlops_core::ErrorKind;
use mlops_core::data::{CsvBatches, CsvOptions, DataType, Table, parse_csv, row_digests};
use proptest::prelude::*;
use tempfile::NamedTempFile;

/// Whether two tables hold the same values; the code of a missing one is arbitrary.
fn same(a: &Table<'_>, b: &Table<'_>) -> bool {
    let types = |table: &Table<'_>| table.columns().iter().map(|c| c.data_type()).collect::<Vec<_>>();
    types(a) == types(b) && row_digests(a) == row_digests(b)
}

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn batches(
    content: &[u8],
    options: &CsvOptions,
    rows: usize,
) -> Result<Vec<Table<'static>>, mlops_core::Error> {
    CsvBatches::open(file(content).path(), options, rows)?.collect()
}

#[test]
fn batches_below_each_other_are_the_file() {
    let mut text = "id,name,when,x\n".to_owned();
    for i in 0..40_000 {
        let name = match i % 4 {
            0 => format!("\"Müller, {i}\"\"x\"\"\""),
            1 => format!("\"two\r\nlines {i}\""),
            2 => String::new(),
            _ => format!("größer{}", i % 100),
        };
        let end = ["\n", "\r\n", "\r", "\n\n"][i % 4];
        text += &format!("{i},{name},2024-01-{:02}T00:00:{:02}Z,{}.5{end}", i % 28 + 1, i % 60, i);
    }
    assert!(text.len() > 1 << 20, "more than one chunk: {}", text.len());
    let options = CsvOptions::default();
    let whole = parse_csv(text.as_bytes(), &options).unwrap();
    for rows in [1_000, 7_777, 1_000_000] {
        let parts = batches(text.as_bytes(), &options, rows).unwrap();
        assert!(parts.iter().rev().skip(1).all(|part| part.rows() == rows));
        assert!(same(&Table::concat(&parts).unwrap(), &whole), "batches of {rows}");
    }
    let typed =
        options.with_select(["x", "id"]).with_type("x", DataType::F32).with_type("id", DataType::Category);
    let parts = batches(text.as_bytes(), &typed, 5_000).unwrap();
    assert!(same(&Table::concat(&parts).unwrap(), &parse_csv(text.as_bytes(), &typed).unwrap()));
}

#[test]
fn bad_content_is_named_with_its_place_in_the_file() {
    let mut long = "a,b\n".to_owned() + &"1,\"x\ny\"\n".repeat(200_000);
    for (end, message) in [
        ("1\n", "row 200001 (line 400002): has 1 field, but there are 2 columns"),
        ("1,\"\n", "column `b`, row 200001 (line 400002): a quote is opened but never closed"),
        ("1,\0\n", "column `b`, row 200001 (line 400002): has a NUL byte"),
    ] {
        let bad = long.clone() + end;
        let error = batches(bad.as_bytes(), &CsvOptions::default(), 1_000).unwrap_err();
        assert_eq!(error.message(), message);
        assert!(error.context("file").is_some());
    }
    long += "1,ä\n";
    let cut = &long.as_bytes()[..long.len() - 2];
    let error = batches(cut, &CsvOptions::default(), 1_000).unwrap_err();
    assert_eq!(error.message(), "column `b`, row 200001 (line 400002): is not UTF-8");

    for (content, message) in [
        (&b""[..], "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "has a header, but no rows"),
        (b"a,a\n1,2\n", "column `a`, header (line 1): columns 1 and 2 have one name"),
        (b"a,b\n1,2,3\n", "row 1 (line 2): has 3 fields, but there are 2 columns"),
        (b"\xff\xfea\x00", "header (line 1): is UTF-16; only UTF-8 is read"),
    ] {
        let typed = CsvOptions::default().with_type("a", DataType::I64).with_type("b", DataType::I64);
        for options in [CsvOptions::default(), typed] {
            let error = batches(content, &options, 10).unwrap_err();
            assert_eq!(error.message(), message);
        }
    }
    let strict = CsvOptions::default().with_type("b", DataType::I64);
    let mut read = CsvBatches::open(file(b"a,b\n1,2\n1,x\n1,3\n").path(), &strict, 1).unwrap();
    assert_eq!(read.next().unwrap().unwrap().rows(), 1);
    assert_eq!(
        read.next().unwrap().unwrap_err().message(),
        "column `b`, row 2 (line 3): \"x\" is not a whole number of 64 bits"
    );
    assert!(read.next().is_none(), "nothing comes after an error");
}

#[test]
fn what_is_no_file_and_no_batch_is_refused() {
    let options = CsvOptions::default();
    assert_eq!(CsvBatches::open("no-such.csv", &options, 1).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        CsvBatches::open(std::env::temp_dir(), &options, 1).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(batches(b"a\n1\n", &options, 0).unwrap_err().context("field"), Some("rows"));
    // A quote that is never closed is not held for ever.
    let endless = [&b"a,b\n1,\""[..], &vec![b'x'; 40 << 20]].concat();
    let error = batches(&endless, &options, 1_000).unwrap_err();
    assert_eq!((error.kind(), error.context("line")), (ErrorKind::LimitExceeded, Some("2")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a file holds, batches and the whole agree: on the table, or on the error.
    #[test]
    fn batches_agree_with_the_whole(text in "[a1\",\r\n .\u{e4}]{0,60}", trim: bool, rows in 1_usize..4) {
        let options = CsvOptions::default().with_trim(trim);
        let whole = parse_csv(text.as_bytes(), &options);
        match (batches(text.as_bytes(), &options, rows), whole) {
            (Ok(parts), Ok(whole)) => prop_assert!(same(&Table::concat(&parts).unwrap(), &whole)),
            (Err(ours), Err(theirs)) => prop_assert_eq!(ours.message(), theirs.message()),
            (ours, theirs) => prop_assert!(false, "{:?} is not {:?}", ours, theirs),
        }
    }
}
