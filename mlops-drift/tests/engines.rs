//! The statements on real engines: DuckDB and DataFusion count Parquet files, and their counts are held against NumPy's and
//! this crate's bit for bit, the two-pass Kolmogorov–Smirnov statistic against SciPy's.
//!
//! Runs where `MLOPS_TEST_SQL` names a Python with duckdb, datafusion, pyarrow, numpy and scipy (`.ci/sql install` makes one),
//! and says "skipped" where it does not.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use mlops_core::data::{Column, Table, Validity, Values};
use mlops_drift::profile::{
    ColumnCells, DistinctSketch, FrequentSketch, Profile, ProfileOptions, QuantileSketch, Reference,
};
use mlops_drift::sql::{
    Candidates, CountRow, Dialect, Layout, Source, ValueCounts, ValueRow, count_statement, exact_ks,
    read_counts, read_values, value_statement,
};

/// A folder of this test's own, gone at the end unless `MLOPS_TEST_SQL_KEEP` names it.
struct Folder(std::path::PathBuf, bool);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mlops-engines-{name}-{}", std::process::id()));
        let kept = std::env::var_os("MLOPS_TEST_SQL_KEEP").filter(|path| !path.is_empty());
        let (path, kept) = kept.map_or((path, false), |kept| (kept.into(), true));
        std::fs::create_dir_all(&path).unwrap();
        Self(path, kept)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.1 {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

struct Engines {
    python: OsString,
    folder: Folder,
}

impl Engines {
    fn run(&self, arguments: &[&OsStr]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/run.py");
        let status = Command::new(&self.python).arg(script).args(arguments).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.0.join(name)
    }

    fn counts(&self, engine: &str, reference: &Reference, sql: &str) -> Profile {
        let (statement, out) = (self.file("counts.sql"), self.file("counts.jsonl"));
        std::fs::write(&statement, sql).unwrap();
        self.run(&["counts".as_ref(), engine.as_ref(), statement.as_ref(), out.as_ref()]);
        let text = std::fs::read_to_string(out).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<CountRow>(line).unwrap());
        read_counts(reference, rows).unwrap()
    }

    fn values(&self, engine: &str, sql: &str) -> Vec<ValueRow> {
        let (statement, out) = (self.file("values.sql"), self.file("values.bin"));
        std::fs::write(&statement, sql).unwrap();
        self.run(&["values".as_ref(), engine.as_ref(), statement.as_ref(), out.as_ref()]);
        let bytes = std::fs::read(out).unwrap();
        let rows = bytes.chunks_exact(24).map(|row| {
            let field = |i: usize| <[u8; 8]>::try_from(&row[8 * i..8 * i + 8]).unwrap();
            let column = usize::try_from(u64::from_le_bytes(field(0))).unwrap();
            ValueRow { column, value: f64::from_le_bytes(field(1)), count: u64::from_le_bytes(field(2)) }
        });
        rows.collect()
    }
}

/// The sample that `run.py generate` wrote: what is absent is `null`, what is not finite a string.
fn sample(path: &Path) -> Table<'static> {
    let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let names = file["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let columns = names.zip(file["columns"].as_array().unwrap()).map(|(name, values)| {
        let values = values.as_array().unwrap();
        if name == "text" {
            return Column::optional_text(name, values.iter().map(serde_json::Value::as_str)).unwrap();
        }
        let valid: Vec<bool> = values.iter().map(|value| !value.is_null()).collect();
        let numbers: Vec<f64> = values.iter().map(number).collect();
        let values = match name.as_str() {
            "bool" => Values::Bool(numbers.iter().map(|&x| x == 1.0).collect()),
            _ => Values::F64(numbers.into()),
        };
        Column::new(name, values, Some(Validity::from_bools(&valid))).unwrap()
    });
    Table::new(columns.collect()).unwrap()
}

fn number(value: &serde_json::Value) -> f64 {
    match value {
        serde_json::Value::Bool(b) => f64::from(u8::from(*b)),
        serde_json::Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap_or(0.0),
    }
}

fn grids(reference: &Reference) -> String {
    let grids = reference.columns().iter().map(|column| match column.cells() {
        ColumnCells::Numeric { grid, .. } => serde_json::json!({
            "low": grid.low(), "high": grid.high(), "scale": grid.scale(), "cells": grid.cells(),
        }),
        _ => serde_json::Value::Null,
    });
    serde_json::to_string(&grids.collect::<Vec<_>>()).unwrap()
}

fn same_counts(reference: &Reference, one: &Profile, other: &Profile, what: &str) {
    assert_eq!(one.rows(), other.rows(), "{what}");
    for (column, (a, b)) in reference.columns().iter().zip(one.columns().iter().zip(other.columns())) {
        assert_eq!(a.cells(), b.cells(), "{what}: {}", column.name());
    }
}

