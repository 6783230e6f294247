//! Statements and their rows without an engine: what is quoted, what is refused.

use mlops_core::ErrorKind;
use mlops_core::data::{Column, Table};
use mlops_drift::profile::{Profile, Reference};
use mlops_drift::sql::{
    Candidates, CountRow, Dialect, Layout, Source, ValueCounts, ValueRow, count_statement, exact_ks,
    read_counts, read_values, value_statement,
};

const HOSTILE: [&str; 8] = [
    "plain",
    "quote\"d",
    "back`tick",
    "bracket]]",
    "line\nbreak",
    "'; DROP TABLE t; --",
    "日本\\",
    "/* \u{202e} */",
];

fn hostile_reference() -> Reference {
    let numbers = HOSTILE.iter().map(|name| Column::f64(*name, vec![-0.5, 0.25, 3.0]).unwrap());
    let text = Column::text("te]x\"t`", ["a", "it's", "b"]).unwrap();
    Reference::fit(&Table::new(numbers.chain([text]).collect()).unwrap()).unwrap()
}

/// A statement with every quoted identifier taken out, and the identifiers: a lexer for the quotes of a dialect.
fn without_identifiers(dialect: Dialect, sql: &str) -> (String, Vec<String>) {
    let (open, close) = match dialect {
        Dialect::TSql => ('[', ']'),
        Dialect::Spark | Dialect::BigQuery => ('`', '`'),
        _ => ('"', '"'),
    };
    let (mut code, mut names) = (String::new(), Vec::new());
    let mut characters = sql.chars().peekable();
    while let Some(c) = characters.next() {
        if c != open {
            code.push(c);
            continue;
        }
        let mut name = String::new();
        loop {
            match characters.next().expect("an identifier that ends") {
                '\\' if dialect == Dialect::BigQuery => name.push(match characters.next().unwrap() {
                    'n' => '\n',
                    escaped => escaped,
                }),
                c if c == close && dialect != Dialect::BigQuery && characters.peek() == Some(&close) => {
                    characters.next();
                    name.push(close);
                }
                c if c == close => break,
                c => name.push(c),
            }
        }
        names.push(name);
    }
    (code, names)
}

#[test]
fn hostile_column_names_stay_names() {
    let reference = hostile_reference();
    let current = reference
        .profile(
            &Table::new(
                HOSTILE
                    .iter()
                    .map(|name| Column::f64(*name, vec![-0.5, 0.3, 3.0]).unwrap())
                    .chain([Column::text("te]x\"t`", ["a", "b", "b"]).unwrap()])
                    .collect(),
            )
            .unwrap(),
        )
        .unwrap();
    let candidates = Candidates::new(&reference, reference.baseline(), &current).unwrap();
    for dialect in Dialect::ALL {
        let source = Source::table(dialect, &["a\"b`c]d", "events"]).unwrap();
        for layout in [Layout::Union, Layout::GroupingSets] {
            let sql = count_statement(&reference, dialect, &source, layout).unwrap();
            let (code, names) = without_identifiers(dialect, &sql);
            for name in HOSTILE.iter().chain(&["te]x\"t`", "a\"b`c]d", "events"]) {
                assert!(names.iter().any(|found| found == name), "{dialect:?} {name:?} in {names:?}");
            }
            let letters = |c: char| c.is_ascii_alphanumeric() || "\n ()_,.*+-<=>".contains(c);
            assert!(code.chars().all(letters), "{dialect:?}: {code}");
            assert!(!code.contains("--") && !code.contains("DROP"), "{dialect:?}: {code}");
        }
        if let Some(sql) = value_statement(&reference, &candidates, dialect, &source).unwrap() {
            let (code, _) = without_identifiers(dialect, &sql);
            assert!(!code.contains("DROP"), "{dialect:?}: {code}");
        }
    }
}

