//! Secrets from the environment and in files.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::FileType;
use secrecy::zeroize::Zeroize as _;

use crate::disk::blocking;
use crate::disk::folder::{Folder, Found, file_type, word};
use crate::disk::make_folders;
use crate::disk::temp::{self, TempFile};
use crate::disk::{read_only, storage};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::{Secret, SecretStore};
use crate::id::SecretName;

const GET: &str = "SecretStore::get";
const SET: &str = "SecretStore::set";
const REMOVE: &str = "SecretStore::remove";
const NAMES: &str = "SecretStore::names";

/// Secrets from environment variables, which are read when they are asked for and never written.
///
/// A name becomes a variable by the prefix, upper case and `_` for `-`: `tracking-token` is `MLOPS_SECRET_TRACKING_TOKEN`.
/// That is reversible for names in lower case; a name with a capital letter would share its variable with another and is
/// refused. A value comes back exactly, also an empty one.
///
/// ```
/// use mlops_core::SecretName;
/// use mlops_core::governance::SecretStore as _;
/// use mlops_core::local::EnvSecretStore;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = EnvSecretStore::new("CARGO_PKG_")?;
/// // What cargo says in `CARGO_PKG_NAME` while it runs this example.
/// assert_eq!(store.get(&SecretName::new("name")?).await?.expose(), "mlops-core");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvSecretStore {
    prefix: String,
}

impl EnvSecretStore {
    /// The prefix of [`EnvSecretStore::default`].
    pub const PREFIX: &str = "MLOPS_SECRET_";

    /// Secrets in the variables that begin with `prefix`.
    ///
    /// With an empty prefix every variable is a secret, and [`names`](SecretStore::names) lists all of them that could be one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a prefix of anything but capital letters, digits and `_`, or with a digit first.
    ///
    /// ```
    /// use mlops_core::local::EnvSecretStore;
    /// assert!(EnvSecretStore::new("MY_SERVICE_").is_ok());
    /// assert!(EnvSecretStore::new("my-service").is_err());
    /// ```
    pub fn new(prefix: impl Into<String>) -> Result<Self> {
        let prefix = prefix.into();
        let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if !prefix.bytes().all(allowed) || prefix.starts_with(|c: char| c.is_ascii_digit()) {
            let message = "must have capital letters, digits and _ only, and no digit first";
            return Err(Error::invalid("EnvSecretStore::new", "prefix", message).with("value", prefix));
        }
        Ok(Self { prefix })
    }

    /// The variable that holds the secret `name`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name with a capital letter.
    ///
    /// ```
    /// use mlops_core::SecretName;
    /// use mlops_core::local::EnvSecretStore;
    /// let store = EnvSecretStore::default();
    /// assert_eq!(store.variable(&SecretName::new("tracking-token")?)?, "MLOPS_SECRET_TRACKING_TOKEN");
    /// assert!(store.variable(&SecretName::new("Tracking-Token")?).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn variable(&self, name: &SecretName) -> Result<String> {
        if name.as_str().bytes().any(|b| b.is_ascii_uppercase()) {
            let message = "has a capital letter, which a variable does not keep";
            return Err(Error::invalid("EnvSecretStore::variable", "name", message).with("secret", name));
        }
        Ok(format!("{}{}", self.prefix, name.as_str().to_ascii_uppercase().replace('-', "_")))
    }

    /// The name whose variable this is.
    fn name(&self, variable: &OsString) -> Option<SecretName> {
        let rest = variable.to_str()?.strip_prefix(&self.prefix)?;
        let name = SecretName::new(rest.to_ascii_lowercase().replace('_', "-")).ok()?;
        self.variable(&name).is_ok_and(|v| v.as_str() == variable).then_some(name)
    }
}

impl Default for EnvSecretStore {
    fn default() -> Self {
        Self { prefix: Self::PREFIX.to_owned() }
    }
}

#[async_trait]
impl SecretStore for EnvSecretStore {
    async fn get(&self, name: &SecretName) -> Result<Secret> {
        let variable = self.variable(name)?;
        let Some(value) = env::var_os(&variable) else {
            return Err(Error::not_found(GET, "secret", name).with("variable", variable));
        };
        match value.into_string() {
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(not_text(name).with("variable", variable)),
        }
    }

    async fn set(&self, _: &SecretName, _: &Secret) -> Result<()> {
        Err(Error::unsupported(SET, "writing"))
    }

