//! Makes sure that what a session sees is durable. A commit that waits for a synchronous standby can be seen before it is
//! replicated, when its session is ended, its statement cancelled or the server restarted; a failover then loses it. The
//! next commit waits for everything before it.

use super::failure::StatementFailure;
use super::session::SessionSlot;

/// A commit is only waited for if its transaction has written something.
const BARRIER: &str = "
insert into cortado.meta (key, value) values ('confirmed', now()::text)
on conflict (key) do update set value = excluded.value
returning set_config('synchronous_commit',
    replace(current_setting('synchronous_commit'), 'off', 'on'), true)";

/// Waits until everything that is committed is durable.
pub async fn confirm(writer: &SessionSlot) -> Result<(), StatementFailure> {
    writer.query(BARRIER, &[]).await.map(drop)
}
