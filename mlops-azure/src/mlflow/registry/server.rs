//! The calls of MLflow's registry that are used here, as they go over the wire.

use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::http::Repeat;
use crate::mlflow::{Dialect, MlflowClient};

/// A model version to be made.
#[derive(Debug)]
pub(super) struct NewVersion<'a> {
    pub name: &'a str,
    pub source: &'a str,
    pub run: Option<&'a str>,
    pub description: &'a str,
    pub tags: Vec<Value>,
}

/// A model version as MLflow keeps it: its number, and its tags.
#[derive(Debug)]
pub(super) struct Stored {
    pub number: u64,
    pub tags: Vec<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct Server(MlflowClient);

fn protocol(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::Protocol, operation, message)
}

/// A version from an answer; its number is text, and some servers make it a number.
fn stored(operation: &'static str, version: &Value) -> Result<Stored> {
    let number = version.get("version").and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok()));
    let number = number.ok_or_else(|| protocol(operation, "a model version without a number"))?;
    let tags = version.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Stored { number, tags })
}

impl Server {
    pub(super) fn new(client: MlflowClient) -> Self {
        Self(client)
    }

    pub(super) async fn dialect(&self) -> Result<Dialect> {
        Ok(self.0.capabilities().await?.dialect)
    }

    /// Makes a registered model; whether it was there already.
    pub(super) async fn create_model(
        &self,
        operation: &'static str,
        name: &str,
        description: &str,
    ) -> Result<bool> {
        let body = json!({ "name": name, "description": description });
        match self.0.post(operation, "mlflow/registered-models/create", &body, Repeat::Safe).await {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What the server calls the model that it finds under a name: on some databases names have no case.
    pub(super) async fn model_name(&self, operation: &'static str, name: &str) -> Result<String> {
        let answer = self.0.get(operation, "mlflow/registered-models/get", &[("name", name)]).await?;
        let found = answer.pointer("/registered_model/name").and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| protocol(operation, "a registered model without a name"))
    }

    /// Makes the next version of a model, and returns its number.
    pub(super) async fn create_version(
        &self,
        operation: &'static str,
        new: &NewVersion<'_>,
        repeat: Repeat,
    ) -> Result<u64> {
        let mut body = json!({
            "name": new.name, "source": new.source, "description": new.description, "tags": new.tags,
        });
        if let Some(run) = new.run {
            body["run_id"] = json!(run);
        }
        let answer = self.0.post(operation, "mlflow/model-versions/create", &body, repeat).await?;
        let version = answer.get("model_version").unwrap_or(&Value::Null);
        stored(operation, version).map(|version| version.number)
    }

    /// At most `limit` versions of a model, newest first, and where the list goes on.
    pub(super) async fn newest(
        &self,
        operation: &'static str,
        name: &str,
        limit: u64,
        token: Option<&str>,
    ) -> Result<(Vec<Stored>, Option<String>)> {
        self.search(operation, &format!("name='{name}'"), limit, token).await
    }

    /// The version of a model that has a tag.
    pub(super) async fn tagged(
        &self,
        operation: &'static str,
        name: &str,
        key: &str,
        value: &str,
    ) -> Result<Option<u64>> {
        let filter = format!("name='{name}' and tags.`{key}` = '{value}'");
        let (found, _) = self.search(operation, &filter, 1, None).await?;
        Ok(found.first().map(|version| version.number))
    }

    async fn search(
        &self,
        operation: &'static str,
        filter: &str,
        limit: u64,
        token: Option<&str>,
    ) -> Result<(Vec<Stored>, Option<String>)> {
        let limit = limit.to_string();
        let mut query =
            vec![("filter", filter), ("max_results", &limit), ("order_by", "version_number DESC")];
        query.extend(token.map(|token| ("page_token", token)));
        let answer = self.0.get(operation, "mlflow/model-versions/search", &query).await?;
        let versions = answer.get("model_versions").and_then(Value::as_array);
        let found = versions.into_iter().flatten().map(|v| stored(operation, v)).collect::<Result<_>>()?;
        let next = answer.get("next_page_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        Ok((found, next.map(str::to_owned)))
    }

    pub(super) async fn version(&self, operation: &'static str, name: &str, version: u64) -> Result<Stored> {
        let version = version.to_string();
        let query = [("name", name), ("version", version.as_str())];
        let answer = self.0.get(operation, "mlflow/model-versions/get", &query).await?;
        stored(operation, answer.get("model_version").unwrap_or(&Value::Null))
    }

    pub(super) async fn delete_version(
        &self,
        operation: &'static str,
        name: &str,
        version: u64,
    ) -> Result<()> {
        let body = json!({ "name": name, "version": version.to_string() });
        self.gone(self.0.delete(operation, "mlflow/model-versions/delete", &body).await)
    }

    pub(super) async fn set_tag(
        &self,
        operation: &'static str,
        (name, version): (&str, u64),
        key: &str,
        value: &str,
    ) -> Result<()> {
        let body = json!({ "name": name, "version": version.to_string(), "key": key, "value": value });
        self.0.post(operation, "mlflow/model-versions/set-tag", &body, Repeat::Safe).await.map(drop)
    }

    pub(super) async fn delete_tag(
        &self,
        operation: &'static str,
        (name, version): (&str, u64),
        key: &str,
    ) -> Result<()> {
        let body = json!({ "name": name, "version": version.to_string(), "key": key });
        self.gone(self.0.delete(operation, "mlflow/model-versions/delete-tag", &body).await)
    }

    pub(super) async fn set_alias(
        &self,
        operation: &'static str,
        name: &str,
        alias: &str,
        version: u64,
    ) -> Result<()> {
        let body = json!({ "name": name, "alias": alias, "version": version.to_string() });
        self.0.post(operation, "mlflow/registered-models/alias", &body, Repeat::Safe).await.map(drop)
    }

    pub(super) async fn delete_alias(&self, operation: &'static str, name: &str, alias: &str) -> Result<()> {
        let body = json!({ "name": name, "alias": alias });
        self.gone(self.0.delete(operation, "mlflow/registered-models/alias", &body).await)
    }

    /// What is not there is gone.
    fn gone(&self, answer: Result<Value>) -> Result<()> {
        match answer {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
