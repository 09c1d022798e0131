//! Statements of one value, and statements without parameters, on one connection.

use std::sync::Arc;

use tokio_postgres::types::FromSql;

use super::failure::StatementFailure;
use super::session::{OpenSession, Parameter};
use super::settings::PostgresSettings;

/// Runs statements on one connection.
pub struct SqlSession {
    pub session: Arc<OpenSession>,
    pub settings: Arc<PostgresSettings>,
}

impl SqlSession {
    /// The only value of a statement's only row.
    pub async fn value<T: for<'a> FromSql<'a>>(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<T, StatementFailure> {
        let rows = self.session.query(&self.settings, sql, parameters).await?;
        let row = rows.first().ok_or_else(|| StatementFailure::Unanswered("no row".to_owned()))?;
        row.try_get(0).map_err(|error| StatementFailure::of(&error, self.settings.location()))
    }

    /// Runs statements without parameters.
    pub async fn execute(&self, sql: &str) -> Result<(), StatementFailure> {
        let (settings, client) = (&self.settings, self.session.client());
        match tokio::time::timeout(settings.timeout, client.batch_execute(sql)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StatementFailure::of(&error, settings.location())),
            Err(_) => Err(StatementFailure::timeout(settings.timeout)),
        }
    }
}
