//! Entra's tokens for MLflow on Azure Machine Learning.

use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::Result;
use mlops_core::governance::Secret;

use super::token::{Scope, TokenSource};
use crate::config::Cloud;
use crate::config::cloud::Audience;
use crate::mlflow::TokenProvider;

/// Tokens for [`MlflowAuth::Provider`](crate::mlflow::MlflowAuth::Provider).
///
/// MLflow on Azure Machine Learning takes tokens for Resource Manager, not those for scoring.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken, MlflowTokens};
/// use mlops_azure::config::Cloud;
/// use mlops_azure::mlflow::{MlflowAuth, MlflowClient};
///
/// let source = Arc::new(FixedToken::new(AccessToken::new("t", "2100-01-01T00:00:00Z".parse()?)));
/// let auth = MlflowAuth::Provider(Arc::new(MlflowTokens::new(source, Cloud::Public)));
/// let client = MlflowClient::builder("azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/s").auth(auth).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MlflowTokens {
    source: Arc<dyn TokenSource>,
    scope: Scope,
}

impl MlflowTokens {
    /// Tokens of a source; give it a [`TokenCache`](super::TokenCache), for every request asks for one.
    pub fn new(source: Arc<dyn TokenSource>, cloud: Cloud) -> Self {
        Self { source, scope: cloud.scope(Audience::ResourceManager) }
    }
}

#[async_trait]
impl TokenProvider for MlflowTokens {
    async fn token(&self) -> Result<Secret> {
        Ok(self.source.token(&self.scope).await?.secret)
    }

    async fn refuse(&self, token: &Secret) {
        // What is remembered may be another one by now.
        if let Ok(kept) = self.source.token(&self.scope).await
            && kept.secret.expose() == token.expose()
        {
            self.source.refuse(&self.scope, &kept).await;
        }
    }
}
