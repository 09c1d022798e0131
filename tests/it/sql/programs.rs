//! The programs in docs/sql.md: psql, psycopg and SQLAlchemy submit jobs as the page says.

use serde_json::json;

use super::{Nodes, job_in, value};
use crate::support::tools;

/// The code of a language in the page, in the order of its blocks.
fn code(language: &str) -> Vec<String> {
    let page = include_str!("../../../docs/sql.md");
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

async fn run(cluster: &Nodes, program: &str, input: &str) -> String {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", &format!("exec {program} \"$0\""), input]).env("PATH", tools::path());
    command.env("DATABASE_URL", cluster.postgres.url());
    let output = command.output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_programs_of_the_page_submit_jobs() {
    let cluster = Nodes::new(1).await;
    let node = cluster.node(0).await;
    let sql = cluster.postgres.connect("cortado").await;
    let [psycopg, sqlalchemy] = &code("python")[..] else { panic!("two programs") };
    let id = run(&cluster, "python3 -c", psycopg).await;
    let job = job_in(&node.client, &id, "completed").await;
    assert_eq!((&job["payload"], &job["tags"]), (&json!({ "order": 1 }), &json!(["orders"])));
    assert_eq!(value(&sql, "select job from orders where id = 1").await, id);
    let id = run(&cluster, "python3 -c", sqlalchemy).await;
    let job = job_in(&node.client, &id, "completed").await;
    assert_eq!((&job["payload"], &job["queue"]), (&json!({ "order": 2 }), &json!("mail")));
    assert_eq!(value(&sql, "select job from orders where id = 2").await, id);

    let blocks = code("sql");
    let [transaction, grants, refused, waiting, queries @ ..] = &blocks[..] else {
        panic!("more blocks")
    };
    sql.batch_execute("create role shop; create role reports").await.unwrap();
    let psql = "psql -X -q -t -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c";
    let id = run(&cluster, psql, transaction).await;
    let job = job_in(&node.client, &id, "completed").await;
    assert_eq!(job["idempotency_key"], "confirm order 42", "{job}");
    run(&cluster, psql, grants).await;
    run(&cluster, psql, refused).await;
    assert!(run(&cluster, psql, waiting).await.starts_with('0'));
    for query in queries {
        run(&cluster, psql, query).await;
    }
    node.stop().await;
}
