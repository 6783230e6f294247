//! The reproducibility capsule: what one needs to make a run again.

mod code;
mod compiler;
mod environment;
mod git;
mod machine;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::{Digest, StreamHasher};

use code::{Repository, read_bytes};

pub use code::CodeVersion;
pub use git::GitOptions;
pub use machine::Machine;

/// The program that ran.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The name of its file.
    pub name: Option<String>,
    /// The digest of its file: what ran, whatever the work tree said. Only where it was asked for.
    pub digest: Option<Digest>,
}

/// What one needs to make a run again; every part is optional, none may hold a secret.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capsule {
    /// The version of the code.
    pub code: CodeVersion,
    /// The digest of the lock file that pins the dependencies.
    pub lock: Option<Digest>,
    /// The seeds, by what they were for.
    pub seeds: BTreeMap<String, u64>,
    /// The versions of what mattered, by name (`rustc`, `mlops-core`, …).
    pub versions: BTreeMap<String, String>,
    /// The machine.
    #[serde(default)]
    pub machine: Machine,
    /// The program.
    #[serde(default)]
    pub program: Program,
    /// The digests of the data that went in, by role (`training`, …).
    #[serde(default)]
    pub inputs: BTreeMap<String, Digest>,
    /// Environment variables that were asked for and hold no secret.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What was asked for and is not in here, and why: `code.diff`, `environment.MODE`, …
    #[serde(default)]
    pub gaps: BTreeMap<String, String>,
}

/// What is captured. By default: what costs no process and a few small files.
///
/// ```
/// use mlops_core::experiment::{Capsule, CaptureOptions};
///
/// let options = CaptureOptions::default().with_git().with_program().with_environment(["RUST_LOG", "API_TOKEN"]);
/// let capsule = Capsule::capture_with(std::path::Path::new("."), &options);
/// assert!(capsule.program.digest.is_some());
/// assert!(capsule.gaps.contains_key("environment.API_TOKEN"));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureOptions {
    /// Asks git whether the work tree is what was committed, and for the digest of the difference. This starts a process and
    /// reads the changed files, but runs nothing that the repository brings. `None`, the default, leaves it.
    pub git: Option<GitOptions>,
    /// Takes the digest of the running program, which reads all of its file. Default false.
    pub program: bool,
    /// The names of the environment variables to keep; no others are. One whose name or value looks like a secret is left out,
    /// and listed under the gaps. Default: [`CaptureOptions::ENVIRONMENT`].
    pub environment: Vec<String>,
}

impl CaptureOptions {
    /// Variables that change what numbers come out, or how long it takes, and name nobody.
    pub const ENVIRONMENT: &[&str] = &[
        "CUDA_VISIBLE_DEVICES",
        "LANG",
        "LC_ALL",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "POLARS_MAX_THREADS",
        "RAYON_NUM_THREADS",
        "RUST_LOG",
        "TZ",
    ];

    /// Asks git about the work tree.
    #[must_use]
    pub fn with_git(mut self) -> Self {
        self.git = Some(GitOptions::default());
        self
    }

    /// Takes the digest of the running program.
    #[must_use]
    pub fn with_program(mut self) -> Self {
        self.program = true;
        self
    }

    /// Keeps these environment variables too.
    #[must_use]
    pub fn with_environment<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.environment.extend(names.into_iter().map(Into::into));
        self
    }
}

impl Default for CaptureOptions {
    fn default() -> Self {
        let environment = Self::ENVIRONMENT.iter().map(|name| (*name).to_owned()).collect();
        Self { git: None, program: false, environment }
    }
}

impl Capsule {
    /// With this version of the code.
    #[must_use]
    pub fn with_code(mut self, code: CodeVersion) -> Self {
        self.code = code;
        self
    }

    /// With the digest of this lock file.
    #[must_use]
    pub fn with_lock(mut self, lock: impl Into<Option<Digest>>) -> Self {
        self.lock = lock.into();
        self
    }

    /// The most entries that seeds, versions, inputs, environment and gaps may have, each.
    pub const MAX_ENTRIES: usize = 1_000;

    /// The most bytes that all text of a capsule may have.
    pub const MAX_BYTES: usize = 1 << 20;

    /// What can be had cheaply: commit, branch and repository of the work tree at `dir`, the digest of its `Cargo.lock`, compiler,
    /// version of this crate, machine, name of the program, and a few [variables](CaptureOptions::ENVIRONMENT). It starts no
    /// process, and what it cannot find out is left out: a run must not fail for that.
    ///
    /// ```
    /// use mlops_core::experiment::Capsule;
    /// let capsule = Capsule::capture(std::path::Path::new("."))
    ///     .with_seed("split", 7)
    ///     .with_version("trainer", env!("CARGO_PKG_VERSION"));
    /// assert_eq!(capsule.seeds["split"], 7);
    /// assert_eq!(capsule.versions["mlops-core"], env!("CARGO_PKG_VERSION"));
    /// assert_eq!(capsule.code.dirty, None);
    /// ```
    pub fn capture(dir: &Path) -> Self {
        Self::capture_with(dir, &CaptureOptions::default())
    }

