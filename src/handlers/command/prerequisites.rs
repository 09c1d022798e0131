//! Checks that a declared program can be started: its working directory, and the file that would be run. The server
//! checks this when it starts; an attempt checks it again when a start has failed, because the system's error says
//! "no such file or directory" without saying which.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::Program;

/// Where programs are looked up when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A setting that keeps a program from being started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The setting in `[commands.NAME]`.
    pub setting: &'static str,
    /// What is wrong with it, as a sentence.
    pub why: String,
}

impl Program {
    /// The settings with which the program cannot be started on this machine.
    pub fn unusable(&self) -> Vec<Unusable> {
        let cwd = self.cwd.as_deref().and_then(|dir| unusable_dir(dir).err());
        let cwd = cwd.map(|why| Unusable { setting: "cwd", why });
        let program = if self.program.contains('/') {
            unusable_file(Path::new(&self.program)).err()
        } else {
            self.unusable_name().err()
        };
        let program = program.map(|why| Unusable { setting: "program", why });
        cwd.into_iter().chain(program).collect()
    }

    /// The message for a start that has failed.
    pub(super) fn start_error(&self, error: &io::Error) -> String {
        if let Some(Unusable { why, .. }) = self.unusable().into_iter().next() {
            return why;
        }
        let program = &self.program;
        if error.kind() == io::ErrorKind::NotFound {
            return format!(
                "cannot run {program}: the interpreter that its first line names does not exist"
            );
        }
        format!("cannot run {program}: {}", in_words(error))
    }

    /// Looks up a name in the `PATH` that the program gets. Directories that are relative begin at its working
    /// directory.
    fn unusable_name(&self) -> Result<(), String> {
        let name = &self.program;
        let path: OsString = match self.env.get("PATH") {
            Some(own) => own.expose().into(),
            None => std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()),
        };
        let base = self.cwd.clone().unwrap_or_default();
        let files = std::env::split_paths(&path).map(|dir| base.join(dir).join(name));
        // An entry that cannot be run does not hide a later one.
        let tried: Vec<(PathBuf, Result<(), String>)> =
            files.map(|file| (file.clone(), unusable_file(&file))).collect();
        if tried.iter().any(|(_, usable)| usable.is_ok()) {
            return Ok(());
        }
        match tried.into_iter().find(|(file, _)| file.exists()) {
            Some((_, why)) => why,
            None => {
                Err(format!("cannot run {name}: it is in no directory of PATH ({})", shown(&path)))
            }
        }
    }
}

/// Describes an error of the system where its own words do not say what to do about it.
fn in_words(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => "its symbolic links lead in a circle".into(),
        Some(Errno::ENOEXEC) => NO_FORMAT.into(),
        Some(_) | None => error.to_string(),
    }
}

/// Whether the system can run a file, by its first bytes; only files that are certainly none are refused.
fn check_format(file: &Path) -> Result<(), String> {
    // A file that only its owner may read can be run all the same, and the start finds out.
    let Ok(mut file) = File::open(file) else { return Ok(()) };
    let mut start = [0; 4];
    let mut length = 0;
    while length < start.len() {
        match file.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(_) => return Ok(()),
        }
    }
    let is_text =
        start[..length].iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if length == 0 {
        return Err("it is empty".into());
    }
    if is_text && !start.starts_with(b"#!") { Err(NO_FORMAT.into()) } else { Ok(()) }
}

/// The words for a file that the system does not recognize as a program.
const NO_FORMAT: &str = "it is not a program that this machine can run: a script needs a first line such as \
    #!/bin/sh, and a binary must be built for this machine";

fn shown(path: &OsStr) -> String {
    path.to_string_lossy().into_owned()
}

fn unusable_dir(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    let because = |why: String| Err(format!("cannot use the working directory {shown}: {why}"));
    match std::fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            because("it does not exist".into())
        }
        Err(error) => because(in_words(&error)),
        Ok(found) if !found.is_dir() => because("it is not a directory".into()),
        Ok(_) => match access(dir, AccessFlags::X_OK) {
            Ok(()) => Ok(()),
            Err(error) => because(io::Error::from(error).to_string()),
        },
    }
}

