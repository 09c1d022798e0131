//! Certificate authorities in PEM files, for servers whose certificates no public authority has signed.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use reqwest::Certificate;

/// Reads the certificate authorities in a PEM file.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub fn read_authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let shown = path.display();
    let unreadable =
        |why: String| format!("cannot read the certificate authorities in {shown}: {why}");
    let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(causes(&error)))?;
    if found.is_empty() {
        return Err(format!("there is no certificate in {shown}: a PEM file is expected"));
    }
    Ok(found)
}

/// Formats an error with its causes.
fn causes(error: &dyn Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        // Writing to a text never fails.
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