    /// What `options` say.
    pub fn capture_with(dir: &Path, options: &CaptureOptions) -> Self {
        let (environment, gaps) = environment::capture(&options.environment, |name| std::env::var_os(name));
        let repository = Repository::find(dir);
        let mut capsule = Self {
            code: repository.as_ref().map(Repository::code_version).unwrap_or_default(),
            lock: lock(dir),
            versions: versions(),
            machine: Machine::discover(),
            environment,
            gaps,
            ..Self::default()
        };
        capsule.program.name = program_name();
        if let Some(git) = &options.git {
            capsule.look_at_work_tree(repository.as_ref(), git);
        }
        if options.program {
            match program_digest() {
                Ok(digest) => capsule.program.digest = Some(digest),
                Err(e) => capsule.gap("program.digest", e.kind().to_string()),
            }
        }
        capsule
    }

    fn look_at_work_tree(&mut self, repository: Option<&Repository>, options: &GitOptions) {
        let looked = repository.ok_or_else(|| "there is no git work tree".to_owned());
        match looked.and_then(|repository| git::look(repository, &self.code, options)) {
            Ok(tree) => {
                (self.code.dirty, self.code.untracked) = (Some(tree.dirty), Some(tree.untracked));
                match tree.diff {
                    Ok(digest) => self.code.diff = Some(digest),
                    Err(reason) => self.gap("code.diff", reason),
                }
            }
            Err(reason) => self.gap("code.dirty", reason),
        }
    }

    fn gap(&mut self, what: &str, reason: String) {
        self.gaps.insert(what.to_owned(), reason);
    }

    /// Adds a seed.
    #[must_use]
    pub fn with_seed(mut self, purpose: impl Into<String>, seed: u64) -> Self {
        self.seeds.insert(purpose.into(), seed);
        self
    }

    /// Adds a version, for instance of the program itself, which only its own crate knows: `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn with_version(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.versions.insert(name.into(), version.into());
        self
    }

    /// Adds the digest of data that goes in: of its bytes, or of its [content](crate::data::content_digest).
    #[must_use]
    pub fn with_input(mut self, role: impl Into<String>, digest: Digest) -> Self {
        self.inputs.insert(role.into(), digest);
        self
    }

    /// Checks [`Capsule::MAX_ENTRIES`] and [`Capsule::MAX_BYTES`]; [`RunSpec::check`](super::RunSpec::check) calls it.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) that names the part.
    ///
    /// ```
    /// use mlops_core::experiment::Capsule;
    /// assert!(Capsule::default().with_version("tool", "1.0").check("start").is_ok());
    /// assert!(Capsule::default().with_version("tool", "1".repeat(2 << 20)).check("start").is_err());
    /// ```
    pub fn check(&self, operation: &'static str) -> Result<()> {
        for (what, entries) in [
            ("the number of seeds", self.seeds.len()),
            ("the number of versions", self.versions.len()),
            ("the number of inputs", self.inputs.len()),
            ("the number of environment variables", self.environment.len()),
            ("the number of gaps", self.gaps.len()),
        ] {
            if entries > Self::MAX_ENTRIES {
                return Err(Error::limit(operation, what, Self::MAX_ENTRIES, entries));
            }
        }
        let bytes = self.texts().fold(0_usize, |sum, text| sum.saturating_add(text.len()));
        if bytes > Self::MAX_BYTES {
            return Err(Error::limit(operation, "the text of the capsule", Self::MAX_BYTES, bytes));
        }
        Ok(())
    }

    /// All text in it.
    fn texts(&self) -> impl Iterator<Item = &String> {
        let code = [&self.code.commit, &self.code.branch, &self.code.repository, &self.program.name];
        let maps = [&self.versions, &self.environment, &self.gaps];
        code.into_iter()
            .flatten()
            .chain(self.machine.texts())
            .chain(self.seeds.keys())
            .chain(self.inputs.keys())
            .chain(maps.into_iter().flatten().flat_map(|(name, value)| [name, value]))
    }
}

/// The digest of the lock file at `dir` or above.
fn lock(dir: &Path) -> Option<Digest> {
    let start = fs::canonicalize(dir).ok()?;
    let path = start.ancestors().map(|folder| folder.join("Cargo.lock")).find(|path| path.is_file())?;
    read_bytes(&path, 64 << 20).map(|bytes| Digest::of(&bytes))
}

