//! A file that holds nothing but a secret.

use std::path::Path;

use crate::job::Secret;

/// Reads a secret, without the line break at its end.
///
/// # Errors
/// Says which file cannot be read, and why.
pub fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}
