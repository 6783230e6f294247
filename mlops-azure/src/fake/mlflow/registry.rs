//! Registered models, their versions and aliases.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::filter::{self, Cell, Column, Order};
use super::{Ask, Fail, lean, now, paged, pair, shown_pairs};

const STAGES: [&str; 4] = ["None", "Staging", "Production", "Archived"];

#[derive(Default)]
pub(super) struct Models(BTreeMap<String, Model>);

#[derive(Default)]
struct Model {
    description: String,
    created: i64,
    updated: i64,
    tags: BTreeMap<String, String>,
    aliases: BTreeMap<String, u64>,
    versions: BTreeMap<u64, Version>,
    /// Numbers are not given again.
    last: u64,
}

struct Version {
    source: String,
    run: String,
    link: String,
    description: String,
    stage: &'static str,
    created: i64,
    updated: i64,
    tags: BTreeMap<String, String>,
}

impl Model {
    fn show(&self, name: &str) -> Value {
        let aliases: Vec<Value> = self
            .aliases
            .iter()
            .map(|(alias, version)| json!({ "alias": alias, "version": version.to_string() }))
            .collect();
        lean(json!({
            "name": name, "description": self.description, "creation_timestamp": self.created,
            "last_updated_timestamp": self.updated, "tags": shown_pairs(&self.tags), "aliases": aliases,
            "latest_versions": self.latest(name),
        }))
    }

    /// The newest version of each stage.
    fn latest(&self, name: &str) -> Vec<Value> {
        let newest = |stage: &&str| {
            let (number, _) = self.versions.iter().rev().find(|(_, version)| version.stage == *stage)?;
            self.show_version(name, *number)
        };
        STAGES.iter().filter_map(newest).collect()
    }

    fn show_version(&self, name: &str, number: u64) -> Option<Value> {
        let version = self.versions.get(&number)?;
        let aliases: Vec<&String> =
            self.aliases.iter().filter(|(_, to)| **to == number).map(|(alias, _)| alias).collect();
        Some(lean(json!({
            "name": name, "version": number.to_string(), "source": version.source, "run_id": version.run,
            "run_link": version.link, "description": version.description, "status": "READY",
            "current_stage": version.stage, "creation_timestamp": version.created,
            "last_updated_timestamp": version.updated, "tags": shown_pairs(&version.tags), "aliases": aliases,
        })))
    }
}

impl Version {
    fn cell(&self, (name, number): (&str, u64), column: Column, key: &str) -> Option<Cell> {
        let text = |text: &str| Some(Cell::Text(text.to_owned()));
        match (column, key) {
            (Column::Tag, key) => self.tags.get(key).cloned().map(Cell::Text),
            (Column::Attribute, "name") => text(name),
            (Column::Attribute, "run_id") => text(&self.run),
            (Column::Attribute, "source_path") => text(&self.source),
            (Column::Attribute, "version_number") => Some(Cell::Number(number as f64)),
            (Column::Attribute, "creation_timestamp") => Some(Cell::Number(self.created as f64)),
            (Column::Attribute, "last_updated_timestamp") => Some(Cell::Number(self.updated as f64)),
            _ => None,
        }
    }
}

fn missing_version(name: &str, version: impl std::fmt::Display) -> Fail {
    Fail::missing(format!("Model Version (name={name}, version={version}) not found"))
}

fn number(call: &Ask) -> Result<u64, Fail> {
    let version = call.value("version");
    let number = version.as_u64().or_else(|| version.as_str()?.parse().ok());
    number.ok_or_else(|| Fail::invalid("Model version must be an integer"))
}

fn check_alias(alias: &str) -> Result<(), Fail> {
    let reserved = alias.eq_ignore_ascii_case("latest")
        || alias
            .strip_prefix(['v', 'V'])
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    match () {
        () if reserved => Err(Fail::invalid(format!("Version alias name '{alias}' is reserved."))),
        () if alias.len() > 255 || !alias.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) => {
            Err(Fail::invalid(format!("Invalid alias name: '{alias}'.")))
        }
        () => Ok(()),
    }
}

