//! Concurrency: thousands of jobs run at once while the pages answer. The benchmark measures a hundred thousand; this
//! test checks correctness.

use serde_json::json;

use crate::support::{Dir, Fold, Server, within};

const JOBS: u64 = 5_000;

#[tokio::test]
async fn thousands_of_sleepers_run_at_once_each_once_and_the_pages_answer_meanwhile() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--concurrency", "5000", "--log", "warn"]).await;
    server.client.post("/api/v1/queues/default/pause", None).await;
    let job = json!({ "kind": "sleep", "payload": { "ms": 1_000 }, "tags": ["concurrency"] });
    for _ in 0..5 {
        server.client.submit_all(vec![job.clone(); 1_000]).await;
    }
    assert_eq!(server.client.count("available").await, JOBS);
    server.client.post("/api/v1/queues/default/resume", None).await;
    let mut looks = 0;
    within("every job completed", async {
        while server.client.count("completed").await < JOBS {
            for page in ["/", "/jobs", "/healthz", "/readyz", "/api/v1/jobs?state=running"] {
                server.client.text(page).await;
            }
            looks += 1;
        }
    })
    .await;
    assert!(looks > 0, "the pages were not looked at");
    let fold = Fold::of(&server.client.log().await);
    assert_eq!(fold.jobs.len() as u64, JOBS);
    for (id, job) in &fold.jobs {
        assert_eq!((job.attempt, job.completed), (1, 1), "{id}: {job:?}");
    }
    println!("{} at once, {looks} looks at the pages", fold.most_running);
    assert!(fold.most_running > 1_000, "only {} ran at once", fold.most_running);
    server.stop().await;
}