    async fn remove(&self, _: &SecretName) -> Result<()> {
        Err(Error::unsupported(REMOVE, "writing"))
    }

    async fn names(&self) -> Result<Vec<SecretName>> {
        let mut names: Vec<_> = env::vars_os().filter_map(|(variable, _)| self.name(&variable)).collect();
        names.sort();
        Ok(names)
    }
}

/// Secrets in files of a folder that nobody else may read, one each.
///
/// The folder has mode 0700 and its files 0600. A folder or a file that the group or others may read is refused with
/// [`ErrorKind::Rejected`], and so is anything that is no file, a symbolic link above all. Values are not encrypted: this
/// keeps secrets from other users, not from the owner or from backups.
///
/// A file is named as its secret, with `_` before each letter that was a capital, in lower case then: file systems that do
/// not tell them apart must not mix up two secrets. A new value replaces the old one as a whole, whenever the process dies.
///
/// ```
/// use mlops_core::SecretName;
/// use mlops_core::governance::{Secret, SecretStore as _};
/// use mlops_core::local::FileSecretStore;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let dir = folder.path().join("secrets");
/// let store = FileSecretStore::open(&dir)?;
/// let name = SecretName::new("tracking-token")?;
/// store.set(&name, &Secret::new("hunter2")).await?;
/// assert_eq!(FileSecretStore::open(&dir)?.get(&name).await?.expose(), "hunter2");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileSecretStore {
    /// None where there is none and none may be made.
    folder: Option<Arc<Folder>>,
    writable: bool,
}

impl FileSecretStore {
    /// The most bytes a value may have.
    pub const MAX_BYTES: usize = 1 << 16;

    /// Opens the folder `dir`, and makes it where it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] for a folder that others may read, write or enter; [`ErrorKind::Storage`].
    pub fn open(dir: &Path) -> Result<Self> {
        const OP: &str = "FileSecretStore::open";
        let folder = open_private(dir).map_err(|error| storage(OP, "secrets", error))?;
        check_private(OP, &folder)?;
        // What cannot be removed now, somebody else can later.
        let _ = temp::remove_stale(&folder);
        Ok(Self { folder: Some(Arc::new(folder)), writable: true })
    }

    /// As [`open`](Self::open), for one who changes nothing: a folder that is not there is not made and holds nothing, and every
    /// write is [`ErrorKind::Storage`].
    pub(crate) fn open_read_only(dir: &Path) -> Result<Self> {
        const OP: &str = "FileSecretStore::open";
        let folder = match Folder::open(dir) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { folder: None, writable: false });
            }
            Err(error) => return Err(storage(OP, "secrets", error)),
        };
        check_private(OP, &folder)?;
        Ok(Self { folder: Some(Arc::new(folder)), writable: false })
    }

    /// Does `work` with the folder where it may wait for the disk; without a folder there is `nothing`.
    async fn with<T: Send + 'static>(
        &self,
        operation: &'static str,
        nothing: impl FnOnce() -> Result<T> + Send,
        work: impl FnOnce(&Arc<Folder>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(folder) = self.folder.clone() else { return nothing() };
        blocking(operation, move || work(&folder)).await
    }

    /// Changes what is in the folder, if that may be.
    async fn change(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Arc<Folder>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        if !self.writable {
            return Err(read_only(operation));
        }
        self.with(operation, || Err(read_only(operation)), work).await
    }
}

impl fmt::Debug for FileSecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSecretStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for FileSecretStore {
    async fn get(&self, name: &SecretName) -> Result<Secret> {
        let (missing, name) = (Error::not_found(GET, "secret", name), name.clone());
        self.with(GET, || Err(missing), move |folder| read(folder, &name)).await
    }

    async fn set(&self, name: &SecretName, value: &Secret) -> Result<()> {
        let (name, value) = (name.clone(), value.clone());
        self.change(SET, move |folder| write(folder, &name, &value)).await
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        let name = name.clone();
        self.change(REMOVE, move |folder| remove(folder, &name)).await
    }

    async fn names(&self) -> Result<Vec<SecretName>> {
        self.with(NAMES, || Ok(Vec::new()), |folder| names(folder)).await
    }
}

