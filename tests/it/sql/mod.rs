//! Jobs that programs submit in SQL, in transactions of their own: a rollback submits nothing, and a commit is neither lost
//! nor doubled, whoever dies.

mod crash;
mod figures;
mod programs;
mod projection;
mod refused;

use serde_json::{Value, json};
use tokio_postgres::Client as SqlClient;

use crate::support::nodes::Nodes;
use crate::support::{Client, eventually};

/// The first value of the only row.
async fn value(sql: &SqlClient, statement: &str) -> String {
    let rows = sql.simple_query(statement).await.unwrap();
    let values = rows.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("").to_owned()),
        _ => None,
    });
    values.last().unwrap()
}

/// Waits until a query has this value.
async fn value_becomes(sql: &SqlClient, statement: &str, wanted: &str) {
    eventually(&format!("{statement} is {wanted}"), || async {
        (value(sql, statement).await == wanted).then_some(())
    })
    .await
}

/// The status of the answer about a job.
async fn status(client: &Client, id: &str) -> u16 {
    let path = format!("/api/v1/jobs/{id}");
    client.try_send(reqwest::Method::GET, &path, None).await.unwrap().0
}

/// Waits until a submission has become a job, and the job is in a state.
async fn job_in(client: &Client, id: &str, state: &str) -> Value {
    eventually(&format!("job {id} is there"), || async {
        (status(client, id).await == 200).then_some(())
    })
    .await;
    client.job_in(id, state).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_submitted_when_the_transaction_of_its_submitter_is_committed() {
    let cluster = Nodes::new(2).await;
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    let sql = cluster.postgres.connect("cortado").await;
    sql.batch_execute("create table orders (id int primary key, job uuid)").await.unwrap();

    sql.batch_execute("begin; insert into orders values (1)").await.unwrap();
    let rolled_back = value(&sql, "select cortado.enqueue('echo')").await;
    sql.batch_execute("rollback").await.unwrap();

    sql.batch_execute("begin").await.unwrap();
    let order = "insert into orders select 2, cortado.enqueue('echo', '{\"order\": 2}', \
        queue => 'mail', priority => 7, max_attempts => 3, timeout_ms => 5000, \
        idempotency_key => 'order 2', tags => '{vip,eu}', backoff_base_ms => 20) returning job";
    let id = value(&sql, order).await;
    // Another job is submitted and run, and this one is still not there.
    let another = cluster.postgres.connect("cortado").await;
    let other = value(&another, "select cortado.enqueue('echo')").await;
    job_in(&two.client, &other, "completed").await;
    assert_eq!(status(&one.client, &id).await, 404);
    sql.batch_execute("commit").await.unwrap();
    let job = job_in(&one.client, &id, "completed").await;
    assert_eq!(two.client.job(&id).await, job);
    assert_eq!(job["payload"], json!({ "order": 2 }));
    let labels = [&job["queue"], &job["priority"], &job["max_attempts"], &job["timeout_ms"]];
    assert_eq!(labels, [&json!("mail"), &json!(7), &json!(3), &json!(5_000)]);
    assert_eq!(job["idempotency_key"], "order 2", "{job}");
    assert_eq!(job["tags"], json!(["vip", "eu"]), "{job}");
    assert_eq!(value(&sql, "select job from orders").await, id);
    assert_eq!(status(&two.client, &rolled_back).await, 404);
    assert_eq!(one.client.rows().await.len(), 2);
    assert_eq!(value(&sql, "select count(*) from cortado.inbox").await, "0");

    // A delay, and a time.
    let later = value(&sql, "select cortado.enqueue('echo', delay_ms => 60000)").await;
    let at = "select cortado.enqueue('echo', run_at => '2040-01-01 00:00+02')";
    let at = value(&sql, at).await;
    job_in(&one.client, &later, "scheduled").await;
    let job = job_in(&one.client, &at, "scheduled").await;
    assert_eq!(job["run_at"], "2039-12-31T22:00:00.000Z", "{job}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_only_enqueue_can_do_nothing_else() {
    let cluster = Nodes::new(1).await;
    let node = cluster.node(0).await;
    let owner = cluster.postgres.connect("cortado").await;
    owner.batch_execute("create role app login; create role other login").await.unwrap();
    let grants =
        "grant usage on schema cortado to app; grant execute on function cortado.enqueue to app";
    owner.batch_execute(grants).await.unwrap();
    let app = cluster.postgres.connect("app").await;
    // Whatever it calls its own functions and tables, those of the function are meant.
    let own = "create schema own; create table own.inbox (id int); \
        create function own.pg_notify(text, text) returns void language sql as 'select 1/0'";
    owner.batch_execute(&format!("{own}; grant usage on schema own to app")).await.unwrap();
    app.batch_execute("set search_path = own, cortado, pg_catalog").await.unwrap();
    let id = value(&app, "select cortado.enqueue('echo')").await;
    job_in(&node.client, &id, "completed").await;
    for statement in [
        "select * from cortado.inbox",
        "insert into cortado.inbox (id, kind, submission) values (gen_random_uuid(), 'echo', '{}')",
        "delete from cortado.inbox",
        "select * from cortado.not_enqueued",
        "select cortado.enqueue_again(gen_random_uuid())",
        "select * from cortado.chunk",
        "update cortado.meta set value = '9'",
    ] {
        let refused = app.batch_execute(statement).await.unwrap_err();
        let message = refused.as_db_error().unwrap().message();
        assert!(message.starts_with("permission denied"), "{statement}: {message}");
    }
    let other = cluster.postgres.connect("other").await;
    let refused = other.batch_execute("select cortado.enqueue('echo')").await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().starts_with("permission denied"));
    node.stop().await;
}
