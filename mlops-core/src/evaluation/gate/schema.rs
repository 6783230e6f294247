//! The JSON Schema of a gate's file.

use serde_json::{Map, Value, json};

use super::reuse::{MAX_BUDGET, MAX_FULL_BUDGET};
use super::rules::{MAX_CRITERIA, MAX_LABEL, MAX_NAME};

/// The JSON Schema (draft 2020-12) of a gate's file, for editors and for checks without this library. It is published as
/// `schemas/gate.schema.json`. It says which keys there are and how they go together; what a schema cannot say (that ids are
/// distinct, that `min` is not above `max`) is left to [`GateSpec`](super::GateSpec), which refuses all that the schema
/// refuses.
///
/// ```
/// let schema = mlops_core::evaluation::gate::schema();
/// assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
/// ```
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:mlops:schema:gate:1",
        "title": "Gate",
        "description": "What a model must show before it may be released.",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "criteria"],
        "properties": {
            "name": name("The gate's name."),
            "alpha": level("The level of tests; 0.05 if not given."),
            "multiplicity": words(
                "What is done about several tests.",
                &["none", "intersection_union", "holm", "bonferroni", "hommel", "benjamini_hochberg"],
            ),
            "reuse": reuse(),
            "requires_approval": {
                "type": "boolean",
                "description": "Whether somebody has to approve a decision that passed.",
            },
            "criteria": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_CRITERIA,
                "items": { "$ref": "#/$defs/criterion" },
                "contains": {
                    "anyOf": [
                        { "not": { "required": ["severity"] } },
                        { "properties": { "severity": { "const": "error" } } },
                    ],
                },
            },
        },
        "$defs": { "criterion": criterion() },
    })
}

fn criterion() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "metric"],
        "properties": properties(),
        "allOf": [
            { "anyOf": any(&["min", "max", "max_drop", "min_gain", "min_relative_gain", "band"]) },
            at_most_one(&["slice", "attribute"]),
            at_most_one(&["max_drop", "min_gain"]),
            at_most_one(&["max_drop", "min_relative_gain"]),
            at_most_one(&["max_drop", "band"]),
            at_most_one(&["min_gain", "min_relative_gain"]),
            at_most_one(&["min_gain", "band"]),
            at_most_one(&["min_relative_gain", "band"]),
            at_most_one(&["no_champion", "baseline"]),
            at_most_one(&["attribute", "min_positives"]),
            at_most_one(&["attribute", "min_negatives"]),
            at_most_one(&["require_interval", "test"]),
            at_most_one(&["min_relative_gain", "test"]),
            with_margin("no_champion"),
            with_margin("baseline"),
            with_margin("direction"),
            with_margin("hypothesis"),
            when("require_interval", "low", json!({ "required": ["min"], "not": one_of_others("max") })),
            when("require_interval", "high", json!({ "required": ["max"], "not": one_of_others("min") })),
            when("hypothesis", "non_inferiority", json!({ "required": ["max_drop"] })),
            when("hypothesis", "superiority", json!({ "required": ["min_gain"] })),
            when("hypothesis", "equivalence", json!({ "required": ["band"] })),
            {
                "if": { "required": ["alpha"] },
                "then": { "anyOf": any(&["hypothesis", "test"]) },
            },
            {
                "if": { "anyOf": any(&["hypothesis", "test"]) },
                "then": {
                    "not": {
                        "allOf": [
                            { "anyOf": any(&["min", "max"]) },
                            { "anyOf": any(&["max_drop", "min_gain", "band"]) },
                        ],
                    },
                    "properties": { "band": { "exclusiveMinimum": 0 } },
                },
            },
            when("test", "exact", json!({ "anyOf": any(&["min", "max"]) })),
            {
                "if": {
                    "properties": {
                        "test": { "enum": ["delong", "mcnemar", "permutation", "sign_flip", "wilcoxon"] },
                    },
                    "required": ["test"],
                },
                "then": { "not": { "anyOf": any(&["min", "max"]) } },
            },
        ],
    })
}