#[test]
fn names_that_no_engine_can_hold_are_refused() {
    for dialect in Dialect::ALL {
        assert_eq!(dialect.identifier("").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(dialect.identifier("a\0b").is_err() && dialect.literal("a\0b").is_err());
        assert!(Source::table(dialect, &[]).is_err() && Source::table(dialect, &["a", ""]).is_err());
    }
    let reference =
        Reference::fit(&Table::new(vec![Column::f64("a\0b", vec![1.0]).unwrap()]).unwrap()).unwrap();
    let source = Source::trusted("t");
    let error = count_statement(&reference, Dialect::DuckDb, &source, Layout::Union).unwrap_err();
    assert_eq!(error.context("column"), Some("a\\u{0}b"));
}

#[test]
fn every_dialect_says_the_same() {
    let table = Table::new(vec![
        Column::f64("x", vec![0.0, 0.5, 7.25]).unwrap(),
        Column::bool("b", vec![true, false, true]).unwrap(),
        Column::text("t", ["a", "b", "b"]).unwrap(),
    ]);
    let reference =
        Reference::fit_with(&table.unwrap(), &mlops_drift::profile::ProfileOptions::default().with_cells(16))
            .unwrap();
    let one = |dialect| count_statement(&reference, dialect, &Source::trusted("t"), Layout::Union).unwrap();
    let first = |dialect| one(dialect).split("\nUNION ALL\n").next().unwrap().to_owned();
    assert_eq!(
        first(Dialect::DuckDb),
        "SELECT 0 AS mlops_column, c AS mlops_cell, CAST(NULL AS VARCHAR) AS mlops_label, COUNT(*) AS mlops_count\n\
         FROM (SELECT CASE WHEN x IS NULL THEN 18 WHEN isnan(x) THEN 17 WHEN x < 0e0 THEN 0 WHEN x >= 7.5e0 THEN 16 \
         ELSE CAST(FLOOR((x - 0e0) * 2e0) AS INT) + 1 END AS c FROM (SELECT CAST(\"x\" AS DOUBLE) AS x FROM t) AS a) AS b GROUP BY c"
    );
    assert!(first(Dialect::DataFusion).contains("x <= -5e-324 THEN 0"), "{}", first(Dialect::DataFusion));
    assert!(first(Dialect::Spark).contains("(x - 0e0D) * 2e0D"), "{}", first(Dialect::Spark));
    assert!(first(Dialect::BigQuery).contains("IS_NAN(x)") && first(Dialect::BigQuery).contains("AS INT64"));
    assert!(!one(Dialect::TSql).to_lowercase().contains("nan("), "{}", one(Dialect::TSql));
    assert!(
        one(Dialect::TSql).contains("COLLATE Latin1_General_100_BIN2")
            && one(Dialect::TSql).contains("COUNT_BIG")
    );
}

fn integers(values: impl Iterator<Item = i64>) -> Table<'static> {
    Table::new(vec![Column::i64("n", values.collect::<Vec<i64>>()).unwrap()]).unwrap()
}

fn rows_of(profile: &Profile) -> Vec<CountRow> {
    let cells = profile.columns()[0].cells().iter().enumerate().filter(|(_, count)| **count > 0);
    cells.map(|(cell, &count)| CountRow { column: 0, cell: Some(cell), label: None, count }).collect()
}

#[test]
fn rows_are_read_into_the_profile_that_counting_here_gives() {
    let reference = Reference::fit(&integers(0..100)).unwrap();
    let profile = reference.profile(&integers((0..50).map(|i| i * 3))).unwrap();
    let read = read_counts(&reference, rows_of(&profile)).unwrap();
    assert_eq!((read.rows(), read.columns()[0].cells()), (50, profile.columns()[0].cells()));
    let text = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), read);
    assert_eq!(read_counts(&reference, []).unwrap().rows(), 0);
}

