//! Profiles against pandas and SciPy, in batches and merged; of hostile tables; and what they propose.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlops_core::ErrorKind;
use mlops_core::data::{
    AlertKind, Association, Column, DataType, Expectations, Profile, ProfileOptions, Profiler, ProfilerState,
    Severity, Table, Validity, Values, parse_csv,
};
use serde::Deserialize;

/// pandas 3.1.1 and SciPy 1.17.1, by `reference/data_profile.py`.
#[derive(Deserialize)]
struct Reference {
    csv: String,
    columns: BTreeMap<String, Expected>,
    pairs: Vec<(String, String, Association, f64, u64)>,
    duplicates: u64,
}

#[derive(Deserialize)]
struct Expected {
    count: u64,
    missing: u64,
    distinct: u64,
    zeros: Option<u64>,
    negative: Option<u64>,
    min: Option<f64>,
    max: Option<f64>,
    sum: Option<f64>,
    mean: Option<f64>,
    variance: Option<f64>,
    skewness: Option<f64>,
    kurtosis: Option<f64>,
    #[serde(default)]
    quantiles: Vec<f64>,
    #[serde(default)]
    top: Vec<(String, u64)>,
    imbalance: Option<f64>,
}

fn reference() -> (Table<'static>, Reference) {
    let reference: Reference = serde_json::from_str(include_str!("reference/data_profile.json")).unwrap();
    (parse_csv(reference.csv.to_lowercase().as_bytes(), &Default::default()).unwrap(), reference)
}

fn near(ours: Option<f64>, theirs: Option<f64>, what: &str) {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { panic!("{what}: {ours:?} is not {theirs:?}") };
    assert!((ours - theirs).abs() <= 1e-11 * theirs.abs().max(1e-3), "{what}: {ours} is not {theirs}");
}

fn agrees(profile: &Profile, reference: &Reference) {
    for (name, expected) in &reference.columns {
        let column = profile.column(name).unwrap();
        assert_eq!((column.count, column.missing), (expected.count, expected.missing), "{name}");
        assert_eq!((column.distinct.count, column.distinct.exact), (expected.distinct, true), "{name}");
        if let Some(numeric) = &column.numeric {
            assert_eq!(
                (Some(numeric.zeros), Some(numeric.negative)),
                (expected.zeros, expected.negative),
                "{name}"
            );
            assert_eq!((numeric.min, numeric.max, numeric.rank_error), (expected.min, expected.max, 0.0));
            near(numeric.sum, expected.sum, &format!("sum of {name}"));
            near(numeric.mean, expected.mean, &format!("mean of {name}"));
            near(numeric.variance, expected.variance, &format!("variance of {name}"));
            near(numeric.skewness, expected.skewness, &format!("skewness of {name}"));
            near(numeric.kurtosis, expected.kurtosis, &format!("kurtosis of {name}"));
            for ((share, ours), theirs) in numeric.quantiles.iter().zip(&expected.quantiles) {
                near(Some(*ours), Some(*theirs), &format!("quantile {share} of {name}"));
            }
            let histogram = numeric.histogram.as_ref().unwrap();
            assert_eq!(histogram.counts.iter().sum::<u64>(), expected.count);
        } else {
            let top: Vec<(String, u64)> =
                column.top.iter().map(|top| (top.value.clone(), top.count)).collect();
            assert_eq!(top, expected.top);
            near(column.imbalance, expected.imbalance, &format!("imbalance of {name}"));
        }
    }
    assert_eq!(profile.correlations.len(), reference.pairs.len());
    for (a, b, kind, value, rows) in &reference.pairs {
        let found = profile.correlations.iter().find(|c| &c.a == a && &c.b == b && c.kind == *kind).unwrap();
        assert_eq!(found.rows, *rows);
        near(Some(found.value), Some(*value), &format!("{kind:?} of {a} and {b}"));
    }
    assert_eq!(profile.duplicates, Some(reference.duplicates));
}

