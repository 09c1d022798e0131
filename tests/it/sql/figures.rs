//! What waits in the inbox, and how far the jobs for queries are behind: on the page of the system and as metrics.

use std::collections::BTreeMap;

use super::{Nodes, value};
use crate::support::{Client, eventually};

/// The metrics about SQL.
async fn metrics(client: &Client) -> BTreeMap<String, f64> {
    let text = client.text("/metrics").await;
    let samples = text.lines().filter_map(|line| line.split_once(' '));
    let of_sql = samples.filter(|(name, _)| {
        name.starts_with("cortado_inbox_") || name.starts_with("cortado_projection_")
    });
    of_sql.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_and_the_lag_of_the_view_are_metrics_and_on_the_page_of_the_system() {
    let cluster = Nodes::new(2).await;
    let one = cluster.node(0).await;
    let nothing = metrics(&one.client).await;
    let named = |name: &str, value: f64| (name.to_owned(), value);
    let expected = [
        named("cortado_inbox_jobs", 0.0),
        named("cortado_inbox_oldest_seconds", 0.0),
        named("cortado_inbox_refused_jobs", 0.0),
        named("cortado_projection_kept_up", 0.0),
    ];
    assert_eq!(nothing, BTreeMap::from(expected));
    let page = one.client.text("/system").await;
    assert!(page.contains("not kept up (store.projection)"), "{page}");

    let config = cluster.dirs[1].config("[store]\nprojection = true\n");
    let two = cluster.node_with(1, &["--config", &config]).await;
    let sql = cluster.postgres.connect("cortado").await;
    // One that was there already was not refused.
    let refused = "insert into cortado.not_enqueued (id, kind, submission, submitted_at, code, reason)
        select gen_random_uuid(), 'resize', '{}', now(), code, '' from unnest(array['invalid_fields', 'existing']) as code";
    sql.batch_execute(refused).await.unwrap();
    // A kind that nobody knows waits for a worker.
    value(&sql, "select cortado.enqueue('resize')").await;
    value(&sql, "select cortado.enqueue('resize')").await;
    let older = "update cortado.inbox set at = at - interval '20 seconds' where id = (select min(id::text)::uuid from cortado.inbox)";
    sql.batch_execute(older).await.unwrap();
    for client in [&one.client, &two.client] {
        let metrics = eventually("the view is complete", || async {
            let metrics = metrics(client).await;
            metrics.contains_key("cortado_projection_lag_seconds").then_some(metrics)
        });
        let metrics = metrics.await;
        assert_eq!(metrics["cortado_inbox_jobs"], 2.0);
        assert_eq!(metrics["cortado_inbox_refused_jobs"], 1.0);
        let oldest = metrics["cortado_inbox_oldest_seconds"];
        assert!((20.0..50.0).contains(&oldest), "{oldest}");
        assert_eq!(metrics["cortado_projection_kept_up"], 1.0);
        assert!(metrics["cortado_projection_lag_seconds"] < 10.0, "{metrics:?}");
        let page = client.text("/system").await;
        let facts = ["<h2 id=\"sql-title\">SQL</h2>", "behind, kept up by node-1"];
        assert!(facts.iter().all(|fact| page.contains(fact)), "{page}");
        assert!(page.contains("inbox</dt><dd class=\"num\">2</dd>"), "{page}");
        assert!(page.contains("Refused submissions</dt><dd class=\"num\">1</dd>"), "{page}");
    }

    // Nobody keeps the view up any more.
    two.stop().await;
    sql.batch_execute("update cortado.projection set as_of = as_of - interval '90 seconds'")
        .await
        .unwrap();
    let metrics = metrics(&one.client).await;
    assert_eq!(metrics["cortado_projection_kept_up"], 0.0);
    assert!(metrics["cortado_projection_lag_seconds"] >= 90.0, "{metrics:?}");
    let page = one.client.text("/system").await;
    assert!(page.contains("behind, and no node keeps it up"), "{page}");
    one.stop().await;
}