#[test]
fn rows_that_cannot_be_are_refused() {
    let table =
        Table::new(vec![Column::f64("x", vec![1.0, 2.0]).unwrap(), Column::text("t", ["a", "b"]).unwrap()]);
    let reference = Reference::fit(&table.unwrap()).unwrap();
    let row = |column, cell, label: Option<&str>, count| CountRow {
        column,
        cell,
        label: label.map(str::to_owned),
        count,
    };
    let good = [row(0, Some(1), None, 3), row(1, None, Some("a"), 3)];
    assert!(read_counts(&reference, good.clone()).is_ok());
    for (bad, kind) in [
        (row(2, Some(1), None, 1), ErrorKind::InvalidInput),
        (row(0, None, None, 1), ErrorKind::InvalidInput),
        (row(0, Some(1 << 20), None, 1), ErrorKind::InvalidInput),
        (row(0, Some(1), None, 1), ErrorKind::InvalidInput),
        (row(0, Some(2), Some("a"), 1), ErrorKind::InvalidInput),
        (row(1, Some(1), None, 1), ErrorKind::InvalidInput),
        (row(1, None, Some("a"), 1), ErrorKind::InvalidInput),
        (row(0, Some(2), None, 1), ErrorKind::Conflict),
        (row(1, None, None, u64::MAX), ErrorKind::LimitExceeded),
    ] {
        let rows = good.iter().cloned().chain([bad.clone()]);
        assert_eq!(read_counts(&reference, rows).unwrap_err().kind(), kind, "{bad:?}");
    }
}

#[test]
fn values_that_do_not_add_up_are_refused() {
    // The second table has even numbers only, each about twice.
    let table = |step: i64| integers((0..200).map(move |i| i * step % 211 / step.min(2) * step.min(2)));
    let reference = Reference::fit(&table(1)).unwrap();
    let current = reference.profile(&table(7)).unwrap();
    let candidates = Candidates::new(&reference, reference.baseline(), &current).unwrap();
    assert!(!candidates.of(0).is_empty());
    let counts = ValueCounts::of_table(&reference, &candidates, &current, &table(7)).unwrap();
    let before = ValueCounts::of_table(&reference, &candidates, reference.baseline(), &table(1)).unwrap();
    let exact =
        exact_ks(&reference, &candidates, "n", (reference.baseline(), &before), (&current, &counts)).unwrap();
    assert_eq!((exact.n, exact.m), (200, 200));

    // A side that was counted at another time, a row too many, a value of another cell.
    let conflict =
        |rows: Vec<ValueRow>| read_values(&reference, &candidates, &current, rows).unwrap_err().kind();
    assert_eq!(conflict(Vec::new()), ErrorKind::Conflict);
    let (first, _) = candidates.of(0)[0];
    let value = reference.columns()[0].grid().unwrap().threshold(first);
    assert_eq!(conflict(vec![ValueRow { column: 0, value, count: 1_000 }]), ErrorKind::Conflict);
    assert_eq!(conflict(vec![ValueRow { column: 0, value: f64::NAN, count: 1 }]), ErrorKind::InvalidInput);
    assert_eq!(conflict(vec![ValueRow { column: 9, value, count: 1 }]), ErrorKind::InvalidInput);
    let swapped = exact_ks(&reference, &candidates, "n", (&current, &before), (&current, &counts));
    assert_eq!(swapped.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(
        exact_ks(&reference, &candidates, "no", (&current, &counts), (&current, &counts)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_statement_stays_short_however_many_cells_are_undecided() {
    let many = integers((0..40_000).map(|i| i * 7919 % 40_009));
    let reference = Reference::fit(&many).unwrap();
    let shuffled = integers((0..40_000).map(|i| i * 104_729 % 40_009));
    let current = reference.profile(&shuffled).unwrap();
    let candidates = Candidates::new(&reference, reference.baseline(), &current).unwrap();
    assert!((1..=64).contains(&candidates.of(0).len()), "{}", candidates.of(0).len());
    let sql =
        value_statement(&reference, &candidates, Dialect::DuckDb, &Source::trusted("t")).unwrap().unwrap();
    assert!(sql.len() < 4_000, "{}", sql.len());
}
