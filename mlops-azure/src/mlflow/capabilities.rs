//! What the server at the other end can do.

use serde::Deserialize;

/// Which of MLflow's dialects a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// MLflow 2, or something that does not say what it is.
    Mlflow2,
    /// MLflow 3.
    Mlflow3,
    /// Azure Machine Learning: MLflow 2 under a path of its own, without logged models and without an artifact proxy.
    AzureMl,
}

/// What a server can do, as it said or as its dialect implies.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCapabilities {
    /// The dialect.
    pub dialect: Dialect,
    /// The version it says it has.
    pub version: Option<String>,
    /// There are logged models (`/mlflow/logged-models`).
    pub logged_models: bool,
    /// Artifacts go through the server (`/mlflow-artifacts`).
    pub proxied_artifacts: bool,
    /// The proxy offers multipart uploads.
    pub multipart_uploads: bool,
    /// The proxy offers multipart downloads, by presigned URLs.
    pub multipart_downloads: bool,
    /// The history of a metric can be read in pages.
    pub paged_history: bool,
    /// Filters know `IS NULL`.
    pub null_filters: bool,
    /// The server keeps workspaces apart.
    pub workspaces: bool,
}

impl ServerCapabilities {
    /// What a dialect implies, where the server says nothing.
    ///
    /// ```
    /// use mlops_azure::mlflow::{Dialect, ServerCapabilities};
    /// assert!(ServerCapabilities::of(Dialect::Mlflow3).logged_models);
    /// assert!(!ServerCapabilities::of(Dialect::AzureMl).proxied_artifacts);
    /// ```
    pub fn of(dialect: Dialect) -> Self {
        let three = dialect == Dialect::Mlflow3;
        Self {
            dialect,
            version: None,
            logged_models: three,
            proxied_artifacts: dialect != Dialect::AzureMl,
            multipart_uploads: false,
            multipart_downloads: false,
            paged_history: three,
            null_filters: three,
            workspaces: false,
        }
    }

    /// What a server of this version can do. What cannot be read as a version counts as 2.
    pub(super) fn of_version(version: &str) -> Self {
        let version = version.trim().trim_matches('"');
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        let dialect = if major.is_some_and(|m| m >= 3) { Dialect::Mlflow3 } else { Dialect::Mlflow2 };
        // A proxy may answer anything with a page of its own.
        let shown = major.is_some() && version.len() <= 64 && version.bytes().all(|b| b.is_ascii_graphic());
        Self { version: shown.then(|| version.to_owned()), ..Self::of(dialect) }
    }

    /// Adds what the server says of itself (`/api/3.0/mlflow/server-info`).
    pub(super) fn with_info(mut self, info: &ServerInfo) -> Self {
        self.multipart_uploads = info.multipart_uploads_enabled;
        self.multipart_downloads = info.multipart_downloads_enabled;
        self.workspaces = info.workspaces_enabled;
        self
    }
}

/// The answer of `/api/3.0/mlflow/server-info`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ServerInfo {
    workspaces_enabled: bool,
    multipart_uploads_enabled: bool,
    multipart_downloads_enabled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_say_the_dialect() {
        for (version, dialect, shown) in [
            ("3.17.2", Dialect::Mlflow3, Some("3.17.2")),
            ("2.22.5\n", Dialect::Mlflow2, Some("2.22.5")),
            ("10.0.0", Dialect::Mlflow3, Some("10.0.0")),
            ("<html>", Dialect::Mlflow2, None),
            ("", Dialect::Mlflow2, None),
        ] {
            let server = ServerCapabilities::of_version(version);
            assert_eq!((server.dialect, server.version.as_deref()), (dialect, shown), "{version}");
        }
    }

    #[test]
    fn the_answer_of_a_real_server_is_read() {
        // MLflow 3.17.2.
        let info = r#"{"store_type": "SqlStore", "workspaces_enabled": false, "trace_archival_enabled": false,
            "multipart_uploads_enabled": true, "multipart_downloads_enabled": false, "features_enabled": {"gateway": true}}"#;
        let server = ServerCapabilities::of(Dialect::Mlflow3).with_info(&serde_json::from_str(info).unwrap());
        assert!(server.multipart_uploads && !server.multipart_downloads && !server.workspaces);
    }
}
