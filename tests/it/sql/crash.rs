//! Submissions in SQL under load, while nodes and PostgreSQL are killed: every committed one makes exactly one job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::{Nodes, value_becomes};
use crate::support::eventually;

/// What submitters know.
#[derive(Default)]
struct Submitted {
    committed: BTreeSet<String>,
    rolled_back: BTreeSet<String>,
    /// The commit was not answered, so the database knows.
    unknown: BTreeSet<String>,
}

/// Submits jobs in transactions, of which some are rolled back, until `end`.
async fn submit(url: String, count: Arc<AtomicUsize>, end: Arc<AtomicBool>) -> Submitted {
    let mut submitted = Submitted::default();
    while !end.load(Ordering::Relaxed) {
        let Ok((sql, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await
        else {
            tokio::task::yield_now().await; // it starts again
            continue;
        };
        let driven = tokio::spawn(connection);
        while !end.load(Ordering::Relaxed) {
            let (size, rolls_back) = (fastrand::usize(1..=5), fastrand::u8(..5) == 0);
            let enqueue = format!(
                "begin; insert into ledger select cortado.enqueue('echo') from generate_series(1, {size}) returning id"
            );
            let Ok(messages) = sql.simple_query(&enqueue).await else { break };
            let ids = messages.into_iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            let ids: Vec<String> = ids.collect();
            if rolls_back {
                submitted.rolled_back.extend(ids);
                if sql.batch_execute("rollback").await.is_err() {
                    break;
                }
                continue;
            }
            if sql.batch_execute("commit").await.is_err() {
                submitted.unknown.extend(ids);
                break;
            }
            count.fetch_add(ids.len(), Ordering::Relaxed);
            submitted.committed.extend(ids);
        }
        drop(sql);
        let _ended = driven.await;
    }
    submitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_committed_submission_makes_one_job_whatever_is_killed() {
    let mut cluster = Nodes::new(2).await;
    let mut nodes = [Some(cluster.node(0).await), Some(cluster.node(1).await)];
    let sql = cluster.postgres.connect("cortado").await;
    sql.batch_execute("create table ledger (id uuid primary key)").await.unwrap();
    drop(sql);
    let (count, end) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let mut submitters = JoinSet::new();
    for _ in 0..3 {
        submitters.spawn(submit(cluster.postgres.url(), count.clone(), end.clone()));
    }
    let more = |jobs: usize| {
        let (count, until) = (count.clone(), count.load(Ordering::Relaxed) + jobs);
        eventually("more is submitted", move || {
            let enough = count.load(Ordering::Relaxed) >= until;
            async move { enough.then_some(()) }
        })
    };
    for round in 0..5 {
        more(100).await;
        let (killed, other) = (round % 2, 1 - round % 2);
        nodes[killed].take().unwrap().kill().await;
        if round == 2 || round == 3 {
            cluster.postgres.crash().await;
            cluster.postgres.start_again().await;
        }
        more(50).await;
        assert!(nodes[other].is_some());
        nodes[killed] = Some(cluster.node(killed).await);
    }
    more(100).await;
    end.store(true, Ordering::Relaxed);
    let mut all = Submitted::default();
    while let Some(one) = submitters.join_next().await {
        let one = one.unwrap();
        all.committed.extend(one.committed);
        all.rolled_back.extend(one.rolled_back);
        all.unknown.extend(one.unknown);
    }
    let sql = cluster.postgres.connect("cortado").await;
    value_becomes(&sql, "select count(*) from cortado.inbox", "0").await;
    assert_eq!(super::value(&sql, "select count(*) from cortado.not_enqueued").await, "0");
    // The ledger was written in the same transactions.
    let rows = sql.query("select id::text from ledger", &[]).await.unwrap();
    let ledger: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(all.committed.is_subset(&ledger) && all.rolled_back.is_disjoint(&ledger));
    assert!(ledger.len() <= all.committed.len() + all.unknown.len());

    let client = &nodes[0].as_ref().unwrap().client;
    eventually("all jobs are completed", || async {
        (client.count("completed").await == ledger.len() as u64).then_some(())
    })
    .await;
    let rows = client.rows().await;
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), ledger);
    let log = client.log().await;
    let mut enqueued: BTreeMap<&str, usize> = BTreeMap::new();
    for event in log.iter().filter(|event| event.kind == "job.enqueued") {
        *enqueued.entry(&event.job.as_ref().unwrap().id).or_default() += 1;
    }
    assert_eq!(enqueued.len(), ledger.len());
    assert!(enqueued.values().all(|times| *times == 1), "a job was enqueued twice");
    for node in nodes.into_iter().flatten() {
        node.stop().await;
    }
}