/// Refuses a folder that others may look into.
fn check_private(operation: &'static str, folder: &Folder) -> Result<()> {
    let stat = folder.stat_self().map_err(|error| storage(operation, "secrets", error))?;
    if stat.st_mode & 0o077 == 0 {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Rejected, operation, "others may look into the folder of secrets");
    Err(error.with("expected", "0700").with("found", format!("{:04o}", stat.st_mode & 0o7777)))
}

/// Opens a folder, made with mode 0700 where it is not there: from the start, so that nobody gets in before.
fn open_private(dir: &Path) -> io::Result<Folder> {
    use std::os::unix::fs::DirBuilderExt as _;
    match Folder::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        answer => return answer,
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folders(above)?;
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => Folder::open(above)?.sync()?,
    }
    Folder::open(dir)
}

fn read(folder: &Folder, name: &SecretName) -> Result<Secret> {
    let fault = |error| storage(GET, format_args!("secrets/{name}"), error);
    let file = match folder.find(file_name(name)) {
        Ok(Found::File(file)) => file,
        Ok(Found::Other(kind)) => {
            let error =
                Error::new(ErrorKind::Rejected, GET, "something else is in the place of a secret's file");
            return Err(error.with("secret", name).with("found", word(kind)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::not_found(GET, "secret", name));
        }
        Err(error) => return Err(fault(error)),
    };
    let metadata = file.metadata().map_err(fault)?;
    if metadata.mode() & 0o077 != 0 {
        let error = Error::new(ErrorKind::Rejected, GET, "others may read the file of the secret");
        let found = format!("{:04o}", metadata.mode() & 0o7777);
        return Err(error.with("secret", name).with("expected", "0600").with("found", found));
    }
    if metadata.len() > FileSecretStore::MAX_BYTES as u64 {
        return Err(
            Error::limit(GET, "the secret", FileSecretStore::MAX_BYTES, metadata.len()).with("secret", name)
        );
    }
    match String::from_utf8(read_exactly(&file, metadata.len()).map_err(fault)?) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(not_text(name))
        }
    }
}

/// Reads into memory of exactly that size: growing would leave copies behind that nobody wipes.
fn read_exactly(mut file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => {
            bytes.zeroize();
            Err(error)
        }
    }
}

fn write(folder: &Arc<Folder>, name: &SecretName, value: &Secret) -> Result<()> {
    let value = value.expose().as_bytes();
    if value.len() > FileSecretStore::MAX_BYTES {
        return Err(
            Error::limit(SET, "the secret", FileSecretStore::MAX_BYTES, value.len()).with("secret", name)
        );
    }
    let write = || {
        let mut temp = TempFile::new(folder)?;
        temp.file().write_all(value)?;
        temp.file().sync_all()?;
        temp.place(folder, &file_name(name))?;
        folder.sync()
    };
    write().map_err(|error| storage(SET, format_args!("secrets/{name}"), error))
}

fn remove(folder: &Folder, name: &SecretName) -> Result<()> {
    match folder.remove_file(file_name(name)).and_then(|()| folder.sync()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::not_found(REMOVE, "secret", name))
        }
        answer => answer.map_err(|error| storage(REMOVE, format_args!("secrets/{name}"), error)),
    }
}

