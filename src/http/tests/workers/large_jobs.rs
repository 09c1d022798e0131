//! Jobs with large payloads: one message brings a few of them, however many its worker asks for.

use serde_json::json;

use super::{Shop, job, leases};
use crate::job::{JobId, Json};

const MIB: usize = 1_024 * 1_024;

impl Shop {
    /// Enqueues jobs with payloads of a mebibyte each.
    async fn add_large(&self, count: usize) -> Vec<JobId> {
        let payload = Json::of(&"x".repeat(MIB)).unwrap();
        let large = || {
            let mut job = job(None);
            std::sync::Arc::get_mut(&mut job.spec).unwrap().payload = payload.clone();
            job
        };
        self.enqueue((0..count).map(|_| large()).collect()).await
    }

    /// How often these jobs were given back.
    async fn given_back(&self, ids: &[JobId]) -> usize {
        let mut times = 0;
        for id in ids {
            let job = self.job(*id).await;
            let types = job.history.iter().map(|moment| moment.change.event_type());
            times += types.filter(|name| name.as_str() == "job.interrupted").count();
        }
        times
    }
}

#[tokio::test]
async fn an_answer_to_a_claim_has_four_mebibytes_of_jobs_and_later_claims_ask_for_no_more() {
    let shop = Shop::open().await;
    let ids = shop.add_large(12).await;
    let mut got = Vec::new();
    let mut claims = 0;
    while got.len() < ids.len() {
        let answer = shop.claim(json!({"max": 100, "wait_ms": 10_000})).await;
        assert!(answer.body.len() < 4 * MIB, "{} bytes", answer.body.len());
        got.extend(leases(&answer.json()));
        claims += 1;
    }
    assert_eq!((got.len(), claims), (12, 4), "three jobs of more than a mebibyte fit");
    // Only the first claim did not know how long the jobs are.
    assert_eq!(shop.given_back(&ids).await, 9);
    assert_eq!(shop.settle(&got[11], "done").await["status"], "settled");
}

#[tokio::test]
async fn a_job_that_is_longer_than_a_message_may_be_comes_alone() {
    let shop = Shop::open().await;
    let small = shop.add(1).await;
    let mut huge = job(None);
    let payload = Json::of(&"x".repeat(5 * MIB)).unwrap();
    std::sync::Arc::get_mut(&mut huge.spec).unwrap().payload = payload;
    let huge = shop.enqueue(vec![huge]).await;
    for ids in [small, huge] {
        let answer = shop.claim(json!({"max": 9, "wait_ms": 10_000})).await.json();
        assert_eq!(answer["leases"].as_array().unwrap().len(), 1);
        assert_eq!(answer["leases"][0]["job"]["id"], json!(ids[0]));
    }
}

#[tokio::test]
async fn a_socket_gets_many_large_jobs_in_several_messages() {
    let shop = Shop::open().await;
    let ids = shop.add_large(10).await;
    let mut socket = shop.ready("web-1", 100).await;
    let (mut got, mut sizes) = (0, Vec::new());
    while got < ids.len() {
        let message = socket.next_of("jobs").await;
        assert!(message.to_string().len() < 4 * MIB);
        sizes.push(leases(&message).len());
        got += leases(&message).len();
    }
    assert_eq!(sizes, [3, 3, 3, 1]);
    assert_eq!(shop.given_back(&ids).await, 0);
}