fn parts(table: &Table<'_>, rows: usize) -> Vec<Table<'static>> {
    let all: Vec<usize> = (0..table.rows()).collect();
    all.chunks(rows).map(|rows| table.take(rows).unwrap()).collect()
}

#[test]
fn numbers_are_those_of_pandas_and_scipy_however_the_table_is_cut() {
    let (table, reference) = reference();
    agrees(&Profile::of(&table).unwrap(), &reference);
    for rows in [1, 64, 333] {
        let mut profiler = Profiler::new(ProfileOptions::default()).unwrap();
        parts(&table, rows).iter().for_each(|part| profiler.push(part).unwrap());
        agrees(&profiler.profile().unwrap(), &reference);

        let mut merged = Profiler::new(ProfileOptions::default()).unwrap();
        for (at, part) in parts(&table, rows).iter().enumerate() {
            let first = (at * rows) as u64;
            let mut profiler = Profiler::new(ProfileOptions::default()).unwrap().with_first_row(first);
            profiler.push(part).unwrap();
            merged.merge(&profiler).unwrap();
        }
        agrees(&merged.profile().unwrap(), &reference);
    }
}

#[test]
fn a_profile_survives_being_written() {
    let profile = Profile::of(&reference().0).unwrap();
    let written = serde_json::to_string(&profile).unwrap();
    assert_eq!(serde_json::from_str::<Profile>(&written).unwrap(), profile);
}

/// Pseudo-random numbers in [0, 1) without any help.
fn uniform(n: u64) -> Vec<f64> {
    (0..n).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64).collect()
}

#[test]
fn beyond_its_bounds_a_profile_estimates_within_what_it_states() {
    let n = 50_000;
    let x = uniform(n);
    let options = ProfileOptions::default().with_sample_rows(5_000).with_max_exact(1_000);
    let texts: Vec<String> =
        (0..n).map(|i| if i % 4 == 0 { "often".to_owned() } else { format!("t{i}") }).collect();
    let table = Table::new(vec![
        Column::f64("x", x.clone()).unwrap(),
        Column::text("t", &texts).unwrap(),
        Column::f64("y", x.iter().map(|x| -x.powi(3)).collect::<Vec<_>>()).unwrap(),
    ])
    .unwrap();
    let profile = |rows: usize| {
        let mut profiler = Profiler::new(options.clone()).unwrap();
        parts(&table, rows).iter().for_each(|part| profiler.push(part).unwrap());
        profiler.profile().unwrap()
    };
    let whole = profile(usize::MAX);
    let column = whole.column("x").unwrap();
    let numeric = column.numeric.as_ref().unwrap();
    assert_eq!(whole.sample_rows, 5_000);
    // √(ln 200 / 10 000), the bound of Dvoretzky, Kiefer and Wolfowitz at 99 %.
    assert!((numeric.rank_error - 0.023018).abs() < 1e-5);
    for (share, value) in &numeric.quantiles {
        assert!((share - value).abs() <= numeric.rank_error, "{share}: {value}");
    }
    for (name, distinct) in [("x", n), ("t", n - n / 4 + 1)] {
        let found = whole.column(name).unwrap().distinct;
        assert!(
            !found.exact && (found.count as f64 / distinct as f64 - 1.0).abs() < 4.0 * 0.0081,
            "{name}: {found:?}"
        );
    }
    let top = &whole.column("t").unwrap().top[0];
    assert!(top.value == "often" && (top.count as f64 / n as f64 - 0.25).abs() <= numeric.rank_error);
    let spearman = whole.correlations.iter().find(|c| c.kind == Association::Spearman).unwrap();
    assert_eq!((spearman.value, spearman.rows), (-1.0, 5_000));
    // The same rows are drawn however the table is cut.
    for rows in [1_111, 20_000] {
        let cut = profile(rows);
        let other = cut.column("x").unwrap().numeric.as_ref().unwrap();
        assert_eq!((&other.quantiles, &other.histogram), (&numeric.quantiles, &numeric.histogram));
        assert_eq!(
            (cut.column("x").unwrap().distinct, &cut.column("t").unwrap().top),
            (column.distinct, &whole.column("t").unwrap().top)
        );
    }
}

