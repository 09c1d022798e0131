//! A disk with temporary read errors. sled treats such an error as the end of its log and overwrites the rest, so the
//! server must never let it open the only copy of the log unchecked.

use super::*;
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_during_a_start_costs_nothing_but_that_start() {
    let mut recording =
        Recording { recorder: Recorder::new(), facts: Vec::new(), parts: Vec::new() };
    let server = recording.server("first start", "data").await;
    recording.submit(&server, 12).await;
    server.kill().await;
    let recorder = &recording.recorder;
    let data = recorder.base().join("data");
    let known = recording.known_at(usize::MAX);
    let (mut refused, mut served) = (0, 0);
    // The reads of a start copy the log, check the copy, and open the original, with some hundred reads each. One read
    // fails, or a few, or all from there on.
    for first in (1..900).step_by(37) {
        for count in [1, 4, 100_000] {
            let bad = Some(("CORTADO_RECORD_BAD", format!("{first}:{count}")));
            let mut server = recorder.serve("data", bad);
            let listens = within("a server", server.out.line_with("listening on")).await.is_some();
            if listens {
                server.signal(Signal::SIGKILL);
                served += 1;
            } else {
                refused += 1;
            }
            server.exit().await;
            let report = verify(&data);
            assert!(report.is_sound(), "{count} bad reads from {first} on: {report}");
        }
    }
    let found = start(&data).await.unwrap();
    assert!(found.is_superset(&known.jobs), "jobs are lost");
    println!("{refused} starts refused, {served} served");
    assert!(refused > 0 && served > 0, "the reads were not those of the whole start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_for_a_while_under_a_server_loses_nothing() {
    let mut recording =
        Recording { recorder: Recorder::new(), facts: Vec::new(), parts: Vec::new() };
    let flag = recording.recorder.dir.path().join("bad");
    let fault = Some(("CORTADO_RECORD_FLAG", flag.to_str().unwrap().to_owned()));
    let process = recording.recorder.serve("data", fault);
    let Ok(server) = Server::unless_ended(process).await else { panic!("it does not start") };
    recording.submit(&server, 12).await;
    for round in 0..4 {
        std::fs::write(&flag, "").unwrap();
        let job = json!({ "kind": "echo", "payload": 1, "delay_ms": 86_400_000 });
        let refused = async || {
            let path = "/api/v1/jobs";
            let answer = server.client.try_send(reqwest::Method::POST, path, Some(&job)).await;
            answer.unwrap().0 == 503
        };
        eventually("a refusal", async || refused().await.then_some(())).await;
        // Wait until the server has failed to open its files again.
        let seen = server.process.err.so_far().len();
        let tried = async || {
            let lines = server.process.err.from(seen);
            lines.iter().any(|line| line.contains("the store still fails")).then_some(())
        };
        eventually("a failed attempt to reopen", tried).await;
        std::fs::remove_file(&flag).unwrap();
        let ready = async || {
            let path = "/readyz";
            let answer = server.client.try_send(reqwest::Method::GET, path, None).await;
            (answer.unwrap().0 == 200).then_some(())
        };
        eventually("a server that is ready again", ready).await;
        recording.submit(&server, 2).await;
        println!("round {round} is over");
    }
    server.kill().await;
    let data = recording.recorder.base().join("data");
    let report = verify(&data);
    assert!(report.is_sound(), "{report}");
    let found = start(&data).await.unwrap();
    assert!(found.is_superset(&recording.known_at(usize::MAX).jobs), "jobs are lost");
}