fn names(folder: &Folder) -> Result<Vec<SecretName>> {
    let fault = |error| storage(NAMES, "secrets", error);
    let mut names = Vec::new();
    for file in folder.names().map_err(fault)? {
        let file = file.map_err(fault)?;
        let Some(name) = file.to_str().and_then(secret_name) else { continue };
        if folder.stat(&file).is_ok_and(|stat| file_type(&stat) == FileType::RegularFile) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The name of a secret's file.
fn file_name(name: &SecretName) -> String {
    let mut file = String::with_capacity(name.as_str().len());
    for c in name.as_str().chars() {
        if c.is_ascii_uppercase() {
            file.push('_');
        }
        file.push(c.to_ascii_lowercase());
    }
    file
}

/// The secret whose file has this name.
fn secret_name(file: &str) -> Option<SecretName> {
    let (mut name, mut capital) = (String::with_capacity(file.len()), false);
    for c in file.chars() {
        match c {
            '_' => capital = true,
            c if capital => {
                name.push(c.to_ascii_uppercase());
                capital = false;
            }
            c => name.push(c),
        }
    }
    SecretName::new(name).ok().filter(|name| file_name(name) == file)
}

fn not_text(name: &SecretName) -> Error {
    Error::new(ErrorKind::Corrupt, GET, "the value of the secret is not UTF-8").with("secret", name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::conformance::secret::SecretsUnderTest;

    fn name(text: &str) -> SecretName {
        SecretName::new(text).unwrap()
    }

    /// A store that keeps its folder for as long as it lives.
    #[derive(Debug)]
    struct InFolder(FileSecretStore, tempfile::TempDir);

    #[async_trait]
    impl SecretStore for InFolder {
        async fn get(&self, name: &SecretName) -> Result<Secret> {
            self.0.get(name).await
        }

        async fn set(&self, name: &SecretName, value: &Secret) -> Result<()> {
            self.0.set(name, value).await
        }

        async fn remove(&self, name: &SecretName) -> Result<()> {
            self.0.remove(name).await
        }

        async fn names(&self) -> Result<Vec<SecretName>> {
            self.0.names().await
        }
    }

    impl InFolder {
        fn path(&self, file: &str) -> std::path::PathBuf {
            self.1.path().join("secrets").join(file)
        }

        fn mode(&self, file: &str) -> u32 {
            std::fs::metadata(self.path(file)).unwrap().permissions().mode() & 0o7777
        }
    }

    fn fresh() -> Arc<InFolder> {
        let folder = tempfile::tempdir().unwrap();
        Arc::new(InFolder(FileSecretStore::open(&folder.path().join("secrets")).unwrap(), folder))
    }

    crate::secret_store_suite!(files, SecretsUnderTest::new(fresh()));
    crate::secret_store_suite!(
        files_in_an_arc,
        SecretsUnderTest::new(Arc::new(fresh() as Arc<dyn SecretStore>))
    );
    crate::secret_store_suite!(
        files_in_a_box,
        SecretsUnderTest::new(Arc::new(Box::new(fresh()) as Box<dyn SecretStore>))
    );

    /// Cargo sets `CARGO_PKG_NAME` for its tests; setting a variable here would race with every other test.
    fn environment() -> SecretsUnderTest {
        SecretsUnderTest::new(Arc::new(EnvSecretStore::new("CARGO_PKG_").unwrap()))
            .read_only(name("name"), Secret::new(env!("CARGO_PKG_NAME")))
    }

    crate::secret_store_suite!(environment_variables, environment());

    #[test]
    fn variables_and_names_go_both_ways_or_not_at_all() {
        let store = EnvSecretStore::default();
        for text in ["a", "tracking-token", "a--b", "a-2", "0"] {
            let variable = store.variable(&name(text)).unwrap();
            assert_eq!(store.name(&variable.clone().into()), Some(name(text)), "{variable}");
        }
        for variable in ["PATH", "MLOPS_SECRET_", "MLOPS_SECRET_a", "MLOPS_SECRET_A-B", "MLOPS_SECRET_Ä"] {
            assert_eq!(store.name(&variable.into()), None, "{variable}");
        }
        let error = store.variable(&name("Token")).unwrap_err();
        assert_eq!((error.kind(), error.context("secret")), (ErrorKind::InvalidInput, Some("Token")));
        for prefix in ["a", "A-", "1A", "A B", "Ä", "A=\0"] {
            assert_eq!(EnvSecretStore::new(prefix).unwrap_err().context("field"), Some("prefix"), "{prefix}");
        }
    }

    #[tokio::test]
    async fn only_variables_under_the_prefix_are_listed() {
        let names = EnvSecretStore::new("CARGO_PKG_").unwrap().names().await.unwrap();
        assert!(names.contains(&name("version")) && names.is_sorted(), "{names:?}");
        assert!(!names.contains(&name("path")));
        let all = EnvSecretStore::new("").unwrap().names().await.unwrap();
        assert!(all.contains(&name("cargo-pkg-version")) && all.contains(&name("path")));
    }

    /// Runs in a process of its own, whose environment has a value that is no text.
    #[tokio::test]
    async fn a_variable_that_is_no_text_is_corrupt_and_does_not_print() {
        use std::os::unix::ffi::OsStringExt as _;
        const VARIABLE: &str = "MLOPS_SECRET_NO_TEXT";
        if env::var_os(VARIABLE).is_some() {
            let error = EnvSecretStore::default().get(&name("no-text")).await.unwrap_err();
            assert_eq!((error.kind(), error.context("variable")), (ErrorKind::Corrupt, Some(VARIABLE)));
            assert!(!format!("{error} {error:?}").contains("canary"));
            return;
        }
        let test = "local::secret::tests::a_variable_that_is_no_text_is_corrupt_and_does_not_print";
        let output = std::process::Command::new(env::current_exe().unwrap())
            .args(["--exact", test])
            .env(VARIABLE, OsString::from_vec(b"canary\xff".to_vec()))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[tokio::test]
    async fn files_are_for_their_owner_alone() {
        let store = fresh();
        store.set(&name("token"), &Secret::new("canary")).await.unwrap();
        assert_eq!((store.mode(""), store.mode("token")), (0o700, 0o600));
        for mode in [0o640, 0o604, 0o610, 0o666, 0o602] {
            std::fs::set_permissions(store.path("token"), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = store.get(&name("token")).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.context("secret")),
                (ErrorKind::Rejected, Some("token")),
                "{mode:o}"
            );
            assert!(!format!("{error:?}").contains("canary"));
        }
        // A new value makes it right again.
        store.set(&name("token"), &Secret::new("new")).await.unwrap();
        assert_eq!(store.get(&name("token")).await.unwrap().expose(), "new");
        for mode in [0o750, 0o701, 0o777] {
            std::fs::set_permissions(store.path(""), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = FileSecretStore::open(&store.path("")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected, "{mode:o}");
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused_and_not_listed() {
        let store = fresh();
        let outside = store.1.path().join("outside");
        std::fs::write(&outside, "canary").unwrap();
        std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&outside, store.path("link")).unwrap();
        symlink("nowhere", store.path("dangling")).unwrap();
        std::fs::create_dir(store.path("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, store.path("fifo"), FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        for text in ["link", "dangling", "folder", "fifo"] {
            assert_eq!(store.get(&name(text)).await.unwrap_err().kind(), ErrorKind::Rejected, "{text}");
        }
        assert!(store.names().await.unwrap().is_empty());
        // A new value replaces the link, not what it points to.
        store.set(&name("link"), &Secret::new("new")).await.unwrap();
        assert_eq!(store.get(&name("link")).await.unwrap().expose(), "new");
        assert_eq!(std::fs::read(&outside).unwrap(), b"canary");
    }

    #[tokio::test]
    async fn values_have_a_limit_and_are_text() {
        let store = fresh();
        let most = "x".repeat(FileSecretStore::MAX_BYTES);
        store.set(&name("token"), &Secret::new(most.clone())).await.unwrap();
        assert_eq!(store.get(&name("token")).await.unwrap().expose(), most);
        let error = store.set(&name("token"), &Secret::new(format!("{most}x"))).await.unwrap_err();
        assert_eq!((error.kind(), error.context("got")), (ErrorKind::LimitExceeded, Some("65537")));
        assert_eq!(store.get(&name("token")).await.unwrap().expose(), most);
        std::fs::write(store.path("token"), vec![b'x'; FileSecretStore::MAX_BYTES + 1]).unwrap();
        assert_eq!(store.get(&name("token")).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
        std::fs::write(store.path("token"), b"canary\xff").unwrap();
        let error = store.get(&name("token")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!format!("{error} {error:?}").contains("canary"));
        store.set(&name("token"), &Secret::new("")).await.unwrap();
        assert_eq!(store.get(&name("token")).await.unwrap().expose(), "");
    }

    #[tokio::test]
    async fn names_that_differ_in_case_are_two_files_everywhere() {
        let store = fresh();
        for text in ["token", "Token", "TOKEN"] {
            store.set(&name(text), &Secret::new(text)).await.unwrap();
        }
        for text in ["token", "Token", "TOKEN"] {
            assert_eq!(store.get(&name(text)).await.unwrap().expose(), text);
        }
        assert_eq!(store.names().await.unwrap(), ["TOKEN", "Token", "token"].map(name));
        let longest = "N".repeat(127);
        store.set(&name(&longest), &Secret::new("v")).await.unwrap();
        for file in ["_", "__a", "a_", "_0", "A", ".tmp-x", "_-"] {
            assert_eq!(secret_name(file), None, "{file}");
        }
    }

    #[tokio::test]
    async fn a_half_written_value_of_a_dead_process_is_removed() {
        let store = fresh();
        std::fs::write(store.path(".tmp-dead"), "canary").unwrap();
        assert!(store.names().await.unwrap().is_empty());
        FileSecretStore::open(&store.path("")).unwrap();
        assert!(!store.path(".tmp-dead").exists());
    }
}
