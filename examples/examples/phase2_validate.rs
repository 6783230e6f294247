//! Phase 2: a schema with rules, bad rows set aside, a file in batches, a profile, and a schema that evolves by review.
//!
//! `cargo run -p mlops-examples --example phase2_validate`

use std::error::Error;
use std::io::Write as _;

use mlops_core::data::{
    CsvBatches, CsvOptions, DataType, Expectations, ProfileOptions, Profiler, Schema, SchemaFormat, Table,
    ValidateOptions, Validator,
};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::Source;

/// What the data is held to. In a project this is a file beside the code, and a change to it is reviewed like one.
const SCHEMA: &str = r#"
environments = ["training", "serving"]
extra_columns = "refuse"

[[fields]]
name = "age"
data_type = "i64"
range = { min = 18, max = 120 }

[[fields]]
name = "sex"
data_type = "i64"

[[fields]]
name = "bmi"
data_type = "f64"
nullable = true
range = { min = 10, max = 80, exclusive_max = true }

[[fields]]
name = "target"
data_type = "f64"
finite = true
not_in = ["serving"]

[[rules]]
id = "sex is known"
rule = "one_of"
column = "sex"
values = ["1", "2"]

[[rules]]
id = "bmi is mostly there"
rule = "present"
column = "bmi"
max_missing = 0.05
severity = "warning"

[[rules]]
id = "enough patients"
rule = "rows"
min = 100
only_in = ["training"]
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // The bundled patients with four slips of the keyboard, in a file of its own.
    let text = std::fs::read_to_string(Source::diabetes().file)?;
    let text = text
        .replacen("\n48,1,", "\n480,1,", 1)
        .replacen("\n72,2,", "\n72,3,", 1)
        .replacen("\n24,1,", "\n-24,7,", 1);
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;

    step(1, "Read the schema");
    let schema = Schema::from_text(SCHEMA, SchemaFormat::Toml)?;
    say(format!(
        "{} fields, {} rules, for {}",
        schema.fields().len(),
        schema.rules().len(),
        schema.environments().join(" and ")
    ));
    // A slip in the schema itself is an error with its place, not a rule that is silently not checked.
    let slip = SCHEMA.replacen("max_missing", "max_mising", 1);
    if let Err(error) = Schema::from_text(&slip, SchemaFormat::Toml) {
        say(error);
    }

    step(2, "Check the file in batches, and set bad rows aside");
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
    let options = CsvOptions::default().with_select(columns).with_type("target", DataType::F64);
    let expected = Expectations::for_environment(&schema, "training")?;
    let mut validator = Validator::new(&expected, ValidateOptions::default());
    let mut profiler = Profiler::new(ProfileOptions::default())?;
    let mut set_aside = Vec::new();
    let batches = CsvBatches::open(file.path(), &options, 100)?;
    // What the columns alone say is known before a row is read.
    let types = batches.columns();
    say(format!(
        "columns: {}",
        types.iter().map(|(name, ty)| format!("{name} {ty:?}")).collect::<Vec<_>>().join(", ")
    ));
    for batch in batches {
        let batch = batch?;
        let (good, bad) = validator.push(&batch)?.apart(batch, "why")?;
        set_aside.push(bad);
        // Only good rows go on.
        profiler.push(&good)?;
    }
    let report = validator.report();
    say(&report);
    say(format!("the {} good rows may be used: {}", report.good_rows(), report.good_rows_usable()));
    let set_aside = Table::concat(&set_aside)?;
    for row in 0..set_aside.rows() {
        let why = set_aside.column("why")?.label(row).unwrap_or_default().into_owned();
        say(format!("set aside: {why}"));
    }

    step(3, "Describe what is left");
    let profile = profiler.profile()?;
    say(&profile);
    let page = std::env::temp_dir().join(format!("mlops-profile-{}.html", std::process::id()));
    std::fs::write(&page, profile.html("Diabetes patients"))?;
    say(format!("a page with pictures: {}", page.display()));

    step(4, "Let the data propose a schema, and review what would change");
    let proposed = profile.propose()?;
    for change in schema.diff(&proposed).changes() {
        say(change);
    }

    step(5, "In serving there is no target");
    let serving = Table::new(profile_row(&schema)?)?;
    say(Expectations::for_environment(&schema, "serving")?.validate(&serving));
    say(Expectations::for_environment(&schema, "training")?.validate(&serving));
    Ok(())
}

/// One request: the fields that are in serving.
fn profile_row(schema: &Schema) -> Result<Vec<mlops_core::data::Column<'static>>, mlops_core::Error> {
    use mlops_core::data::Column;
    let there = schema.fields().iter().filter(|field| field.is_in("serving"));
    there
        .map(|field| match field.name.as_str() {
            "age" => Column::i64("age", vec![59]),
            "sex" => Column::i64("sex", vec![2]),
            name => Column::f64(name.to_owned(), vec![32.1]),
        })
        .collect()
}