fn kinds(table: &Table<'_>) -> Vec<(AlertKind, Vec<String>)> {
    Profile::of(table).unwrap().alerts.into_iter().map(|alert| (alert.kind, alert.columns)).collect()
}

#[test]
fn what_is_worth_a_look_is_named() {
    let n = 200;
    let column = |name: &'static str, of: &dyn Fn(usize) -> f64| {
        Column::f64(name, (0..n).map(of).collect::<Vec<_>>()).unwrap()
    };
    let text = |name: &'static str, of: &dyn Fn(usize) -> String| Column::text(name, (0..n).map(of)).unwrap();
    let table = Table::new(vec![
        column("constant", &|_| 7.0),
        column("zeros", &|i| (i % 10) as f64),
        column("infinite", &|i| if i % 20 == 0 { f64::INFINITY } else { (i % 7 + 1) as f64 }),
        column("twice", &|i| 1.0 + 2.0 * (i % 10) as f64),
        Column::optional_text("missing", (0..n).map(|i| (i % 5 > 0).then(|| ["a", "bb"][i % 2]))).unwrap(),
        text("key", &|i| format!("{i:04}")),
        text("mostly", &|i| if i == 0 { "rare".to_owned() } else { "usual".to_owned() }),
        Column::optional_text("nothing", (0..n).map(|_| None::<&str>)).unwrap(),
    ])
    .unwrap();
    let found = kinds(&table);
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (kind, columns) in [
        (AlertKind::Constant, &["constant"][..]),
        (AlertKind::Zeros, &["zeros"]),
        (AlertKind::Infinite, &["infinite"]),
        (AlertKind::Missing, &["missing"]),
        (AlertKind::Unique, &["key"]),
        (AlertKind::ConstantLength, &["key"]),
        (AlertKind::HighCardinality, &["key"]),
        (AlertKind::Imbalance, &["mostly"]),
        (AlertKind::Unsupported, &["nothing"]),
        (AlertKind::HighCorrelation, &["zeros", "twice"]),
    ] {
        assert!(found.contains(&(kind, names(columns))), "{kind:?} of {columns:?} is not in {found:?}");
    }
    assert!(
        !found
            .iter()
            .any(|(kind, _)| matches!(kind, AlertKind::Duplicates | AlertKind::Empty | AlertKind::Skewed))
    );
    let mut skewed = vec![0.0; 1_000];
    skewed[0] = 1.0;
    let found = kinds(&Table::new(vec![Column::f64("x", skewed).unwrap()]).unwrap());
    assert!(
        found.iter().any(|(kind, _)| *kind == AlertKind::Skewed)
            && found.iter().any(|(kind, _)| *kind == AlertKind::Duplicates)
    );
}