impl Models {
    pub(super) fn answer(&mut self, call: &Ask, path: &str) -> Result<Value, Fail> {
        match (&call.method, path) {
            (&Method::POST, "registered-models/create") => self.create(call),
            (&Method::GET, "registered-models/get") => {
                let name = call.required("name")?;
                Ok(json!({ "registered_model": self.model(name)?.show(name) }))
            }
            (&Method::GET, "registered-models/search") => self.search(call),
            (&Method::PATCH, "registered-models/update") => {
                let (name, text) = (call.required("name")?, call.text("description").unwrap_or_default());
                let model = self.model(name)?;
                (model.description, model.updated) = (text.to_owned(), now());
                Ok(json!({ "registered_model": model.show(name) }))
            }
            (&Method::POST, "registered-models/rename") => self.rename(call),
            (&Method::DELETE, "registered-models/delete") => {
                let name = call.required("name")?;
                self.model(name)?;
                self.0.remove(name);
                Ok(json!({}))
            }
            (&Method::POST, "registered-models/set-tag") => {
                let (key, value) = pair(&Value::Object(call.arguments.clone()))?;
                self.model(call.required("name")?)?.tags.insert(key, value);
                Ok(json!({}))
            }
            (&Method::DELETE, "registered-models/delete-tag") => {
                self.model(call.required("name")?)?.tags.remove(call.required("key")?);
                Ok(json!({}))
            }
            (&Method::POST | &Method::GET, "registered-models/get-latest-versions") => {
                let name = call.required("name")?;
                Ok(lean(json!({ "model_versions": self.model(name)?.latest(name) })))
            }
            (_, "registered-models/alias") => self.alias(call),
            (&Method::POST, "model-versions/create") => self.create_version(call),
            (&Method::GET, "model-versions/search") => self.search_versions(call),
            (method, path) => self.version(method, path, call),
        }
    }

    fn model(&mut self, name: &str) -> Result<&mut Model, Fail> {
        let missing = || Fail::missing(format!("Registered Model with name={name} not found"));
        self.0.get_mut(name).ok_or_else(missing)
    }

    fn create(&mut self, call: &Ask) -> Result<Value, Fail> {
        let name = call.required("name")?;
        if self.0.contains_key(name) {
            return Err(Fail::exists(format!("Registered Model (name={name}) already exists.")));
        }
        let made = now();
        let model = Model {
            description: call.text("description").unwrap_or_default().to_owned(),
            created: made,
            updated: made,
            tags: call.pairs("tags")?.into_iter().collect(),
            ..Model::default()
        };
        let shown = model.show(name);
        self.0.insert(name.to_owned(), model);
        Ok(json!({ "registered_model": shown }))
    }

    fn search(&self, call: &Ask) -> Result<Value, Fail> {
        let clauses = filter::parse(call.text("filter").unwrap_or_default())?;
        let page = call.page(100, 1_000)?;
        let cell = |(name, model): &(&String, &Model), column, key: &str| match (column, key) {
            (Column::Tag, key) => model.tags.get(key).cloned().map(Cell::Text),
            (Column::Attribute, "name") => Some(Cell::Text((*name).clone())),
            _ => None,
        };
        let matches = |row: &(&String, &Model)| {
            clauses.iter().all(|clause| clause.matches(cell(row, clause.column, &clause.key).as_ref()))
        };
        let found: Vec<_> = self.0.iter().filter(matches).collect();
        Ok(paged("registered_models", found, page, |(name, model)| model.show(name)))
    }

    fn rename(&mut self, call: &Ask) -> Result<Value, Fail> {
        let (name, new) = (call.required("name")?, call.required("new_name")?);
        self.model(name)?;
        if self.0.contains_key(new) {
            return Err(Fail::exists(format!("Registered Model (name={new}) already exists.")));
        }
        let Some(model) = self.0.remove(name) else { return Err(Fail::absent()) };
        let shown = model.show(new);
        self.0.insert(new.to_owned(), model);
        Ok(json!({ "registered_model": shown }))
    }

    fn alias(&mut self, call: &Ask) -> Result<Value, Fail> {
        let (name, alias) = (call.required("name")?, call.required("alias")?);
        match call.method {
            Method::POST => {
                check_alias(alias)?;
                let number = number(call)?;
                let model = self.model(name)?;
                if !model.versions.contains_key(&number) {
                    return Err(missing_version(name, number));
                }
                model.aliases.insert(alias.to_owned(), number);
                Ok(json!({}))
            }
            Method::DELETE => {
                self.model(name)?.aliases.remove(alias);
                Ok(json!({}))
            }
            Method::GET => {
                // An alias of a model that is not there is an alias that is not there.
                let missing = || Fail::invalid(format!("Registered model alias {alias} not found."));
                let model = self.0.get(name).ok_or_else(missing)?;
                let number = model.aliases.get(alias).copied();
                let shown = number.and_then(|number| model.show_version(name, number));
                Ok(json!({ "model_version": shown.ok_or_else(missing)? }))
            }
            _ => Err(Fail::absent()),
        }
    }