fn unusable_file(file: &Path) -> Result<(), String> {
    let shown = file.display();
    let because = |why: String| Err(format!("cannot run {shown}: {why}"));
    match std::fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            because("it does not exist".into())
        }
        Err(error) => because(in_words(&error)),
        Ok(found) if !found.is_file() => because("it is not a file".into()),
        Ok(_) => match access(file, AccessFlags::X_OK) {
            Ok(()) => check_format(file).or_else(because),
            Err(_) => because("it is not executable by the user of the server".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::handlers::command::{Dashes, Stdin};

    fn program(program: &str, cwd: Option<&str>, path: Option<&str>) -> Program {
        let path = path.map(|path| ("PATH".to_owned(), path.into()));
        Program {
            program: program.to_owned(),
            args: Vec::new(),
            env: path.into_iter().collect(),
            cwd: cwd.map(Into::into),
            stdin: Stdin::Empty,
            discard_codes: Vec::new(),
            max_output_lines: 10,
            dashes: Dashes::Refuse,
        }
    }

    #[test]
    fn what_keeps_a_program_from_being_started_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let plain = file("plain", "", 0o644);
        let odd = file("odd", "#!/no/such/shell\n", 0o755);
        let good = file("good", "#!/bin/sh\n", 0o755);
        let (script, empty) = (file("script", "echo hi\n", 0o755), file("empty", "", 0o755));
        let binary = file("binary", "\0\u{1}\u{2}\u{3}", 0o755);
        let looped = dir.path().join("loop");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        let looped = looped.to_str().unwrap();
        let here = dir.path().to_str().unwrap();
        for (program, settings) in [
            (program(looped, None, None), vec![("program", "lead in a circle")]),
            (program("/bin/echo", Some(looped), None), vec![("cwd", "lead in a circle")]),
            (program(&script, None, None), vec![("program", "a script needs a first line")]),
            (program(&empty, None, None), vec![("program", "it is empty")]),
            (program("script", None, Some(here)), vec![("program", "a script needs a first line")]),
            // Only the system knows whether it is built for this machine.
            (program(&binary, None, None), vec![]),
            (program("/bin/echo", None, None), vec![]),
            (program("sh", Some(here), None), vec![]),
            (program("good", None, Some(here)), vec![]),
            (program("good", Some(here), Some(".")), vec![]),
            (
                program("/bin/echo", Some("/does/not/exist"), None),
                vec![("cwd", "/does/not/exist: it does not exist")],
            ),
            (program("/bin/echo", Some(&plain), None), vec![("cwd", "not a directory")]),
            (
                program("/no/such", Some("/nowhere"), None),
                vec![("cwd", "/nowhere"), ("program", "/no/such: it does not exist")],
            ),
            (program("no-such-program", None, None), vec![("program", "in no directory of PATH")]),
            (program("good", None, Some("/nowhere")), vec![("program", "PATH (/nowhere)")]),
            (program("plain", None, Some(here)), vec![("program", "not executable")]),
            (program(&plain, None, None), vec![("program", "not executable")]),
            (program(here, None, None), vec![("program", "not a file")]),
        ] {
            let found = program.unusable();
            assert_eq!(found.len(), settings.len(), "{program:?}: {found:?}");
            for (found, (setting, says)) in found.iter().zip(settings) {
                assert_eq!(found.setting, setting);
                assert!(found.why.contains(says), "{found:?}");
            }
        }
        let not_found = io::Error::from(io::ErrorKind::NotFound);
        let why = program("/bin/echo", Some("/does/not/exist"), None).start_error(&not_found);
        assert!(why.contains("/does/not/exist") && !why.contains("echo"), "{why}");
        let no_format = io::Error::from_raw_os_error(Errno::ENOEXEC as i32);
        let why = program(&binary, None, None).start_error(&no_format);
        assert!(why.contains("built for this machine") && !why.contains("os error"), "{why}");
        let why = program(&odd, None, None).start_error(&not_found);
        assert!(why.contains("interpreter"), "{why}");
        assert!(program(&good, None, None).start_error(&io::Error::other("busy")).contains("busy"));
    }
}
