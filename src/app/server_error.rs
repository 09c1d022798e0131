//! Why a server could not start, or did not stop in order, as a standard error.

use std::error::Error;
use std::fmt;

use crate::config::ConfigError;
use crate::store::StoreError;
use crate::supervise::PartFailure;

/// Why a server could not start, could not go on, or did not stop cleanly. Its text is one line; the causes are its
/// [sources](Error::source).
pub struct ServerError {
    kind: ServerErrorKind,
    cause: anyhow::Error,
}

/// What kind of failure a [`ServerError`] is, for programs that act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerErrorKind {
    /// A setting, a kind, a schedule, a route or a file that a setting names is not acceptable. The next start fails in the
    /// same way until the program or its configuration is changed.
    Configuration,
    /// An address cannot be listened on, for example because another process does.
    Address,
    /// The data directory or the database cannot be opened or used: another process uses it, the disk is full, or the
    /// database does not answer.
    Store,
    /// The system refused something else that a start needs, such as handlers of signals.
    Start,
    /// A part of the running server failed, and the server has stopped in order.
    Part,
    /// The server has stopped, and left something behind: see [`StopReport::clean`](crate::StopReport::clean).
    Stop,
}

impl ServerError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ServerErrorKind {
        self.kind
    }

    /// An error of this kind.
    pub(super) fn new(kind: ServerErrorKind, cause: impl Into<anyhow::Error>) -> Self {
        ServerError { kind, cause: cause.into() }
    }

    /// The error as the program `cortado` reports it.
    pub(super) fn into_cause(self) -> anyhow::Error {
        self.cause
    }
}

/// Gives errors of a step their kind.
pub(super) trait OfKind<T> {
    /// An error becomes one of this kind.
    fn of_kind(self, kind: ServerErrorKind) -> Result<T, ServerError>;
}

impl<T, E: Into<anyhow::Error>> OfKind<T> for Result<T, E> {
    fn of_kind(self, kind: ServerErrorKind) -> Result<T, ServerError> {
        self.map_err(|error| ServerError::new(kind, error))
    }
}

impl fmt::Display for ServerError {
    /// Writes what could not be done, and with `{:#}` the causes, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause.downcast_ref::<StoreError>() {
            // Only opening a store returns this error, and its message is complete.
            Some(StoreError::Unavailable(why)) => f.write_str(&one_line(why))?,
            Some(_) | None => f.write_str(&one_line(&self.cause.to_string()))?,
        }
        let mut source = self.source().filter(|_| f.alternate());
        while let Some(cause) = source {
            write!(f, ": {}", one_line(&cause.to_string()))?;
            source = cause.source();
        }
        Ok(())
    }
}

/// The text of the error and of its causes, because the standard library prints this when `main` returns the error.
impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#} ({:?})", self.kind)
    }
}

impl Error for ServerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

impl From<ConfigError> for ServerError {
    fn from(error: ConfigError) -> Self {
        ServerError::new(ServerErrorKind::Configuration, error)
    }
}

impl From<StoreError> for ServerError {
    fn from(error: StoreError) -> Self {
        ServerError::new(ServerErrorKind::Store, error)
    }
}

impl From<PartFailure> for ServerError {
    fn from(failure: PartFailure) -> Self {
        ServerError::new(ServerErrorKind::Part, anyhow::anyhow!("{failure}"))
    }
}

/// A text of several lines as one: a list behind a colon, with semicolons.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cortado;

    fn local() -> crate::Builder {
        Cortado::builder().listen(([127, 0, 0, 1], 0))
    }

    async fn refused(builder: crate::Builder) -> ServerError {
        builder.start().await.err().expect("the start fails")
    }

    #[tokio::test]
    async fn the_kind_of_an_error_says_what_to_change() {
        let builder = local().in_memory().set("stop.grase", "1s").set("stop.close", 1);
        let error = refused(builder).await;
        assert_eq!(error.kind(), ServerErrorKind::Configuration);
        let text = error.to_string();
        assert!(text.starts_with("invalid configuration: stop."), "{text}");
        assert!(text.contains("; stop.") && !text.contains('\n'), "{text}");
        assert!(error.source().is_none(), "the text says everything");

        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = refused(Cortado::builder().listen(address).in_memory()).await;
        assert_eq!(error.kind(), ServerErrorKind::Address);
        assert_eq!(error.to_string(), format!("cannot listen on {address}"));
        assert!(error.source().unwrap().to_string().contains("in use"), "{error:?}");

        let file = tempfile::NamedTempFile::new().unwrap();
        let error = refused(local().data_dir(file.path().join("below"))).await;
        assert_eq!(error.kind(), ServerErrorKind::Store, "{error:?}");
        let text = error.to_string();
        assert!(text.contains(file.path().to_str().unwrap()), "{text}");
        assert_eq!(format!("{error:?}"), format!("{error:#} (Store)"));
    }

    #[test]
    fn an_error_can_be_passed_on_as_any_error_is() {
        fn is_an_error<T: Error + Send + Sync + 'static>() {}
        is_an_error::<ServerError>();
        let failure =
            PartFailure { part: crate::supervise::Part::Listener, why: "it ended".into() };
        let error = ServerError::from(failure);
        assert_eq!(error.kind(), ServerErrorKind::Part);
        assert!(error.to_string().ends_with("failed: it ended"), "{error}");
    }
}