#[test]
fn hostile_tables_have_a_profile_without_nan() {
    let huge = vec![1e308, -1e308, f64::MAX, f64::MIN, 5e-324, -0.0, 0.0];
    let strange = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN, 1.0, 1.0, f64::NAN];
    let table = Table::new(vec![
        Column::f64("huge", huge).unwrap(),
        Column::f64("strange", strange).unwrap(),
        Column::f64("all nan", vec![f64::NAN; 7]).unwrap(),
        Column::i64("ends", vec![i64::MIN, i64::MAX, 0, 0, 0, 0, 0]).unwrap(),
        Column::new("time", Values::Time(vec![i64::MIN, i64::MAX, 0, 0, 0, 0, 0].into()), None).unwrap(),
        Column::optional_text("text", [Some(""), None, Some("\u{202e}<b>"), Some("\0"), None, None, None])
            .unwrap(),
        Column::text("long", (0..7).map(|i| "x".repeat(100_000 + i))).unwrap(),
    ])
    .unwrap();
    for table in [table.clone(), table.take(&[0]).unwrap(), table.take(&[]).unwrap(), Table::default()] {
        let profile = Profile::of(&table).unwrap();
        let written = serde_json::to_string(&profile).unwrap();
        assert_eq!(
            serde_json::from_str::<Profile>(&written).unwrap(),
            profile,
            "a NaN would be read as a null"
        );
        let page = profile.html("hostile \u{202e}<title>");
        assert!(!page.contains("<b>") && !page.contains(['\u{202e}', '\0']) && !page.contains("NaN%"));
        assert!(page.len() < 200_000, "{}", page.len());
    }
    let profile = Profile::of(&table).unwrap();
    let huge = profile.column("huge").unwrap().numeric.clone().unwrap();
    assert_eq!((huge.max, huge.variance, huge.zeros), (Some(f64::MAX), None, 2));
    let strange = profile.column("strange").unwrap().numeric.clone().unwrap();
    assert_eq!(
        (strange.nan, strange.positive_infinite, strange.negative_infinite, strange.mean),
        (3, 1, 1, Some(1.0))
    );
    assert_eq!(profile.column("ends").unwrap().distinct.count, 3);
    assert_eq!(profile.column("time").unwrap().time.unwrap().min(), None);
    assert_eq!(profile.column("long").unwrap().distinct.count, 7);
    assert_eq!(kinds(&table.take(&[]).unwrap())[0].0, AlertKind::Empty);
}

#[test]
fn a_million_categories_are_estimated() {
    let levels: Arc<[String]> = (0..1_000_000).map(|i| format!("patient-{i:07}")).collect();
    let codes: Vec<u32> = (0..200_000).map(|i| i * 5).collect();
    let column = Column::new("c", Values::Category { codes: codes.into(), levels }, None).unwrap();
    let mut profiler = Profiler::new(ProfileOptions::default().with_duplicates(false)).unwrap();
    profiler.push(&Table::new(vec![column]).unwrap()).unwrap();
    let profile = profiler.profile().unwrap();
    let distinct = profile.columns[0].distinct;
    assert!(!distinct.exact && (distinct.count as f64 / 200_000.0 - 1.0).abs() < 0.03, "{distinct:?}");
    assert_eq!(profile.duplicates, None);
}

