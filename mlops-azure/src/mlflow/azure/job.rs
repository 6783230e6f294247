//! The job in which this process runs.

use std::sync::Arc;

use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};

use super::uri::TrackingUri;
use crate::auth::{AccessToken, FixedToken, TokenSource};
use crate::config::Variables;
use crate::config::discover::ProcessVariables;

/// What Azure Machine Learning tells its jobs of MLflow: where it is, which run is theirs, and a token for it.
///
/// Read are `MLFLOW_TRACKING_URI`, `MLFLOW_RUN_ID`, `AZUREML_RUN_ID`, `MLFLOW_TRACKING_TOKEN` and `AZUREML_RUN_TOKEN_EXPIRY`. The
/// token holds as long as the service says and is not renewed; a job that runs for days is better off with an identity.
///
/// ```
/// use mlops_azure::mlflow::JobRun;
/// let uri = "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/00000000-0000-0000-0000-000000000000\
///     /resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/mlw-churn";
/// let variables = [
///     ("MLFLOW_TRACKING_URI", uri),
///     ("MLFLOW_RUN_ID", "amiable_pin_1"),
///     ("AZUREML_RUN_ID", "amiable_pin_1"),
///     ("MLFLOW_TRACKING_TOKEN", "hunter2"),
/// ];
/// let job = JobRun::from_variables(&variables[..])?.ok_or("no job")?;
/// assert_eq!((job.run(), job.is_own()), ("amiable_pin_1", true));
/// assert!(!format!("{job:?}").contains("hunter2"));
/// assert!(JobRun::from_variables(&variables[..1])?.is_none(), "no run, no job");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct JobRun {
    uri: TrackingUri,
    run: String,
    own: bool,
    token: Option<AccessToken>,
}

impl JobRun {
    /// The job that the variables describe; nothing outside a job, and where MLflow is another server.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the variable, for a tracking URI of Azure's
    /// that is none, and for a time that is none.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Option<Self>> {
        const OP: &str = "JobRun::from_variables";
        let Some(uri) = variables.read("MLFLOW_TRACKING_URI").filter(|uri| uri.starts_with("azureml://"))
        else {
            return Ok(None);
        };
        let own = variables.read("AZUREML_RUN_ID");
        let Some(run) = variables.read("MLFLOW_RUN_ID").or_else(|| own.clone()) else { return Ok(None) };
        let uri = uri.parse().map_err(|e: Error| {
            Error::invalid(OP, "MLFLOW_TRACKING_URI", "is none of Azure Machine Learning").with_source(e)
        })?;
        let expires_at = match variables.read("AZUREML_RUN_TOKEN_EXPIRY") {
            None => Timestamp::MAX_UTC,
            Some(text) => {
                text.parse().ok().and_then(|seconds| Timestamp::from_timestamp(seconds, 0)).ok_or_else(
                    || Error::invalid(OP, "AZUREML_RUN_TOKEN_EXPIRY", "is no time in seconds since 1970"),
                )?
            }
        };
        let token = variables.read("MLFLOW_TRACKING_TOKEN").map(|text| AccessToken {
            secret: Secret::new(text),
            expires_at,
            refresh_at: None,
        });
        let own = own.as_deref() == Some(run.as_str());
        Ok(Some(Self { uri, run, own, token }))
    }

    /// The job that the process's environment describes.
    ///
    /// # Errors
    /// As of [`from_variables`](Self::from_variables).
    pub fn from_env() -> Result<Option<Self>> {
        Self::from_variables(&ProcessVariables)
    }

    /// Where MLflow is.
    pub fn uri(&self) -> &TrackingUri {
        &self.uri
    }

    /// MLflow's id of the run that is written to.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Whether that run is the job's own, whose status belongs to the service.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// The token of the environment as a source; nothing where there is none.
    pub fn tokens(&self) -> Option<Arc<dyn TokenSource>> {
        self.token.clone().map(|token| Arc::new(FixedToken::new(token)) as Arc<dyn TokenSource>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/\
        01234567-89ab-cdef-0123-456789abcdef/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/mlw-x";

    #[test]
    fn a_job_is_known_by_its_environment() {
        let uri = ("MLFLOW_TRACKING_URI", URI);
        let (run, own) = (("MLFLOW_RUN_ID", "child_1"), ("AZUREML_RUN_ID", "parent_1"));
        let read = |variables: &[(&str, &str)]| JobRun::from_variables(variables);
        assert!(read(&[]).unwrap().is_none() && read(&[run, own]).unwrap().is_none());
        assert!(read(&[("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000"), run]).unwrap().is_none());
        let job = read(&[uri, own]).unwrap().unwrap();
        assert_eq!((job.run(), job.is_own(), job.tokens().is_none()), ("parent_1", true, true));
        let job = read(&[uri, run, own]).unwrap().unwrap();
        assert_eq!(
            (job.run(), job.is_own()),
            ("child_1", false),
            "a run within the job has a status of its own"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (variables, field) in [
            (
                [("MLFLOW_TRACKING_URI", "azureml://example.com/x"), ("MLFLOW_RUN_ID", "r")],
                "MLFLOW_TRACKING_URI",
            ),
            (
                [("MLFLOW_TRACKING_URI", URI), ("AZUREML_RUN_TOKEN_EXPIRY", "soon")],
                "AZUREML_RUN_TOKEN_EXPIRY",
            ),
            (
                [("MLFLOW_TRACKING_URI", URI), ("AZUREML_RUN_TOKEN_EXPIRY", "9223372036854775807")],
                "AZUREML_RUN_TOKEN_EXPIRY",
            ),
        ] {
            let mut all = variables.to_vec();
            all.push(("AZUREML_RUN_ID", "r"));
            assert_eq!(JobRun::from_variables(&all[..]).unwrap_err().context("field"), Some(field));
        }
    }
}
