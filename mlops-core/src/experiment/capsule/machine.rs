//! The machine a run ran on.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::code::read_text;
use crate::experiment::proc_fs;

/// The machine a run ran on; what is not known is `None`.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: Option<String>,
    /// The operating system, as it calls itself: `Debian GNU/Linux 12 (bookworm)`; else its sort: `linux`, `macos`, `windows`.
    pub os: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The architecture the program was made for: `x86_64`, `aarch64`, …
    pub arch: Option<String>,
    /// How many processors the process may use.
    pub cpus: Option<u64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
}

impl Machine {
    /// Asks the operating system's own files; no process is started.
    ///
    /// ```
    /// use mlops_core::experiment::Machine;
    /// assert_eq!(Machine::discover().arch.as_deref(), Some(std::env::consts::ARCH));
    /// ```
    pub fn discover() -> Self {
        let file = |path: &str| read_text(Path::new(path), 1 << 20);
        let line = |path: &str| file(path).map(|text| text.trim().to_owned()).filter(|text| is_plain(text));
        let of_environment = || std::env::var("COMPUTERNAME").ok().filter(|name| is_plain(name));
        let cpus = std::thread::available_parallelism().ok();
        Self {
            name: line("/proc/sys/kernel/hostname").or_else(of_environment),
            os: file("/etc/os-release")
                .and_then(|text| pretty_name(&text))
                .or_else(|| Some(std::env::consts::OS.to_owned())),
            kernel: line("/proc/sys/kernel/osrelease"),
            arch: Some(std::env::consts::ARCH.to_owned()),
            cpus: cpus.and_then(|n| u64::try_from(n.get()).ok()),
            memory: file("/proc/meminfo").and_then(|text| proc_fs::memory(&text)).map(|memory| memory.total),
        }
    }

    /// All text in it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &String> {
        [&self.name, &self.os, &self.kernel, &self.arch].into_iter().flatten()
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)
}

/// The name in `/etc/os-release`.
fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = value.trim().trim_matches(['"', '\'']).to_owned();
    is_plain(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_called_what_it_calls_itself() {
        for (text, expected) in [
            (
                "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
                Some("Debian GNU/Linux 12 (bookworm)"),
            ),
            ("PRETTY_NAME=Alpine\n", Some("Alpine")),
            ("PRETTY_NAME=\"\"\n", None),
            ("PRETTY_NAME=\"a\u{1b}[2J\"\n", None),
            ("", None),
        ] {
            assert_eq!(pretty_name(text).as_deref(), expected);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_all_of_it() {
        let machine = Machine::discover();
        assert_eq!(machine.texts().count(), 4, "{machine:?}");
        assert!(machine.cpus >= Some(1) && machine.memory > Some(1 << 20), "{machine:?}");
    }
}
