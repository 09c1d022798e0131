//! A store in a database that is moved elsewhere: nothing is written to it meanwhile, and afterwards no server takes it
//! for a store.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::failure::{StatementFailure, unavailable};
use super::format::{self, NoStore};
use super::schema;
use super::session::Parameter;
use super::settings::PostgresSettings;
use super::sql::SqlSession;
use super::transaction::{self, TransactionLog};
use crate::store::StoreError;

/// Nobody may append meanwhile. The lock comes before the first statement that sees data.
const BEGIN: &str = "
begin isolation level repeatable read;
lock table cortado.chunk, cortado.row in share mode";
/// The same for a schema that has an inbox, to which nobody may submit meanwhile.
const BEGIN_WITH_INBOX: &str = "
begin isolation level repeatable read;
lock table cortado.chunk, cortado.row, cortado.inbox in share mode";
const HAS_INBOX: &str = "select to_regclass('cortado.inbox') is not null";

const RUNNING_NODES: &str = "
select name, (extract(epoch from clock_timestamp() - heartbeat) * 1000)::int8 from cortado.node
where heartbeat > clock_timestamp() - $1 * interval '1 millisecond' order by name";

/// Without the format, no process appends any more, whenever it has started.
const TAKE_FORMAT: &str = "
with taken as (delete from cortado.meta where key = 'format' returning value)
insert into cortado.meta (key, value)
select 'moved_format', value from taken union all values ('moved_to', $1)
on conflict (key) do update set value = excluded.value returning key";

/// Jobs that were submitted in SQL would stay behind, although their transactions were committed.
async fn refuse_waiting_submissions(sql: &SqlSession) -> Result<(), StatementFailure> {
    if sql.value(HAS_INBOX, &[]).await?
        && sql.value("select exists (select from cortado.inbox)", &[]).await?
    {
        let why = "jobs that were submitted in SQL wait in cortado.inbox; start a server, which enqueues them";
        return Err(StatementFailure::Refused(unavailable(sql.settings.location(), why)));
    }
    Ok(())
}

/// A store that is being moved elsewhere.
pub struct LeavingDatabaseStore(TransactionLog);

impl LeavingDatabaseStore {
    /// Begins to move a store to the place `to`. A store that an interrupted move to the same place has left may be moved
    /// again.
    ///
    /// # Errors
    /// When there is no store, a node was heard of within `silence`, or another command is at work.
    pub fn begin(
        settings: &PostgresSettings,
        to: &str,
        silence: Duration,
    ) -> Result<LeavingDatabaseStore, StoreError> {
        let log = TransactionLog::connect(settings)?;
        let to = to.to_owned();
        // Without a store, there may be no table that could be locked.
        let target = to.clone();
        let has_inbox = log.run(|sql| async move {
            check_store(&sql, &target).await?;
            sql.value::<bool>(HAS_INBOX, &[]).await
        })?;
        log.begin(if has_inbox { BEGIN_WITH_INBOX } else { BEGIN })?;
        log.run(move |sql| async move {
            schema::lock_for_command(&sql).await?;
            check_store(&sql, &to).await?;
            refuse_running_nodes(&sql, silence).await?;
            refuse_waiting_submissions(&sql).await
        })?;
        Ok(LeavingDatabaseStore(log))
    }

    /// The log to read.
    pub fn log(&self) -> TransactionLog {
        self.0.clone()
    }

    /// Makes the store one that was moved to the place `to`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn leave(self, to: &str) -> Result<(), StoreError> {
        let to = to.to_owned();
        self.0.run(move |sql| async move {
            sql.value::<String>(TAKE_FORMAT, &[(&to, Type::TEXT)]).await.map(drop)
        })?;
        self.0.commit()
    }
}

/// Refuses a database without a store of this version, unless the store was on its way to the same place.
async fn check_store(sql: &SqlSession, to: &str) -> Result<(), StatementFailure> {
    if NoStore::read(sql).await? != Some(NoStore::MovedTo(to.to_owned())) {
        return transaction::check_store(sql).await;
    }
    let format = "select (select value::int8 from cortado.meta where key = 'moved_format')";
    let format: Option<i64> = sql.value(format, &[]).await?;
    format::check_format(format, sql.settings.location()).map_err(StatementFailure::Refused)
}

async fn refuse_running_nodes(sql: &SqlSession, silence: Duration) -> Result<(), StatementFailure> {
    let silence = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
    let parameters: [Parameter<'_>; 1] = [(&silence, Type::INT8)];
    let rows = sql.session.query(&sql.settings, RUNNING_NODES, &parameters).await?;
    let location = sql.settings.location();
    let mut nodes = Vec::with_capacity(rows.len());
    for row in &rows {
        let fail = |error| StatementFailure::of(&error, location);
        let name: String = row.try_get(0).map_err(fail)?;
        let silent: i64 = row.try_get(1).map_err(fail)?;
        nodes.push(format!("{name} (heard of {} ms ago)", silent.max(0)));
    }
    if nodes.is_empty() {
        return Ok(());
    }
    let why = format!("it is in use by nodes: {}; stop them first", nodes.join(", "));
    Err(StatementFailure::Refused(unavailable(location, why)))
}