fn versions() -> BTreeMap<String, String> {
    let own = ("mlops-core".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let compiler = compiler::rustc().map(|version| ("rustc".to_owned(), version));
    std::iter::once(own).chain(compiler).collect()
}

fn program_name() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let name = path.file_name()?.to_str()?;
    (!name.chars().any(char::is_control)).then(|| name.to_owned())
}

fn program_digest() -> std::io::Result<Digest> {
    // On Linux this is the file that runs, also when another has taken its place since.
    let path = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (StreamHasher::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::experiment::RunSpec;
    use crate::id::{ActorId, ExperimentName};

    #[test]
    fn what_costs_nothing_is_captured_by_default() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.lock"), b"lock").unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        let capsule = Capsule::capture(&folder.path().join("src"));
        assert_eq!(capsule.lock, Some(Digest::of(b"lock")));
        assert!(capsule.program.name.is_some() && capsule.program.digest.is_none());
        assert_eq!((capsule.code.dirty, capsule.code.diff), (None, None));
        assert!(capsule.gaps.is_empty() && capsule.check("test").is_ok(), "{:?}", capsule.gaps);
        let nowhere = Capsule::capture(&folder.path().join("nowhere"));
        assert_eq!((nowhere.lock, nowhere.code), (None, CodeVersion::default()));
    }

    #[test]
    fn what_was_asked_for_and_cannot_be_had_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let capsule =
            Capsule::capture_with(folder.path(), &CaptureOptions::default().with_git().with_program());
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(capsule.program.digest, Some(Digest::of(&program)));
        // Somebody may keep a work tree above the folder for temporary files.
        if capsule.code == CodeVersion::default() {
            assert_eq!(capsule.gaps["code.dirty"], "there is no git work tree");
        }
    }

    #[test]
    fn a_capsule_of_before_is_still_read() {
        let text = r#"{"code":{"commit":"0123456789abcdef0123456789abcdef01234567","branch":"main","dirty":null},
            "lock":null,"seeds":{"split":7},"versions":{"mlops-core":"0.1.0"}}"#;
        let capsule: Capsule = serde_json::from_str(text).unwrap();
        assert_eq!((capsule.seeds["split"], &capsule.machine), (7, &Machine::default()));
        let whole = Capsule::capture(Path::new("."))
            .with_input("training", Digest::of(b"rows"))
            .with_seed("s", u64::MAX);
        assert_eq!(serde_json::from_str::<Capsule>(&serde_json::to_string(&whole).unwrap()).unwrap(), whole);
    }

    #[test]
    fn a_capsule_is_bounded_and_a_run_with_too_large_a_one_is_refused() {
        let many = |n: usize| (0..n).map(|i| (i.to_string(), String::new())).collect::<BTreeMap<_, _>>();
        let text = "x".repeat(Capsule::MAX_BYTES + 1);
        let spec = |capsule: Capsule| {
            RunSpec::new(ExperimentName::new("e").unwrap(), "run", ActorId::new("a").unwrap())
                .with_capsule(capsule)
        };
        let over = |change: fn(&mut Capsule, String)| {
            let mut capsule = Capsule::default();
            change(&mut capsule, text.clone());
            capsule
        };
        for large in [
            Capsule { versions: many(1_001), ..Capsule::default() },
            Capsule { environment: many(1_001), ..Capsule::default() },
            Capsule { gaps: many(1_001), ..Capsule::default() },
            Capsule { seeds: many(1_001).into_keys().map(|name| (name, 0)).collect(), ..Capsule::default() },
            Capsule {
                inputs: many(1_001).into_keys().map(|name| (name, Digest::of(b""))).collect(),
                ..Capsule::default()
            },
            over(|capsule, text| capsule.code.commit = Some(text)),
            over(|capsule, text| capsule.code.branch = Some(text)),
            over(|capsule, text| capsule.code.repository = Some(text)),
            over(|capsule, text| capsule.program.name = Some(text)),
            over(|capsule, text| capsule.machine.name = Some(text)),
            over(|capsule, text| capsule.machine.os = Some(text)),
            over(|capsule, text| capsule.machine.kernel = Some(text)),
            over(|capsule, text| capsule.machine.arch = Some(text)),
            over(|capsule, text| *capsule = capsule.clone().with_seed(text, 1)),
            over(|capsule, text| *capsule = capsule.clone().with_version(text, "")),
            over(|capsule, text| *capsule = capsule.clone().with_version("", text)),
            over(|capsule, text| *capsule = capsule.clone().with_input(text, Digest::of(b""))),
        ] {
            assert_eq!(spec(large).check().unwrap_err().kind(), ErrorKind::LimitExceeded);
        }
        let fits = Capsule { versions: many(1_000), ..Capsule::default() };
        assert!(spec(fits).check().is_ok());
        assert!(spec(Capsule::default().with_version("", &text[1..])).check().is_ok());
    }
}
