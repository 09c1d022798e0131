//! Reads rows in pages, each of which begins where the one before ended, so that the memory that a scan needs is bounded
//! and no transaction stays open between two pages.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connections::PostgresConnections;
use super::failure::StatementFailure;
use super::keys::{TableRange, chunk_key};
use super::session::Parameter;
use super::state::LogState;
use crate::store::StoreError;

/// The most rows of a page.
const PAGE_ROWS: i64 = 512;
/// The most keys of a page without values.
const PAGE_KEYS: i64 = 8_192;
/// The size of the values of a page in bytes; the last value may exceed it.
const PAGE_BYTES: i64 = 1_024 * 1_024;

const CHUNKS: &str = "select number, grp::text, body from cortado.read_chunks($1, $2, $3, $4)";
const KEYS: &str = "
select key from cortado.row where key >= $1 and ($2 is null or key < $2) order by key limit $3";
/// The sizes of values are known without reading them.
const ROWS: &str = "
select key, value from (
    select key, value,
        sum(octet_length(value)) over (order by key) - octet_length(value) as before
    from (
        select key, value from cortado.row
        where key >= $1 and ($2 is null or key < $2) order by key limit $3
    ) page
) sized
where before < $4 order by key";

/// Some keys and values in order, and where the next ones begin.
pub struct ScanPage {
    pub rows: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Which batches wrote the chunks among them.
    pub grps: Vec<(i64, String)>,
    /// The rest of the range, if there may be one.
    rest: Option<TableRange>,
}

impl TableRange {
    /// Reads the first page of a range.
    async fn read(self, connections: &PostgresConnections) -> Result<ScanPage, StatementFailure> {
        let mut page = ScanPage { rows: VecDeque::new(), grps: Vec::new(), rest: None };
        let reader = connections.reader();
        let fail = |error| StatementFailure::of(&error, connections.location());
        match self {
            TableRange::Chunks { from, to } => {
                let parameters: [Parameter<'_>; 4] = [
                    (&from, Type::INT8),
                    (&to, Type::INT8),
                    (&PAGE_ROWS, Type::INT8),
                    (&PAGE_BYTES, Type::INT8),
                ];
                let rows = reader.read(CHUNKS, &parameters).await?;
                for row in &rows {
                    page.add_chunk(row).map_err(fail)?;
                }
                if let Some((last, _)) = page.grps.last().filter(|_| page.is_full()) {
                    let from = last.saturating_add(1);
                    page.rest = Some(TableRange::Chunks { from, to });
                }
            }
            TableRange::Keys { from, to } => {
                let parameters: [Parameter<'_>; 3] =
                    [(&from, Type::BYTEA), (&to, Type::BYTEA), (&PAGE_KEYS, Type::INT8)];
                let rows = reader.read(KEYS, &parameters).await?;
                for row in &rows {
                    page.rows.push_back((row.try_get(0).map_err(fail)?, Vec::new()));
                }
                if let Some((last, _)) = page.rows.back()
                    && page.rows.len() as i64 >= PAGE_KEYS
                {
                    page.rest = Some(TableRange::Keys { from: after(last), to });
                }
            }
            TableRange::Rows { from, to } => {
                let parameters: [Parameter<'_>; 4] = [
                    (&from, Type::BYTEA),
                    (&to, Type::BYTEA),
                    (&PAGE_ROWS, Type::INT8),
                    (&PAGE_BYTES, Type::INT8),
                ];
                let rows = reader.read(ROWS, &parameters).await?;
                for row in &rows {
                    let (key, value) = (row.try_get(0), row.try_get(1));
                    page.rows.push_back((key.map_err(fail)?, value.map_err(fail)?));
                }
                if let Some((last, _)) = page.rows.back().filter(|_| page.is_full()) {
                    page.rest = Some(TableRange::Rows { from: after(last), to });
                }
            }
        }
        Ok(page)
    }
}

/// The least key behind another one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

impl ScanPage {
    fn add_chunk(&mut self, row: &Row) -> Result<(), tokio_postgres::Error> {
        let number = row.try_get(0)?;
        self.grps.push((number, row.try_get(1)?));
        self.rows.push_back((chunk_key(number), row.try_get(2)?));
        Ok(())
    }

    /// Whether the range may have more rows than the page.
    fn is_full(&self) -> bool {
        let bytes: usize = self.rows.iter().map(|(_, value)| value.len()).sum();
        self.rows.len() as i64 >= PAGE_ROWS || bytes as i64 >= PAGE_BYTES
    }
}

/// An iterator over ranges of a log. It ends after the first error.
pub struct ScanRows {
    log: Arc<LogState>,
    ranges: VecDeque<TableRange>,
    page: VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl ScanRows {
    /// A scan of these ranges.
    pub fn new(log: Arc<LogState>, ranges: VecDeque<TableRange>) -> ScanRows {
        ScanRows { log, ranges, page: VecDeque::new() }
    }

    fn read_page(&mut self, range: TableRange) -> Result<(), StoreError> {
        let page = self.log.connections()?.wait_for(|connections| async move {
            let page = range.read(&connections).await;
            page.map_err(|failure| failure.into_store_error(connections.location()))
        })?;
        for ((number, grp), (_, body)) in page.grps.iter().zip(&page.rows) {
            self.log.remember(*number, grp, body.clone());
        }
        if let Some(rest) = page.rest {
            self.ranges.push_front(rest);
        }
        self.page = page.rows;
        Ok(())
    }
}

impl Iterator for ScanRows {
    type Item = Result<(Vec<u8>, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.page.pop_front() {
                return Some(Ok(row));
            }
            let range = self.ranges.pop_front()?;
            if let Err(error) = self.read_page(range) {
                self.ranges.clear();
                return Some(Err(error));
            }
        }
    }
}
