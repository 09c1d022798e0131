//! Snapshots: a copy of everything that is made under the lock, because this store prefers plain code to a small one.

use async_trait::async_trait;

use super::content::Content;
use crate::job::{Job, Time};
use crate::store::StoreError;
use crate::store::snapshot::{FORMAT, Head, Piece, Snapshot, Totals};

/// How many pieces one step returns.
const PIECES_PER_STEP: usize = 256;

/// The remaining pieces, in reverse order.
pub(super) struct RemainingPieces(Vec<Piece>);

impl Content {
    pub(super) fn snapshot(&self, at: Time) -> RemainingPieces {
        let head = Head {
            cortado_export: FORMAT,
            epoch: self.epoch,
            at,
            oldest: self.oldest().seq,
            head: self.last_seq,
        };
        let (mut finished, waiting): (Vec<Job>, Vec<Job>) =
            self.jobs.values().cloned().partition(|job| job.status.state.is_final());
        finished.sort_by_key(|job| job.seq);
        let mut pieces = vec![Piece::Head(head)];
        let queues = self.queues.clone().into_iter();
        pieces.extend(queues.map(|(name, settings)| Piece::Queue { name, settings }));
        let schedules = self.schedules.0.values().cloned().map(Box::new);
        pieces.extend(schedules.map(Piece::Schedule));
        pieces.extend(self.kinds.iter().cloned().map(Piece::Kind));
        pieces.extend(self.access.records().map(Piece::Access));
        pieces.extend(self.log.iter().cloned().map(Piece::Event));
        let jobs = finished.into_iter().chain(waiting);
        pieces.extend(jobs.map(|job| Piece::Job(Box::new(job))));
        let mut totals = Totals::default();
        pieces.iter().for_each(|piece| totals.count(piece));
        pieces.push(Piece::End(totals));
        pieces.reverse();
        RemainingPieces(pieces)
    }
}

#[async_trait]
impl Snapshot for RemainingPieces {
    async fn next(&mut self) -> Result<Vec<Piece>, StoreError> {
        let from = self.0.len().saturating_sub(PIECES_PER_STEP);
        Ok(self.0.drain(from..).rev().collect())
    }
}
