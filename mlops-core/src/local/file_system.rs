//! What kind of file system a folder lies on, where that matters: SQLite's write-ahead log needs shared memory, which network
//! file systems do not have.

use std::path::Path;

/// File systems that are reached over a network, or may be, by the magic number that `statfs` gives them.
///
/// Source: the Linux manual page statfs(2) and `linux/magic.h`.
const NETWORKED: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x7375_7245, "coda"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x4750_4653, "gpfs"),
    (0x1977_0320, "beegfs"),
];

/// The name of the network file system that `path` lies on; `None` for a local one, and where it cannot be told.
pub(crate) fn network(path: &Path) -> Option<&'static str> {
    named(magic(path)?)
}

fn named(magic: u64) -> Option<&'static str> {
    NETWORKED.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(target_os = "linux")]
fn magic(path: &Path) -> Option<u64> {
    let found = rustix::fs::statfs(path).ok()?;
    // The kernel's field is 32 bits wide in what matters; on some targets it is signed and would be extended.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    let magic = found.f_type as u64;
    Some(magic & 0xffff_ffff)
}

#[cfg(not(target_os = "linux"))]
fn magic(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_is_local() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(network(dir.path()), None);
        assert_eq!(network(&dir.path().join("not there")), None);
    }

    #[test]
    fn network_file_systems_are_known_by_their_magic_number() {
        assert_eq!((named(0x6969), named(0xff53_4d42)), (Some("nfs"), Some("cifs")));
        // ext4, btrfs, tmpfs and overlayfs have shared memory.
        for local in [0xef53, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(named(local), None);
        }
    }
}
