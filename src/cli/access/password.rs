//! Reads a password from a terminal without showing it, from a file, or from standard input. Arguments have none, because
//! other users of the machine can see them.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use crate::access::generate_password;
use crate::cli::CliError;
use crate::config::PasswordSource;
use crate::job::Secret;

/// The most bytes that are read. It is more than any password may have, so that a longer one is refused by its length.
const MAX_READ: u64 = 4_096;

/// The password, and whether it was generated and has to be shown.
pub struct GivenPassword {
    /// The password.
    pub secret: Secret,
    /// Whether nobody knows it yet.
    pub is_generated: bool,
}

/// Reads the password of a user.
///
/// # Errors
/// When the file or the terminal cannot be read, the two entries differ, or there is no text.
pub fn read_password(source: &PasswordSource, name: &str) -> Result<GivenPassword, CliError> {
    if source.generate {
        let secret = generate_password().map_err(|error| error.to_string())?;
        return Ok(GivenPassword { secret, is_generated: true });
    }
    let secret = match source.password_file.as_deref() {
        Some(path) if path == Path::new("-") => from_input(),
        Some(path) => from_file(path),
        None if io::stdin().is_terminal() => from_terminal(name),
        None => from_input(),
    }?;
    if secret.expose().is_empty() {
        return Err("the password is empty".into());
    }
    Ok(GivenPassword { secret, is_generated: false })
}

fn from_terminal(name: &str) -> Result<Secret, CliError> {
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt)
            .map(Secret::new)
            .map_err(|error| format!("cannot read the password from the terminal: {error}"))
    };
    let first = ask(format!("Password for {name}: "))?;
    let second = ask("Repeat the password: ".to_owned())?;
    if first == second { Ok(first) } else { Err("the passwords do not match".into()) }
}

fn from_input() -> Result<Secret, CliError> {
    read(io::stdin().lock())
        .map_err(|why| format!("cannot read the password from standard input: {why}"))
}

fn from_file(path: &Path) -> Result<Secret, CliError> {
    let cannot = |why: String| format!("cannot read the password from {}: {why}", path.display());
    let file = File::open(path).map_err(|error| cannot(error.to_string()))?;
    read(file).map_err(cannot)
}

/// Reads a text without the line ending behind it.
fn read(from: impl Read) -> Result<Secret, String> {
    let mut bytes = Vec::new();
    from.take(MAX_READ).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not valid UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_ending_behind_a_password_is_removed() {
        for (bytes, password) in [
            (&b"correct horse battery\n"[..], "correct horse battery"),
            (b"correct horse battery\r\n", "correct horse battery"),
            (b" spaces stay ", " spaces stay "),
            (b"two\nlines\n", "two\nlines"),
        ] {
            assert_eq!(read(bytes).unwrap().expose(), password);
        }
        assert!(read(&b"\xff"[..]).unwrap_err().contains("UTF-8"));
    }
}
