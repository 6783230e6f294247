//! Validation and profile of a table of 20 columns, in memory and from a file that is larger than memory should be.
//!
//! Prints a line for each task, `NAME<tab>CPU milliseconds`, the fastest of several repetitions on one thread.
//! `benches/peers/validate.py` runs this beside pandera, dataframely, Great Expectations and ydata-profiling on the same table.
//!
//! With `MLOPS_BENCH_GB` a CSV file of so many gigabytes is written, validated and profiled in one pass, and the peak of resident memory
//! is printed. `MLOPS_BENCH_FILE` names a file of the same columns in its place: CSV, or, with the feature `parquet`, what
//! `peers/validate.py --parquet FILE` wrote.
#![allow(missing_docs)]

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use mlops_benches::{fastest, timed};
use mlops_core::data::{
    Column, Comparison, CsvBatches, CsvOptions, Expectation, Expectations, ProfileOptions, Profiler, Range,
    Table, ValidateOptions, Validator, Validity, Values,
};

type Failure = Box<dyn Error>;

const LEVELS: [(&str, i64); 3] = [("s0", 3), ("s1", 12), ("s2", 200)];

fn float(i: i64, column: i64) -> f64 {
    if column == 3 && i % 1_000 == 0 { 500.0 } else { (i * (7_919 + 2 * column) % 10_007) as f64 / 100.0 }
}

fn level(i: i64, name: &str, levels: i64) -> String {
    if name == "s1" && i % 5_000 == 1 { "oops".to_owned() } else { format!("{name}_{}", i * 31 % levels) }
}

fn code(i: i64) -> String {
    let letter = [b'A', b'B', b'C'][usize::try_from(i % 3).unwrap_or(0)];
    format!("{}{:03}", char::from(letter), i % 1_000)
}

/// The table that `peers/validate.py` makes too.
fn table(rows: i64) -> Result<Table<'static>, Failure> {
    let all = || 0..rows;
    let mut columns = vec![
        Column::i64("id", all().collect::<Vec<_>>())?,
        Column::i64("n1", all().map(|i| i * 13 % 101).collect::<Vec<_>>())?,
        Column::i64("n2", all().map(|i| i * 17 % 5_003).collect::<Vec<_>>())?,
        Column::i64("n3", all().map(|i| i * 13 % 101 + i % 5).collect::<Vec<_>>())?,
    ];
    for column in 0..10 {
        let values: Vec<f64> = all().map(|i| float(i, column)).collect();
        let valid: Vec<bool> = all().map(|i| column != 8 || i % 97 != 0).collect();
        let validity = (column == 8).then(|| Validity::from_bools(&valid));
        columns.push(Column::new(format!("x{column}"), Values::F64(values.into()), validity)?);
    }
    for (name, levels) in LEVELS {
        columns.push(Column::text(name, all().map(|i| level(i, name, levels)))?);
    }
    columns.push(Column::text("s3", all().map(code))?);
    columns.push(Column::bool("flag", all().map(|i| i % 2 == 0).collect::<Vec<_>>())?);
    let times: Vec<i64> = all().map(|i| 1_704_067_200_000_000 + i * 1_000_000).collect();
    columns.push(Column::new("t", Values::Time(times.into()), None)?);
    Ok(Table::new(columns)?)
}

/// 20 rules, the same as the peers'.
fn rules() -> Result<Expectations, Failure> {
    let hundred = Range::new(Some(0.0), Some(100.1))?;
    let mut rules = vec![Expectation::unique(["id"])];
    rules.extend(["id", "x0", "s0"].map(Expectation::present));
    rules.extend((0..8).map(|column| Expectation::within(format!("x{column}"), hundred)));
    rules.push(Expectation::finite("x9"));
    for (name, levels) in LEVELS {
        rules.push(Expectation::one_of(name, (0..levels).map(|level| format!("{name}_{level}"))));
    }
    rules.push(Expectation::matches("s3", r"[ABC]\d{3}"));
    rules.push(Expectation::length("s3", 4, Some(4)));
    rules.push(Expectation::within("n1", Range::new(Some(0.0), Some(100.0))?));
    rules.push(Expectation::compare("n1", Comparison::Le, "n3"));
    assert_eq!(rules.len(), 20);
    Ok(Expectations::new(rules)?)
}

