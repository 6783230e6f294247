use std::borrow::Cow;

use super::header::MAX_COLUMNS;
use super::*;
use crate::data::{DataType, Values};
use proptest::prelude::*;

fn parse(text: &str) -> Result<Table<'static>> {
    parse_csv(text.as_bytes(), &CsvOptions::default())
}

/// A column as text, with `∅` for missing.
fn labels(table: &Table<'_>, column: &str) -> Vec<String> {
    let column = table.column(column).unwrap();
    let label = |row| column.label(row).map_or_else(|| "∅".to_owned(), Cow::into_owned);
    (0..column.len()).map(label).collect()
}

#[test]
fn every_kind_of_bad_content_is_named_with_its_place() {
    for (content, message) in [
        (&b""[..], "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n\r\n", "is empty"),
        (b"a,b", "has a header, but no rows"),
        (b"a,b\n\n", "has a header, but no rows"),
        (b"a,b\n1,2\n3\n", "row 2 (line 3): has 1 field, but there are 2 columns"),
        (b"a,b\n\n1,2,3\n", "row 1 (line 3): has 3 fields, but there are 2 columns"),
        (b"a\n1,2\n", "row 1 (line 2): has 2 fields, but there is 1 column"),
        (b"a,b\n\"x\ny\",1\n2\n", "row 2 (line 4): has 1 field, but there are 2 columns"),
        (b"a,b,a\n1,2,3\n", "column `a`, header (line 1): columns 1 and 3 have one name"),
        (b"a,,c\n1,2,3\n", "header (line 1): column 2 has no name"),
        (b"a,b\n1,\xff\n", "column `b`, row 1 (line 2): is not UTF-8"),
        (b"a,\xe4\n1,2\n", "header (line 1): is not UTF-8"),
        (b"a,b\n1,2\n3,\xc3", "column `b`, row 2 (line 3): is not UTF-8"),
        (b"a,b\n1,2\n3\x00,4\n", "column `a`, row 2 (line 3): has a NUL byte"),
        (b"\xff\xfea\x00", "header (line 1): is UTF-16; only UTF-8 is read"),
        (b"a,b\n1,\"x\n2,3\n", "column `b`, row 1 (line 2): a quote is opened but never closed"),
        (b"a,b\n\"x\"y,2\n", "column `a`, row 1 (line 2): there is text after the closing quote"),
    ] {
        let error = parse_csv(content, &CsvOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.message(), message, "{:?}", String::from_utf8_lossy(content));
    }
}