#[test]
fn bad_options_and_batches_are_refused() {
    for options in [
        ProfileOptions::default().with_sample_rows(10),
        ProfileOptions::default().with_max_exact(usize::MAX),
        serde_json::from_str(r#"{"share":-1.0}"#).unwrap(),
        serde_json::from_str(r#"{"bins":0}"#).unwrap(),
    ] {
        assert_eq!(Profiler::new(options).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let mut profiler = Profiler::new(ProfileOptions::default()).unwrap();
    profiler.push(&Table::new(vec![Column::f64("x", vec![1.0]).unwrap()]).unwrap()).unwrap();
    assert!(profiler.push(&Table::new(vec![Column::f64("y", vec![1.0]).unwrap()]).unwrap()).is_err());
    let other = Profiler::new(ProfileOptions::default().with_seed(1)).unwrap();
    assert!(profiler.merge(&other).is_err());
    assert_eq!(profiler.profile().unwrap().rows, 1);
}

fn shards(table: &Table<'_>, cuts: &[usize], options: &ProfileOptions) -> Vec<Profiler> {
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| cut % (table.rows() + 1)).chain([table.rows()]).collect();
    ends.sort_unstable();
    let mut from = 0;
    let mut out = Vec::new();
    for end in ends {
        let rows: Vec<usize> = (from..end).collect();
        let mut shard = Profiler::new(options.clone()).unwrap().with_first_row(from as u64);
        shard.push(&table.take(&rows).unwrap()).unwrap();
        out.push(shard);
        from = end;
    }
    out
}

fn merged(shards: &[Profiler], options: &ProfileOptions) -> Profiler {
    let mut whole = Profiler::new(options.clone()).unwrap();
    shards.iter().for_each(|shard| whole.merge(shard).unwrap());
    whole
}

fn written(profiler: &Profiler) -> Profiler {
    let text = serde_json::to_string(&profiler.state()).unwrap();
    let state: ProfilerState = serde_json::from_str(&text).unwrap();
    assert_eq!(state, profiler.state());
    Profiler::try_from(state).unwrap()
}

/// 5000 rows of every type: NaN, infinities, missing values, more texts and numbers than are counted.
fn of_every_type() -> Table<'static> {
    let valid =
        |skip: usize| Some(Validity::from_bools(&(0..5_000).map(|i| i % skip != 0).collect::<Vec<_>>()));
    let real = |i: u32| match i % 50 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        _ => 1e6 + f64::from(i * 7_919 % 5_003) / 3.0,
    };
    let reals: Vec<f64> = (0..5_000).map(real).collect();
    let narrow: Vec<f32> = (0..5_000_u16).map(|i| f32::from(i % 977) / 8.0).collect();
    let labels =
        |of: u32| (0..5_000_u32).map(move |i| (i % 31 != 0).then(|| format!("level {}", i * 37 % of)));
    Table::new(vec![
        Column::new("real", Values::F64(reals.into()), valid(11)).unwrap(),
        Column::new("narrow", Values::F32(narrow.into()), valid(13)).unwrap(),
        Column::i64("whole", (0..5_000).map(|i| i * 104_729 % 1_009).collect::<Vec<i64>>()).unwrap(),
        Column::bool("flag", (0..5_000).map(|i| i % 3 == 0).collect::<Vec<_>>()).unwrap(),
        Column::new("time", Values::Time((0..5_000).map(|i| i * 1_000_003).collect::<Vec<_>>().into()), None)
            .unwrap(),
        Column::optional_text("few", labels(7)).unwrap(),
        Column::optional_text("many", labels(4_999)).unwrap(),
    ])
    .unwrap()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(8))]

    #[test]
    fn shards_written_read_and_merged_are_the_whole(
        cuts in proptest::collection::vec(proptest::prelude::any::<usize>(), 0..5),
        large: bool,
    ) {
        let table = of_every_type();
        let small = ProfileOptions::default().with_sample_rows(1_000).with_max_exact(1_500);
        let options = if large { ProfileOptions::default() } else { small };
        let shards = shards(&table, &cuts, &options);
        let read: Vec<Profiler> = shards.iter().map(written).collect();
        let (kept, travelled) = (merged(&shards, &options), merged(&read, &options));
        // To the last digit what it would have been without a journey.
        proptest::prop_assert_eq!(travelled.profile().unwrap(), kept.profile().unwrap());
        proptest::prop_assert_eq!(written(&travelled).profile().unwrap(), kept.profile().unwrap());
        let mut whole = Profiler::new(options).unwrap();
        whole.push(&table).unwrap();
        let (ours, theirs) = (travelled.profile().unwrap(), whole.profile().unwrap());
        proptest::prop_assert_eq!((ours.rows, ours.duplicates), (theirs.rows, theirs.duplicates));
        for (a, b) in ours.columns.iter().zip(&theirs.columns) {
            proptest::prop_assert_eq!((&a.name, a.count, a.missing, &a.distinct), (&b.name, b.count, b.missing, &b.distinct));
            proptest::prop_assert_eq!((&a.top, &a.text, &a.time), (&b.top, &b.text, &b.time));
            if let (Some(a), Some(b)) = (&a.numeric, &b.numeric) {
                proptest::prop_assert_eq!((a.nan, a.min, a.max, &a.quantiles), (b.nan, b.min, b.max, &b.quantiles));
                near(a.mean, b.mean, "mean");
                near(a.variance, b.variance, "variance");
            }
        }
    }
}