#[test]
fn engines_count_as_numpy_and_this_crate_do_and_ks_is_scipys() {
    let Some(python) = std::env::var_os("MLOPS_TEST_SQL").filter(|python| !python.is_empty()) else {
        println!("skipped: MLOPS_TEST_SQL is not set");
        return;
    };
    let engines = Engines { python, folder: Folder::new("counts") };
    engines.run(&["generate".as_ref(), engines.folder.0.as_ref()]);
    let sample = sample(&engines.file("sample.json"));
    let fitted = Reference::fit_with(&sample, &ProfileOptions::default()).unwrap();

    let (grid_file, numpy_file, scipy_file) =
        (engines.file("grids.json"), engines.file("numpy.jsonl"), engines.file("scipy.json"));
    std::fs::write(&grid_file, grids(&fitted)).unwrap();
    engines.run(&["numpy".as_ref(), engines.folder.0.as_ref(), grid_file.as_ref(), numpy_file.as_ref()]);
    engines.run(&["scipy".as_ref(), engines.folder.0.as_ref(), scipy_file.as_ref()]);
    let scipy: Vec<f64> = serde_json::from_str(&std::fs::read_to_string(scipy_file).unwrap()).unwrap();

    // For `benches/peers/spark.py`, which needs Java and more time than a test should take.
    let current = Source::table(Dialect::Spark, &["current"]).unwrap();
    for (layout, name) in [(Layout::Union, "spark.union.sql"), (Layout::GroupingSets, "spark.sets.sql")] {
        let sql = count_statement(&fitted, Dialect::Spark, &current, layout).unwrap();
        std::fs::write(engines.file(name), sql).unwrap();
    }

    let mut texts = Vec::new();
    for (engine, dialect) in [("duckdb", Dialect::DuckDb), ("datafusion", Dialect::DataFusion)] {
        let counted = |table: &str, layout| {
            let source = Source::table(dialect, &[table]).unwrap();
            engines.counts(engine, &fitted, &count_statement(&fitted, dialect, &source, layout).unwrap())
        };
        for layout in [Layout::Union, Layout::GroupingSets] {
            same_counts(&fitted, &counted("sample", layout), fitted.baseline(), engine);
        }
        let current = counted("current", Layout::Union);
        assert_eq!(current.rows(), 5_000_000);
        for line in std::fs::read_to_string(&numpy_file).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let index = usize::try_from(row["column"].as_u64().unwrap()).unwrap();
            let expected: Vec<u64> =
                row["cells"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
            let name = fitted.columns()[index].name();
            assert_eq!(current.columns()[index].cells(), expected, "{engine} {name}");
        }
        texts.push(current.columns()[9].clone());

        let reference = fitted.clone().with_baseline(counted("reference", Layout::Union)).unwrap();
        let candidates = Candidates::new(&reference, reference.baseline(), &current).unwrap();
        let values = |table: &str, profile: &Profile| -> ValueCounts {
            let source = Source::table(dialect, &[table]).unwrap();
            let sql = value_statement(&reference, &candidates, dialect, &source).unwrap().unwrap();
            read_values(&reference, &candidates, profile, engines.values(engine, &sql)).unwrap()
        };
        let before = values("reference", reference.baseline());
        let after = values("current", &current);
        for (column, expected) in reference.columns().iter().zip(&scipy) {
            let (one, other) = ((reference.baseline(), &before), (&current, &after));
            let exact = exact_ks(&reference, &candidates, column.name(), one, other).unwrap();
            let difference = (exact.statistic - expected).abs();
            assert!(difference <= 1e-15, "{engine} {}: {} is not {expected}", column.name(), exact.statistic);
            let bounds = reference.ks(reference.baseline(), &current, column.name()).unwrap();
            assert!(bounds.statistic.contains(exact.statistic), "{engine} {}: {bounds:?}", column.name());
            println!(
                "{engine} {}: {} <= {} <= {}",
                column.name().escape_debug(),
                bounds.statistic.low,
                exact.statistic,
                bounds.statistic.high
            );
        }
    }
    assert_eq!(texts[0].cells(), texts[1].cells());
}

#[test]
fn sketches_are_read_by_the_python_library() {
    let Some(python) = std::env::var_os("MLOPS_TEST_SQL").filter(|python| !python.is_empty()) else {
        println!("skipped: MLOPS_TEST_SQL is not set");
        return;
    };
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let quantiles = [0_u32, 1, 2, 100, 50_000].map(|count| {
        let mut sketch = QuantileSketch::new(200).unwrap();
        (0..count).for_each(|i| sketch.push(f64::from(i * 7919 % 65_537)));
        let probes = [0.0, 1000.5, 32_000.0, 70_000.0];
        let ranks: Vec<(f64, f64)> = probes.iter().filter_map(|&x| sketch.rank(x).map(|rank| (x, rank))).collect();
        serde_json::json!({
            "count": count, "bytes": hex(sketch.to_bytes()), "ranks": ranks, "rank_error": sketch.rank_error(),
        })
    });
    let distinct = [(0_u32, 0_u32), (3, 2), (300, 100), (20_000, 500)].map(|(numbers, texts)| {
        let mut sketch = DistinctSketch::new(12).unwrap();
        (0..numbers).for_each(|i| sketch.push(f64::from(i)));
        (0..texts).for_each(|i| sketch.push_text(&format!("text {i}")));
        serde_json::json!({
            "numbers": numbers, "texts": texts, "bytes": hex(sketch.to_bytes()), "estimate": sketch.estimate(),
        })
    });
    let frequent = [2_u64, 100].map(|count| {
        let mut sketch = FrequentSketch::new(5).unwrap();
        (0..count).for_each(|i| sketch.push(&format!("text {i}"), 1 + (count - i) / 8));
        sketch.push("one \u{1f642}", 1000);
        serde_json::json!({ "bytes": hex(sketch.to_bytes()), "total": sketch.total(), "top": sketch.top(3) })
    });
    let engines = Engines { python, folder: Folder::new("sketches") };
    let file = engines.file("sketches.json");
    let all = serde_json::json!({ "quantiles": quantiles, "distinct": distinct, "frequent": frequent });
    std::fs::write(&file, all.to_string()).unwrap();
    engines.run(&["sketches".as_ref(), file.as_ref()]);
}