fn properties() -> Value {
    json!({
        "id": name("A name for the criterion, of its own within the gate."),
        "metric": {
            "type": "string",
            "minLength": 1,
            "maxLength": 250,
            "description": "The metric; with `attribute`, the disparity.",
        },
        "slice": label("The slice over which the metric is taken, as the report names it."),
        "attribute": label("The sensitive attribute between whose groups the metric is a disparity."),
        "min": number("The smallest value allowed."),
        "max": number("The largest value allowed."),
        "min_rows": count("The fewest rows on which the value may rest."),
        "require_interval": words(
            "Compare this end of the 95 % confidence interval with the bound: low with min, high with max.",
            &["low", "high"],
        ),
        "max_drop": margin("By how much the value may be worse than the champion's."),
        "min_gain": margin("By how much the value must be better than the champion's."),
        "no_champion": words("What holds when there is no champion.", &["pass", "fail", "insufficient"]),
        "direction": words(
            "Which way the metric is better, where the report says of it that neither way is.",
            &["higher_is_better", "lower_is_better"],
        ),
        "min_relative_gain": margin("By which share of the champion's value the value must be better."),
        "band": margin("By how much the value may differ from the champion's."),
        "baseline": label("The name of the baseline with which is compared in place of the champion."),
        "hypothesis": words(
            "What a test has to show about the margin.",
            &["non_inferiority", "superiority", "equivalence"],
        ),
        "test": words(
            "The test from which the p-value has to come.",
            &[
                "auto", "bootstrap", "delong", "exact", "intersection_union", "mcnemar", "permutation", "score",
                "sign_flip", "t", "wilcoxon",
            ],
        ),
        "alpha": level("The level of the test, in place of the gate's."),
        "min_positives": count("The fewest rows of the positive class."),
        "min_negatives": count("The fewest rows of the negative class."),
        "severity": words("How much it matters when the criterion is not met.", &["error", "warning", "note"]),
    })
}

fn reuse() -> Value {
    json!({
        "type": "object",
        "description": "How often the test set may decide.",
        "additionalProperties": false,
        "required": ["budget"],
        "properties": {
            "budget": { "type": "integer", "minimum": 1, "maximum": MAX_BUDGET },
            "adaptivity": words(
                "What those who change the model learn of earlier decisions; full if not given.",
                &["none", "full", "first_change"],
            ),
        },
        "if": {
            "properties": { "adaptivity": { "enum": ["none", "first_change"] } },
            "required": ["adaptivity"],
        },
        "else": { "properties": { "budget": { "maximum": MAX_FULL_BUDGET } } },
    })
}

fn name(description: &str) -> Value {
    let pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": pattern, "description": description })
}

fn label(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_LABEL, "pattern": "\\S", "description": description })
}

fn words(description: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words, "description": description })
}

fn number(description: &str) -> Value {
    json!({ "type": "number", "description": description })
}

fn margin(description: &str) -> Value {
    json!({ "type": "number", "minimum": 0, "description": description })
}

fn level(description: &str) -> Value {
    json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5, "description": description })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX, "description": description })
}

fn any(keys: &[&str]) -> Vec<Value> {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

fn at_most_one(keys: &[&str]) -> Value {
    json!({ "not": { "required": keys } })
}

fn with_margin(key: &str) -> Value {
    json!({
        "if": { "required": [key] },
        "then": { "anyOf": any(&["max_drop", "min_gain", "min_relative_gain", "band"]) },
    })
}

fn one_of_others(bound: &str) -> Value {
    json!({ "anyOf": any(&[bound, "max_drop", "min_gain", "min_relative_gain", "band"]) })
}

fn when(key: &str, word: &str, then: Value) -> Value {
    let properties: Map<String, Value> = [(key.to_owned(), json!({ "const": word }))].into_iter().collect();
    json!({ "if": { "properties": properties, "required": [key] }, "then": then })
}
