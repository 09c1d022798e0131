//! What the JSON API would refuse is refused in SQL, or ends where its submitter can see it, and keeps no other job waiting.

use serde_json::json;

use super::{Nodes, job_in, status, value, value_becomes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_that_is_refused_tells_why_and_keeps_no_other_waiting() {
    let cluster = Nodes::new(2).await;
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    let sql = cluster.postgres.connect("cortado").await;
    let key = json!({ "kind": "echo", "payload": 1, "idempotency_key": "taken" });
    let owner = one.client.submit(&key).await;
    one.client.job_in(&owner, "completed").await;
    // They come in this order, and the last one is good.
    let submitted = value(
        &sql,
        "select string_agg(id::text, ' ') from (values
            (cortado.enqueue('sleep', '{\"ms\": \"long\"}')),
            (cortado.enqueue('echo', '2', idempotency_key => 'taken')),
            (cortado.enqueue('echo', '1', idempotency_key => 'taken')),
            (cortado.enqueue('echo', '3', idempotency_key => 'mine')),
            (cortado.enqueue('echo', '3', idempotency_key => 'mine')),
            (cortado.enqueue('echo', '4', idempotency_key => 'mine')),
            (cortado.enqueue('echo', tags => array[u&'zero\\200bwidth'])),
            (cortado.enqueue('nobody')),
            (cortado.enqueue('echo'))
        ) as submitted (id)",
    );
    let submitted = submitted.await;
    let ids: Vec<&str> = submitted.split(' ').collect();
    for id in [ids[3], ids[8]] {
        job_in(&two.client, id, "completed").await;
    }
    let count = "select count(*) from cortado.not_enqueued";
    value_becomes(&sql, count, "6").await;
    // Nobody knows this kind, but a worker may announce it yet.
    assert_eq!(value(&sql, "select kind from cortado.inbox").await, "nobody");
    sql.batch_execute("update cortado.inbox set at = at - interval '1 minute'").await.unwrap();
    value_becomes(&sql, count, "7").await;
    for (id, code, reason, existing) in [
        (ids[0], "invalid_payload", "the payload does not match the schema of kind sleep", ""),
        (ids[1], "idempotency_key_reused", "which was submitted with another payload", ""),
        (ids[2], "existing", "stands for it", &*owner),
        (ids[4], "existing", "stands for it", ids[3]),
        (ids[5], "idempotency_key_reused", "which was submitted with another payload", ""),
        (ids[6], "invalid_fields", "tags[0]: tag", ""),
        (ids[7], "unknown_kind", "there is no kind \"nobody\"", ""),
    ] {
        let column =
            |name: &str| format!("select {name} from cortado.not_enqueued where id = '{id}'");
        assert_eq!(value(&sql, &column("code")).await, code);
        let told = value(&sql, &column("reason")).await;
        assert!(told.contains(reason), "{told}");
        assert_eq!(value(&sql, &column("existing_job")).await, existing);
        assert_eq!(status(&one.client, id).await, 404);
    }
    // Once a worker has announced the kind, the submission can be made again, with its id.
    let body = json!({"kinds": ["nobody"], "wait_ms": 0});
    one.client.post("/api/v1/workers/web-1/claim", Some(&body)).await;
    let again = format!("select cortado.enqueue_again('{}')", ids[7]);
    assert_eq!(value(&sql, &again).await, "t");
    assert_eq!(value(&sql, &again).await, "f");
    job_in(&two.client, ids[7], "available").await;
    assert_eq!(one.client.rows().await.len(), 4);
    value_becomes(&sql, "select count(*) from cortado.inbox", "0").await;
    let logs = [one.stop().await, two.stop().await].concat();
    assert!(logs.iter().any(|line| line.contains("jobs submitted in SQL were refused")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backlog_keeps_submissions_in_the_inbox_until_there_is_room() {
    let cluster = Nodes::new(1).await;
    let config = cluster.dirs[0].config("[store]\nmax_waiting = 3\n[engine]\nmax_payload = 100\n");
    let node = cluster.node_with(0, &["--config", &config]).await;
    let sql = cluster.postgres.connect("cortado").await;
    node.client.post("/api/v1/queues/default/pause", None).await;
    sql.batch_execute("select cortado.enqueue('echo') from generate_series(1, 10)").await.unwrap();
    value_becomes(&sql, "select count(*) from cortado.inbox", "7").await;
    assert_eq!(node.client.count("available").await, 3);
    node.client.post("/api/v1/queues/default/resume", None).await;
    value_becomes(&sql, "select count(*) from cortado.inbox", "0").await;
    crate::support::eventually("all are completed", || async {
        (node.client.count("completed").await == 10).then_some(())
    })
    .await;
    // Submitters are told how long a payload may be.
    let long = "select cortado.enqueue('echo', to_jsonb(repeat('x', 99)))";
    let refused = sql.batch_execute(long).await.unwrap_err();
    let message = refused.as_db_error().unwrap().message().to_owned();
    assert_eq!(message, "the payload is 101 bytes long and the limit is 100");
    node.stop().await;
}