    fn create_version(&mut self, call: &Ask) -> Result<Value, Fail> {
        let (name, source) = (call.required("name")?, call.required("source")?);
        let tags = call.pairs("tags")?;
        let made = now();
        let text = |name: &str| call.text(name).unwrap_or_default().to_owned();
        let model = self.model(name)?;
        model.last += 1;
        let version = Version {
            source: source.to_owned(),
            run: text("run_id"),
            link: text("run_link"),
            description: text("description"),
            stage: "None",
            created: made,
            updated: made,
            tags: tags.into_iter().collect(),
        };
        model.versions.insert(model.last, version);
        model.updated = made;
        Ok(json!({ "model_version": model.show_version(name, model.last) }))
    }

    fn search_versions(&self, call: &Ask) -> Result<Value, Fail> {
        let clauses = filter::parse(call.text("filter").unwrap_or_default())?;
        let orders = call.texts("order_by")?;
        let orders = orders.iter().map(|text| Order::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let page = call.page(10_000, 200_000)?;
        let all = self.0.iter().flat_map(|(name, model)| {
            model.versions.iter().map(move |(number, version)| (name, model, *number, version))
        });
        let mut found: Vec<_> = all
            .filter(|(name, _, number, version)| {
                let cell = |column, key: &str| version.cell((name, *number), column, key);
                clauses.iter().all(|clause| clause.matches(cell(clause.column, &clause.key).as_ref()))
            })
            .collect();
        found.sort_by(|left, right| {
            let ordered = orders.iter().fold(Ordering::Equal, |found, order| {
                found.then_with(|| {
                    let cell = |row: &(&String, &Model, u64, &Version)| {
                        row.3.cell((row.0, row.2), order.column, &order.key)
                    };
                    order.compare(cell(left).as_ref(), cell(right).as_ref())
                })
            });
            let newest = right.3.updated.cmp(&left.3.updated);
            ordered.then(newest).then(left.0.cmp(right.0)).then(right.2.cmp(&left.2))
        });
        Ok(paged("model_versions", found, page, |(name, model, number, _)| {
            model.show_version(name, *number).unwrap_or_default()
        }))
    }

    /// What is about one version.
    fn version(&mut self, method: &Method, path: &str, call: &Ask) -> Result<Value, Fail> {
        let known = matches!(
            (method, path),
            (&Method::GET, "model-versions/get" | "model-versions/get-download-uri")
                | (&Method::PATCH, "model-versions/update")
                | (&Method::DELETE, "model-versions/delete" | "model-versions/delete-tag")
                | (&Method::POST, "model-versions/set-tag" | "model-versions/transition-stage")
        );
        if !known {
            return Err(Fail::absent());
        }
        let (name, number) = (call.required("name")?, number(call)?);
        // A version of a model that is not there is a version that is not there.
        let model = self.0.get_mut(name).ok_or_else(|| missing_version(name, number))?;
        let version = model.versions.get_mut(&number).ok_or_else(|| missing_version(name, number))?;
        match path {
            "model-versions/get-download-uri" => return Ok(json!({ "artifact_uri": version.source })),
            "model-versions/update" => {
                call.text("description").unwrap_or_default().clone_into(&mut version.description);
                version.updated = now();
            }
            "model-versions/delete" => {
                model.versions.remove(&number);
                model.aliases.retain(|_, to| *to != number);
                return Ok(json!({}));
            }
            "model-versions/set-tag" => {
                let (key, value) = pair(&Value::Object(call.arguments.clone()))?;
                version.tags.insert(key, value);
                return Ok(json!({}));
            }
            "model-versions/delete-tag" => {
                version.tags.remove(call.required("key")?);
                return Ok(json!({}));
            }
            "model-versions/transition-stage" => return transition(model, name, number, call),
            _ => {}
        }
        Ok(json!({ "model_version": model.show_version(name, number) }))
    }
}

fn transition(model: &mut Model, name: &str, number: u64, call: &Ask) -> Result<Value, Fail> {
    let wanted = call.required("stage")?;
    let stage = STAGES.into_iter().find(|stage| stage.eq_ignore_ascii_case(wanted));
    let stage = stage.ok_or_else(|| Fail::invalid(format!("Invalid Model Version stage: {wanted}.")))?;
    let archives = call.value("archive_existing_versions").as_bool().unwrap_or_default();
    if archives && !matches!(stage, "Staging" | "Production") {
        return Err(Fail::invalid(format!(
            "Model version transition cannot archive existing model versions because '{stage}' is not an Active stage."
        )));
    }
    for (other, version) in &mut model.versions {
        if *other == number {
            (version.stage, version.updated) = (stage, now());
        } else if archives && version.stage == stage {
            (version.stage, version.updated) = ("Archived", now());
        }
    }
    Ok(json!({ "model_version": model.show_version(name, number) }))
}