#[test]
fn states_that_no_profiler_has_are_refused() {
    let table = of_every_type();
    let options = ProfileOptions::default().with_sample_rows(1_000).with_max_exact(1_500);
    let mut profiler = Profiler::new(options).unwrap();
    profiler.push(&table).unwrap();
    let good = serde_json::to_value(profiler.state()).unwrap();
    use serde_json::json;
    for (pointer, value) in [
        ("/schema_version", json!(2)),
        ("/options/sample_rows", json!(1)),
        ("/options/duplicates", json!(false)),
        ("/rows", json!(0)),
        ("/rows", json!(u64::MAX)),
        ("/duplicates", json!(5_001)),
        ("/columns", json!(null)),
        ("/columns/0/missing", json!(5_001)),
        ("/columns/0/name", json!("narrow")),
        ("/columns/0/data_type", json!("bool")),
        ("/columns/0/numbers/nan", json!(u64::MAX)),
        ("/columns/0/numbers/range", json!(null)),
        ("/columns/0/numbers/range", json!([2.0, 1.0])),
        ("/columns/0/numbers/moments/n", json!(-1.0)),
        ("/columns/0/numbers/moments/n", json!(1e300)),
        ("/columns/3/words/counted/0/1", json!(0)),
        ("/columns/3/words/counted/0/1", json!(u64::MAX)),
        ("/columns/3/words/counted/0/0", json!(1)),
        ("/columns/4/times", json!([2, 1])),
        ("/columns/5/texts/count", json!(u64::MAX)),
        ("/columns/6/labels/estimated", json!("00")),
        ("/columns/6/labels/estimated", json!("ff".repeat(1 << 14))),
        ("/pairs", json!([])),
        ("/pairs/0/n", json!(-1.0)),
        ("/sample/bound", json!(0)),
        ("/sample/numbers", json!([])),
        ("/sample/columns/0/missing", json!([1_000_000])),
        ("/sample/columns/1", good.pointer("/sample/columns/0").unwrap().clone()),
        ("/sample/columns/5/values/category/levels", json!([])),
        ("/seen/wide/0", json!([u64::MAX, u64::MAX])),
        ("/seen", json!({"narrow": {"runs": [], "others": []}})),
    ] {
        let mut bad = good.clone();
        let place = bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}"));
        // The keys are written in ascending order, but read in any: twice the same is what is wrong.
        *place =
            if pointer == "/seen/wide/0" { good.pointer("/seen/wide/1").unwrap().clone() } else { value };
        let state = serde_json::from_value::<ProfilerState>(bad).unwrap();
        assert_eq!(Profiler::resume(state).err().map(|e| e.kind()), Some(ErrorKind::Corrupt), "{pointer}");
    }
    for text in ["{}", "null", r#"{"schema_version":1}"#] {
        assert!(serde_json::from_str::<ProfilerState>(text).is_err());
    }
}

#[test]
fn what_is_proposed_holds_for_what_was_seen_and_only_warns() {
    let (table, _) = reference();
    let schema = Profile::of(&table).unwrap().propose().unwrap();
    let names: Vec<String> = schema.rules().iter().map(|rule| rule.name()).collect();
    assert_eq!(
        names,
        [
            "within(id)",
            "within(skew)",
            "finite(skew)",
            "within(offset)",
            "finite(offset)",
            "within(zeros)",
            "present(holes)",
            "within(holes)",
            "finite(holes)",
            "one_of(site)",
            "one_of(arm)",
        ]
    );
    assert!(schema.rules().iter().all(|rule| rule.severity == Severity::Warning));
    assert_eq!(schema.field("holes").map(|f| (f.data_type, f.nullable)), Some((DataType::F64, true)));
    let report = Expectations::from_schema(&schema).validate(&table);
    assert_eq!(report.failures().count(), 0, "{report}");
    let written = schema.to_text(Default::default()).unwrap();
    assert_eq!(mlops_core::data::Schema::from_text(&written, Default::default()).unwrap(), schema);
    let strange = table
        .without(&["site"])
        .with_column(Column::text("site", vec!["berlin"; table.rows()]).unwrap())
        .unwrap();
    let report = Expectations::from_schema(&schema).validate(&strange);
    assert!(report.passed() && report.failures().map(|f| f.id.as_str()).eq(["one_of(site)"]));
}
