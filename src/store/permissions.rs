//! Permissions of the files that the product creates: only their owner may use them, whatever the umask of the process.
//! An existing directory keeps the permissions that its owner has chosen; when they are wider, the log and `verify` say
//! so.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Creates a directory that only its owner may use.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIR_MODE).create(dir)?;
    // The umask may have taken permissions of the owner away.
    fs::set_permissions(dir, Permissions::from_mode(DIR_MODE))
}

/// The options for a new file that only its owner may use. The caller says how it is opened.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Makes a directory and everything below it private.
pub fn make_private(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::set_permissions(path, Permissions::from_mode(FILE_MODE));
    }
    fs::set_permissions(path, Permissions::from_mode(DIR_MODE))?;
    for entry in fs::read_dir(path)? {
        make_private(&entry?.path())?;
    }
    Ok(())
}

/// Gives files that a library has created the permissions of another file beside them: an operator may have given a
/// group access to the whole directory, and otherwise only the owner has it.
pub fn make_alike(paths: impl IntoIterator<Item = PathBuf>, model: &Path) -> io::Result<()> {
    let mode = fs::metadata(model)?.permissions().mode() & 0o666;
    // Whoever may read the files may enter the directories.
    let dir_mode = mode | (mode & 0o444) >> 2;
    for path in paths {
        let metadata = fs::symlink_metadata(&path)?;
        let mode = if metadata.is_dir() { dir_mode } else { mode };
        if metadata.permissions().mode() & 0o777 == mode {
            continue;
        }
        match fs::set_permissions(&path, Permissions::from_mode(mode)) {
            // Another user owns the file, as in a directory that a group shares.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            set => set?,
        }
    }
    Ok(())
}

/// Whether access of a group to the data directory is reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupAccess {
    /// A start logs a warning.
    #[default]
    Warn,
    /// It is intended.
    Allow,
}

/// Permissions of a directory that are wider than those of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WideAccess {
    dir: PathBuf,
    mode: u32,
}

impl WideAccess {
    /// The permissions of a directory; `None` when only its owner may use it, or when they cannot be read.
    pub fn of(dir: &Path) -> Option<WideAccess> {
        let mode = fs::metadata(dir).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then(|| WideAccess { dir: dir.to_owned(), mode })
    }

    /// Whether the operator should be told.
    pub fn is_reported(&self, group: GroupAccess) -> bool {
        match group {
            GroupAccess::Warn => true,
            GroupAccess::Allow => self.is_for_everyone(),
        }
    }

    fn is_for_everyone(&self) -> bool {
        self.mode & 0o007 != 0
    }
}

impl fmt::Display for WideAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        let who = if self.is_for_everyone() { "every user of this machine" } else { "its group" };
        write!(f, "{who} has access to {dir} (mode {:04o}): run chmod 700 {dir}", self.mode)?;
        if !self.is_for_everyone() {
            write!(f, ", or set store.group_access = \"allow\" if that is intended")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_a_library_creates_gets_the_permissions_of_the_files_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("blobs")).unwrap();
        for name in ["db", "snap.1", "blobs/7"] {
            fs::write(path(name), "x").unwrap();
        }
        for (of_db, of_files, of_dirs) in [(0o600, 0o600, 0o700), (0o640, 0o640, 0o750)] {
            fs::set_permissions(path("db"), Permissions::from_mode(of_db)).unwrap();
            let all = ["snap.1", "blobs", "blobs/7"].map(path);
            make_alike(all, &path("db")).unwrap();
            assert_eq!((mode(&path("snap.1")), mode(&path("blobs/7"))), (of_files, of_files));
            assert_eq!(mode(&path("blobs")), of_dirs);
        }
        make_private(dir.path()).unwrap();
        for (name, expected) in [("", 0o700), ("db", 0o600), ("blobs", 0o700), ("blobs/7", 0o600)] {
            assert_eq!(mode(&path(name)), expected, "{name}");
        }
    }

    #[test]
    fn wide_access_is_reported_with_what_to_do_unless_it_is_intended() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, by_default, when_allowed) in [
            (0o700, false, false),
            (0o750, true, false),
            (0o770, true, false),
            (0o755, true, true),
            (0o701, true, true),
        ] {
            fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            let access = WideAccess::of(dir.path());
            let reported = |group| access.as_ref().is_some_and(|it| it.is_reported(group));
            assert_eq!(reported(GroupAccess::Warn), by_default, "{mode:o}");
            assert_eq!(reported(GroupAccess::Allow), when_allowed, "{mode:o}");
            if let Some(access) = access {
                let text = access.to_string();
                assert!(text.contains(&format!("mode {mode:04o}")) && text.contains("chmod 700"));
                assert_eq!(text.contains("store.group_access"), !when_allowed, "{text}");
            }
        }
    }
}
