//! The log on PostgreSQL, which several processes share: one table for the chunks of the journal, one for all other
//! rows. It knows nothing of what the store keeps in them.
//!
//! A batch is one call of a function in the database. The primary key of its first chunk decides between processes that
//! append at the same time: who inserts it has won, and all other changes of the batch depend on that row.

mod announced_content;
mod append;
mod barrier;
mod batch;
mod connections;
mod driver;
mod failure;
mod format;
mod hint;
mod hosts;
mod identity;
mod inbox;
mod keys;
mod known;
mod leaving_store;
mod log;
mod new_store;
mod nodes;
mod projection;
mod recent;
mod scan;
mod schema;
mod session;
mod settings;
mod settings_error;
mod sql;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod transaction;

pub use leaving_store::LeavingDatabaseStore;
pub use log::PostgresLog;
pub use new_store::NewDatabaseStore;
pub use settings::PostgresSettings;
pub use settings_error::SettingsError;
pub use transaction::TransactionLog;
