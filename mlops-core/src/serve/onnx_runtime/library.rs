//! The dynamic library.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::LoadDynamicError;
use ort::environment::Environment;

use super::{OnnxModel, OnnxOptions, guarded, said};
use crate::error::{Error, ErrorKind, Result};
use crate::time::lock;

const OP: &str = "OnnxRuntime::load";

/// The variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// The library of this process: a process has one, for as long as it runs.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// ONNX Runtime, loaded from its dynamic library (`libonnxruntime.so`, `libonnxruntime.dylib`, `onnxruntime.dll`), 1.17 or later.
///
/// A process has one library for as long as it runs: who loads the same again has the same. Nothing is sent anywhere: what the library would
/// report about its use is switched off.
#[derive(Clone)]
pub struct OnnxRuntime {
    path: PathBuf,
    environment: Environment,
}

impl OnnxRuntime {
    /// Loads the library at a path; a name without a folder is looked for where the system looks for libraries.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none; [`ErrorKind::Corrupt`] for a file that is no such library; [`ErrorKind::Unsupported`] for one
    /// that is too old; [`ErrorKind::Conflict`] when the process has another one, or has set up ONNX Runtime without this module.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// use mlops_core::serve::onnx_runtime::OnnxRuntime;
    /// let error = OnnxRuntime::load("/no/such/libonnxruntime.so").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = located(path.as_ref())?;
        let mut loaded = lock(&LOADED);
        if let Some((before, environment)) = loaded.as_ref() {
            if *before == path {
                return Ok(Self { path, environment: environment.clone() });
            }
            let error = Error::new(ErrorKind::Conflict, OP, "the process has another library already");
            return Err(error.with("loaded", before.display()).with("library", path.display()));
        }
        let environment = guarded(OP, || start(&path)).map_err(|e| e.with("library", path.display()))?;
        *loaded = Some((path.clone(), environment.clone()));
        Ok(Self { path, environment })
    }

    /// Loads the library that the variable `ORT_DYLIB_PATH` names, or else the one that the system finds by its usual name.
    ///
    /// # Errors
    /// As [`OnnxRuntime::load`].
    pub fn from_env() -> Result<Self> {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        let usual = || {
            let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
            OsString::from(format!("{prefix}onnxruntime{suffix}"))
        };
        Self::load(PathBuf::from(named.unwrap_or_else(usual)))
    }

    /// The library.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loads a model.
    ///
    /// # Errors
    /// As [`OnnxModel::load`].
    pub fn model(&self, bytes: &[u8], options: &OnnxOptions) -> Result<OnnxModel> {
        OnnxModel::load(self, bytes, options)
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

impl fmt::Debug for OnnxRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxRuntime").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The file, wherever its name stands for one.
fn located(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Error::invalid(OP, "path", "must not be empty"));
    }
    // A name alone is for the system to look up.
    if path.parent().is_some_and(|folder| folder.as_os_str().is_empty()) {
        return Ok(path.to_owned());
    }
    let missing = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => ErrorKind::NotFound,
            _ => ErrorKind::Storage,
        };
        Error::new(kind, OP, "there is no library of ONNX Runtime")
            .with("library", path.display())
            .with_source(e)
    };
    let path = path.canonicalize().map_err(missing)?;
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::invalid(OP, "path", "is no file").with("library", path.display())),
    }
}

fn start(path: &Path) -> Result<Environment> {
    let builder = ort::init_from(path).map_err(|e| {
        let (kind, message) = match &e {
            LoadDynamicError::Dlopen { .. } if path.is_absolute() => {
                (ErrorKind::Corrupt, "the file is no library that can be loaded here")
            }
            LoadDynamicError::Dlopen { .. } => (ErrorKind::NotFound, "there is no library of ONNX Runtime"),
            LoadDynamicError::BadVersion { .. } => {
                (ErrorKind::Unsupported, "the library is too old; it must be ONNX Runtime 1.17 or later")
            }
            LoadDynamicError::MissingApi { .. } | LoadDynamicError::InvalidVersionString => {
                (ErrorKind::Corrupt, "the library is not ONNX Runtime")
            }
        };
        Error::new(kind, OP, message).with_source(e)
    })?;
    builder.with_name("mlops").with_telemetry(false).build().map_err(said(
        ErrorKind::Conflict,
        OP,
        "ONNX Runtime cannot be set up",
    ))
}