fn main() -> Result<(), Failure> {
    if let Some(path) = std::env::var_os("MLOPS_BENCH_FILE") {
        return scan(Path::new(&path));
    }
    if let Ok(size) = std::env::var("MLOPS_BENCH_GB") {
        return large(size.parse()?);
    }
    let rows: i64 = std::env::var("MLOPS_BENCH_ROWS").map_or(Ok(1_000_000), |rows| rows.parse())?;
    let (table, rules) = (table(rows)?, rules()?);
    let report = rules.validate(&table);
    println!("# {} bad rows of {}", report.bad_rows, report.rows);
    let time = fastest(5, || rules.validate(&table));
    println!("validate, 20 rules\t{time:.3}");
    let time = fastest(5, || {
        let mut validator = Validator::new(&rules, ValidateOptions::default());
        let split = validator.push(&table)?;
        let (good, bad) = (split.good_table(&table)?, split.bad_table(&table, "why")?);
        Ok::<_, Failure>((good, bad, validator.report()))
    });
    println!("validate, 20 rules, good and bad rows apart\t{time:.3}");
    // As of a batch that was read and is not needed any more; that it is there costs what reading costs.
    let once = |_| {
        let batch = table.clone();
        let work = || {
            let mut validator = Validator::new(&rules, ValidateOptions::default());
            let apart = validator.push(&batch)?.apart(batch, "why")?;
            Ok::<_, Failure>((apart, validator.report()))
        };
        let (outcome, time) = timed(work);
        outcome.map(|_| time.as_secs_f64() * 1e3)
    };
    let times = (0..5).map(once).collect::<Result<Vec<f64>, Failure>>()?;
    let time = times.into_iter().fold(f64::INFINITY, f64::min);
    println!("validate, 20 rules, a batch taken apart\t{time:.3}");
    let minimal = ProfileOptions::default().with_correlations(false).with_duplicates(false);
    for (name, options) in [("profile, minimal", minimal), ("profile", ProfileOptions::default())] {
        let time = fastest(3, || {
            let mut profiler = Profiler::new(options.clone())?;
            profiler.push(&table)?;
            Ok::<_, Failure>(profiler.profile()?.html("bench"))
        });
        println!("{name}\t{time:.3}");
    }
    Ok(())
}

/// Writes a large file, then validates and profiles it batch by batch.
fn large(gigabytes: f64) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("mlops-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("large.csv");
    let outcome = write(&path, gigabytes).and_then(|()| scan(&path));
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn write(path: &Path, gigabytes: f64) -> Result<(), Failure> {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let names = (0..10).map(|column| format!("x{column}")).collect::<Vec<_>>().join(",");
    writeln!(file, "id,n1,n2,n3,{names},s0,s1,s2,s3,flag,t")?;
    let (mut written, mut i) = (0_u64, 0_i64);
    while (written as f64) < gigabytes * 1e9 {
        let mut line = format!("{i},{},{},{}", i * 13 % 101, i * 17 % 5_003, i * 13 % 101 + i % 5);
        for column in 0..10 {
            line.push(',');
            if column != 8 || i % 97 != 0 {
                line.push_str(&format!("{:?}", float(i, column)));
            }
        }
        for (name, levels) in LEVELS {
            line.push(',');
            line.push_str(&level(i, name, levels));
        }
        let time = chrono_text(1_704_067_200 + i);
        writeln!(file, "{line},{},{},{time}", code(i), i % 2 == 0)?;
        written += line.len() as u64 + 32;
        i += 1;
    }
    Ok(file.flush()?)
}

/// A time of the year 2024 or later, from seconds since 1970.
fn chrono_text(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let (z, of_day) = (days + 719_468, seconds.rem_euclid(86_400));
    // Days to a date of the Gregorian calendar: Hinnant, "chrono-compatible low-level date algorithms".
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// The most rows of a batch.
const BATCH: usize = 65_536;

type Batches = Box<dyn Iterator<Item = mlops_core::Result<Table<'static>>>>;

#[cfg(feature = "parquet")]
fn parquet(path: &Path) -> Result<Batches, Failure> {
    use mlops_core::data::frame::{ParquetBatches, ParquetOptions};
    Ok(Box::new(ParquetBatches::open(path, &ParquetOptions::default(), BATCH)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &Path) -> Result<Batches, Failure> {
    Err("a Parquet file needs the feature `parquet`".into())
}

fn batches(path: &Path) -> Result<Batches, Failure> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        return parquet(path);
    }
    Ok(Box::new(CsvBatches::open(path, &CsvOptions::default(), BATCH)?))
}

fn scan(path: &Path) -> Result<(), Failure> {
    let size = std::fs::metadata(path)?.len();
    let began = Instant::now();
    let mut validator = Validator::new(&rules()?, ValidateOptions::default());
    let mut profiler = Profiler::new(ProfileOptions::default())?;
    for batch in batches(path)? {
        let batch = batch?;
        validator.push(&batch)?;
        profiler.push(&batch)?;
    }
    let (report, profile) = (validator.report(), profiler.profile()?);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "# {:.2} GB, {} rows, {} of them bad, {} alerts",
        size as f64 / 1e9,
        report.rows,
        report.bad_rows,
        profile.alerts.len()
    );
    println!("# {seconds:.1} s, {:.1} MB/s", size as f64 / 1e6 / seconds);
    println!("# peak of resident memory: {} MB", peak()?);
    Ok(())
}

/// The peak of resident memory of this process, in megabytes.
fn peak() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1_024 / 1_000_000)
}