#[test]
fn bad_options_are_refused() {
    let content = b"a,b\n1,x\n";
    let default = CsvOptions::default;
    for (options, kind, message) in [
        (default().with_separator('"'), ErrorKind::InvalidInput, "must be an ASCII character"),
        (default().with_separator('é'), ErrorKind::InvalidInput, "must be an ASCII character"),
        (default().with_header(false), ErrorKind::InvalidInput, "must name the columns"),
        (default().with_columns(["a"]), ErrorKind::InvalidInput, "names 1 columns, but line 1 has 2 fields"),
        (default().with_columns(["a", "a"]), ErrorKind::InvalidInput, "columns 1 and 2 have one name"),
        (default().with_columns(["a", ""]), ErrorKind::InvalidInput, "column 2 has no name"),
        (
            default().with_columns(["a".to_owned(), "x".repeat(1025)]),
            ErrorKind::LimitExceeded,
            "over its limit",
        ),
        (default().with_select(["c"]), ErrorKind::NotFound, "no such column"),
        (default().with_select(["a", "a"]), ErrorKind::InvalidInput, "two columns of one name"),
        (default().with_select(Vec::<String>::new()), ErrorKind::InvalidInput, "must not be empty"),
        (default().with_type("c", DataType::F64), ErrorKind::NotFound, "no such column"),
    ] {
        let error = parse_csv(content, &options).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(message), "{error}");
    }
    let wide = vec![b','; MAX_COLUMNS];
    assert_eq!(parse_csv(&wide, &default()).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_value_of_another_type_is_named_with_its_place() {
    for (value, ty, message) in [
        ("abc", DataType::F64, "\"abc\" is not a number"),
        ("1e999", DataType::F64, "\"1e999\" is not a number"),
        ("1e39", DataType::F32, "\"1e39\" is not a number"),
        ("1.5", DataType::I64, "\"1.5\" is not a whole number of 64 bits"),
        ("yes", DataType::Bool, "\"yes\" is not true or false"),
        ("31/12/2024", DataType::Time, "\"31/12/2024\" is not an ISO 8601 date or time"),
        ("a\u{1b}[2J", DataType::F64, "\"a\\u{1b}[2J\" is not a number"),
    ] {
        let options = CsvOptions::default().with_type("y", ty);
        let error = parse_csv(format!("x,y\n1,\n2,{value}\n").as_bytes(), &options).unwrap_err();
        assert_eq!(error.message(), format!("column `y`, row 2 (line 3): {message}"));
        assert_eq!(
            (error.context("row"), error.context("line"), error.context("column")),
            (Some("2"), Some("3"), Some("y"))
        );
    }
}

#[test]
fn a_column_is_what_all_its_values_are() {
    use DataType::{Bool, Category, F64, I64, Time};
    for (values, expected) in [
        (&["1", "-2", "+3"][..], I64),
        (&["1", "2.5"], F64),
        (&["1", "nan", "-inf"], F64),
        (&["1e3"], F64),
        (&["1", "x"], Category),
        (&["007", "008"], Category),
        (&["9223372036854775807"], I64),
        (&["9223372036854775808", "1"], Category),
        (&["9223372036854775808", "1.5"], F64),
        (&["1e400"], Category),
        (&["true", "False"], Bool),
        (&["true", "1"], Category),
        (&["2024-01-31", "2024-01-31T10:00Z"], Time),
        (&["2024-01-31", "2024-02-30"], Category),
        (&["", ""], Category),
        (&["", "1"], I64),
    ] {
        let text = values.iter().fold("k,x\n".to_owned(), |text, value| format!("{text}k,{value}\n"));
        assert_eq!(parse(&text).unwrap().column("x").unwrap().data_type(), expected, "{values:?}");
    }
}

#[test]
fn the_last_of_many_values_still_decides_the_type() {
    let mut text = "x\n".to_owned() + &"1\n".repeat(10_000);
    text += "x17\n";
    let table = parse(&text).unwrap();
    assert_eq!(table.column("x").unwrap().data_type(), DataType::Category);
    let error = crate::data::require_numeric(&table, "x").unwrap_err();
    assert_eq!(error.message(), "column `x`, row 10001: \"x17\" is not a number");
}

#[test]
fn nan_missing_empty_and_the_word_null_stay_apart() {
    let table = parse("k,x,t\na,NaN,NaN\nb,,null\nc,1,\nd,inf,\"\"\n").unwrap();
    assert_eq!(labels(&table, "x"), ["NaN", "∅", "1", "inf"]);
    assert_eq!(labels(&table, "t"), ["NaN", "null", "∅", "∅"]);
}

#[test]
fn quotes_and_line_ends_follow_rfc_4180() {
    let text = "a,b\r\n\"x, \"\"y\"\"\nz\",1\r2 \"in\",3\n\" q \",4";
    let table = parse(text).unwrap();
    assert_eq!(labels(&table, "a"), ["x, \"y\"\nz", "2 \"in\"", " q "]);
    assert_eq!(labels(&table, "b"), ["1", "3", "4"]);
}

#[test]
fn an_empty_line_is_nothing_among_columns_and_missing_alone() {
    assert_eq!(labels(&parse("\na,b\n\n1,2\n\n\n3,4\n\n").unwrap(), "a"), ["1", "3"]);
    assert_eq!(labels(&parse("a\n1\n\n2\n").unwrap(), "a"), ["1", "∅", "2"]);
}

/// The layout of the Adult data of the UCI repository: no header, a blank after each comma, `?` for unknown.
#[test]
fn a_file_without_header_with_blanks_and_question_marks_is_read() {
    let text = "39, State-gov, 77516, <=50K\n50, ?, 83311, <=50K\n\"38\" , \"Private \", 215646, >50K\n\n";
    let options = CsvOptions::default()
        .with_columns(["age", "workclass", "fnlwgt", "income"])
        .with_trim(true)
        .with_null_values(["?"]);
    let table = parse_csv(text.as_bytes(), &options).unwrap();
    assert_eq!(table.column("age").unwrap().data_type(), DataType::I64);
    assert_eq!(labels(&table, "age"), ["39", "50", "38"]);
    assert_eq!(labels(&table, "workclass"), ["State-gov", "∅", "Private "]);
    assert_eq!(labels(&table, "income"), ["<=50K", "<=50K", ">50K"]);
    // Without trimming nothing is dropped in silence.
    let raw = parse_csv(text.lines().next().unwrap().as_bytes(), &options.with_trim(false)).unwrap();
    assert_eq!(labels(&raw, "fnlwgt"), [" 77516"]);
}

#[test]
fn columns_can_be_chosen_typed_and_renamed() {
    let options = CsvOptions::default().with_select(["c", "a"]).with_type("c", DataType::F32);
    let table = parse_csv(b"a;b;c\n1;x;007\n", &options.clone().with_separator(';')).unwrap();
    assert_eq!(table.names().collect::<Vec<_>>(), ["c", "a"]);
    assert_eq!(table.columns()[0].values(), &Values::F32(vec![7.0].into()));
    let renamed = CsvOptions::default().with_columns(["x", "y"]).with_header(true);
    let table = parse_csv(b"a,b\n1,2\n", &renamed).unwrap();
    assert_eq!((labels(&table, "x"), table.rows()), (vec!["1".to_owned()], 1));
    let tabs = CsvOptions::default().with_separator('\t').with_trim(true);
    assert_eq!(labels(&parse_csv(b"a\tb\n\t 2 \n", &tabs).unwrap(), "b"), ["2"]);
}

#[test]
fn unselected_columns_are_checked_too() {
    let options = CsvOptions::default().with_select(["a"]);
    assert!(parse_csv(b"a,b\n1,\xff\n", &options).is_err());
    assert!(parse_csv(b"a,b\n1\n", &options).is_err());
}

#[test]
fn errors_of_files_name_the_file() {
    let folder = std::env::temp_dir().join(format!("mlops-core-csv-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("ragged.csv");
    std::fs::write(&file, "a,b\n1\n").unwrap();
    let missing = read_csv(folder.join("none.csv"), &CsvOptions::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.context("file").unwrap().ends_with("none.csv"), "{missing}");
    let directory = read_csv(&folder, &CsvOptions::default()).unwrap_err();
    assert!(directory.message().contains("is a directory"), "{directory}");
    let ragged = read_csv(&file, &CsvOptions::default()).unwrap_err();
    assert!(ragged.context("file").unwrap().ends_with("ragged.csv"), "{ragged}");
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    assert_eq!(read_csv(&file, &CsvOptions::default()).unwrap().rows(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_long_path_keeps_its_end() {
    let shown = file_name(Path::new(&format!("/{}/data.csv", "ä".repeat(200))));
    assert!(shown.starts_with('…') && shown.ends_with("/data.csv") && shown.chars().count() == 61);
    assert_eq!(file_name(Path::new("data.csv")), "data.csv");
}

proptest! {
    /// What is written by the rules of RFC 4180 comes back as it was.
    #[test]
    fn text_survives(rows in prop::collection::vec([".{0,8}", "[a\"\r\n, ]{1,6}"], 1..20)) {
        let clean = |text: &str| text.replace('\0', "");
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let rows: Vec<[String; 2]> = rows.iter().map(|row| [clean(&row[0]), clean(&row[1])]).collect();
        let mut text = "a,b\n".to_owned();
        for row in &rows {
            text += &format!("{},{}\r\n", quoted(&row[0]), quoted(&row[1]));
        }
        let options = CsvOptions::default().with_type("a", DataType::Category).with_type("b", DataType::Category);
        let table = parse_csv(text.as_bytes(), &options).unwrap();
        for (column, name) in ["a", "b"].into_iter().enumerate() {
            let read = labels(&table, name);
            for (read, row) in read.iter().zip(&rows) {
                prop_assert_eq!(read, if row[column].is_empty() { "∅" } else { &row[column] });
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), trim: bool) {
        let _ = parse_csv(&bytes, &CsvOptions::default().with_trim(trim));
    }

    #[test]
    fn no_marks_make_it_panic(text in "[a1\",\r\n .\u{e4}]{0,40}", trim: bool) {
        if let Ok(table) = parse_csv(text.as_bytes(), &CsvOptions::default().with_trim(trim)) {
            prop_assert!(table.rows() > 0);
        }
    }

    #[test]
    fn floats_survive(values in prop::collection::vec(any::<f64>(), 1..20)) {
        let text = values.iter().fold("x\n".to_owned(), |text, value| format!("{text}{value:?}\n"));
        let table = parse(&text).unwrap();
        for (read, value) in table.columns()[0].to_f64().unwrap().iter().zip(&values) {
            prop_assert!(read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()));
        }
    }
}
