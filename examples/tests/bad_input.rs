//! Files that are wrong: each is refused with an error that names the file, the column and, where there is one, the row.

use std::path::{Path, PathBuf};

use mlops_core::{Error, ErrorKind};
use mlops_examples::prepare::{Source, prepare};

/// A file of good rows, to be spoiled: id, age, bmi, sex, outcome.
fn rows() -> Vec<Vec<String>> {
    let row = |i: usize| {
        let sex = ["f", "m", "m"][i % 3];
        let age = 20 + (i * 7) % 60;
        vec![
            format!("p{i}"),
            age.to_string(),
            format!("{}.5", 18 + i % 20),
            sex.into(),
            ((i * 13) % 97).to_string(),
        ]
    };
    (0..200).map(row).collect()
}

fn text(rows: &[Vec<String>]) -> String {
    let lines: Vec<String> = rows.iter().map(|row| row.join(",") + "\n").collect();
    format!("id,age,bmi,sex,outcome\n{}", lines.concat())
}

/// A file in a folder of its own, removed at the end.
struct Spoiled(PathBuf);

impl Spoiled {
    fn new(name: &str, content: &[u8]) -> Self {
        let folder = std::env::temp_dir().join(format!("mlops-bad-input-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let file = folder.join("patients.csv");
        std::fs::write(&file, content).expect("the temporary folder can be written");
        Self(file)
    }
}

impl Drop for Spoiled {
    fn drop(&mut self) {
        if let Some(folder) = self.0.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn source(file: &Path) -> Source {
    Source {
        file: file.to_owned(),
        target: "outcome".into(),
        sensitive: "sex".into(),
        id: Some("id".into()),
        slice: Some("age".into()),
        ..Source::diabetes()
    }
}

fn refused(name: &str, content: impl AsRef<[u8]>) -> Error {
    let file = Spoiled::new(name, content.as_ref());
    prepare(&source(&file.0)).expect_err(name)
}

fn spoil(row: usize, column: usize, value: &str) -> String {
    let mut rows = rows();
    rows[row][column] = value.into();
    text(&rows)
}

#[test]
fn good_rows_pass() {
    let file = Spoiled::new("good", text(&rows()).as_bytes());
    let prepared = prepare(&source(&file.0)).expect("nothing is wrong with it");
    assert_eq!(prepared.table.rows(), 200);
    assert_eq!(prepared.features, ["age", "bmi", "sex"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = prepare(&source(Path::new("no-such-folder/patients.csv"))).expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("patients.csv"), "{error}");
}

#[test]
fn every_kind_of_bad_file_is_refused_by_name() {
    let one_class = text(
        &rows()
            .into_iter()
            .map(|mut r| {
                r[4] = "7".into();
                r
            })
            .collect::<Vec<_>>(),
    );
    let constant = text(
        &rows()
            .into_iter()
            .map(|mut r| {
                r[2] = "22.5".into();
                r
            })
            .collect::<Vec<_>>(),
    );
    let ragged = text(&rows()).replacen("p41,", "p41,extra,", 1);
    // What is wrong, the file, and what the error must name.
    let cases: [(&str, String, &[&str]); 11] = [
        ("empty", String::new(), &["patients.csv", "empty"]),
        ("header-only", "id,age,bmi,sex,outcome\n".into(), &["patients.csv"]),
        ("unknown-column", text(&rows()).replacen("outcome", "result", 1), &["patients.csv", "outcome"]),
        ("text-target", spoil(16, 4, "abc"), &["patients.csv", "outcome", "17", "abc"]),
        ("single-class", one_class, &["patients.csv", "outcome", "one class"]),
        ("nan-cell", spoil(30, 1, "NaN"), &["patients.csv", "age", "31"]),
        ("inf-cell", spoil(31, 2, "inf"), &["patients.csv", "bmi", "32"]),
        ("ragged-row", ragged, &["patients.csv", "42"]),
        ("constant-column", constant, &["patients.csv", "bmi"]),
        ("duplicate-id", spoil(9, 0, "p3"), &["patients.csv", "id", "10"]),
        ("missing-target", spoil(5, 4, ""), &["patients.csv", "outcome", "6"]),
    ];
    for (name, content, expected) in cases {
        let error = refused(name, content).to_string();
        for word in expected {
            assert!(error.contains(word), "{name}: {word:?} is not in: {error}");
        }
    }
}

#[test]
fn what_is_no_text_is_refused() {
    let mut bytes = text(&rows()).into_bytes();
    bytes[60] = 0xff;
    assert!(refused("not-utf8", bytes).to_string().contains("patients.csv"));
}

#[test]
fn a_folder_is_no_file() {
    let error = prepare(&source(&std::env::temp_dir().join("."))).expect_err("a folder");
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
}
