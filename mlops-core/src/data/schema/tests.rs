use super::*;

fn schema(fields: &[(&str, DataType, bool)]) -> Schema {
    let field =
        |(name, ty, nullable): &(&str, DataType, bool)| Field::new(*name, *ty).with_nullable(*nullable);
    Schema::new(fields.iter().map(field).collect()).unwrap()
}

#[test]
fn the_digest_covers_name_type_nullability_and_order() {
    use DataType::{Bool, F64, I64};
    let base = schema(&[("a", F64, false), ("bc", I64, false)]);
    for other in [
        schema(&[("ab", F64, false), ("c", I64, false)]),
        schema(&[("a", I64, false), ("bc", I64, false)]),
        schema(&[("a", F64, true), ("bc", I64, false)]),
        schema(&[("bc", I64, false), ("a", F64, false)]),
        schema(&[("a", F64, false)]),
        schema(&[("a", F64, false), ("bc", Bool, false)]),
    ] {
        assert_ne!(base.digest(), other.digest());
        assert!(!base.diff(&other).is_empty());
    }
    // Computed with Python 3 hashlib from the documented layout; a change here breaks every stored digest.
    assert_eq!(base.digest().to_string(), PINNED);
}

const PINNED: &str = "sha256:e1d68ab4eea638c202b411b1f236b1af486b9bd43d696cf1869e171242f0fff5";

#[test]
fn rules_are_not_part_of_the_digest_but_of_the_diff() {
    let plain = schema(&[("x", DataType::F64, false)]);
    let field = Field::new("x", DataType::F64).with_range(Range::new(Some(0.0), None).unwrap());
    let ruled = Schema::new(vec![field]).unwrap();
    assert_eq!(plain.digest(), ruled.digest());
    let diff = plain.diff(&ruled);
    assert!(!diff.is_empty() && !diff.is_breaking());
    assert_eq!(diff.to_string(), "changed `x`: range none → [0, ∞)");
}

#[test]
fn a_diff_says_what_breaks_a_reader() {
    use DataType::{F64, I64};
    let base = schema(&[("a", F64, false), ("b", I64, true)]);
    for (other, breaking) in [
        (schema(&[("a", F64, false), ("b", I64, true)]), false),
        (schema(&[("b", I64, true), ("a", F64, false)]), false),
        (schema(&[("a", F64, false), ("b", I64, false), ("c", I64, false)]), false),
        (schema(&[("a", F64, true), ("b", I64, true)]), true),
        (schema(&[("a", F64, false)]), true),
        (schema(&[("a", I64, false), ("b", I64, true)]), true),
    ] {
        assert_eq!(base.diff(&other).is_breaking(), breaking, "{}", base.diff(&other));
    }
    assert!(base.diff(&schema(&[("b", I64, true), ("a", F64, false)])).reordered);
    assert_eq!(base.diff(&base).to_string(), "no difference");
}

#[test]
fn schemas_that_contradict_themselves_are_refused_also_when_read() {
    let range = Range::new(Some(0.0), None).unwrap();
    for fields in [
        vec![],
        vec![Field::new("x", DataType::F64), Field::new("x", DataType::I64)],
        vec![Field::new("", DataType::F64)],
        vec![Field::new("x".repeat(1025), DataType::F64)],
        vec![Field::new("x", DataType::Category).with_range(range)],
        vec![Field::new("x", DataType::F64).with_levels(["a"])],
        vec![Field::new("x", DataType::Category).with_levels(["a", "a"])],
        vec![Field::new("x", DataType::Category).with_levels(Vec::<String>::new())],
    ] {
        let text = serde_json::json!({ "fields": fields.clone() }).to_string();
        assert!(Schema::new(fields).is_err());
        assert!(serde_json::from_str::<Schema>(&text).is_err(), "{text}");
    }
    for text in [
        r#"{"fields":[{"name":"x","data_type":"f64","range":{"min":2.0,"max":1.0}}]}"#,
        r#"{"fields":[{"name":"x","data_type":"f64","range":{"minn":2.0}}]}"#,
        r#"{"fields":[{"name":"x","data_type":"f65"}]}"#,
    ] {
        assert!(serde_json::from_str::<Schema>(text).is_err(), "{text}");
    }
    for limit in [f64::NAN, f64::INFINITY] {
        assert!(Range::new(Some(limit), None).is_err() && Range::new(None, Some(limit)).is_err());
    }
}

#[test]
fn names_of_types_are_the_serialised_ones() {
    use DataType::{Bool, Category, F32, F64, I64, Time};
    for ty in [F64, F32, I64, Bool, Category, Time] {
        assert_eq!(serde_json::to_value(ty).unwrap(), type_name(ty));
    }
}
